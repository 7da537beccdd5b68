package keepalived

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// routeOptions have one too; what they are in the options of a route.
var routeOptions = map[string]string{"tos": "tos", "dsfield": "tos", "advmss": "advmss", "window": "window", "cwnd": "cwnd", "ssthresh": "ssthresh", "realms": "realms",
	"realm": "realms", "rto_min": "rto_min", "rtt": "rtt", "rttvar": "rttvar", "initcwnd": "initcwnd", "initrwnd": "initrwnd", "features": "features", "quickack": "quickack", "congctl": "congctl",
	"pref": "pref", "fastopen_no_cookie": "fastopen_no_cookie", "hoplimit": "hoplimit", "reordering": "reordering"}

// ruleOptions are the same of rules.
var ruleOptions = map[string]string{"tos": "tos", "dsfield": "tos", "ipproto": "ipproto", "sport": "sport", "dport": "dport", "uidrange": "uidrange", "tunnel-id": "tunnel-id",
	"realms": "realms", "suppress_prefixlength": "suppress_prefixlength", "suppress_prefixlen": "suppress_prefixlength", "suppress_ifgroup": "suppress_ifgroup",
	"suppress_group": "suppress_ifgroup", "goto": "goto"}

// routeOption says one in our words; "": there is nothing to say.
func routeOption(word, value string) string {
	switch {
	case (word == "quickack" || word == "fastopen_no_cookie") && value == "0":
		return ""
	}
	return routeOptions[word] + " " + value
}

// owner is what addresses, routes and rules belong to: an instance, or nothing.
type owner struct {
	name  string // for messages
	word  string // what the block begins with: virtual, static
	iface string // by which they lead if nothing says so
}

func (in *Instance) owner() owner { return owner{in.Name, "virtual", in.Interface.V} }

func (o owner) stays() bool { return o.word == "static" }

// route makes one of the routes of to of a line of virtual_routes or static_routes.
func (c *converter) route(in owner, to *Table, n *Node) {
	if n.Word == "" {
		return
	}
	o := Origin{n.At, in.word + "_routes"}
	t := newTable(o)
	whole := strings.Join(n.all(), " ")
	wrong := func(what string) { c.say(n.At, Fault, "(%s) route %s: %s", in.name, whole, what) }
	var hop *Table // of a nexthop; nil: the route itself
	var ors []string
	group := "" // track_group
	var options []string
	list := n.all()
	for i := 0; i < len(list); i++ {
		next := func() string {
			if i+1 < len(list) {
				i++
				return list[i]
			}
			wrong(list[i] + " has nothing behind it")
			return ""
		}
		at := t
		if hop != nil {
			at = hop
		}
		switch w := list[i]; w {
		case "to":
			c.destination(t, next(), o, wrong)
		case "src":
			t.set("source", next(), o)
		case "via", "gw":
			if w == "gw" {
				c.say(n.At, Fault, "(%s) gw is deprecated; use via", in.name)
			}
			v := next()
			if v == "inet" || v == "inet6" {
				v = next()
			}
			at.set("via", v, o)
		case "or":
			c.say(n.At, Fault, "(%s) or is deprecated; use nexthop", in.name)
			ors = append(ors, next())
		case "dev", "oif":
			at.set("dev", next(), o)
		case "table":
			v := next()
			if id, ok := c.tableID(v); ok {
				t.set("table", int64(id), o)
			} else {
				wrong("there is no table " + v)
				return
			}
		case "metric", "preference", "priority":
			t.set("metric", c.num(next(), wrong), o)
		case "scope":
			t.set("scope", scopeName(next()), o)
		case "mtu":
			v := next()
			if v == "lock" {
				options = append(options, "lock mtu")
				v = next()
			}
			t.set("mtu", c.num(v, wrong), o)
		case "onlink":
			at.set("onlink", true, o)
		case "weight":
			at.set("weight", c.num(next(), wrong), o)
		case "nexthop":
			hop = t.table("nexthops", o)
		case "blackhole", "unreachable", "prohibit", "throw":
			t.set("type", w, o)
		case "proto", "protocol":
			next()
			c.say(n.At, Note, "(%s) route %s: nothing to carry over: routes have the protocol 117", in.name, whole)
		case "no_track", "inet", "inet6":
		case "as":
			if v := next(); v == "to" {
				next()
			}
			c.say(n.At, Fault, "(%s) route %s: \"as to\" for MPLS only - ignoring", in.name, whole)
		case "ttl-propagate":
			// The kernel looks at it in routes of MPLS alone.
			if v := next(); v != "enabled" && v != "disabled" {
				c.say(n.At, Fault, "(%s) route %s: ttl-propagate value %s not recognised", in.name, whole, v)
			}
		case "encap":
			text, used, what := encap(list[i+1:])
			if i += used; what != "" {
				wrong(what)
				continue
			}
			at.set("encap", text, o)
		case "vrf":
			id, level, what := c.vrfTable(next())
			if what != "" {
				c.say(n.At, level, "(%s) route %s: %s", in.name, whole, what)
				return
			}
			t.set("table", int64(id), o)
		case "expires":
			v := next()
			s, err := strconv.ParseUint(v, 0, 31)
			if to, _ := t.values["to"].(string); strings.Contains(to, ".") {
				wrong("expires is only valid for IPv6")
				return
			}
			if err != nil {
				wrong("Invalid expires time " + v)
				return
			}
			if s > 0 {
				options = append(options, "expires "+strconv.FormatUint(s, 10)+"s")
			}
		case "track_group":
			if group = next(); !in.stays() {
				wrong("track_group is for what does not move")
				return
			}
		case "append", "prepend", "add":
			c.say(n.At, Note, "(%s) route %s: nothing to carry over: %s, no two routes have one destination, table and metric", in.name, whole, w)
		default:
			switch {
			case routeOptions[w] != "":
				v := next()
				if v == "lock" {
					options = append(options, "lock "+w)
					v = next()
				}
				if unit := roundTrips[w]; unit != 0 {
					text, ok := roundTrip(v, unit)
					if v = text; !ok {
						wrong("Invalid " + w)
						return
					}
				}
				if o := routeOption(w, v); o != "" {
					options = append(options, o)
				}
			case t.values["to"] == nil:
				c.destination(t, w, o, wrong)
			default:
				wrong("unknown word " + w)
				return // as keepalived does
			}
		}
	}
	if t.values["to"] == nil {
		wrong("it leads nowhere")
		return
	}
	if mixed(t, ors) {
		wrong("Cannot mix IPv4 and IPv6 addresses for route")
		return
	}
	if len(options) > 0 {
		t.set("options", strings.Join(options, " "), o)
	}
	if t.values["dev"] == nil && !slices.Contains(list, "no_track") {
		c.say(n.At, Fault, "Warning - cannot track route %v with no interface specified, not tracking", t.values["to"])
	}
	c.gateways(in, t, ors, o, whole)
	if group != "" {
		c.inGroup(n.At, group, leads(t)...)
	}
	c.put(to, "routes", t)
}

// destination reads where a route leads.
func (c *converter) destination(t *Table, v string, o Origin, wrong func(string)) {
	if v == "default" {
		t.set("to", v, o)
		return
	}
	p, err := address(v)
	if err != nil {
		wrong(v + " is not a network")
		return
	}
	t.set("to", p.String(), o)
}

// gateways names the interface of a gateway that is in no network of the file: the one
// in whose network it is, where that is known, for keepalived leaves it to the kernel,
// which looks there; else that of the instance. Two gateways with "or" are nexthops.
func (c *converter) gateways(in owner, t *Table, ors []string, o Origin, whole string) {
	via, _ := t.values["via"].(string)
	if len(ors) > 0 && via != "" {
		for _, v := range append([]string{via}, ors...) {
			h := t.table("nexthops", o)
			h.set("via", v, o)
			if d, ok := t.values["dev"]; ok {
				h.set("dev", d, o)
			}
		}
		t.drop("via")
		t.drop("dev")
	}
	hops, _ := t.values["nexthops"].([]*Table)
	for _, h := range append([]*Table{t}, hops...) {
		via, has := h.values["via"].(string)
		a, err := netip.ParseAddr(via)
		if !has || err != nil || h.values["dev"] != nil {
			continue
		}
		known := a.Is6() && a.IsLinkLocalUnicast()
		for _, p := range c.networks {
			known = known || p.Contains(a) && !p.IsSingleIP()
		}
		if dev := c.world.interfaceTo(a); !known && dev != "" {
			h.set("dev", dev, o)
		} else if !known {
			h.set("dev", in.iface, o)
			c.say(o.Place, Warning, "(%s) route %s: it is taken to lead by %s; name the interface with dev if that is wrong", in.name, whole, in.iface)
		}
	}
	if t.values["type"] == nil && t.values["via"] == nil && t.values["dev"] == nil && len(hops) == 0 {
		t.set("dev", in.iface, o)
		c.say(o.Place, Warning, "(%s) route %s: it is taken to lead by %s; name the interface with dev if that is wrong", in.name, whole, in.iface)
	}
}

// put appends a table that is made already.
func (c *converter) put(to *Table, key string, t *Table) {
	list, _ := to.values[key].([]*Table)
	to.set(key, append(list, t), t.Origin)
}

func (c *converter) num(v string, wrong func(string)) int64 {
	n, err := strconv.ParseInt(v, 0, 64)
	if err != nil {
		wrong(v + " is not a number")
	}
	return n
}

func scopeName(v string) string {
	switch v {
	case "0":
		return "global"
	case "253":
		return "link"
	}
	return v
}

// tableID is the number of a routing table.
func (c *converter) tableID(v string) (uint32, bool) {
	if n, err := strconv.ParseUint(v, 0, 32); err == nil {
		return uint32(n), true
	}
	switch v {
	case "main":
		return 254, true
	case "default":
		return 253, true
	case "local":
		return 255, true
	}
	if c.world.Open == nil {
		return 0, false
	}
	for _, file := range []string{"/etc/iproute2/rt_tables", "/usr/share/iproute2/rt_tables"} {
		src, err := c.world.Open(file)
		if err != nil {
			continue
		}
		for l := range strings.SplitSeq(string(src), "\n") {
			l, _, _ = strings.Cut(l, "#")
			if f := strings.Fields(l); len(f) == 2 && f[1] == v {
				if n, err := strconv.ParseUint(f[0], 0, 32); err == nil {
					return uint32(n), true
				}
			}
		}
	}
	return 0, false
}

// firstRule is where rules without a priority begin.
const firstRule = 16384

// rule makes one of the rules of to of a line of virtual_rules or static_rules.
func (c *converter) rule(in owner, to *Table, n *Node) {
	if n.Word == "" {
		return
	}
	o := Origin{n.At, in.word + "_rules"}
	t := newTable(o)
	whole := strings.Join(n.all(), " ")
	wrong := func(what string) { c.say(n.At, Fault, "(%s) rule %s: %s", in.name, whole, what) }
	family, group := "", ""
	var options []string
	list := n.all()
	for i := 0; i < len(list); i++ {
		next := func() string {
			if i+1 < len(list) {
				i++
				return list[i]
			}
			wrong(list[i] + " has nothing behind it")
			return ""
		}
		switch w := list[i]; w {
		case "from", "to":
			v := next()
			if v == "all" || v == "default" {
				continue
			}
			p, err := address(v)
			if err != nil {
				wrong(v + " is not a network")
				return
			}
			t.set(w, p.String(), o)
		case "fwmark":
			t.set("fwmark", next(), o)
		case "iif", "dev":
			t.set("iif", next(), o)
		case "oif":
			t.set("oif", next(), o)
		case "table", "lookup":
			v := next()
			id, ok := c.tableID(v)
			if !ok {
				wrong("there is no table " + v)
				return
			}
			t.set("table", int64(id), o)
		case "priority", "preference", "order", "pref":
			t.set("priority", c.num(next(), wrong), o)
		case "inet", "inet6":
			family = w
		case "no_track":
		case "track_group":
			if group = next(); !in.stays() {
				wrong("track_group is for what does not move")
				return
			}
		case "proto", "protocol":
			next()
			c.say(n.At, Note, "(%s) rule %s: nothing to carry over: rules have the protocol 117", in.name, whole)
		case "l3mdev", "nop", "blackhole", "unreachable", "prohibit":
			options = append(options, w)
		default:
			if ruleOptions[w] == "" {
				c.say(n.At, Warning, "(%s) rule %s: not carried over yet: %s", in.name, whole, w)
				return // half of a rule is another rule
			}
			options = append(options, ruleOptions[w]+" "+next())
		}
	}
	if len(options) > 0 {
		t.set("options", strings.Join(options, " "), o)
	}
	if t.values["priority"] == nil {
		c.say(n.At, Fault, "Rule has no preference specified - setting to %d. This is probably not what you want.", firstRule-c.nextRule)
		t.set("priority", int64(firstRule-c.nextRule), o)
		c.nextRule++
	}
	if t.values["from"] == nil && t.values["to"] == nil && (in.stays() || family != "") {
		any := map[bool]string{true: "::/0", false: "0.0.0.0/0"}[family == "inet6"]
		t.set("from", any, o)
	}
	if iif, ok := t.values["iif"].(string); ok && group != "" {
		c.inGroup(n.At, group, iif)
	} else if group != "" {
		wrong("it cannot be tracked without an interface")
	}
	c.put(to, "rules", t)
}
