package vrrp_test

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"understudy/vrrp"
)

// debounced is the gateway with a WAN that is waited for: 200 ms down, 500 ms up.
func debounced(t *testing.T) *gateway {
	t.Helper()
	cfg := gatewayConfig()
	cfg.Delays = []vrrp.LinkDelay{{Interface: "wan0", Down: 200 * time.Millisecond, Up: 500 * time.Millisecond}}
	return newGateway(t, cfg).active()
}

// due runs timers until then and returns what was to be done other than sending.
func (g *gateway) due(d time.Duration) (done []string) {
	g.t.Helper()
	end := g.now.Add(d)
	for at := g.Deadline(); !at.IsZero() && !at.After(end); at = g.Deadline() {
		g.now = at
		for _, op := range g.do(vrrp.SetInput{Kind: vrrp.InTick}) {
			if !strings.HasPrefix(op, "send") {
				done = append(done, op)
			}
		}
	}
	g.now = end
	return done
}

const wanFault = "gw active>fault link wan0 down 1"

func TestLinkDelays(t *testing.T) {
	gone := vrrp.SetInput{Kind: vrrp.InLink, Interface: "wan0", Gone: true}
	t.Run("what the link was counts until then, its address too", func(t *testing.T) {
		g := debounced(t)
		g.want(g.link("wan0", ""))
		if g.Source(wan) != netip.MustParseAddr("203.0.113.2") {
			t.Errorf("it sends from %v", g.Source(wan))
		}
		g.want(g.due(199 * time.Millisecond))
		g.want(g.due(time.Millisecond), "gate gw", wanFault)
	})
	t.Run("another word of the same does not begin it anew", func(t *testing.T) {
		g := debounced(t)
		for range 4 {
			g.want(g.link("wan0", ""))
			g.want(g.due(45 * time.Millisecond))
		}
		g.want(g.due(20*time.Millisecond), "gate gw", wanFault)
	})
	t.Run("an interface that is gone is not waited for", func(t *testing.T) {
		g := debounced(t)
		g.want(g.do(gone), "gate gw", "send 1 0", wanFault)
		g.want(g.do(gone))
	})
	t.Run("nor one that goes while it is", func(t *testing.T) {
		g := debounced(t)
		g.want(g.link("wan0", ""))
		g.want(g.do(gone), "gate gw", "send 1 0", wanFault)
		g.want(g.due(time.Second))
		g.want(g.link("wan0", "203.0.113.2"))
		g.want(g.due(499 * time.Millisecond))
		g.want(g.due(time.Millisecond), "gw fault>backup repaired 1")
	})
	t.Run("what came last counts", func(t *testing.T) {
		g := debounced(t)
		g.want(g.do(gone), "gate gw", "send 1 0", wanFault)
		g.want(g.link("wan0", "203.0.113.2"))
		g.want(g.link("wan0", "203.0.113.9"))
		g.due(500 * time.Millisecond)
		if g.Source(wan) != netip.MustParseAddr("203.0.113.9") {
			t.Errorf("it sends from %v", g.Source(wan))
		}
	})
	t.Run("an address of a link that is up is news at once", func(t *testing.T) {
		g := debounced(t)
		g.want(g.link("wan0", ""))
		g.want(g.link("wan0", "203.0.113.9"))
		if g.Source(wan) != netip.MustParseAddr("203.0.113.9") {
			t.Errorf("it sends from %v", g.Source(wan))
		}
		g.want(g.due(time.Second))
	})
	t.Run("another link is not waited for", func(t *testing.T) {
		g := debounced(t)
		g.want(g.link("lan0", ""), "gate gw", "send 0 0", "gw active>fault link lan0 down 1")
	})
	t.Run("a reload ends no wait; the next one is by the new delay", func(t *testing.T) {
		g := debounced(t)
		g.want(g.link("wan0", ""))
		cfg := g.Config()
		cfg.Delays = nil
		out, err := g.Reconfigure(g.now, cfg)
		if err != nil {
			t.Fatal(err)
		}
		g.want(describe(out.Ops))
		g.want(g.due(199 * time.Millisecond))
		g.want(g.due(time.Millisecond), "gate gw", wanFault)
		g.want(g.link("wan0", "203.0.113.2"), "gw fault>backup repaired 1")
	})
	t.Run("a moment's absence does not make it settle", func(t *testing.T) {
		g := settling(t, func(c *vrrp.SetConfig) {
			c.Delays = []vrrp.LinkDelay{{Interface: "wan0", Down: 15 * time.Millisecond}}
		})
		g.due(settle)
		g.advert(lan, 50, "10.0.0.3")
		g.advert(wan, 50, "203.0.113.3")
		g.link("wan0", "")
		g.due(10 * time.Millisecond)
		g.link("wan0", "203.0.113.2")
		if g.due(time.Second); g.Group(0).State != vrrp.Active {
			t.Error("it was waited for")
		}
	})
	t.Run("none is left when all are as they were", func(t *testing.T) {
		g := debounced(t)
		before := g.Deadline()
		g.link("wan0", "")
		if g.Deadline().Equal(before) {
			t.Fatal("it is not waited for")
		}
		g.link("wan0", "203.0.113.2")
		if !g.Deadline().Equal(before) {
			t.Errorf("a timer is left: %v", g.Deadline())
		}
	})
}

func TestLinkDelaysAreChecked(t *testing.T) {
	for want, list := range map[string][]vrrp.LinkDelay{
		"of no interface":      {{Down: time.Second}},
		"must not be negative": {{Interface: "wan0", Up: -1}},
		"two delays of wan0":   {{Interface: "wan0", Up: 1}, {Interface: "wan0", Down: 1}},
	} {
		cfg := gatewayConfig()
		cfg.Delays = list
		if _, err := vrrp.NewSet(cfg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q, got %v", want, err)
		}
	}
}
