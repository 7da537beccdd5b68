package keepalived

import (
	"fmt"
	"math/bits"
	"slices"
	"strconv"
	"strings"
	"time"
)

// roundTrip reads rtt, rttvar or rto_min, of which keepalived makes at least 200 ms and
// at most two minutes. A number without a unit is of what the kernel counts in, of which
// a millisecond has that many.
func roundTrip(value string, unit int) (string, bool) {
	const least, most = 200 * time.Millisecond, 2 * time.Minute
	text, whole := strings.ToLower(value), time.Millisecond/time.Duration(unit)
	for _, suffix := range []struct {
		text string
		is   time.Duration
	}{{"msecs", time.Millisecond}, {"msec", time.Millisecond}, {"ms", time.Millisecond}, {"secs", time.Second}, {"sec", time.Second}, {"s", time.Second}} {
		if rest, ok := strings.CutSuffix(text, suffix.text); ok {
			text, whole = rest, suffix.is
			break
		}
	}
	n, err := strconv.ParseFloat(text, 64)
	if err != nil || strings.Trim(text, "0123456789.") != "" {
		return "", false
	}
	return min(max(time.Duration(n*float64(whole)), least), most).String(), true
}

// roundTrips are the words that [roundTrip] reads, and their units.
var roundTrips = map[string]int{"rtt": 8, "rttvar": 4, "rto_min": 1}

// encap reads what stands behind "encap", and says it in our words. used: how many words
// it is; what is wrong with it otherwise.
func encap(list []string) (text string, used int, wrong string) {
	if len(list) < 1 {
		return "", 0, "Missing encap type"
	}
	kind := list[0]
	switch kind {
	case "mpls", "ila":
		if len(list) < 2 {
			return "", 1, fmt.Sprintf("missing address for %s encapsulation", kind)
		}
		if kind == "ila" {
			return kind + " " + list[1], 2, ""
		}
		labels := strings.Split(list[1], "/")
		for i, l := range labels {
			n, err := strconv.ParseUint(l, 0, 20)
			if err != nil {
				return "", 2, fmt.Sprintf("invalid mpls address %s for encapsulation", list[1])
			}
			labels[i] = strconv.FormatUint(n, 10)
		}
		return "mpls " + strings.Join(labels, "/"), 2, ""
	case "ip", "ip6":
	default:
		return "", 1, "Unknown encap type - " + kind
	}
	words := map[string]bool{"id": true, "dst": true, "src": true, "flags": true, "tos": kind == "ip", "ttl": kind == "ip", "tc": kind == "ip6", "hoplimit": kind == "ip6"}
	text, used = kind, 1
	leads := false
	for used+1 < len(list) && words[list[used]] {
		word, value := list[used], list[used+1]
		used += 2
		leads = leads || word == "id" || word == "dst"
		if word == "flags" {
			n, err := strconv.ParseUint(value, 0, 16)
			if err != nil {
				return "", used, fmt.Sprintf("flags %s is not valid for %s encapsulation", value, kind)
			}
			// keepalived hands them down as its processor has them, the kernel reads them in network byte
			// order. Those that it does not keep are nothing to ask for.
			const kept = 0x27ff
			value = fmt.Sprintf("%#x", bits.ReverseBytes16(uint16(n))&kept)
		}
		text += " " + word + " " + value
	}
	if !leads {
		return "", used, fmt.Sprintf("address or id missing for %s encapsulation", kind)
	}
	return text, used, ""
}

// vrfTable is the number of a VRF's table; what is wrong otherwise.
func (c *converter) vrfTable(name string) (table uint32, level Level, wrong string) {
	if c.world.VRF == nil {
		return 0, Warning, "not carried over: vrf " + name + " is not known here; name its table in place of it, with table N"
	}
	table, err := c.world.VRF(name)
	switch {
	case err != nil:
		return 0, Fault, "VRF " + name + " not found for route"
	case table == 0:
		return 0, Fault, "Route specified VRF " + name + " is not a VRF"
	}
	return table, Note, ""
}

// mixed tells whether what a route says is of two families.
func mixed(t *Table, ors []string) bool {
	said := slices.Clone(ors)
	hops, _ := t.values["nexthops"].([]*Table)
	for _, of := range append([]*Table{t}, hops...) {
		for _, key := range []string{"to", "source", "via"} {
			if v, ok := of.values[key].(string); ok && v != "default" {
				said = append(said, v)
			}
		}
	}
	six := func(v string) bool { return strings.Contains(v, ":") }
	return slices.ContainsFunc(said, func(v string) bool { return six(v) != six(said[0]) })
}
