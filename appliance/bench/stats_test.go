package bench

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestSummarize(t *testing.T) {
	for _, tc := range []struct {
		name string
		in   []float64
		want Summary
	}{
		{"nothing", nil, Summary{}},
		{"one", []float64{3}, Summary{1, 3, 3, 3}},
		{"odd, out of order", []float64{9, 1, 5}, Summary{3, 1, 5, 9}},
		{"even: the mean of the middle two", []float64{4, 1, 2, 100}, Summary{4, 1, 3, 100}},
		{"an outlier does not move the median", []float64{2, 2, 2, 2, 1e6}, Summary{5, 2, 2, 1e6}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			in := append([]float64(nil), tc.in...)
			if d := cmp.Diff(tc.want, summarize(tc.in)); d != "" {
				t.Error(d)
			}
			if d := cmp.Diff(in, tc.in); d != "" {
				t.Errorf("the measurements were put in order: %s", d)
			}
		})
	}
}

func TestRatio(t *testing.T) {
	if got := ratio(3, 2); got != 1.5 {
		t.Errorf("want 1.5, got %v", got)
	}
	if got := ratio(3, 0); got != 0 {
		t.Errorf("want 0 without anything to compare with, got %v", got)
	}
	if got := ms(1234567 * time.Nanosecond); got != 1.235 {
		t.Errorf("want 1.235 ms, got %v", got)
	}
}

// The verdict is about the median, and allows for 5 ms.
func TestCrashRowSum(t *testing.T) {
	for _, tc := range []struct {
		name    string
		outages []float64
		within  bool
	}{
		{"below the bound", []float64{10, 36, 36}, true},
		{"median 5 ms above", []float64{10, 41.1, 500}, true},
		{"median more than 5 ms above", []float64{10, 41.2, 42}, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := CrashRow{BoundMS: 36.1}
			for i, o := range tc.outages {
				r.Crashes = append(r.Crashes, Crash{OutMS: o - 1, InMS: o, NoiseMS: 2, Lost: i})
			}
			r.sum()
			if r.Within != tc.within || r.Outage.Median != tc.outages[1] || r.Noise.Max != 2 || r.Lost != 2 {
				t.Errorf("got %+v", r)
			}
		})
	}
}

func TestTakeoverRowSum(t *testing.T) {
	r := TakeoverRow{Takeovers: []Takeover{{MS: 3, SessionsMS: .1}, {MS: 1, Installed: 7}, {MS: 2}}}
	r.sum()
	if r.Installed != 7 || r.TookMS.Median != 2 || r.PlaneMS.Max != .1 {
		t.Errorf("got %+v", r)
	}
}

func TestSumSizes(t *testing.T) {
	s := sumSizes([]Size{
		{Sessions: 10, Active: Node{Memory: 1, Idle: 5}, Standby: Node{Memory: 7}, Rate: 3},
		{Sessions: 10, Active: Node{Memory: 3, Idle: 6}, Standby: Node{Memory: 9}, Rate: 5},
	})
	if s.Sessions != 10 || s.Active.Memory.Median != 2 || s.Standby.Memory.Median != 8 || s.Active.Idle.Max != 6 || s.Rate.Min != 3 {
		t.Errorf("got %+v", s)
	}
}
