package e2e

import (
	"context"
	"errors"
	"testing"
	"time"

	"understudy/appliance/lab/pair"
)

// A standby whose processes were stopped for far longer than an
// Active_Down_Interval, while the active gateway went on: its timers have run out,
// and what proves them wrong lies in its sockets. It says nothing.
func TestFrozenBackupSaysNothing(t *testing.T) {
	s := newScene(t, pair.Options{Interval: 300 * time.Millisecond})
	s.settle()
	wire := s.adverts()
	before := s.transitions(s.gw2)
	for range 3 {
		s.must(s.gw2.Freeze())
		s.wait("adverts of gw1 that nobody reads", wire.more(s.gw1, 8))
		s.must(s.gw2.Thaw())
		s.wait("adverts of gw1 after that", wire.more(s.gw1, 4))
	}
	s.settled(s.gw1)
	if at, zero := wire.of(s.gw2); len(at) > 0 {
		t.Errorf("gw2 sent %d adverts, %d of them of priority 0", len(at), zero)
	}
	if n := s.transitions(s.gw2) - before; n > 0 {
		t.Errorf("gw2 made %d transitions", n)
	}
}

// An active gateway whose processes were stopped until a better one had taken over:
// it reads that before it believes its own timer, and is gone after one round of
// adverts at most.
func TestFrozenActiveYields(t *testing.T) {
	s := newScene(t, pair.Options{Interval: 300 * time.Millisecond, Priorities: [2]uint8{100, 200}, RouterKeys: "preempt = false"})
	s.settle()
	s.must(s.gw1.Freeze())
	s.wait("gw2 active", s.gw2.Is("active"))
	wire := s.adverts()
	s.wait("adverts of gw2", wire.more(s.gw2, 5))
	s.must(s.gw1.Thaw())
	s.wait("gw1 to give way", func(ctx context.Context) error {
		if s.gw1.Is("backup")(ctx) != nil {
			return errors.New("it has not")
		}
		return nil
	})
	s.settled(s.gw2)
	s.wait("adverts of gw2", wire.more(s.gw2, 8))
	at, zero := wire.of(s.gw1)
	if len(at)-zero > 1 {
		t.Errorf("gw1 sent %d adverts after it was replaced, %d of them of priority 0", len(at), zero)
	}
	if a, b := s.transitions(s.gw2), uint64(2*2); a != b { // each router: Backup, Active
		t.Errorf("gw2 made %d transitions, want %d", a, b)
	}
}
