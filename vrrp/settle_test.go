package vrrp_test

import (
	"net/netip"
	"testing"
	"time"

	"understudy/vrrp"
)

const settle = 2 * time.Second

// settling is the gateway with short intervals and links that need their time. They came up at epoch.
func settling(t *testing.T, change ...func(*vrrp.SetConfig)) *gateway {
	t.Helper()
	cfg := gatewayConfig()
	for i := range cfg.Routers {
		cfg.Routers[i].Interval, cfg.Routers[i].Settle = 10*time.Millisecond, settle
	}
	for _, c := range change {
		c(&cfg)
	}
	return newGateway(t, cfg).start()
}

// activates runs timers until the group is Active and returns when, after epoch. In between the lan hears adverts of
// that priority every interval; 0: none.
func (g *gateway) activates(hears uint8) time.Duration {
	g.t.Helper()
	for next := g.now; g.now.Sub(epoch) < time.Minute; {
		g.now = g.Deadline()
		if hears > 0 && !next.After(g.now) {
			g.now = next
			next = next.Add(10 * time.Millisecond)
			g.advert(lan, hears, "10.0.0.3")
			continue
		}
		g.do(vrrp.SetInput{Kind: vrrp.InTick})
		if g.Group(0).State == vrrp.Active {
			return g.now.Sub(epoch)
		}
	}
	g.t.Fatal("never Active")
	return 0
}

func (g *gateway) takes(what string, got, want time.Duration) {
	g.t.Helper()
	if d := got - want; d < 0 || d > 10*time.Millisecond {
		g.t.Errorf("%s: Active after %v, want %v", what, got, want)
	}
}

func TestSettle(t *testing.T) {
	skew := 156 * 10 * time.Millisecond / 256
	down := 30*time.Millisecond + skew
	g := settling(t)
	g.takes("silence", g.activates(0), settle+skew)

	g = settling(t, func(c *vrrp.SetConfig) { c.Routers[wan].Settle, c.Routers[lan].Settle = 0, 0 })
	g.takes("silence, no wait", g.activates(0), down)

	// Both deliver, and the Active is gone.
	g = settling(t)
	g.now = g.now.Add(500 * time.Millisecond)
	g.advert(lan, 200, "10.0.0.3")
	g.advert(wan, 200, "203.0.113.3")
	g.takes("the Active dies", g.activates(0), 500*time.Millisecond+down)

	// Only one does: the other is waited for.
	g = settling(t)
	g.now = g.now.Add(500 * time.Millisecond)
	g.advert(lan, 200, "10.0.0.3")
	g.takes("one side is silent", g.activates(0), settle+skew)

	// Nobody shortens it with packets that do not count.
	g = settling(t)
	g.refused(lan, vrrp.ReasonChecksum)
	g.refused(wan, vrrp.ReasonTTL)
	g.takes("refused packets", g.activates(0), settle+skew)

	// A live lower one is left alone. Then its adverts are discarded as always.
	g = settling(t)
	g.advert(wan, 50, "203.0.113.3")
	g.takes("a lower one is alive", g.activates(50), settle+down-10*time.Millisecond)

	// One that says priority 0, or less than ours, is heard as well.
	g = settling(t)
	g.now = g.now.Add(500 * time.Millisecond)
	g.advert(lan, 0, "10.0.0.3")
	g.advert(wan, 50, "203.0.113.3")
	g.takes("priority 0", g.activates(0), 500*time.Millisecond+down)

	// Links that were up for longer than that when it starts.
	g = newGateway(t, g.Config())
	g.now = g.now.Add(3 * time.Second)
	g.takes("old links", g.start().activates(50), 3*time.Second+down)

	// RFC 9568, 6.4.1: an owner is Active at once.
	g = settling(t, func(c *vrrp.SetConfig) { c.Routers[wan].Priority, c.Routers[lan].Priority = 255, 255 })
	if s := g.Group(0).State; s != vrrp.Active {
		t.Errorf("an owner is %v", s)
	}
}

// A raised priority or a learned interval does not shorten the wait.
func TestSettleOutlivesReconfigure(t *testing.T) {
	g := settling(t)
	g.now = g.now.Add(100 * time.Millisecond)
	cfg := g.Config()
	cfg.Routers[lan].Priority, cfg.Routers[wan].Priority = 254, 254
	g.reconfigure(cfg)
	g.do(vrrp.SetInput{Kind: vrrp.InWeight, Weight: -1})
	if st := g.Snapshot(g.now).Routers[lan]; st.Reason != "startup, waits for link lan0 to settle" {
		t.Errorf("reason %q", st.Reason)
	}
	g.takes("after a reload", g.activates(0), settle)
	if st := g.Snapshot(g.now).Routers[lan]; st.Reason != "active-down" {
		t.Errorf("reason %q", st.Reason)
	}
}

// A tracked interface that comes and goes takes the role away at once, and gives it back when it stays.
func TestSettleDebouncesTrackedInterfaces(t *testing.T) {
	g := settling(t, func(c *vrrp.SetConfig) { c.Routers[lan].Track = []string{"up0"} })
	g.link("up0", "192.0.2.1")
	g.now = g.now.Add(3 * time.Second) // long up, all of them
	g.advert(lan, 50, "10.0.0.3")
	g.advert(wan, 50, "203.0.113.3")
	g.activates(50)
	for range 20 {
		if g.link("up0", ""); g.Group(0).State != vrrp.Fault {
			t.Fatalf("we are %v without the interface", g.Group(0).State)
		}
		g.now = g.now.Add(100 * time.Millisecond)
		g.link("up0", "192.0.2.1")
		for range 40 { // 400 ms
			g.now = g.now.Add(10 * time.Millisecond)
			g.do(vrrp.SetInput{Kind: vrrp.InTick})
			g.advert(lan, 50, "10.0.0.3")
		}
		if s := g.Group(0).State; s != vrrp.Backup {
			t.Fatalf("we are %v while the interface flaps", s)
		}
	}
	since := g.now.Sub(epoch) - 400*time.Millisecond
	skew := 156 * 10 * time.Millisecond / 256
	g.takes("it stays", g.activates(50), since+settle+20*time.Millisecond+skew)

	// Where nobody else serves there is no reason to wait: the router's own links deliver.
	g.link("up0", "")
	since = g.now.Sub(epoch)
	g.link("up0", "192.0.2.1")
	g.takes("nobody else", g.activates(0), since+30*time.Millisecond+skew)
}

// A router that a reload adds to a Backup group is waited for like the others.
func TestSettleOfAnAddedRouter(t *testing.T) {
	g := settling(t)
	g.now = g.now.Add(5 * time.Second)
	g.advert(lan, 200, "10.0.0.3")
	g.advert(wan, 200, "203.0.113.3")
	g.link("dmz0", "10.9.0.2")
	cfg := g.Config()
	cfg.Routers = append(cfg.Routers, vrrp.RouterConfig{Name: "dmz", Interface: "dmz0", VRID: 53, Priority: 100, Settle: settle,
		Interval: 10 * time.Millisecond, Preempt: true, Addresses: []netip.Addr{netip.MustParseAddr("10.9.0.100")}})
	cfg.Groups = []vrrp.GroupConfig{{Name: "gw", Routers: []string{"wan", "lan", "dmz"}}}
	g.reconfigure(cfg)
	g.takes("an added router", g.activates(0), 5*time.Second+settle+156*10*time.Millisecond/256)
}
