package probe_test

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"understudy/appliance/lab"
	"understudy/health/probe"
)

// addRoute adds a route to a node; via "" with a type is one that refuses.
func addRoute(t *testing.T, node *lab.Node, dst string, kind, table int, vias ...string) {
	t.Helper()
	_, ipnet, err := net.ParseCIDR(dst)
	must(t, err)
	r := &netlink.Route{Dst: ipnet, Type: kind, Table: table}
	switch {
	case len(vias) == 1:
		r.Gw = net.ParseIP(vias[0])
	case len(vias) > 1:
		for _, v := range vias {
			r.MultiPath = append(r.MultiPath, &netlink.NexthopInfo{Gw: net.ParseIP(v)})
		}
	}
	must(t, node.Netlink().RouteAdd(r))
}

func TestRoute(t *testing.T) {
	n := newNetwork(t)
	addRoute(t, n.a, "0.0.0.0/0", unix.RTN_UNICAST, 0, "10.1.0.2")
	addRoute(t, n.a, "::/0", unix.RTN_UNICAST, 0, "2001:db8:1::2")
	addRoute(t, n.a, "198.51.100.0/24", unix.RTN_UNICAST, 0, "10.1.0.2", "10.2.0.2")
	addRoute(t, n.a, "203.0.113.0/24", unix.RTN_UNREACHABLE, 0)
	addRoute(t, n.a, "2001:db8:9::/48", unix.RTN_BLACKHOLE, 0)
	addRoute(t, n.a, "192.0.2.0/24", unix.RTN_UNICAST, 100, "10.2.0.2")

	to := func(s string) *probe.Route { return &probe.Route{To: addr(s)} }
	exact := func(s string) *probe.Route { return &probe.Route{Prefix: netip.MustParsePrefix(s)} }
	by := func(p *probe.Route, iface string) *probe.Route { p.Interface = iface; return p }
	table := func(p *probe.Route, id int) *probe.Route { p.Table = id; return p }

	type row struct {
		name string
		p    *probe.Route
		want string
	}
	run := func(state string, rows []row) {
		t.Helper()
		for _, tt := range rows {
			outcome(t, state+": "+tt.name, tt.want, n.try(tt.p, soon))
		}
	}
	run("all up", []row{
		{"to a neighbour", to("10.1.0.2"), ""},
		{"to ourselves", to("10.1.0.1"), ""},
		{"to the world", to("8.8.8.8"), ""},
		{"to the world, IPv6", to("2001:db8:ffff::1"), ""},
		{"to the world by eth0", by(to("8.8.8.8"), "eth0"), ""},
		{"to the world by eth1", by(to("8.8.8.8"), "eth1"), "route to 8.8.8.8: not by eth1, or its link is down"},
		{"by no interface", by(to("8.8.8.8"), "eth9"), "interface eth9"},
		{"to what is refused", to("203.0.113.7"), "route to 203.0.113.7: "},
		{"to what is swallowed, IPv6", to("2001:db8:9::1"), "route to 2001:db8:9::1: "},
		{"over one of two", by(to("198.51.100.1"), "eth1"), ""},
		{"the default", exact("0.0.0.0/0"), ""},
		{"the default, IPv6", exact("::/0"), ""},
		{"the default by eth1", by(exact("0.0.0.0/0"), "eth1"), "not by eth1"},
		{"a prefix", exact("10.1.0.0/24"), ""},
		{"a prefix by an address in it", exact("10.1.0.7/24"), ""},
		{"a prefix, IPv6", exact("2001:db8:1::/64"), ""},
		{"a longer prefix only", exact("10.0.0.0/8"), "route 10.0.0.0/8: there is none"},
		{"a shorter prefix only", exact("10.1.0.0/25"), "there is none"},
		{"one that refuses", exact("203.0.113.0/24"), "it refuses"},
		{"in another table", table(exact("192.0.2.0/24"), 100), ""},
		{"not in another table", table(exact("10.1.0.0/24"), 100), "there is none"},
		{"in another table only", exact("192.0.2.0/24"), "there is none"},
	})

	// The kernel tells its routes of a lost carrier a moment later.
	unplug := func(iface string, by *probe.Route) {
		must(t, n.a.Link(iface).Unplug())
		for end := time.Now().Add(soon); n.try(by, soon) == nil && time.Now().Before(end); {
			time.Sleep(time.Millisecond)
		}
	}
	unplug("eth0", exact("10.1.0.0/24"))
	run("eth0 without carrier", []row{
		{"to the world", to("8.8.8.8"), "its link is down"},
		{"the default", exact("0.0.0.0/0"), "its link is down"},
		{"over two, one is left", exact("198.51.100.0/24"), ""},
		{"over two, not by eth0", by(exact("198.51.100.0/24"), "eth0"), "not by eth0"},
	})
	unplug("eth1", exact("10.2.0.0/24"))
	run("no carrier at all", []row{{"over two", exact("198.51.100.0/24"), "its link is down"}})
	must(t, n.a.Link("eth0").Down())
	run("eth0 down", []row{
		{"to the world", to("8.8.8.8"), "network is unreachable"},
		{"the default", exact("0.0.0.0/0"), "there is none"},
	})
}
