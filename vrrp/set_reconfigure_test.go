package vrrp_test

import (
	"net/netip"
	"testing"
	"time"

	"understudy/vrrp"
)

func (g *gateway) reconfigure(cfg vrrp.SetConfig) []string {
	g.t.Helper()
	out, err := g.Reconfigure(g.now, cfg)
	if err != nil {
		g.t.Fatal(err)
	}
	return describe(out.Ops)
}

func TestReconfigureInPlaceMovesNothing(t *testing.T) {
	g := newGateway(t, gatewayConfig()).active()
	cfg := gatewayConfig()
	cfg.Routers[0], cfg.Routers[1] = cfg.Routers[1], cfg.Routers[0] // the order is nothing
	for i := range cfg.Routers {
		r := &cfg.Routers[i]
		r.Priority, r.Interval, r.Preempt, r.Checksum = 90, interval*2, false, vrrp.ChecksumRFC9568
	}
	cfg.Routers[0].Addresses = append(cfg.Routers[0].Addresses, netip.MustParseAddr("10.0.0.101"))
	deadline := g.Deadline()
	g.want(g.reconfigure(cfg))
	if g.Deadline() != deadline {
		t.Error("the timer moved")
	}
	g.want(g.fire(), "send 0 90", "send 1 90")
	if st := g.Snapshot(g.now); st.Routers[0].Sent != 2 || st.Routers[0].Name != "lan" {
		t.Errorf("counters did not follow: %+v", st.Routers[0])
	}
	op := vrrp.Op{Kind: vrrp.OpSend, Router: 0, Priority: 90}
	var a vrrp.Advert
	if r := parse(g.AppendPacket(nil, op), &a, nil); r != vrrp.ReasonNone || a.Count != 2 || a.Form != vrrp.FormMessage {
		t.Errorf("%v %+v", r, a)
	}
}

func TestReconfigureRefusedChangesNothing(t *testing.T) {
	g := newGateway(t, gatewayConfig()).active()
	bad := gatewayConfig()
	bad.Routers[0].VRID = 0
	if _, err := g.Reconfigure(g.now, bad); err == nil {
		t.Fatal("accepted")
	}
	g.want(g.fire(), "send 1 100", "send 0 100")
}

func TestReconfigureRemovesGroup(t *testing.T) {
	cfg := gatewayConfig()
	cfg.Groups = nil // each its own
	g := newGateway(t, cfg)
	g.start()
	g.want(g.fire(), "send 0 100", "wan backup>active active-down 1", "send 1 100", "lan backup>active active-down 1")
	cfg.Routers = cfg.Routers[1:]
	g.want(g.reconfigure(cfg), "gate wan", "send 0 0 old", "wan active>initialize reconfigure 1")
	old := vrrp.Op{Kind: vrrp.OpSend, Router: 0, Old: true}
	var a vrrp.Advert
	if r := parse(g.AppendPacket(nil, old), &a, nil); r != vrrp.ReasonNone || a.VRID != 52 || a.Priority != 0 {
		t.Errorf("%v %+v", r, a)
	}
	if g.Interface(old) != "wan0" {
		t.Errorf("goes out of %s", g.Interface(old))
	}
	g.want(g.fire(), "send 0 100")
}

func TestReconfigureAddsRouterToActiveGroup(t *testing.T) {
	g := newGateway(t, gatewayConfig()).active()
	g.link("dmz0", "10.9.0.2")
	cfg := gatewayConfig()
	cfg.Routers = append(cfg.Routers, vrrp.RouterConfig{Name: "dmz", Interface: "dmz0", VRID: 53, Priority: 100,
		Interval: interval, Preempt: true, Addresses: []netip.Addr{netip.MustParseAddr("10.9.0.100")}})
	cfg.Groups[0].Routers = append(cfg.Groups[0].Routers, "dmz")
	g.want(g.reconfigure(cfg), "send 2 100")
	// In a Backup group it starts from the beginning, and the group waits for it.
	g.want(g.do(vrrp.SetInput{Kind: vrrp.InStop}), "gate gw", "send 1 0", "send 0 0", "send 2 0", "gw active>initialize shutdown 1")
	g.want(g.reconfigure(gatewayConfig()))
	g.start()
	g.now = g.now.Add(5000 * time.Millisecond)
	g.want(g.reconfigure(cfg))
	g.want(g.fire())
	g.want(g.fire(), "send 1 100", "send 0 100", "send 2 100", "gw backup>active active-down 2")
}

func TestReconfigureRouterWithoutLinkIsFault(t *testing.T) {
	g := newGateway(t, gatewayConfig()).active()
	cfg := gatewayConfig()
	cfg.Routers[wan].Interface = "wan1"
	g.want(g.reconfigure(cfg), "send 0 0 old", "gate gw", "send 1 0", "gw active>fault link wan1 down 1")
	g.want(g.link("wan1", "203.0.113.2"), "gw fault>backup repaired 1")
}

func TestReconfigureNewVRIDGivesUpTheOld(t *testing.T) {
	g := newGateway(t, gatewayConfig()).active()
	cfg := gatewayConfig()
	cfg.Routers[wan].VRID = 99
	g.want(g.reconfigure(cfg), "send 0 0 old", "send 0 100")
	g.now = g.now.Add(interval)
	g.want(g.do(vrrp.SetInput{Kind: vrrp.InTick}), "send 1 100", "send 0 100")
}

func TestReconfigureMovesRouterBetweenGroups(t *testing.T) {
	g := newGateway(t, gatewayConfig()).active()
	cfg := gatewayConfig()
	cfg.Groups[0].Routers = []string{"lan"}
	// wan becomes a group of its own, which begins at the beginning.
	g.want(g.reconfigure(cfg), "send 0 0 old", "wan initialize>backup reconfigure 0")
	g.want(g.fire(), "send 1 100")
}

func TestReconfigureNewGroupStarts(t *testing.T) {
	cfg := gatewayConfig()
	cfg.Routers, cfg.Groups = cfg.Routers[1:], nil
	g := newGateway(t, cfg).start()
	g.want(g.reconfigure(gatewayConfig()), "lan backup>initialize reconfigure 0", "gw initialize>backup reconfigure 0")
}
