package vrrp_test

import (
	"testing"
	"time"

	"understudy/vrrp"
)

// duplicates counts what is told of somebody with our address, of what is heard from it every so often.
func (g *gateway) duplicates(n int, every time.Duration, priority uint8) (told int) {
	for range n {
		for end := g.now.Add(every); ; {
			if d := g.Deadline(); d.IsZero() || d.After(end) {
				g.now = end
				break
			}
			g.fire()
		}
		for _, x := range g.heard(lan, priority, "10.0.0.2") {
			if x.Kind == vrrp.NoticeDuplicate {
				told++
			}
		}
	}
	return told
}

func (g *gateway) found(kind string) (n int) {
	for _, f := range g.Snapshot(g.now).Routers[lan].Findings {
		if f.Kind == kind {
			n++
		}
	}
	return n
}

// TestDuplicateAddress: two routers with one address do not hear each other, and both are Active. It is told and
// found, whoever is Active; what the network sends back to us of our own is not.
func TestDuplicateAddress(t *testing.T) {
	t.Run("a Backup hears its own address", func(t *testing.T) {
		g := newGateway(t, gatewayConfig()).start()
		if n := g.duplicates(3, interval/2, 100); n != 1 || g.found("duplicate") != 1 {
			t.Errorf("told %d times, found %d; want once", n, g.found("duplicate"))
		}
	})
	t.Run("both are Active, out of step", func(t *testing.T) {
		g := newGateway(t, gatewayConfig()).active()
		g.now = g.now.Add(interval / 2)
		if n := g.duplicates(20, interval, 100); n != 1 || g.found("duplicate") != 1 {
			t.Errorf("told %d times, found %d; want once", n, g.found("duplicate"))
		}
	})
	t.Run("in step, of another priority", func(t *testing.T) {
		g := newGateway(t, gatewayConfig()).active()
		if n := g.duplicates(20, interval, 90); n != 1 {
			t.Errorf("told %d times, want once", n)
		}
	})
	t.Run("our own, sent back", func(t *testing.T) {
		g := newGateway(t, gatewayConfig()).active()
		if n := g.duplicates(20, interval, 100); n != 0 || g.found("duplicate") != 0 {
			t.Errorf("told %d times, found %d; want never", n, g.found("duplicate"))
		}
	})
	t.Run("long ago", func(t *testing.T) {
		g := newGateway(t, gatewayConfig()).start()
		g.duplicates(3, interval/2, 100)
		g.now = g.now.Add(6 * time.Minute)
		if n := g.found("duplicate"); n != 0 {
			t.Errorf("found %d, six minutes later", n)
		}
	})
}
