package session

import "time"

// Holder renews the kernel timeouts of a standby's sessions. It keeps no
// deadline per record: a cursor goes round the table once in each period, so
// each record is met once in it and the work is spread evenly. Between two
// visits of a record less than two periods pass however the table grows, so the
// kernel's timeout must be at least two periods: [Hold] and [HoldRenew].
type Holder struct {
	period time.Duration
	next   Slot
	last   time.Time
}

// holdTick is how often the cursor moves.
const holdTick = 100 * time.Millisecond

// NewHolder returns a Holder that goes round in period (0: [HoldRenew]).
func NewHolder(period time.Duration) *Holder {
	if period <= 0 {
		period = HoldRenew
	}
	return &Holder{period: period}
}

// Deadline is when Step is due.
func (h *Holder) Deadline() time.Time { return h.last.Add(holdTick) }

// Step moves the cursor as far as the time since the last step asks and makes
// the sessions of the groups that it passes dirty for the kernel. Sessions that
// the kernel lost are met and installed again on the way. It returns how many
// it renewed.
func (h *Holder) Step(now time.Time, t *Table, groups GroupSet) (renewed int) {
	if h.last.IsZero() {
		h.last = now
	}
	end := t.Slots()
	passed := min(now.Sub(h.last), h.period)
	// In floating point: slots times nanoseconds leaves 64 bits behind.
	n := Slot(float64(end) * float64(passed) / float64(h.period))
	if n == 0 {
		if end == 0 || passed == h.period {
			h.last = now
		}
		return 0
	}
	// What is left of a slot's time counts for the next step.
	if h.last = h.last.Add(time.Duration(float64(h.period) * float64(n) / float64(end))); now.Sub(h.last) > h.period {
		h.last = now
	}
	mark := func(s Slot) bool {
		if t.Offer(s, now) {
			renewed++
		}
		return true
	}
	if h.next >= end {
		h.next = 0
	}
	to := h.next + n
	t.Range(h.next, min(to, end), groups, mark)
	if to >= end {
		to -= end
		t.Range(0, min(to, h.next), groups, mark)
	}
	h.next = to
	return renewed
}
