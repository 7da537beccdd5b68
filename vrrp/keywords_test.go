package vrrp_test

import (
	"net/netip"
	"slices"
	"testing"

	"understudy/vrrp"
)

// Adverts to peers have the TTL that is configured, in a header that is whole; to the group always 255.
func TestUnicastTTL(t *testing.T) {
	for _, row := range []struct {
		name, src, vip, peer string
		limit, want          uint8
	}{
		{"IPv4", "10.0.0.2", "10.0.0.100", "10.0.0.3", 64, 64},
		{"IPv6", "2001:db8::2", "fe80::1", "2001:db8::3", 64, 64},
		{"not configured", "10.0.0.2", "10.0.0.100", "10.0.0.3", 0, 255},
	} {
		cfg := vrrp.SetConfig{Routers: []vrrp.RouterConfig{{Name: "lan", Interface: "lan0", VRID: 51, Priority: 255, HopLimit: row.limit,
			Addresses: []netip.Addr{addr(row.vip)}, Source: addr(row.src), Peers: []vrrp.Peer{{Address: addr(row.peer), Routed: true}}}}}
		set, err := vrrp.NewSet(cfg)
		if err != nil {
			t.Fatal(err)
		}
		set.Step(epoch, vrrp.SetInput{Kind: vrrp.InLink, Interface: "lan0", Up: true, Sources: []netip.Addr{addr(row.src)}})
		ops := slices.Clone(set.Step(epoch, vrrp.SetInput{Kind: vrrp.InStart}).Ops)
		i := slices.IndexFunc(ops, func(o vrrp.Op) bool { return o.Kind == vrrp.OpSend })
		if i < 0 {
			t.Fatalf("%s: %+v", row.name, ops)
		}
		if d, reason := vrrp.ParseDatagram(set.AppendPacketTo(nil, ops[i], addr(row.peer))); reason != vrrp.ReasonNone || d.TTL != row.want {
			t.Errorf("%s: %v, TTL %d, want %d", row.name, reason, d.TTL, row.want)
		}
		if d, reason := vrrp.ParseDatagram(set.AppendPacket(nil, ops[i])); reason != vrrp.ReasonNone || d.TTL != 255 {
			t.Errorf("%s, to the group: %v, TTL %d", row.name, reason, d.TTL)
		}
	}
}

// A router whose own interface is not tracked stays active on a broken cable; others of its node are in fault, and so is
// it without an address to send from.
func TestUntracked(t *testing.T) {
	cfg := gatewayConfig()
	cfg.Groups = nil
	cfg.Routers[lan].Untracked = true
	g := newGateway(t, cfg).start()
	for range 2 {
		g.fire()
	}
	down := vrrp.SetInput{Kind: vrrp.InLink, Interface: "lan0", Primary: addr("10.0.0.2")}
	g.want(g.do(down))
	if s := g.Snapshot(g.now).Routers[lan].State; s != vrrp.Active {
		t.Errorf("it is %v", s)
	}
	down.Interface = "wan0"
	if got := g.do(down); len(got) == 0 || !slices.Contains(got, "wan active>fault link wan0 down 1") {
		t.Errorf("the other: %q", got)
	}
	g.want(g.do(vrrp.SetInput{Kind: vrrp.InLink, Interface: "lan0"}), "gate lan", "lan active>fault no address on lan0 1")
}
