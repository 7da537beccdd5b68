package session

import "time"

// What a sender holds back: the end of its queue, from the position open on. It is
// let go as a whole, by the knobs' trigger, for a full transfer and while an audit mends,
// or on the word of the owner of the sender, [Sender.Release].
// The queue keeps its order, so a flow never goes before one that it depends on.

// Holds tells whether changes are held back at all.
func (k *Knobs) Holds() bool { return k.Every > 0 || k.Batch > 0 }

// Bound is how long a change is held back at most. No longer than it is from one audit
// to the next, whatever the trigger: while changes wait there is none.
func (k *Knobs) Bound() time.Duration {
	switch {
	case !k.Holds():
		return 0
	case k.Every > 0:
		return min(k.Every, AuditEvery)
	}
	return AuditEvery
}

// SetKnobs changes how changes are told. What is held back goes by the old ones.
func (s *Sender) SetKnobs(k Knobs) {
	if s.knobs != k {
		s.knobs = k
		s.Release()
	}
}

// Release lets go of all that is held back now.
func (s *Sender) Release() { s.open = s.queue().tail }

// Held is the number of changes that are held back.
func (s *Sender) Held() int {
	q := s.queue()
	if s.flowing() {
		return 0
	}
	return int(q.tail - max(q.head, s.open))
}

func (s *Sender) queue() *fifo { return &s.table.sinks[s.sink] }

// flowing tells whether changes are let go without looking at the clock.
func (s *Sender) flowing() bool {
	return !s.knobs.Holds() || s.walking|s.wanted&s.groups.whole() != 0 || !s.mending.idle() ||
		s.knobs.Batch > 0 && s.queue().len() >= s.knobs.Batch
}

// sendable tells whether there are changes to send whatever the time is.
func (s *Sender) sendable() bool {
	q := s.queue()
	return q.head < s.open && q.len() > 0 || q.len() > 0 && s.flowing()
}

// unplanned tells whether changes are held back that came after Deadline was asked:
// it must be asked again.
func (s *Sender) unplanned() bool { return !s.planned && s.queue().len() > 0 }

// trip lets go of what is due.
func (s *Sender) trip(now time.Time) {
	q := s.queue()
	d, some := q.peek()
	switch {
	case !some || q.head < s.open && !s.flowing():
	case s.flowing(), s.table.since(now, d.at) >= s.knobs.Bound():
		s.open = q.tail
	}
}

// heldUntil is when the oldest change that is held back goes, if there is one and
// nothing else is in its way.
func (s *Sender) heldUntil(now time.Time) (time.Time, bool) {
	q := s.queue()
	d, some := q.peek()
	if !some || !s.peerKnown || q.head < s.open || s.flowing() {
		return time.Time{}, false
	}
	return now.Add(s.knobs.Bound() - s.table.since(now, d.at)), true
}
