package vrrp_test

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"pgregory.net/rapid"

	"understudy/vrrp"
	"understudy/vrrp/vrrptest"
)

// TestCrashOutageBound: when a whole group dies, the other node has all of it 3 intervals and a skew later, whatever
// went on before: waiting for every member adds nothing.
func TestCrashOutageBound(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		every := vrrp.Centis(rapid.SampledFrom([]uint16{1, 10, 100}).Draw(t, "interval")).Duration()
		delay := time.Duration(rapid.Int64Range(0, int64(every/50)).Draw(t, "delay"))
		net := vrrptest.New(1)
		better := rapid.Uint8Range(2, 254).Draw(t, "better")
		worse := rapid.Uint8Range(1, better-1).Draw(t, "worse")
		a, b := pair(net, "a", 1, better, every), pair(net, "b", 2, worse, every)
		a.Start()
		net.Advance(time.Duration(rapid.Int64Range(0, int64(8*every)).Draw(t, "late")))
		b.Start()
		for _, segment := range segments {
			for _, d := range [][2]string{{"a", "b"}, {"b", "a"}} {
				net.SetPath(d[0], d[1], segment, vrrptest.Path{Delay: delay})
			}
		}
		if rapid.Bool().Draw(t, "split before") {
			net.Cut("a", "b", rapid.SampledFrom(segments).Draw(t, "segment"), true)
			net.Advance(8 * every)
			net.Cut("a", "b", segments[0], false)
			net.Cut("a", "b", segments[1], false)
		}
		net.Advance(10*every + time.Duration(rapid.Int64Range(0, int64(every)).Draw(t, "phase")))
		if !a.Serving("gw") || b.Serving("gw") {
			t.Fatal("the better one is not Active alone")
		}
		a.Crash()
		bound := vrrp.ActiveDown(3, worse, every)
		net.Advance(bound + delay)
		if !b.Serving("gw") {
			t.Fatalf("nobody serves %v after the crash", bound+delay)
		}
	})
}

func pair(net *vrrptest.Network, name string, host, priority byte, every time.Duration) *vrrptest.Node {
	cfg := vrrp.SetConfig{Node: name, Groups: []vrrp.GroupConfig{{Name: "gw", Routers: segments}}}
	var links []vrrptest.Link
	for s, segment := range segments {
		cfg.Routers = append(cfg.Routers, vrrp.RouterConfig{Name: segment, Interface: segment, VRID: byte(51 + s),
			Priority: priority, Interval: every, Preempt: true, Addresses: []netip.Addr{netip.AddrFrom4([4]byte{10, 0, byte(s), 100})}})
		links = append(links, vrrptest.Link{Segment: segment, Address: netip.AddrFrom4([4]byte{10, 0, byte(s), host})})
	}
	return net.Add(cfg, links...)
}

// TestLossTolerance: one lost advert never matters, two do not, three in a row always do (RFC 9568: the timer is 3
// intervals and a skew, and the fourth advert comes after 4).
func TestLossTolerance(t *testing.T) {
	for lost, want := range []int{0, 0, 0, 2, 2} {
		t.Run(fmt.Sprint(lost), func(t *testing.T) {
			const every = 100 * time.Millisecond
			net := vrrptest.New(1)
			a, b := pair(net, "a", 1, 200, every), pair(net, "b", 2, 100, every)
			a.Start()
			b.Start()
			net.Advance(20 * every)
			moves := b.Moves()
			for _, segment := range segments {
				net.SetPath("a", "b", segment, vrrptest.Path{DropNext: lost})
			}
			net.Advance(20 * every)
			if got := b.Moves() - moves; got != want {
				t.Errorf("%d adverts lost: want %d transitions, got %d", lost, want, got)
			}
		})
	}
}

// TestDualStackRouter: one name, two families, one group; each family has its own packets and never sees the other's.
func TestDualStackRouter(t *testing.T) {
	cfg := vrrp.SetConfig{Node: "gw1", Routers: []vrrp.RouterConfig{
		{Name: "lan", Interface: "lan0", VRID: 51, Priority: 100, Interval: interval, Preempt: true,
			Addresses: []netip.Addr{netip.MustParseAddr("10.0.0.100")}},
		{Name: "lan", Interface: "lan0", VRID: 51, Priority: 100, Interval: interval, Preempt: true,
			Addresses: []netip.Addr{netip.MustParseAddr("fe80::100"), netip.MustParseAddr("2001:db8::1")}},
	}}
	g := newGateway(t, cfg)
	up := vrrp.SetInput{Kind: vrrp.InLink, Interface: "lan0", Up: true, Primary: netip.MustParseAddr("10.0.0.2"),
		LinkLocal: netip.MustParseAddr("fe80::2%lan0")}
	g.start()
	g.want(g.do(up), "lan fault>backup repaired 0")
	g.want(g.fire(), "send 0 100", "send 1 100", "lan backup>active active-down 1")
	var a vrrp.Advert
	d, _ := vrrp.ParseDatagram(g.AppendPacket(nil, vrrp.Op{Kind: vrrp.OpSend, Router: 1, Priority: 100}))
	if r := vrrp.ParseAdvert(d, &a); r != vrrp.ReasonNone || a.Count != 2 || d.Src != netip.MustParseAddr("fe80::2") {
		t.Errorf("%v %+v from %v", r, a, d.Src)
	}
	mixed := vrrp.Advert{Version: 3, VRID: 51, Priority: 200, Interval: interval}
	g.want(g.do(vrrp.SetInput{Kind: vrrp.InAdvert, Router: 1, Src: netip.MustParseAddr("10.0.0.3"), Advert: &mixed}), "drop 1 source")
	g.want(g.advert(1, 100, "fe80::80"), "gate lan", "send 0 0", "lan active>backup better-active 1")
	up.LinkLocal = netip.Addr{}
	g.want(g.do(up), "lan backup>fault no link-local address on lan0 1")
}
