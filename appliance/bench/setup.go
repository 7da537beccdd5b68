package bench

import (
	"fmt"
	"net/netip"
	"strings"
	"time"

	"understudy/appliance/lab/pair"
)

// setup is what a node is to be, whatever program it runs.
type setup struct {
	node     string
	priority int
	interval time.Duration
	virtual  bool   // addresses on the MAC of RFC 9568 section 7.3
	group    string // all routers move together, under this name; "": each by itself
	routers  []virtualRouter
	// tracked is an interface that must be up, besides the routers' own; "": none.
	tracked      string
	theirGlobals string // more lines of keepalived's global_defs
}

// virtualRouter is one VRID on one interface. Names have neither spaces nor
// quotes.
type virtualRouter struct {
	name, iface string
	vrid        int
	addresses   []netip.Prefix
}

// ofPair is the setup of a gateway of a pair.
func ofPair(g *pair.Gateway, interval time.Duration, virtual bool) setup {
	s := setup{node: g.Name, priority: 200, interval: interval, virtual: virtual, group: pair.Group, routers: []virtualRouter{
		{"lan", "lan0", 51, []netip.Prefix{pair.LANAddress}},
		{"wan", "wan0", 52, []netip.Prefix{pair.WANAddress}},
	}}
	if g.Name != "gw1" {
		s.priority = 100
	}
	return s
}

// addresses are those of all routers.
func (s setup) addresses() (all []netip.Addr) {
	for _, r := range s.routers {
		for _, a := range r.addresses {
			all = append(all, a.Addr())
		}
	}
	return all
}

// understudy is our configuration file.
func (s setup) understudy() string {
	var b strings.Builder
	fmt.Fprintf(&b, "node = %q\n", s.node)
	names := make([]string, len(s.routers))
	for i, r := range s.routers {
		names[i] = fmt.Sprintf("%q", r.name)
		list := make([]string, len(r.addresses))
		for k, a := range r.addresses {
			list[k] = fmt.Sprintf("%q", a.String())
		}
		fmt.Fprintf(&b, "\n[[router]]\nname = %q\ninterface = %q\nvrid = %d\npriority = %d\nadvertise = %q\naddresses = [%s]\n",
			r.name, r.iface, r.vrid, s.priority, s.interval, strings.Join(list, ", "))
		if s.virtual {
			b.WriteString("mac = \"virtual\"\n")
		}
		if s.tracked != "" {
			fmt.Fprintf(&b, "track = [%q]\n", "interface:"+s.tracked)
		}
	}
	if s.group != "" {
		fmt.Fprintf(&b, "\n[[group]]\nname = %q\nrouters = [%s]\n", s.group, strings.Join(names, ", "))
	}
	return b.String()
}

// keepalived is the same for keepalived 2.2.
func (s setup) keepalived() string {
	var b strings.Builder
	fmt.Fprintf(&b, "global_defs {\n  router_id %s\n  vrrp_version 3\n%s}\n", s.node, s.theirGlobals)
	if s.group != "" {
		fmt.Fprintf(&b, "vrrp_sync_group %s {\n  group {\n", s.group)
		for _, r := range s.routers {
			fmt.Fprintf(&b, "    %s\n", r.name)
		}
		b.WriteString("  }\n}\n")
	}
	for _, r := range s.routers {
		fmt.Fprintf(&b, "vrrp_instance %s {\n  state BACKUP\n  interface %s\n  virtual_router_id %d\n  priority %d\n  advert_int %g\n",
			r.name, r.iface, r.vrid, s.priority, s.interval.Seconds())
		dev := " dev " + r.iface
		if s.virtual {
			// The name must be one that an interface can have.
			fmt.Fprintf(&b, "  use_vmac vm%d.%s\n", r.vrid, r.iface)
			dev = ""
		}
		if s.tracked != "" {
			fmt.Fprintf(&b, "  track_interface {\n    %s\n  }\n", s.tracked)
		}
		b.WriteString("  virtual_ipaddress {\n")
		for _, a := range r.addresses {
			fmt.Fprintf(&b, "    %s%s\n", a, dev)
		}
		b.WriteString("  }\n}\n")
	}
	return b.String()
}
