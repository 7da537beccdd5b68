package election

import (
	"testing"
	"time"
)

// A machine that hung and goes on: neither process ran, so the daemon was not silent
// for that long. One that is silent while we are there is.
func TestSleepIsNoSilence(t *testing.T) {
	c := newCable(t)
	within(c[0], func() {
		l, say := loopHere(t, configOf(200))
		say(Ready{})
		l.now = time.Now()
		long := l.opt.Watchdog + time.Second
		for _, row := range []struct {
			name   string
			wake   time.Time
			silent bool
		}{
			{"both slept", l.now.Add(-long + 100*time.Millisecond), false},
			{"the daemon alone", l.now.Add(-time.Millisecond), true},
			{"no timer ran", time.Time{}, true},
		} {
			l.daemon.beat, l.wake = l.now.Add(-long), row.wake
			l.excuse()
			if got := expired(l.watchdogAt(), l.now); got != row.silent {
				t.Errorf("%s: dead %v, want %v", row.name, got, row.silent)
			}
		}
	})
}
