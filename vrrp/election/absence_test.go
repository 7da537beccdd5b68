package election

import (
	"testing"
	"time"
)

// looks has the election fall silent at 0 and the daemon look at the given moments, all
// in ms, and returns the silence that counts at the last one.
func looks(at ...int) time.Duration {
	a, start, counts := absence{}, time.Unix(1000, 0), time.Duration(0)
	a.excuse(start.Add(-250*time.Millisecond), 5*time.Millisecond)
	a.excuse(start, 0)
	for _, ms := range at {
		d := time.Duration(ms) * time.Millisecond
		counts = a.excuse(start.Add(d), d)
	}
	return counts
}

// A machine that hung for a while and goes on: the daemon wakes first, and does not
// count the time in which it did not run itself.
func TestOwnSleepIsNoSilence(t *testing.T) {
	for _, c := range []struct {
		name string
		at   []int
		want time.Duration // ms
	}{
		{"usual looks: all of it", []int{250, 500, 750}, 750},
		{"the machine hung", []int{700}, 300},
		{"... for long", []int{60000}, 300},
		{"hung, and the election does not go on", []int{700, 950, 1200}, 800},
		{"a daemon that hardly runs finds it in the end", []int{500, 1000, 1500, 2000}, 1200},
	} {
		if got := looks(c.at...); got != c.want*time.Millisecond {
			t.Errorf("%s: %v counts, want %v ms", c.name, got, int64(c.want))
		}
	}
}

// What was excused is not when the election has lived in between.
func TestAbsenceIsOfOneSilence(t *testing.T) {
	a, now := absence{}, time.Unix(1000, 0)
	a.excuse(now, 0)
	now = now.Add(2 * time.Second) // both hung
	a.excuse(now, 2*time.Second)
	now = now.Add(250 * time.Millisecond)
	if got := a.excuse(now, 10*time.Millisecond); got != 10*time.Millisecond { // it lives
		t.Errorf("%v", got)
	}
	now = now.Add(250 * time.Millisecond)
	if got := a.excuse(now, 260*time.Millisecond); got != 260*time.Millisecond {
		t.Errorf("%v", got)
	}
}
