package trend

import "time"

// Sample is how sessions stood at a moment, or at the worst within a time.
type Sample struct {
	At      time.Time     // the moment, or the end of the time
	Own     int           // sessions of groups that are Active here
	Held    int           // sessions held for peers
	Dirty   int           // changes that a peer was not sent yet
	Lag     time.Duration // of the peer that has most; see Linked
	Changes uint64        // what the kernel has told of so far; only grows
	Linked  bool          // to a peer, so that there is a lag
	InSync  bool
	Active  bool // for a group, or more
}

// merge is the worse of two that follow each other.
func merge(a, b Sample) Sample {
	return Sample{At: b.At, Changes: b.Changes,
		Own: max(a.Own, b.Own), Held: max(a.Held, b.Held), Dirty: max(a.Dirty, b.Dirty), Lag: max(a.Lag, b.Lag),
		Linked: a.Linked && b.Linked, InSync: a.InSync && b.InSync, Active: a.Active || b.Active}
}

// How much is remembered.
const (
	Fine       = 2 * time.Second
	FineKept   = 300
	Coarse     = time.Minute
	CoarseKept = 1440
)

// Trend is what is remembered. The zero value is empty.
type Trend struct {
	fine, coarse ring
	minute       Sample
	began        time.Time // the minute; zero: there is none
}

// Add remembers one more. One that is not newer than the last is not taken: clocks that
// are set back do not make a line go back.
func (t *Trend) Add(s Sample) {
	if last, ok := t.fine.last(); ok && !s.At.After(last.At) {
		return
	}
	t.fine.add(s, FineKept)
	begins := s.At.Truncate(Coarse)
	switch {
	case t.began.IsZero():
		t.began, t.minute = begins, s
	case begins.Equal(t.began):
		t.minute = merge(t.minute, s)
	default:
		t.coarse.add(t.minute, CoarseKept)
		t.began, t.minute = begins, s
	}
}

// Fine appends the fine samples that are newer than since, the oldest first.
func (t *Trend) Fine(to []Sample, since time.Time) []Sample { return t.fine.after(to, since) }

// Coarse appends the coarse ones that are newer than since, the oldest first. The minute
// that is not over is not among them.
func (t *Trend) Coarse(to []Sample, since time.Time) []Sample { return t.coarse.after(to, since) }

// ring holds the last samples.
type ring struct {
	s    []Sample
	next int // the oldest, once it is full
}

func (r *ring) add(s Sample, keep int) {
	if len(r.s) < keep {
		r.s = append(r.s, s)
		return
	}
	r.s[r.next] = s
	r.next = (r.next + 1) % keep
}

func (r *ring) last() (Sample, bool) {
	if len(r.s) == 0 {
		return Sample{}, false
	}
	return r.s[(r.next+len(r.s)-1)%len(r.s)], true
}

func (r *ring) after(to []Sample, since time.Time) []Sample {
	for i := range r.s {
		if s := r.s[(r.next+i)%len(r.s)]; s.At.After(since) {
			to = append(to, s)
		}
	}
	return to
}
