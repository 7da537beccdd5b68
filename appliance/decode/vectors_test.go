package decode

import (
	"encoding/hex"
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"understudy/vrrp"
)

// vector is one stanza of testdata/vectors.txt.
type vector struct {
	name     string
	frame    []byte
	protocol Protocol
	verdict  string // "valid", "-" or a reason
	config   *vrrp.RouterConfig
	within   string
	says     string
}

func vectors(t testing.TB) []vector {
	t.Helper()
	text, err := os.ReadFile("testdata/vectors.txt")
	if err != nil {
		t.Fatal(err)
	}
	var all []vector
	for i, line := range strings.Split(string(text), "\n") {
		word, rest, _ := strings.Cut(line, " ")
		if word == "" || word == "#" || word == "origin" {
			continue
		}
		if word == "vector" {
			all = append(all, vector{name: rest})
			continue
		}
		v := &all[len(all)-1]
		switch word {
		case "frame":
			v.frame, err = hex.DecodeString(rest)
		case "verdict":
			protocol, verdict, _ := strings.Cut(rest, " ")
			v.protocol, v.verdict = Protocol(protocol), verdict
		case "config":
			v.config, err = routerConfig(rest)
		case "within":
			v.within = rest
		case "says":
			v.says = rest
		default:
			err = fmt.Errorf("unknown word %q", word)
		}
		if err != nil {
			t.Fatalf("vectors.txt:%d: %v", i+1, err)
		}
	}
	if len(all) < 140 {
		t.Fatalf("vectors.txt holds %d vectors only", len(all))
	}
	return all
}

func routerConfig(line string) (*vrrp.RouterConfig, error) {
	rc := &vrrp.RouterConfig{Name: "lan", Interface: "lan0"}
	for _, pair := range strings.Fields(line) {
		key, value, _ := strings.Cut(pair, "=")
		n, _ := strconv.Atoi(value)
		var err error
		switch key {
		case "family":
			rc.Family = uint8(n)
		case "version":
			rc.Version = uint8(n)
		case "vrid":
			rc.VRID = uint8(n)
		case "priority":
			rc.Priority = uint8(n)
		case "interval":
			rc.Interval, err = time.ParseDuration(value)
		case "auth":
			rc.Auth, rc.AuthHeader = strings.CutPrefix(strings.TrimPrefix(value, "none"), "ah:")
		case "addresses":
			rc.Addresses, err = addresses(value)
		case "source":
			rc.Source, err = netip.ParseAddr(value)
		case "unicast":
			var list []netip.Addr
			list, err = addresses(value)
			for _, a := range list {
				rc.Peers = append(rc.Peers, vrrp.Peer{Address: a})
			}
		default:
			err = fmt.Errorf("unknown key %q", key)
		}
		if err != nil {
			return nil, err
		}
	}
	return rc, nil
}

// addresses reads "10.0.0.1,10.0.0.2", or "10.0.0.1-3" for three from there on.
func addresses(s string) ([]netip.Addr, error) {
	var list []netip.Addr
	if first, count, block := strings.Cut(s, "-"); block {
		a, err := netip.ParseAddr(first)
		n, _ := strconv.Atoi(count)
		for range n {
			list = append(list, a)
			a = a.Next()
		}
		return list, err
	}
	for _, word := range strings.Split(s, ",") {
		a, err := netip.ParseAddr(word)
		if err != nil {
			return nil, err
		}
		list = append(list, a)
	}
	return list, nil
}

// verdict spells a result as vectors.txt does.
func verdict(r Result) string {
	switch valid, ok := r.Valid(); {
	case !ok:
		return "-"
	case valid:
		return "valid"
	}
	return r.Reason
}

func TestVectors(t *testing.T) {
	for _, v := range vectors(t) {
		t.Run(v.name, func(t *testing.T) {
			var j Judge
			r := j.Frame(Frame{Data: v.frame, Wire: len(v.frame)})
			if r.Protocol != v.protocol || verdict(r) != v.verdict {
				t.Errorf("alone: %s %s (%s), want %s %s", r.Protocol, verdict(r), r.Detail, v.protocol, v.verdict)
			}
			if v.config != nil {
				j.Local = &Local{Interface: "lan0", Routers: []vrrp.RouterConfig{*v.config}}
				if r = j.Frame(Frame{Data: v.frame, Wire: len(v.frame)}); verdict(r) != v.within {
					t.Errorf("within: %s (%s), want %s", verdict(r), r.Detail, v.within)
				}
			}
			if !strings.Contains(r.Detail, v.says) {
				t.Errorf("detail %q does not say %q", r.Detail, v.says)
			}
			if valid, ok := r.Valid(); valid != (ok && r.Reason == "") || !valid && r.Detail == "" {
				t.Errorf("reason %q with detail %q", r.Reason, r.Detail)
			}
		})
	}
}

// Every reason that is documented is one that some frame is refused for, and
// every reason given is documented.
func TestVectorsHaveEveryReason(t *testing.T) {
	seen := map[Protocol]map[string]bool{}
	for _, v := range vectors(t) {
		if seen[v.protocol] == nil {
			seen[v.protocol] = map[string]bool{}
		}
		seen[v.protocol][v.verdict] = true
		seen[v.protocol][v.within] = true
	}
	for _, p := range Protocols() {
		for _, m := range Reasons(p) {
			if !seen[p][m.Reason] {
				t.Errorf("no frame is refused as %s for %s", p, m.Reason)
			}
			if m.Text == "" {
				t.Errorf("%s %s means nothing", p, m.Reason)
			}
			delete(seen[p], m.Reason)
		}
		delete(seen[p], "valid")
		delete(seen[p], "")
		for word := range seen[p] {
			t.Errorf("%s is refused for %q, which is not documented", p, word)
		}
	}
}
