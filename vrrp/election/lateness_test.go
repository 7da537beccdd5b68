package election

import (
	"testing"
	"time"
)

func TestLateness(t *testing.T) {
	var h Lateness
	at := time.Unix(1000, 0)
	interval := func() time.Duration { return 100 * time.Millisecond }
	for _, late := range []time.Duration{0, 100 * time.Microsecond, 101 * time.Microsecond, 5 * time.Millisecond, 100 * time.Millisecond, -1} {
		h.note(at, late, interval)
	}
	want := Lateness{Sum: 105201 * time.Microsecond, Max: 100 * time.Millisecond}
	want.Counts[0], want.Counts[1], want.Counts[4], want.Counts[6] = 2, 1, 1, 1
	if h != want {
		t.Errorf("want %+v, got %+v", want, h)
	}
	if h.Alarming(at) {
		t.Error("an alarm, though no timer was later than an interval")
	}

	// Later than an interval: an alarm for a minute, one series as long as it lasts.
	h.note(at, 2*time.Second, interval)
	h.note(at.Add(50*time.Second), 101*time.Millisecond, interval)
	if h.Since != at || h.Last != at.Add(50*time.Second) || h.Worst != 2*time.Second || h.Interval != interval() || h.Counts[9] != 1 {
		t.Errorf("%+v", h)
	}
	for after, on := range map[time.Duration]bool{0: true, 109 * time.Second: true, 110 * time.Second: false} {
		if h.Alarming(at.Add(after)) != on {
			t.Errorf("%v later: alarm is %v", after, !on)
		}
	}
	h.note(at.Add(2*time.Minute), 150*time.Millisecond, interval)
	if h.Since != at.Add(2*time.Minute) || h.Worst != 150*time.Millisecond {
		t.Errorf("a new series: %+v", h)
	}
}
