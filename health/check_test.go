package health_test

import (
	"strings"
	"testing"
	"time"

	"understudy/health"
)

var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// config of the tables: silence is 2*100 ms + 40 ms.
var config = health.CheckConfig{Name: "c", Every: 100 * time.Millisecond, Timeout: 40 * time.Millisecond, Rise: 2, Fall: 3}

const silence = 240 * time.Millisecond

var (
	success = health.Input{Kind: health.InResult, OK: true}
	failure = health.Input{Kind: health.InResult, Why: "refused"}
	tick    = health.Input{Kind: health.InTick}
)

// TestCheckCounts: + is a success, - a failure; below each result the state
// after it: ? unknown, U up, D down.
func TestCheckCounts(t *testing.T) {
	for _, tt := range []struct {
		name            string
		rise, fall      int
		results, states string
	}{
		{"the first success is enough", 2, 3, "+", "U"},
		{"a success after failures at the start too", 2, 3, "--+", "??U"},
		{"unknown goes down after fall failures", 2, 3, "---", "??D"},
		{"up goes down after fall failures in a row", 2, 3, "+---", "UUUD"},
		{"a success between starts the count anew", 2, 3, "+--+---", "UUUUUUD"},
		{"down comes up after rise successes in a row", 2, 3, "---++", "??DDU"},
		{"a failure between starts the count anew", 2, 3, "---+-++", "??DDDDU"},
		{"one and one follow each result", 1, 1, "+-+--+", "UDUDDU"},
		{"zero means the defaults", 0, 0, "+---++", "UUUDDU"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cfg := config
			cfg.Rise, cfg.Fall = tt.rise, tt.fall
			c := health.NewCheck(cfg, epoch, 0)
			var got strings.Builder
			for i, r := range tt.results {
				in := success
				if r == '-' {
					in = failure
				}
				before := c.State()
				out := c.Step(epoch.Add(time.Duration(i)*cfg.Every), in)
				if out.From != before || out.To != c.State() || out.Changed != (before != c.State()) {
					t.Errorf("result %d: output %+v, state %v -> %v", i, out, before, c.State())
				}
				if out.Changed && out.To == health.Down && out.Why != "refused" {
					t.Errorf("result %d: why %q, want the failure's", i, out.Why)
				}
				got.WriteString(map[health.State]string{health.Unknown: "?", health.Up: "U", health.Down: "D"}[c.State()])
			}
			if tt.states != got.String() {
				t.Errorf("after %s: want %s, got %s", tt.results, tt.states, got.String())
			}
		})
	}
}

func TestSilenceIsAFailure(t *testing.T) {
	c := health.NewCheck(config, epoch, 50*time.Millisecond)
	want := epoch.Add(50*time.Millisecond + silence)
	if !c.Deadline().Equal(want) {
		t.Fatalf("first deadline %v, want %v: the spread counts", c.Deadline(), want)
	}
	if out := c.Step(want.Add(-1), tick); out.Changed || c.Facts(want).Results != 0 {
		t.Errorf("an early tick counted: %+v", out)
	}
	c.Step(want, success)
	now := want
	for i := range config.Fall {
		wait := silence
		if i > 0 {
			wait = config.Every
		}
		if now = now.Add(wait); !c.Deadline().Equal(now) {
			t.Fatalf("deadline %d is %v, want %v", i, c.Deadline(), now)
		}
		if c.State() != health.Up {
			t.Fatalf("%v after %d silences", c.State(), i)
		}
		c.Step(now, tick)
	}
	f := c.Facts(now)
	if c.State() != health.Down || f.Silences != 3 || f.Timeouts != 3 || f.Failures != 3 || f.Why != "no result" {
		t.Errorf("state %v, facts %+v; want down by three silences", c.State(), f)
	}
	c.Step(now, success)
	if want := now.Add(silence); !c.Deadline().Equal(want) {
		t.Errorf("deadline %v after a result, want %v", c.Deadline(), want)
	}
}

// A stopped process has missed the results and the tick alike.
func TestLateTickIsExcusedOnce(t *testing.T) {
	cfg := config
	cfg.Fall = 1
	c := health.NewCheck(cfg, epoch, 0)
	c.Step(epoch, success)
	now := epoch.Add(time.Minute)
	if out := c.Step(now, tick); out.Changed {
		t.Fatalf("stopped for a minute, and the check is %v", out.To)
	}
	if want := now.Add(silence); !c.Deadline().Equal(want) {
		t.Fatalf("deadline %v, want %v", c.Deadline(), want)
	}
	if out := c.Step(now.Add(time.Minute), tick); out.To != health.Down {
		t.Errorf("late twice without a result between: %v, want down", out.To)
	}
	c.Step(now.Add(2*time.Minute), success)
	c.Step(now.Add(2*time.Minute), success)
	if out := c.Step(now.Add(3*time.Minute), tick); out.To != health.Up {
		t.Errorf("a result earns a new excuse, got %v", out.To)
	}
}

func TestUnknownIsBounded(t *testing.T) {
	spread := 30 * time.Millisecond
	c := health.NewCheck(config, epoch, spread)
	for c.State() == health.Unknown {
		c.Step(c.Deadline(), tick)
	}
	if got, bound := c.Facts(epoch).Since.Sub(epoch), config.Bound(spread); got != bound {
		t.Errorf("unknown for %v, want exactly the bound %v", got, bound)
	}
}

func TestValueChangesAtOnceWhileUp(t *testing.T) {
	c := health.NewCheck(config, epoch, 0)
	measured := func(v int) health.Input {
		return health.Input{Kind: health.InResult, OK: true, Value: v}
	}
	for i, tt := range []struct {
		name    string
		in      health.Input
		changed bool
		value   int
	}{
		{"first", measured(7), true, 7},
		{"same again", measured(7), false, 7},
		{"another", measured(-3), true, -3},
		{"a failure keeps it", failure, false, -3},
		{"a failure keeps it", failure, false, -3},
		{"down", failure, true, -3},
		{"not yet up: not yet counted", measured(9), false, -3},
		{"up with the new one", measured(9), true, 9},
	} {
		out := c.Step(epoch.Add(time.Duration(i)*config.Every), tt.in)
		if out.Changed != tt.changed || out.Value != tt.value {
			t.Errorf("%s: changed %v value %d, want %v %d", tt.name, out.Changed, out.Value, tt.changed, tt.value)
		}
	}
}

func TestReconfigureKeepsWhatIsKnown(t *testing.T) {
	c := health.NewCheck(config, epoch, 0)
	c.Step(epoch, success)
	c.Step(epoch, failure)
	cfg := config
	cfg.Fall, cfg.Timeout = 2, time.Second
	c.Reconfigure(epoch, cfg, time.Second)
	if want := epoch.Add(time.Second + 1200*time.Millisecond); c.State() != health.Up || !c.Deadline().Equal(want) {
		t.Errorf("%v until %v, want up until %v", c.State(), c.Deadline(), want)
	}
	if out := c.Step(epoch, failure); out.To != health.Down {
		t.Errorf("second failure under fall = 2: %v", out.To)
	}
}

func TestFlapping(t *testing.T) {
	cfg := config
	cfg.Rise, cfg.Fall = 1, 1
	swing := func(c *health.Check, every time.Duration, turns int) (now time.Time) {
		now = epoch
		for i := range turns + 1 {
			now = now.Add(every)
			in := success
			if i%2 == 1 {
				in = failure
			}
			c.Step(now, in)
		}
		return now
	}
	c := health.NewCheck(cfg, epoch, 0)
	now := swing(c, cfg.Every, 6)
	if f := c.Facts(now); !f.Flapping || f.Changes != 6 {
		t.Errorf("6 changes in 6 probes: %+v, want flapping", f)
	}
	if c.Facts(now.Add(2 * time.Second)).Flapping {
		t.Error("still flapping after 20 quiet probes")
	}
	c = health.NewCheck(cfg, epoch, 0)
	if now = swing(c, cfg.Every, 5); c.Facts(now).Flapping {
		t.Error("flapping after 5 changes")
	}
	c = health.NewCheck(cfg, epoch, 0)
	if now = swing(c, 5*cfg.Every, 20); c.Facts(now).Flapping {
		t.Error("flapping with a change each 5 probes")
	}
}

func TestSpread(t *testing.T) {
	const n, width = 1000, time.Second
	var tenth [10]int
	for i := range n {
		name := "check" + strings.Repeat("x", i%3) + string(rune('a'+i%26)) + time.Duration(i).String()
		d := health.Spread("gw1", name, width)
		if d < 0 || d >= width || d != health.Spread("gw1", name, width) {
			t.Fatalf("%s: %v, want it in [0, %v) and always the same", name, d, width)
		}
		tenth[d*10/width]++
	}
	for i, k := range tenth {
		if k < n/20 || k > n/5 {
			t.Errorf("%d of %d start in tenth %d of the time", k, n, i)
		}
	}
	if health.Spread("gw1", "uplink", width) == health.Spread("gw2", "uplink", width) {
		t.Error("both nodes probe at the same time")
	}
	if d := health.Spread("gw1", "uplink", 0); d != 0 {
		t.Errorf("no width: %v", d)
	}
}

func TestStateTextIsTheStatusWord(t *testing.T) {
	for s, want := range map[health.State]string{health.Unknown: "unknown", health.Up: "up", health.Down: "down", 9: "invalid"} {
		if b, err := s.MarshalText(); err != nil || string(b) != want || s.String() != want {
			t.Errorf("%d: %q, %v; want %q", s, b, err, want)
		}
	}
}
