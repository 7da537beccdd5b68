package probe_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"understudy/health"
	"understudy/health/probe"
)

// watch runs w for span and returns its changes as text, with their time.
func watch(t *testing.T, w *probe.Watcher, span time.Duration) (out []string) {
	t.Helper()
	begin := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), span)
	defer cancel()
	w.Run(ctx, func(c probe.Change) {
		s := fmt.Sprintf("%v %s %v", time.Since(begin), c.Name, c.To)
		if c.Value != 0 {
			s += fmt.Sprint(" ", c.Value)
		}
		if c.Why != "" {
			s += ": " + c.Why
		}
		out = append(out, s)
	})
	return out
}

func TestWatcherTellsChangesOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var broken atomic.Bool
		flaky := fake(func(context.Context) error {
			if broken.Load() {
				return errors.New("refused")
			}
			return nil
		})
		w := probe.NewWatcher([]probe.Check{
			check("flaky", 100*ms, 50*ms, flaky),
			check("meter", 100*ms, 50*ms, meter(7)),
		}, nil)
		time.AfterFunc(250*ms, func() { broken.Store(true) })
		time.AfterFunc(950*ms, func() { broken.Store(false) })
		got := watch(t, w, 1990*ms)
		slices.Sort(got[:2]) // both at once
		want := []string{"0s flaky up", "0s meter up 7", "500ms flaky down: refused", "1.1s flaky up"}
		if !slices.Equal(want, got) {
			t.Errorf("want %q\ngot  %q", want, got)
		}
		if f := w.Facts(); f[0].Failures != 7 || f[0].Changes != 2 || f[1].Value != 7 || f[1].Results != 20 {
			t.Errorf("facts %+v", f)
		}
	})
}

// What hangs in the kernel does not come back at its timeout, and its check
// cannot stay up for that.
func TestHungProbeGoesDownBySilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := 0
		hangs := fake(func(context.Context) error {
			if n++; n == 3 {
				time.Sleep(10 * time.Second)
			}
			return nil
		})
		w := probe.NewWatcher([]probe.Check{check("hangs", 100*ms, 50*ms, hangs), check("fine", 100*ms, 50*ms, takes(0))}, nil)
		got := watch(t, w, 15*time.Second)
		slices.Sort(got[:2])
		// Its last result is of 100 ms: silent for 250 ms, and two more turns. It
		// is back at 10.2 s with a timeout, and its next turns are at 10.2 and 10.3.
		want := []string{"0s fine up", "0s hangs up", "550ms hangs down: no result", "10.3s hangs up"}
		if !slices.Equal(want, got) {
			t.Errorf("want %q\ngot  %q", want, got)
		}
	})
}

func TestReloadKeepsTheStateOfWhatIsTheSame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		checks := func(subject string) []probe.Check {
			same, other, fresh := check("same", 100*ms, 50*ms, takes(time.Hour)), check("other", 100*ms, 50*ms, takes(0)), check("fresh", 100*ms, 50*ms, takes(0))
			same.Subject, other.Subject = "icmp 10.0.0.1", subject
			return []probe.Check{other, same, fresh}[:len(subject)] // "xy" has no third
		}
		old := probe.NewWatcher(checks("xy"), nil)
		watch(t, old, 500*ms)
		w := probe.NewWatcher(checks("xyz"), old)
		f := w.Facts()
		if f[0].State != health.Unknown || f[1].State != health.Down || f[1].Timeouts == 0 || f[2].State != health.Unknown {
			t.Errorf("facts %+v, want only the second one known", f)
		}
		if old.Facts()[0].State != health.Up {
			t.Error("the old watcher has changed")
		}
		watch(t, w, 290*ms)
		if g := old.Facts(); g[1].Results != f[1].Results || w.Facts()[1].Results == f[1].Results {
			t.Error("both watchers count on one check")
		}
	})
}

func TestWatcherWithoutChecks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		if got := watch(t, probe.NewWatcher(nil, nil), 3*time.Hour); got != nil {
			t.Errorf("got %q", got)
		}
	})
}

// TestRetriesShareNothing: what is looked at again at another pace, or more often, is not one
// try.
func TestRetriesShareNothing(t *testing.T) {
	var list []probe.Check
	for _, p := range []struct {
		retry time.Duration
		fall  int
	}{{0, 3}, {0, 2}, {time.Second, 2}, {100 * ms, 3}, {100 * ms, 3}, {100 * ms, 2}} {
		c := check("c", time.Second, time.Second, takes(0))
		c.Name, c.Subject, c.Retry, c.Fall = "c"+string(rune('0'+len(list))), "same", p.retry, p.fall
		list = append(list, c)
	}
	if n := probe.NewWatcher(list, nil).Probes(); n != 3 {
		t.Errorf("%d tries, want 3", n)
	}
}
