package e2e

import (
	"context"
	"fmt"
	"testing"

	"understudy/appliance/lab/capture"
	"understudy/appliance/lab/pair"
)

// TestUnicastPair: gateways that tell only each other, with a virtual MAC besides.
// A hand-over and a crash are as without: flows go on, and nobody else heard a
// word of it.
func TestUnicastPair(t *testing.T) {
	s := newScene(t, pair.Options{Unicast: true, RouterKeys: `mac = "virtual"`})
	c, err := capture.Start(s.LAN, capture.Options{Filter: capture.Protocols(112)})
	s.must(err)
	t.Cleanup(func() { _ = c.Stop() })
	s.settle()
	s.load(s.gw1, 20)
	s.ok(s.gw1, "failover")
	s.settled(s.gw2)
	s.wait("equal tables", s.tablesEqual(s.gw2))
	cut := s.crash(s.gw2)
	s.intact(cut)
	s.whole()
	s.wait("eight adverts", func(context.Context) error { // a fast scene is over before there are so many
		if n := len(c.Frames()); n < 8 {
			return fmt.Errorf("%d", n)
		}
		return nil
	})
	n := 0
	for _, f := range c.Frames() {
		if f.Data[0]&1 == 1 {
			t.Errorf("for everybody: %v", f)
		}
		n++
	}
	if n < 8 {
		t.Errorf("%d adverts only", n)
	}
}
