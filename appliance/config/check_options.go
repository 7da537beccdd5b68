package config

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"understudy/appliance/identity"
)

// routeOptions reads the words that few routes say: "initcwnd 20 tos 0x10 lock mtu".
func (c *checker) routeOptions(path string, v *string, r *identity.Route) {
	if v == nil {
		return
	}
	const fix = "use tos, realms, pref, features, congctl, lock, rto_min, rtt, rttvar, expires or a metric of ip-route(8) like initcwnd, with a value each"
	words := strings.Fields(*v)
	for len(words) > 0 {
		word, value := words[0], ""
		if len(words) < 2 {
			c.add(path, word+" has nothing behind it", fix)
			return
		}
		value, words = words[1], words[2:]
		six := r.To.IsValid() && r.To.Addr().Is6()
		ok := true
		var n uint32
		metric, known := identity.Metric(word)
		switch {
		case word == "tos":
			r.TOS, ok = uint8Of(value)
			if ok && six {
				c.add(path, "IPv6 routes have no tos", "remove it")
				return
			}
		case word == "realms":
			r.Realms, ok = realms(value)
			if ok && six {
				c.add(path, "IPv6 routes have no realms", "remove it")
				return
			}
		case word == "pref":
			r.Preference, ok = map[string]identity.RoutePreference{"high": identity.PreferenceHigh, "medium": identity.PreferenceMedium, "low": identity.PreferenceLow}[value]
			if ok && !six {
				c.add(path, "IPv4 routes have no preference", "remove it")
				return
			}
		case word == "features":
			ok = value == "ecn"
			r.Metrics[metric] = 1 // RTAX_FEATURE_ECN
		case word == "congctl":
			r.Congestion, ok = value, len(value) < 16
		case word == "lock":
			if n, ok := lockable(value); ok {
				r.Metrics[1] |= 1 << n // RTAX_LOCK
				continue
			}
			ok = false
		case word == "rto_min":
			d, err := time.ParseDuration(value)
			ok = err == nil && d >= time.Millisecond && d <= time.Hour
			r.Metrics[metric] = uint32(d.Milliseconds())
		case word == "rtt", word == "rttvar":
			unit := time.Millisecond / 8
			if word == "rttvar" {
				unit = time.Millisecond / 4
			}
			d, err := time.ParseDuration(value)
			ok = err == nil && d >= unit && d <= time.Hour
			r.Metrics[metric] = uint32(d / unit)
		case word == "expires":
			d, err := time.ParseDuration(value)
			r.Expires = uint32(d / time.Second)
			ok = err == nil && d >= time.Second && d%time.Second == 0 && d/time.Second < 1<<31
			if ok && !six {
				c.add(path, "IPv4 routes do not expire", "remove it")
				return
			}
		case known:
			n, ok = uint32Of(value)
			ok = ok && n > 0 && (word != "hoplimit" || n < 256) && (word != "advmss" || n <= 65495) && (word != "quickack" && word != "fastopen_no_cookie" || n == 1)
			r.Metrics[metric] = n
		default:
			c.add(path, quote(word)+" is nothing that a route can have here", fix)
			return
		}
		if !ok {
			c.add(path, fmt.Sprintf("%s cannot be %s", word, quote(value)), "see ip-route(8)")
			return
		}
	}
}

// lockable is the number of a metric that can be locked.
func lockable(name string) (int, bool) {
	switch name {
	case "mtu":
		return 2, true // RTAX_MTU
	case "congctl":
		return 16, true // RTAX_CC_ALGO
	}
	return identity.Metric(name)
}

// ruleOptions reads the words that few rules say: "ipproto tcp dport 80-90".
func (c *checker) ruleOptions(path string, v *string, r *identity.Rule) {
	if v == nil {
		return
	}
	const fix = "use tos, ipproto, sport, dport, uidrange, tunnel-id, realms, suppress_prefixlength, suppress_ifgroup or goto with a value, or l3mdev, nop, blackhole, unreachable or prohibit"
	words := strings.Fields(*v)
	for len(words) > 0 {
		word := words[0]
		words = words[1:]
		switch a := identity.RuleAction(word); a {
		case identity.ActionNop, identity.ActionBlackhole, identity.ActionUnreachable, identity.ActionProhibit:
			r.Action = a
			continue
		}
		if word == "l3mdev" {
			r.L3MDev = true
			continue
		}
		if len(words) == 0 {
			c.add(path, word+" has nothing behind it", fix)
			return
		}
		value := words[0]
		words = words[1:]
		ok := true
		switch word {
		case "tos":
			r.TOS, ok = uint8Of(value)
		case "ipproto":
			r.Protocol, ok = protocolOf(value)
		case "sport":
			r.SourcePorts, ok = portRange(value)
		case "dport":
			r.Ports, ok = portRange(value)
		case "uidrange":
			first, last, _ := strings.Cut(value, "-")
			var good bool
			r.Users.First, ok = uint32Of(first)
			r.Users.Last, good = uint32Of(last)
			r.Users.Set = true
			ok = ok && good && r.Users.First <= r.Users.Last
		case "tunnel-id", "tun_id":
			n, err := strconv.ParseUint(value, 0, 64)
			r.Tunnel, ok = n, err == nil && n > 0
		case "realms":
			r.Realms, ok = realms(value)
		case "suppress_prefixlength":
			n, good := uint32Of(value)
			r.SuppressPrefix, ok = n+1, good && n <= 128
		case "suppress_ifgroup":
			n, good := uint32Of(value)
			r.SuppressGroup, ok = n+1, good && n < 1<<31
		case "goto":
			r.Action = identity.ActionGoto
			r.Goto, ok = uint32Of(value)
			if ok && r.Goto <= r.Priority {
				c.add(path, fmt.Sprintf("goto %d leads backwards", r.Goto), "name the priority of a rule that is asked later")
				return
			}
		default:
			c.add(path, quote(word)+" is nothing that a rule can have here", fix)
			return
		}
		if !ok {
			c.add(path, fmt.Sprintf("%s cannot be %s", word, quote(value)), "see ip-rule(8)")
			return
		}
	}
	if (r.SuppressPrefix != 0 || r.SuppressGroup != 0) && (r.Action != identity.ActionTable || r.L3MDev) {
		c.add(path, "there is no table whose routes could be suppressed", "remove it, or name the table")
	}
}

func uint32Of(v string) (uint32, bool) {
	n, err := strconv.ParseUint(v, 0, 32)
	return uint32(n), err == nil
}

func uint8Of(v string) (uint8, bool) {
	n, err := strconv.ParseUint(v, 0, 8)
	return uint8(n), err == nil
}

// realms reads "TO" or "FROM/TO".
func realms(v string) (uint32, bool) {
	from, to, both := strings.Cut(v, "/")
	if !both {
		from, to = "0", from
	}
	f, err := strconv.ParseUint(from, 0, 16)
	t, err2 := strconv.ParseUint(to, 0, 16)
	return uint32(f<<16 | t), err == nil && err2 == nil && f|t != 0
}

// protocolOf reads a protocol of IP, by name or number.
func protocolOf(v string) (uint8, bool) {
	if n, ok := map[string]uint8{"icmp": 1, "tcp": 6, "udp": 17, "dccp": 33, "gre": 47, "esp": 50, "ah": 51, "ipv6-icmp": 58, "vrrp": 112, "sctp": 132, "udplite": 136}[v]; ok {
		return n, true
	}
	n, ok := uint8Of(v)
	return n, ok && n > 0
}

// portRange reads "80" or "80-90".
func portRange(v string) (p identity.PortRange, ok bool) {
	first, last, several := strings.Cut(v, "-")
	if !several {
		last = first
	}
	f, err := strconv.ParseUint(first, 10, 16)
	l, err2 := strconv.ParseUint(last, 10, 16)
	return identity.PortRange{First: uint16(f), Last: uint16(l)}, err == nil && err2 == nil && f > 0 && f <= l && l < 1<<16-1
}
