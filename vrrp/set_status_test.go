package vrrp_test

import (
	"net/netip"
	"testing"
	"time"

	"understudy/vrrp"
)

func TestStatusCountsAndNames(t *testing.T) {
	g := newGateway(t, gatewayConfig()).start()
	g.advert(lan, 200, "10.0.0.3", func(a *vrrp.Advert) { a.Interval *= 2 })
	g.refused(lan, vrrp.ReasonChecksum)
	g.refused(7, vrrp.ReasonChecksum)
	st := g.Snapshot(g.now).Routers[lan]
	if st.Received != 1 || st.IntervalMismatch != 1 || st.AddressMismatch != 0 || st.Learned != 2*interval {
		t.Errorf("%+v", st)
	}
	if st.Drops["checksum"] != 1 || len(st.Drops) != len(vrrp.Reasons()) {
		t.Errorf("drops %v", st.Drops)
	}
	if st.Active != netip.MustParseAddr("10.0.0.3") || st.ActivePriority != 200 {
		t.Errorf("active %v %d", st.Active, st.ActivePriority)
	}
	cfg := gatewayConfig()
	cfg.Routers[lan].Addresses = []netip.Addr{netip.MustParseAddr("10.0.0.200")}
	g.reconfigure(cfg)
	a := vrrp.Advert{Version: 3, VRID: 51, Priority: 200, Interval: interval}
	g.do(vrrp.SetInput{Kind: vrrp.InAdvert, Router: lan, Src: netip.MustParseAddr("10.0.0.3"), Advert: &a})
	if st := g.Snapshot(g.now).Routers[lan]; st.AddressMismatch != 1 {
		t.Errorf("address mismatch %d", st.AddressMismatch)
	}
	// Nobody is known once the last one heard must be gone.
	if st := g.Snapshot(g.now.Add(time.Minute)).Routers[lan]; st.Active.IsValid() || st.ActivePriority != 0 {
		t.Errorf("active %v %d", st.Active, st.ActivePriority)
	}
	g.now = g.now.Add(time.Minute)
	for range 4 {
		g.do(vrrp.SetInput{Kind: vrrp.InTick})
		g.now = g.Deadline()
	}
	st = g.Snapshot(g.now).Routers[lan]
	if st.State != vrrp.Active || st.Active != netip.MustParseAddr("10.0.0.2") || st.ActivePriority != 100 || st.Group != "gw" {
		t.Errorf("%+v", st)
	}
}

// TestAnchorStandsOnlyWhileItHears: the anchor hears a rival it outranks, so the other member does not yield; once
// that rival is silent there, a better one on the other member wins.
func TestAnchorStandsOnlyWhileItHears(t *testing.T) {
	g := newGateway(t, gatewayConfig()).active()
	g.want(g.advert(lan, 50, "10.0.0.3"), "send 1 100")
	g.want(g.advert(wan, 200, "203.0.113.3"), "send 0 100")
	g.now = g.now.Add(9240 * time.Millisecond)
	g.do(vrrp.SetInput{Kind: vrrp.InTick})
	g.want(g.advert(wan, 200, "203.0.113.3"), "gate gw", "send 1 0", "gw active>backup better-active 1")
}

func TestFenceAfterALinkFault(t *testing.T) {
	g := newGateway(t, gatewayConfig()).active()
	g.link("lan0", "")
	fence := vrrp.SetInput{Kind: vrrp.InFault, Group: "gw", On: true, Reason: "daemon-lost", Fence: true}
	g.want(g.do(fence), "fence gw")
	g.want(g.do(fence))
}

func TestReconfigureWhileLeaving(t *testing.T) {
	g := newGateway(t, gatewayConfig()).active()
	g.link("dmz0", "10.9.0.2")
	g.do(vrrp.SetInput{Kind: vrrp.InHandOver})
	cfg := gatewayConfig()
	cfg.Routers = append(cfg.Routers, vrrp.RouterConfig{Name: "dmz", Interface: "dmz0", VRID: 53, Priority: 100,
		Interval: interval, Preempt: true, Addresses: []netip.Addr{netip.MustParseAddr("10.9.0.100")}})
	cfg.Groups[0].Routers = append(cfg.Groups[0].Routers, "dmz")
	g.want(g.reconfigure(cfg), "send 2 100", "send 2 0")
	g.want(g.advert(lan, 50, "10.0.0.3"))
	g.want(g.fire(), "gate gw", "gw active>backup successor 1")
}

// What statistics and whoever wants to hear of a rival go by.
func TestCountsOfBeingActive(t *testing.T) {
	g := newGateway(t, gatewayConfig()).active()
	g.advert(lan, 50, "10.0.0.3")
	g.advert(lan, 0, "10.0.0.3")
	if a, b := g.Inferior(lan), g.Inferior(wan); a != 1 || b != 0 {
		t.Errorf("inferior adverts: %d, %d", a, b)
	}
	g.advert(wan, 200, "203.0.113.3")
	g.now = g.now.Add(time.Minute)
	g.do(vrrp.SetInput{Kind: vrrp.InStop})
	if g.advert(lan, 50, "10.0.0.3"); g.Inferior(lan) != 1 {
		t.Error("one that takes no part was told of a rival")
	}
	st := g.Snapshot(g.now)
	if r := st.Routers[lan]; r.Became != 1 || r.Released != 1 || r.ZeroReceived != 1 || r.ZeroSent != 1 {
		t.Errorf("%+v", r)
	}
	if r := st.Routers[wan]; r.Became != 1 || r.Released != 1 || r.ZeroReceived != 0 {
		t.Errorf("%+v", r)
	}
}
