package probe

import (
	"fmt"
	"slices"
	"sync"
	"time"
)

// Gap is a silence: the longest time without an arrival in some stretch.
type Gap struct {
	From, To time.Time
	// Open: nothing had arrived again at To, the end of the stretch asked for.
	Open bool
}

// Duration is the length of the silence.
func (g Gap) Duration() time.Duration { return g.To.Sub(g.From) }

func (g Gap) String() string {
	if g.Open {
		return fmt.Sprintf("%v and no end", g.Duration().Round(time.Millisecond))
	}
	return g.Duration().Round(time.Microsecond * 100).String()
}

// arrivals keeps when something arrived, in order, as nanoseconds since base.
type arrivals struct {
	base time.Time
	mu   sync.Mutex
	at   []int64
}

func newArrivals(now time.Time) *arrivals { return &arrivals{base: now} }

func (a *arrivals) add(t time.Time) {
	ns := int64(t.Sub(a.base))
	a.mu.Lock()
	defer a.mu.Unlock()
	// Stamps of two sockets or after a step of the wall clock may be out of
	// order by a little; order is what gap relies on.
	if n := len(a.at); n > 0 && ns < a.at[n-1] {
		ns = a.at[n-1]
	}
	a.at = append(a.at, ns)
}

func (a *arrivals) count() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.at)
}

// gap returns the longest silence that overlaps from..to. A silence that began
// before from, or ended after to, counts with its whole length.
func (a *arrivals) gap(from, to time.Time) Gap {
	a.mu.Lock()
	defer a.mu.Unlock()
	lo, hi := int64(from.Sub(a.base)), int64(to.Sub(a.base))
	i, _ := slices.BinarySearch(a.at, lo)
	last := lo // before the first arrival ever there is no silence to speak of
	if i > 0 {
		last = a.at[i-1]
	}
	var g Gap
	set := func(from, to int64, open bool) {
		if to-from > int64(g.Duration()) {
			g = Gap{From: a.base.Add(time.Duration(from)), To: a.base.Add(time.Duration(to)), Open: open}
		}
	}
	for ; i < len(a.at); i++ {
		set(last, a.at[i], false)
		if last = a.at[i]; last >= hi {
			return g
		}
	}
	set(last, hi, true)
	return g
}

// within returns the longest silence between two arrivals in from..to, zero if
// there were fewer.
func (a *arrivals) within(from, to time.Time) time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	lo, _ := slices.BinarySearch(a.at, int64(from.Sub(a.base)))
	hi, _ := slices.BinarySearch(a.at, int64(to.Sub(a.base))+1)
	var longest int64
	for i := lo + 1; i < hi; i++ {
		longest = max(longest, a.at[i]-a.at[i-1])
	}
	return time.Duration(longest)
}

// counts are the arrivals in each of n steps from a moment on.
func (a *arrivals) counts(from time.Time, step time.Duration, n int) []int {
	a.mu.Lock()
	defer a.mu.Unlock()
	out := make([]int, n)
	lo := int64(from.Sub(a.base))
	i, _ := slices.BinarySearch(a.at, lo)
	for ; i < len(a.at); i++ {
		k := (a.at[i] - lo) / int64(step)
		if k >= int64(n) {
			break
		}
		out[k]++
	}
	return out
}

// since tells how many arrived after t.
func (a *arrivals) since(t time.Time) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	i, _ := slices.BinarySearch(a.at, int64(t.Sub(a.base))+1)
	return len(a.at) - i
}
