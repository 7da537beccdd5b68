package election

import "time"

// Lateness is how much after its deadline a timer of the election was handled.
type Lateness struct {
	Counts [len(LatenessBounds) + 1]uint64 // up to each of LatenessBounds, and beyond the last
	Sum    time.Duration
	Max    time.Duration

	// The last times that it was as bad as a lost advert: by more than the shortest
	// interval of our routers. Zero: never.
	Since, Last     time.Time     // the first of a series, and the last
	Worst, Interval time.Duration // of the series; what it is held against
}

// LatenessBounds are the upper bounds of the histogram.
var LatenessBounds = [...]time.Duration{100 * time.Microsecond, 300 * time.Microsecond, time.Millisecond, 3 * time.Millisecond,
	10 * time.Millisecond, 30 * time.Millisecond, 100 * time.Millisecond, 300 * time.Millisecond, time.Second}

// LateFor is how long a late timer is worth an alarm.
const LateFor = time.Minute

// note counts a timer. interval gives the shortest one, which is only asked where
// it may matter.
func (h *Lateness) note(now time.Time, late time.Duration, interval func() time.Duration) {
	if late < 0 {
		return // what was read before has moved the timer
	}
	i := 0
	for i < len(LatenessBounds) && late > LatenessBounds[i] {
		i++
	}
	h.Counts[i]++
	h.Sum += late
	h.Max = max(h.Max, late)
	const shortest = 10 * time.Millisecond // that there can be
	if late <= shortest {
		return
	}
	bound := interval()
	if late <= bound {
		return
	}
	if h.Last.IsZero() || now.Sub(h.Last) >= LateFor {
		h.Since, h.Worst = now, 0
	}
	h.Last, h.Worst, h.Interval = now, max(h.Worst, late), bound
}

// Alarming tells whether a timer was late within the last minute.
func (h *Lateness) Alarming(now time.Time) bool {
	return !h.Last.IsZero() && now.Sub(h.Last) < LateFor
}

// shortest is the shortest interval of our routers.
func (l *loop) shortest() (d time.Duration) {
	for i := range l.routes {
		if r := &l.routes[i]; d == 0 || r.interval < d {
			d = r.interval
		}
	}
	return d
}
