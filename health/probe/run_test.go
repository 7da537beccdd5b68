package probe_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"understudy/health"
	"understudy/health/probe"
)

// fake is a prober out of a function.
type fake func(ctx context.Context) error

func (f fake) Probe(ctx context.Context) error { return f(ctx) }

// takes returns a prober that succeeds after d, or when the context ends, with
// its cause.
func takes(d time.Duration) fake {
	return func(ctx context.Context) error {
		select {
		case <-time.After(d):
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// deaf is takes for a prober that hangs in the kernel.
func deaf(d time.Duration) fake {
	return func(context.Context) error { time.Sleep(d); return nil }
}

type meter int

func (m meter) Probe(context.Context) error          { panic("Measure is what counts") }
func (m meter) Measure(context.Context) (int, error) { return int(m), nil }

func check(name string, every, limit time.Duration, p probe.Prober) probe.Check {
	return probe.Check{CheckConfig: health.CheckConfig{Name: name, Every: every, Timeout: limit}, Prober: p}
}

const ms = time.Millisecond

// record runs checks for span, from a start that is time 0.
func record(t *testing.T, span time.Duration, checks ...probe.Check) map[string][]probe.Result {
	t.Helper()
	var mu sync.Mutex
	out := map[string][]probe.Result{}
	ctx, cancel := context.WithTimeout(t.Context(), span)
	defer cancel()
	probe.Run(ctx, checks, func(r probe.Result) {
		mu.Lock()
		defer mu.Unlock()
		if checks[r.Index].Name != r.Name {
			t.Errorf("result of %s has the index of %s", r.Name, checks[r.Index].Name)
		}
		out[r.Name] = append(out[r.Name], r)
	})
	return out
}

// starts are the starts of results, counted from begin.
func starts(begin time.Time, rs []probe.Result) (out []time.Duration) {
	for _, r := range rs {
		out = append(out, r.Start.Sub(begin))
	}
	return out
}

func TestSlowProbesDelayNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		late := check("late", 100*ms, 50*ms, takes(0))
		late.Spread = 30 * ms
		got := record(t, 960*ms,
			check("quick", 100*ms, 50*ms, takes(1*ms)),
			check("timeout", 100*ms, 50*ms, takes(time.Hour)),
			check("slow", 100*ms, 500*ms, takes(250*ms)),
			check("deaf", 100*ms, 50*ms, deaf(2*time.Second)),
			late,
		)
		each := func(from, step time.Duration) (out []time.Duration) {
			for at := from; at < 960*ms; at += step {
				out = append(out, at)
			}
			return out
		}
		for _, tt := range []struct {
			name   string
			starts []time.Duration
			took   time.Duration
			err    string
		}{
			{"quick", each(0, 100*ms), 1 * ms, ""},
			{"timeout", each(0, 100*ms), 50 * ms, "no answer in 50ms"},
			{"slow", []time.Duration{0, 300 * ms, 600 * ms}, 250 * ms, ""}, // skips the turns it missed, keeps the rhythm
			{"deaf", nil, 0, ""},
			{"late", each(30*ms, 100*ms), 0, ""},
		} {
			if s := starts(begin, got[tt.name]); !slices.Equal(s, tt.starts) {
				t.Errorf("%s started at %v, want %v", tt.name, s, tt.starts)
			}
			for _, r := range got[tt.name] {
				text := ""
				if r.Err != nil {
					text = r.Err.Error()
				}
				if r.Took != tt.took || text != tt.err || r.Timeout != (tt.err != "") || errors.Is(r.Err, probe.ErrTimeout) != r.Timeout {
					t.Errorf("%s: %+v, want %v and %q", tt.name, r, tt.took, tt.err)
				}
			}
		}
		if since := time.Since(begin); since != 2*time.Second {
			t.Errorf("Run returned after %v, want it to wait for its last probe", since)
		}
	})
}

func TestLateSuccessIsATimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		got := record(t, 500*ms, check("deaf", 400*ms, 50*ms, deaf(60*ms)))["deaf"]
		if len(got) != 2 || !got[0].Timeout || got[0].Took != 60*ms || got[0].Err.Error() != "no answer in 50ms" {
			t.Errorf("got %+v, want two timeouts", got)
		}
	})
}

func TestTheEndOfRunIsNoResult(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		if got := record(t, 20*ms, check("cut", 100*ms, 50*ms, takes(30*ms))); len(got) != 0 {
			t.Errorf("a probe that was cut short has the result %+v", got)
		}
	})
}

func TestPanicIsAFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		got := record(t, 150*ms, check("bad", 100*ms, 50*ms, fake(func(context.Context) error { panic("index out of range") })))["bad"]
		if len(got) != 2 || got[1].Err == nil || !strings.Contains(got[1].Err.Error(), "index out of range") || got[1].Timeout {
			t.Errorf("got %+v, want two failures that say why", got)
		}
	})
}

func TestMeasurerHasItsValueInTheResult(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		got := record(t, 50*ms, check("meter", 100*ms, 50*ms, meter(42)))["meter"]
		if len(got) != 1 || got[0].Value != 42 || got[0].Err != nil {
			t.Fatalf("got %+v, want 42", got)
		}
		want := health.Input{Kind: health.InResult, OK: true, Value: 42}
		if in := got[0].Input(); in != want {
			t.Errorf("input %+v, want %+v", in, want)
		}
	})
}

func TestResultAsInput(t *testing.T) {
	r := probe.Result{Err: errors.New("refused"), Timeout: true, Took: ms}
	want := health.Input{Kind: health.InResult, Timeout: true, Why: "refused", Took: ms}
	if in := r.Input(); in != want {
		t.Errorf("input %+v, want %+v", in, want)
	}
}

// A check whose emit blocks rests; the others go on.
func TestBlockedEmitStopsItsOwnCheckOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		var mu sync.Mutex
		seen := map[string]int{}
		doneC := make(chan struct{})
		go func() {
			defer close(doneC)
			probe.Run(ctx, []probe.Check{check("stuck", 10*ms, 5*ms, takes(0)), check("free", 10*ms, 5*ms, takes(0))}, func(r probe.Result) {
				mu.Lock()
				seen[r.Name]++
				mu.Unlock()
				if r.Name == "stuck" {
					<-ctx.Done()
				}
			})
		}()
		time.Sleep(95 * ms)
		cancel()
		<-doneC
		if seen["stuck"] != 1 || seen["free"] != 10 {
			t.Errorf("%v, want 1 of the stuck one and 10 of the free one", seen)
		}
	})
}

func TestAThousandChecks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var checks []probe.Check
		for i := range 1000 {
			c := check("c", time.Second, time.Second, takes(time.Duration(i)*ms))
			c.Spread = time.Duration(i) * ms
			checks = append(checks, c)
		}
		if got := record(t, 9999*ms, checks...)["c"]; len(got) < 9000 || len(got) > 10000 {
			t.Errorf("%d results in 10 s, want nearly 10000", len(got))
		}
	})
}

// TestRetry: a failure is looked at soon again until the check is down, and not after.
func TestRetry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		n := 0
		c := check("c", 1000*ms, 100*ms, fake(func(context.Context) error {
			if n++; n == 1 || n == 7 {
				return nil
			}
			return errors.New("no")
		}))
		c.Retry, c.Fall = 200*ms, 3
		got := starts(begin, record(t, 6500*ms, c)["c"])
		want := []time.Duration{0, 1000 * ms, 1200 * ms, 1400 * ms, 2400 * ms, 3400 * ms, 4400 * ms, 5400 * ms, 5600 * ms, 5800 * ms}
		if !slices.Equal(want, got) {
			t.Errorf("want starts %v, got %v", want, got)
		}
	})
}
