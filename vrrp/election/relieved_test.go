package election

import (
	"testing"
	"time"

	"understudy/vrrp"
)

// One that makes way goes right after adverts, however long ago it was asked, but not for
// ever; at once if it announces nothing; and lets the other one begin before it is gone.
func TestRelievedGoesRightAfterAdverts(t *testing.T) {
	c := newCable(t)
	within(c[0], func() {
		for _, row := range []struct {
			name   string
			active bool
			left   time.Duration // of two intervals, in which the group could be resumed
			asked  time.Duration // ago
			goes   bool
		}{
			{"nothing is announced", false, 0, 0, true},
			{"right after an advert", true, 2*interval - interval/20, 0, true},
			{"between two", true, interval + interval/4, 0, false},
			{"just before one", true, interval, interval, false},
			{"it is asked for long enough", true, interval, 3 * interval, true},
		} {
			t.Run(row.name, func(t *testing.T) {
				l, _ := loopHere(t, configOf(200))
				let := 0
				l.opt.Relieved = func() { let++ }
				if row.active {
					l.groups[0].state = vrrp.Active
					l.board.State(0, vrrp.Active, false, 7)
				}
				l.now = time.Now()
				l.board.Advert(0, l.now, l.now.Add(row.left), interval)
				l.relieved.since = l.now.Add(-row.asked)
				l.relieveNow()
				if l.ended != row.goes || (let == 1) != row.goes {
					t.Errorf("ended %v, let the other begin %d times, want %v", l.ended, let, row.goes)
				}
				if !row.goes && !l.hurry().After(l.now) {
					t.Errorf("it waits, and until when is %v ago", l.now.Sub(l.hurry()))
				}
			})
		}
		l, _ := loopHere(t, configOf(200))
		l.now = time.Now()
		l.relieveNow()
		if l.ended || !l.hurry().IsZero() {
			t.Error("it goes though nobody has asked")
		}
		l, say := loopHere(t, configOf(200))
		say(Relieve{})
		if !l.ended {
			t.Error("asked, it does not go")
		}
	})
}
