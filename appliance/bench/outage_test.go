package bench

import (
	"context"
	"os"
	"testing"
	"time"
)

// besideT is what a test gives a comparison: two runs of each, in a hurry.
func besideT(t *testing.T) Beside {
	t.Helper()
	b := built(t)
	if err := (keepalived{}).Available(); err != nil {
		if os.Getenv("CI") == "true" || os.Getenv("UNDERSTUDY_REQUIRE_NETNS") == "1" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	return Beside{Binary: b, Runs: 2, Progress: t.Output(), calm: 100 * time.Millisecond}
}

// patient is time for a comparison on a machine that does other work.
func patient(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// The comparison runs through: both programs as often, crashes where they were
// asked for, and outages that the protocol explains. No time is judged.
func TestRunOutage(t *testing.T) {
	r, err := RunOutage(patient(t), OutageOptions{Beside: besideT(t), Intervals: []time.Duration{100 * time.Millisecond},
		MACs: []bool{false, true}, tolerance: 40 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Rows) != 4 {
		t.Fatalf("%d rows", len(r.Rows))
	}
	for i, want := range []struct{ software, mac string }{{"understudy", "interface"}, {"keepalived", "interface"}, {"understudy", "virtual"}, {"keepalived", "virtual"}} {
		row := r.Rows[i]
		if row.Software != want.software || row.MAC != want.mac || row.BoundMS != 360.938 || row.OutageMS.N != 2 || row.NoiseMS.N != 2 {
			t.Errorf("row %d: got %+v", i, row)
		}
		for _, c := range row.Crashes {
			// keepalived's standby forwards what is flooded to its virtual MAC, so
			// that nothing need be missing.
			silent := c.OutageMS > 100 && c.Lost > 10 || want.software == "keepalived" && want.mac == "virtual"
			if c.PhaseMS < 1 || !silent {
				t.Errorf("row %d: got %+v", i, c)
			}
		}
	}
}

// A round is complete when both sides have had an advert; the later one counts,
// and one that resigns is none.
func TestTapTakesTheLaterSide(t *testing.T) {
	tp := &tap{from: "gw1", newsC: make(chan struct{}, 1)}
	hear := func(side int, after time.Duration, from string, priority byte) {
		tp.hear(side, at(after, from, advert(priority)))
	}
	hear(0, 5*time.Millisecond, "gw1", 200)
	hear(1, 3*time.Millisecond, "gw1", 200)
	hear(1, 9*time.Millisecond, "gw2", 100)
	hear(0, 10*time.Millisecond, "gw1", 0)
	if latest, other := tp.latest(); latest != noon.Add(5*time.Millisecond) || other != noon.Add(3*time.Millisecond) {
		t.Errorf("latest %v, other %v", latest.Sub(noon), other.Sub(noon))
	}
	if len(tp.newsC) != 1 {
		t.Error("no news")
	}
}
