package health_test

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"understudy/health"
)

const (
	u = health.Unknown
	p = health.Up
	d = health.Down
)

func TestCombine(t *testing.T) {
	for _, tt := range []struct {
		name   string
		need   int
		states []health.State
		want   health.State
	}{
		{"all up", 3, []health.State{p, p, p}, p},
		{"all but one", 3, []health.State{p, d, p}, d},
		{"all, one unknown", 3, []health.State{p, u, p}, u},
		{"all, one unknown, one down", 3, []health.State{p, u, d}, d},
		{"any", 1, []health.State{d, p, u}, p},
		{"any, one unknown", 1, []health.State{d, u, d}, u},
		{"none", 1, []health.State{d, d, d}, d},
		{"a quorum", 2, []health.State{d, p, p}, p},
		{"a quorum that is open", 2, []health.State{d, p, u}, u},
		{"a quorum that is lost", 2, []health.State{d, u, d}, d},
	} {
		if got := health.Combine(tt.need, tt.states...); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}

// What is known of one more thing, or better, never makes it worse.
func TestCombineIsMonotone(t *testing.T) {
	rank := map[health.State]int{d: 0, u: 1, p: 2}
	rapid.Check(t, func(t *rapid.T) {
		states := rapid.SliceOfN(rapid.SampledFrom([]health.State{u, p, d}), 1, 6).Draw(t, "states")
		need := rapid.IntRange(1, len(states)).Draw(t, "need")
		i := rapid.IntRange(0, len(states)-1).Draw(t, "which")
		better := slices.Clone(states)
		better[i] = rapid.SampledFrom([]health.State{u, p, d}).Draw(t, "to")
		if rank[better[i]] < rank[states[i]] {
			states, better = better, states
		}
		if a, b := health.Combine(need, states...), health.Combine(need, better...); rank[b] < rank[a] {
			t.Fatalf("%d of %v: %v, of %v: %v", need, states, a, better, b)
		}
	})
}

func TestOrder(t *testing.T) {
	for _, tt := range []struct {
		name  string
		of    [][]int
		cycle []int
	}{
		{"nothing", nil, nil},
		{"a tree", [][]int{{1, 2}, nil, {3}, nil}, nil},
		{"a diamond", [][]int{{1, 2}, {3}, {3}, nil}, nil},
		{"itself", [][]int{nil, {1}}, []int{1}},
		{"each other", [][]int{{1}, {0}}, []int{0, 1}},
		{"a ring behind a way in", [][]int{{3}, {2}, {3}, {1}}, []int{1, 2, 3}},
	} {
		order, cycle := health.Order(tt.of)
		if !slices.Equal(cycle, tt.cycle) {
			t.Errorf("%s: cycle %v, want %v", tt.name, cycle, tt.cycle)
		}
		if tt.cycle != nil {
			continue
		}
		if len(order) != len(tt.of) {
			t.Errorf("%s: order %v", tt.name, order)
		}
		for i, of := range tt.of {
			for _, k := range of {
				if slices.Index(order, k) > slices.Index(order, i) {
					t.Errorf("%s: %d comes after %d in %v", tt.name, k, i, order)
				}
			}
		}
	}
}

// What is told by something else needs no result, and one is enough.
func TestDerivedIsNeverSilent(t *testing.T) {
	c := health.NewCheck(health.CheckConfig{Name: "c", Every: time.Second, Derived: true}, epoch, 0)
	if !c.Deadline().IsZero() {
		t.Errorf("deadline %v", c.Deadline())
	}
	c.Step(epoch, success)
	if out := c.Step(epoch, failure); out.To != health.Down {
		t.Errorf("%+v", out)
	}
	if out := c.Step(epoch, success); out.To != health.Up {
		t.Errorf("%+v", out)
	}
	if out := c.Step(epoch.Add(time.Hour), tick); out.Changed || !c.Deadline().IsZero() {
		t.Errorf("%+v, deadline %v", out, c.Deadline())
	}
}

// What is pushed is missed as soon as it is late.
func TestPushedIsMissedSooner(t *testing.T) {
	cfg := health.CheckConfig{Name: "c", Every: time.Second, Timeout: 300 * time.Millisecond, Fall: 2, Pushed: true}
	c := health.NewCheck(cfg, epoch, 0)
	c.Step(epoch, success)
	if want := epoch.Add(1300 * time.Millisecond); !c.Deadline().Equal(want) {
		t.Fatalf("deadline %v, want %v", c.Deadline(), want)
	}
	c.Step(c.Deadline(), tick)
	if want := epoch.Add(2300 * time.Millisecond); !c.Deadline().Equal(want) || c.State() != health.Up {
		t.Fatalf("%v until %v, want up until %v", c.State(), c.Deadline(), want)
	}
	if out := c.Step(c.Deadline(), tick); out.To != health.Down || out.Why != "no result" {
		t.Errorf("%+v", out)
	}
}

// One that says so itself is down at once, whatever fall says.
func TestACertainFailureIsOne(t *testing.T) {
	c := health.NewCheck(config, epoch, 0)
	c.Step(epoch, success)
	if out := c.Step(epoch, health.Input{Kind: health.InResult, Certain: true, Why: "it stops"}); out.To != health.Down || out.Why != "it stops" {
		t.Errorf("%+v", out)
	}
}
