package election

import (
	"os"
	"testing"
	"time"
)

// On the wire: a node whose start-up delay goes on says nothing, though what it hears is of lower priority; one whose delay
// ends is Active then, and not before.
func TestStartupDelay(t *testing.T) {
	c := newCable(t)
	activeOf := func(end int, priority uint8, delay time.Duration) *node {
		cfg := configOf(priority)
		cfg.Routers[0].Preempt, cfg.StartupDelay = true, delay
		n := c.start(t, end, play{Config: cfg})
		n.noted("transition-backup", 1)
		return n
	}
	began := time.Now()
	wire, other := c.listen(t, 1, nil), c.listen(t, 0, nil)
	const delay = time.Second
	low := activeOf(0, 100, delay)
	low.noted("transition-active", 1)
	eventually(t, "an advert", func() bool { return wire.count(100) > 0 })
	if at := wire.list()[0].at.Sub(began); at < delay {
		t.Errorf("it was Active after %v", at)
	}
	high := activeOf(1, 200, time.Hour)
	k := wire.count(100)
	eventually(t, "30 adverts", func() bool { return wire.count(100) > k+30 })
	if n := len(high.notes("transition-active")); n != 0 {
		t.Error("it has become Active before its delay ended")
	}
	if n := other.count(200); n != 0 {
		t.Errorf("it has sent %d adverts before its delay ended", n)
	}
}

// When a node begins: the later of the two bounds; a respawned election waits for that of the machine alone.
func TestBegin(t *testing.T) {
	c := newCable(t)
	within(c[0], func() {
		l, _, _ := loopTelling(t, configOf(200))
		l.now = l.born.Add(time.Second)
		up := uptime()
		if up <= 0 {
			t.Fatal("no uptime")
		}
		for _, tc := range []struct {
			name           string
			startup, boot  time.Duration
			respawned      bool
			begins, within time.Duration // from now on
		}{
			{"no delay", 0, 0, false, 0, 0},
			{"since the start", 5 * time.Second, 0, false, 4 * time.Second, 0},
			{"over", time.Second, 0, false, 0, 0},
			{"since the boot, over", 0, up, false, 0, 0},
			{"since the boot", 0, up + time.Hour, false, time.Hour, 10 * time.Minute},
			{"both, the start later", 3 * time.Hour, up + time.Hour, false, 3*time.Hour - time.Second, 0},
			{"both, the boot later", time.Minute, up + time.Hour, false, time.Hour, 10 * time.Minute},
			{"respawned", 5 * time.Second, 0, true, 0, 0},
			{"respawned, since the boot", 5 * time.Second, up + time.Hour, true, time.Hour, 10 * time.Minute},
		} {
			cfg := configOf(200)
			cfg.StartupDelay, cfg.BootDelay = tc.startup, tc.boot
			if err := l.configure(cfg); err != nil {
				t.Fatal(err)
			}
			l.opt.Link = nil
			if tc.respawned {
				l.opt.Link = os.Stdin
			}
			at := l.begin()
			if at.IsZero() {
				at = l.now
			}
			if got := at.Sub(l.now); got > tc.begins || got < tc.begins-tc.within {
				t.Errorf("%s: begins in %v, want %v", tc.name, got, tc.begins)
			}
		}
	})
}
