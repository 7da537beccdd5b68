package keepalived

import (
	"strconv"
	"strings"
)

// forwarding is how packets get to servers: nat.entry.forward, and nat.entry.tunnel of that.
type forwarding struct{ forward, tunnel string }

// methods are those of IPVS.
var methods = map[string]forwarding{"NAT": {forward: "nat"}, "DR": {forward: "direct"}, "TUN": {forward: "tunnel", tunnel: "ipip"}}

// handed tells whether servers get packets as they are, and answer past this node.
func (f forwarding) handed() bool { return f.forward != "nat" }

func (f forwarding) String() string {
	for m, is := range methods {
		if is.forward == f.forward && is.tunnel == f.tunnel {
			return m
		}
	}
	return "TUN type " + strings.Replace(f.tunnel, ":", " port ", 1)
}

// method reads NAT, DR or TUN, and of the last the type: "TUN type gue port 5555".
func (c *converter) method(o Option, def forwarding) forwarding {
	if o.arg(0) == "" {
		return def
	}
	f, ok := methods[strings.ToUpper(o.arg(0))]
	if !ok {
		c.say(o.At, Fault, "Unknown forwarding method '%s' - ignoring", strings.ToUpper(o.arg(0)))
		return def
	}
	if f.tunnel == "" || o.arg(1) == "" {
		return f
	}
	rest := o.Args[2:]
	switch port, err := strconv.ParseUint(o.arg(4), 10, 16); {
	case o.arg(1) != "type" || len(rest) == 0:
		c.say(o.At, Fault, "%s TUN: '%s' is not \"type\" and a type - ignoring", o.Word, strings.Join(o.Args[1:], " "))
		return f
	case rest[0] == "ipip" || rest[0] == "gre":
		f.tunnel, rest = rest[0], rest[1:]
	case rest[0] == "gue" && o.arg(3) == "port" && err == nil && port != 0:
		f.tunnel, rest = "gue:"+strconv.Itoa(int(port)), rest[3:]
	default:
		c.say(o.At, Fault, "%s TUN: '%s' is no type, which are ipip, gre, and gue with a port - ignoring", o.Word, strings.Join(rest, " "))
		return f
	}
	if len(rest) > 0 && rest[0] != "nocsum" {
		c.say(o.At, Warning, "%s TUN: not carried over: %s; packets are without checksums of the tunnel", o.Word, strings.Join(rest, " "))
	}
	return f
}

// kind tells how packets get to the servers, and refuses what cannot be.
func (c *converter) kind(v *VirtualServer, refuse func(Place, Level, string, ...any)) (all forwarding, ok bool) {
	read := func(list []Option, def forwarding) (forwarding, Option) {
		o := optionOf(list, "lb_kind", "lvs_method")
		return c.method(o, def), o
	}
	of, o := read(v.Options, methods["NAT"])
	all = of
	for i, r := range v.Servers {
		method, own := read(r.Options, of)
		if own.set() {
			o = own
		}
		if i == 0 {
			all = method
		}
		if method != all {
			refuse(o.At, Fatal, "lvs_method %v beside %v: all servers of a virtual server get packets in one way", method, all)
			return all, false
		}
	}
	if all.tunnel != "" && c.world.Tunnels != nil {
		if err := c.world.Tunnels(); err != nil {
			refuse(o.At, Fatal, "lb_kind TUN: %v; use NAT, or DR where servers are on a link of this node", err)
			return all, false
		}
	}
	return all, true
}
