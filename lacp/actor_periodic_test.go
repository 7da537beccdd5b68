package lacp

import (
	"testing"
	"time"
)

// Periodic Transmission machine (5.4.13).
func TestS5_4_13_Periodic(t *testing.T) {
	t.Run("FAST_PERIODIC while the partner's timeout is short", func(t *testing.T) {
		b := newRig(t, 1, nil)
		b.up(0)
		b.keep(0, good, 5*time.Second)
		b.sent = nil
		b.keep(0, good, 10*time.Second)
		if n := len(b.sent); n != 10 || b.a.Port(0).Pace != FastPace {
			t.Errorf("%d PDUs in 10 s, %v", n, b.a.Port(0).Pace)
		}
	})
	t.Run("SLOW_PERIODIC while it is long", func(t *testing.T) {
		b := newRig(t, 1, func(c *ActorConfig) { c.Fast = false })
		b.up(0)
		b.keep(0, goodSlow, 5*time.Second)
		b.sent = nil
		b.keep(0, goodSlow, 60*time.Second)
		if n := len(b.sent); n != 2 || b.a.Port(0).Pace != SlowPace {
			t.Errorf("%d PDUs in 60 s, %v", n, b.a.Port(0).Pace)
		}
	})
	t.Run("SLOW_PERIODIC to PERIODIC_TX at once when it becomes short", func(t *testing.T) {
		b := newRig(t, 1, func(c *ActorConfig) { c.Fast = false })
		b.up(0)
		b.keep(0, goodSlow, 5*time.Second)
		b.sent = nil
		b.hear(0, b.peer(0, good))
		if len(b.sent) != 1 || b.a.Port(0).Pace != FastPace {
			t.Errorf("%d PDUs, %v", len(b.sent), b.a.Port(0).Pace)
		}
	})
	t.Run("FAST_PERIODIC to SLOW_PERIODIC when it becomes long", func(t *testing.T) {
		b := newRig(t, 1, nil)
		b.up(0)
		b.keep(0, good, 5*time.Second)
		b.hear(0, b.peer(0, goodSlow))
		if b.a.Port(0).Pace != SlowPace {
			t.Error(b.a.Port(0).Pace)
		}
	})
	t.Run("NO_PERIODIC while both ends are passive, and while the port is down", func(t *testing.T) {
		b := newRig(t, 1, func(c *ActorConfig) { c.Passive = true })
		b.up(0)
		b.hear(0, b.peer(0, good&^Activity))
		b.pass(time.Minute)
		if len(b.sent) > 0 || b.a.Port(0).Pace != NoPeriodic {
			t.Errorf("passive: %d PDUs, %v", len(b.sent), b.a.Port(0).Pace)
		}
		p := b.peer(0, good)
		p.Partner = Info{}
		b.hear(0, p)
		if len(b.sent) != 1 || b.a.Port(0).Pace != FastPace {
			t.Errorf("spoken to: %d PDUs, %v", len(b.sent), b.a.Port(0).Pace)
		}
		b.step(ActorInput{Kind: ActLink, Port: 0})
		b.sent = nil
		b.pass(time.Minute)
		if len(b.sent) > 0 || b.a.Port(0).Pace != NoPeriodic {
			t.Errorf("down: %d PDUs, %v", len(b.sent), b.a.Port(0).Pace)
		}
	})
}
