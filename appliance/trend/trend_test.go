package trend_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"understudy/appliance/trend"
)

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func at(s int) time.Time { return start.Add(time.Duration(s) * time.Second) }

// TestAMinuteIsAsBadAsTheWorstOfIt: one bad moment among thirty is seen a day later.
func TestAMinuteIsAsBadAsTheWorstOfIt(t *testing.T) {
	var r trend.Trend
	for i := 0; i <= 60; i += 2 {
		s := trend.Sample{At: at(i), Own: 10, Lag: time.Millisecond, Linked: true, InSync: true, Changes: uint64(i)}
		if i == 30 {
			s = trend.Sample{At: at(i), Own: 99, Dirty: 7, Lag: time.Second, Active: true, Changes: uint64(i)}
		}
		r.Add(s)
	}
	got := r.Coarse(nil, time.Time{})
	want := trend.Sample{At: at(58), Own: 99, Dirty: 7, Lag: time.Second, Active: true, Changes: 58}
	if len(got) != 1 || got[0] != want {
		t.Errorf("want %+v\n got %+v", want, got)
	}
	if n := len(r.Fine(nil, time.Time{})); n != 31 {
		t.Errorf("%d fine samples", n)
	}
}

// TestBoundedAndInOrder: however long it goes on, and whatever the clock does.
func TestBoundedAndInOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var r trend.Trend
		now, newest, took := start, time.Time{}, 0
		for i := range rapid.IntRange(0, 3000).Draw(t, "samples") {
			now = now.Add(rapid.SampledFrom([]time.Duration{2 * time.Second, 2 * time.Second, 90 * time.Second, -time.Hour, 0}).Draw(t, "step"))
			r.Add(trend.Sample{At: now, Own: i})
			if now.After(newest) {
				newest, took = now, took+1
			}
		}
		fine, coarse := r.Fine(nil, time.Time{}), r.Coarse(nil, time.Time{})
		if len(fine) != min(took, trend.FineKept) || len(coarse) > trend.CoarseKept {
			t.Fatalf("%d taken; %d fine, %d coarse", took, len(fine), len(coarse))
		}
		for _, list := range [][]trend.Sample{fine, coarse} {
			for i := 1; i < len(list); i++ {
				if !list[i].At.After(list[i-1].At) {
					t.Fatalf("%v behind %v", list[i].At, list[i-1].At)
				}
			}
		}
		if took > 0 && !fine[len(fine)-1].At.Equal(newest) {
			t.Fatalf("the newest is %v, not %v", fine[len(fine)-1].At, newest)
		}
	})
}

func TestSince(t *testing.T) {
	var r trend.Trend
	for i := range 2 * trend.FineKept {
		r.Add(trend.Sample{At: at(2 * i), Own: i})
	}
	got := r.Fine(nil, at(2*(2*trend.FineKept-3)))
	if len(got) != 2 || got[0].Own != 2*trend.FineKept-2 || got[1].Own != 2*trend.FineKept-1 {
		t.Errorf("%+v", got)
	}
}

// TestADay: a day is a day, and what is older is gone.
func TestADay(t *testing.T) {
	var r trend.Trend
	for i := range 3 * trend.CoarseKept {
		r.Add(trend.Sample{At: start.Add(time.Duration(i) * trend.Coarse), Own: i})
	}
	got := r.Coarse(nil, time.Time{})
	if len(got) != trend.CoarseKept || got[len(got)-1].Own != 3*trend.CoarseKept-2 || got[0].Own != 2*trend.CoarseKept-1 {
		t.Errorf("%d, from %d to %d", len(got), got[0].Own, got[len(got)-1].Own)
	}
}
