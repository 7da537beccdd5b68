package health_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"understudy/health"
)

// flappy is a check of which each result counts, damped.
func flappy(d health.Damp) *health.Check {
	return health.NewCheck(health.CheckConfig{Name: "c", Every: 100 * time.Millisecond, Rise: 1, Fall: 1, Damp: d}, epoch, 0)
}

func TestDampHoldsWhatFlaps(t *testing.T) {
	c := flappy(health.Damp{HalfLife: 10 * time.Second})
	now := epoch
	step := func(in health.Input) health.Output {
		now = now.Add(100 * time.Millisecond)
		return c.Step(now, in)
	}
	step(success)
	for i := range 2 { // the penalty is just below 2000: nothing is held
		if out := step(failure); out.To != health.Down || !out.Changed {
			t.Fatalf("fall %d: %+v", i, out)
		}
		if out := step(success); out.To != health.Up || !out.Changed {
			t.Fatalf("return %d: %+v", i, out)
		}
	}
	if out := step(failure); out.To != health.Down || !out.Changed {
		t.Fatalf("going down is held back: %+v", out)
	}
	out := step(success)
	f := c.Facts(now)
	if out.Changed || out.To != health.Down || !f.Damped || f.State != health.Down || !c.Damped() {
		t.Fatalf("the third return: %+v, %+v", out, f)
	}
	// Just below 3000, it takes log2(3) half-lives to 1000.
	if d := f.Until.Sub(now); d < 15*time.Second || d > 16*time.Second {
		t.Errorf("held for %v", d)
	}
	for now.Add(100 * time.Millisecond).Before(f.Until) {
		if out := step(success); out.Changed {
			t.Fatalf("up again %v before its time", f.Until.Sub(now))
		}
	}
	if !c.Deadline().Equal(f.Until) {
		t.Errorf("deadline %v, want %v", c.Deadline(), f.Until)
	}
	now = f.Until
	if out := c.Step(now, tick); out.To != health.Up || !out.Changed || c.Facts(now).Damped {
		t.Errorf("when its time has come: %+v", out)
	}
	if f := c.Facts(now); !f.Since.Equal(now) || f.Changes != 6 {
		t.Errorf("facts %+v", f)
	}
}

// While a check is held each fall holds it longer, however little of the penalty is
// left.
func TestDampGoesOnWhileItFlaps(t *testing.T) {
	c := flappy(health.Damp{HalfLife: 10 * time.Second, Suppress: 1900, Reuse: 500})
	c.Step(epoch, success)
	for range 2 {
		c.Step(epoch, failure)
		c.Step(epoch, success)
	}
	// 2000 takes two half-lives to 500; after one and a half it is 707, and with
	// another fall 1707, which alone would hold nothing.
	now := epoch.Add(15 * time.Second)
	c.Step(now, failure)
	c.Step(now, success)
	if out := c.Step(epoch.Add(21*time.Second), success); out.To != health.Down {
		t.Errorf("let go of though it fell again: %+v", out)
	}
	if until := c.Facts(now).Until.Sub(now); until < 17*time.Second || until > 18*time.Second {
		t.Errorf("held for %v more", until)
	}
}

func TestDampThatIsTakenAwayLetsGo(t *testing.T) {
	c := flappy(health.Damp{HalfLife: time.Hour, Suppress: 1000, Reuse: 500})
	c.Step(epoch, success)
	c.Step(epoch, failure)
	if out := c.Step(epoch, success); out.To != health.Down {
		t.Fatalf("%+v", out)
	}
	c.Reconfigure(epoch, health.CheckConfig{Name: "c", Every: 100 * time.Millisecond, Rise: 1, Fall: 1}, 0)
	if out := c.Step(epoch, success); out.To != health.Up || !out.Changed {
		t.Errorf("%+v", out)
	}
}

// However it flaps: down at once; up only if it would be up; held no longer than
// Longest after it went down last; and a check that does not flap is not held.
func TestDampIsBounded(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := health.Damp{
			HalfLife: time.Duration(rapid.IntRange(1, 60).Draw(t, "half-life")) * time.Second,
			Reuse:    rapid.IntRange(1, 2000).Draw(t, "reuse"),
		}
		d.Suppress = d.Reuse + rapid.IntRange(1, 3000).Draw(t, "suppress")
		d.Longest = d.HalfLife * time.Duration(rapid.IntRange(1, 6).Draw(t, "longest"))
		damped, plain := flappy(d), flappy(health.Damp{})
		now, fell, falls := epoch, epoch, 0
		for range rapid.IntRange(1, 60).Draw(t, "events") {
			now = now.Add(time.Duration(rapid.IntRange(1, 20000).Draw(t, "pause")) * time.Millisecond)
			in := success
			if rapid.Bool().Draw(t, "failure") {
				in = failure
			}
			if out := plain.Step(now, in); out.Changed && out.To == health.Down {
				fell = now
				falls++
			}
			out := damped.Step(now, in)
			switch {
			case plain.State() == health.Down && out.To != health.Down:
				t.Fatal("not down at once")
			case plain.State() == health.Up && out.To == health.Down && now.Sub(fell) > d.Longest+time.Nanosecond:
				t.Fatalf("held for %v, longest is %v", now.Sub(fell), d.Longest)
			case plain.State() == health.Up && out.To == health.Down && falls*health.DampPenalty < d.Suppress:
				t.Fatalf("held after %d falls", falls)
			case damped.Damped() != (plain.State() == health.Up && out.To == health.Down):
				t.Fatal("Damped does not say so")
			}
			if damped.Damped() && damped.Deadline().After(fell.Add(d.Longest+time.Nanosecond)) && !damped.Deadline().Before(now) {
				t.Fatalf("deadline %v after the last fall", damped.Deadline().Sub(fell))
			}
		}
	})
}
