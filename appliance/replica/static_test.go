package replica_test

import (
	"net"
	"net/netip"
	"testing"

	"understudy/nat"
)

// Case 28: what is mapped one to one goes on without any replication, whoever began it:
// the other gateway has never heard of the flow, and its rules make of each packet what
// those of the first one made of it.
func TestCase28StaticWithoutReplication(t *testing.T) {
	g := newGateways(t, natChain)
	const public, public6 = "203.0.113.20", "2001:db8:1::9"
	prefix := netip.MustParsePrefix
	for _, b := range []*box{g.a, g.b} {
		b.maps(nat.Config{
			Statics: []nat.Static{
				{Public: prefix(public + "/32"), Private: prefix(clientIP + "/32"), Out: "wan0"},
				{Public: prefix("2001:db8:1::/64"), Private: prefix("fd00::/64"), Out: "wan0"},
			},
			// The middle of an unknown connection of others is dropped.
			Sources: []nat.Source{{From: prefix("10.0.0.0/24"), Out: "wan0", To: vip}, {From: prefix("fd00::/64"), Out: "wan0", To: netip.MustParseAddr("2001:db8:2::1")}},
			Groups: []nat.Group{{Name: "gw", Addresses: []netip.Addr{vip, netip.MustParseAddr("2001:db8:2::1")},
				Blocks: []netip.Prefix{prefix(public + "/32"), prefix("2001:db8:1::/64")}}},
		})
	}
	flows := map[string]net.Conn{}
	for _, c := range []struct{ name, network, at, called string }{
		{"tcp", "tcp", serverIP + ":80", serverIP + ":80"},
		{"udp", "udp", serverIP + ":81", serverIP + ":81"},
		{"tcp over IPv6", "tcp", "[" + serverIP6 + "]:80", "[" + serverIP6 + "]:80"},
	} {
		serve(t, g.server, c.network, c.at)
		flows[c.name+", from inside"] = dialFrom(t, g.client, c.network, c.called)
	}
	for _, c := range []struct{ name, network, at, called string }{
		{"tcp", "tcp", clientIP + ":22", public + ":22"},
		{"udp", "udp", clientIP + ":23", public + ":23"},
		{"tcp over IPv6", "tcp", "[" + clientIP6 + "]:22", "[" + public6 + "]:22"},
	} {
		serve(t, g.client, c.network, c.at)
		flows[c.name+", from outside"] = dialFrom(t, g.server, c.network, c.called)
	}
	for name, c := range flows {
		if err := talk(c, "before"); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	for _, l := range g.a.node.Links() {
		must(t, l.Unplug())
	}
	g.use(1)
	for name, c := range flows {
		if err := talk(c, "after"); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
