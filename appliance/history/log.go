package history

import (
	"cmp"
	"slices"
	"time"
)

// Sizes of the rings.
const (
	keptTransitions = 256
	keptOthers      = 768
)

// Log is the last events. The zero value is empty and ready.
type Log struct {
	transitions ring
	others      ring
	id, rev     uint64 // last used
}

// ring holds the last events that were put into it. It grows to its size once, and
// allocates nothing from then on.
type ring struct {
	slots []Event
	next  int // of a full one: where the oldest is
}

func (r *ring) put(e Event, size int) {
	if len(r.slots) < size {
		r.slots = append(r.slots, e)
		return
	}
	r.slots[r.next] = e
	r.next = (r.next + 1) % size
}

func (r *ring) find(id uint64) *Event {
	for i := range r.slots {
		if r.slots[i].ID == id {
			return &r.slots[i]
		}
	}
	return nil
}

// last is the youngest; nil: there is none.
func (r *ring) last() *Event {
	if len(r.slots) == 0 {
		return nil
	}
	return &r.slots[(r.next+len(r.slots)-1)%len(r.slots)]
}

func (l *Log) ring(k Kind) (*ring, int) {
	if k == Transition {
		return &l.transitions, keptTransitions
	}
	return &l.others, keptOthers
}

// Append adds an event, which gets a number, and returns it as it is kept.
func (l *Log) Append(e Event) Event {
	l.id++
	l.rev++
	e.ID, e.Rev = l.id, l.rev
	e = e.bounded()
	r, size := l.ring(e.Kind)
	r.put(e, size)
	return e
}

// change changes an event that is still kept; false: it is not.
func (l *Log) change(k Kind, id uint64, by func(*Event)) (Event, bool) {
	r, _ := l.ring(k)
	e := r.find(id)
	if e == nil {
		return Event{}, false
	}
	by(e)
	l.rev++
	e.Rev = l.rev
	*e = e.bounded()
	return *e, true
}

// Restore begins with what a log of before has said: versions of events, in any order, of
// which the youngest counts. What was open then has ended with it. To be called on an
// empty log.
func (l *Log) Restore(saved []Event) {
	latest := make(map[uint64]Event, len(saved))
	for _, e := range saved {
		if e.ID == 0 || e.Rev < latest[e.ID].Rev {
			continue
		}
		latest[e.ID] = e
	}
	all := make([]Event, 0, len(latest))
	for _, e := range latest {
		all = append(all, e)
	}
	slices.SortFunc(all, func(a, b Event) int { return cmp.Compare(a.ID, b.ID) })
	for _, e := range all {
		if e.Open {
			e.Open = false
			e.Evidence = append(e.Evidence, "the daemon ended before this was done")
		}
		r, size := l.ring(e.Kind)
		r.put(e.bounded(), size)
		l.id, l.rev = max(l.id, e.ID), max(l.rev, e.Rev)
	}
}

// Rev is of the last change.
func (l *Log) Rev() uint64 { return l.rev }

// Query selects events; what is zero selects all.
type Query struct {
	Since time.Time // not before
	Group string    // of this group, or of none in particular
	Kind  Kind
	After uint64 // changed after this Rev
	Last  int    // so many at most, the youngest
}

// Answer is what a question for events is answered with. Who asks for what comes After
// its Rev misses nothing.
type Answer struct {
	Rev    uint64  `json:"rev"`
	Events []Event `json:"events"` // the oldest first
}

// Events returns what is selected, the oldest first.
func (l *Log) Events(q Query) []Event {
	out := []Event{}
	for _, r := range []*ring{&l.transitions, &l.others} {
		for i := range r.slots {
			if e := &r.slots[i]; q.selects(e) {
				out = append(out, e.clone())
			}
		}
	}
	slices.SortFunc(out, func(a, b Event) int { return cmp.Compare(a.ID, b.ID) })
	if q.Last > 0 && len(out) > q.Last {
		out = out[len(out)-q.Last:]
	}
	return out
}

func (q Query) selects(e *Event) bool {
	return !e.At.Before(q.Since) && e.Rev > q.After &&
		(q.Group == "" || e.Group == "" || e.Group == q.Group) &&
		(q.Kind == "" || e.Kind == q.Kind)
}

// clone is a copy that later changes of the event do not reach.
func (e *Event) clone() Event {
	c := *e
	c.Evidence, c.Phases = slices.Clone(e.Evidence), slices.Clone(e.Phases)
	return c
}
