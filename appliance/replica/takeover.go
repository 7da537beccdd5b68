package replica

import (
	"time"

	"understudy/nat/conntrack"
	"understudy/nat/session"
)

// takeovers is how many are remembered; lostFlows bounds the flows that one names.
const (
	takeovers = 16
	lostFlows = 4096
)

// Takeover is an activation, as it is remembered.
type Takeover struct {
	At    time.Time
	Group string
	Report
	// From is the owner before: empty if it gave the group up itself, or there was
	// none.
	From string
	// Lost are flows that are known not to have come over; what never was heard of
	// cannot be among them. Beyond so many they are only counted.
	Lost      []LostFlow
	LostCount int
	// Late counts flows of the last owner that came after the activation and were
	// taken.
	Late int

	lateBefore uint64
}

// LostFlow is one of them.
type LostFlow struct {
	Key session.Key
	Why string
}

// Phases are how long the parts of an activation took.
type Phases struct {
	Events time.Duration // reading what this kernel had told
	Link   time.Duration // reading what peers had sent
	Kernel time.Duration // installing what the kernel lacked
}

// handling is how long an owner's sender does not know of a flow yet: events are
// read each millisecond, and batches are filled.
const handling = 2 * time.Millisecond

// pickups is how long after an activation flows that are met in their middle count
// as lost by it.
const pickups = time.Minute

// watch times the phases of an activation.
type watch struct{ last time.Time }

// lap ends a phase.
func (w *watch) lap(d *time.Duration) {
	now := time.Now()
	*d, w.last = now.Sub(w.last), now
}

// beginTakeover begins the report of an activation of group g, before the group is
// ours. caughtUp: all that anybody has is here. Held: e.mu.
func (e *Engine) beginTakeover(g int, caughtUp bool, now time.Time) *Takeover {
	st := e.groups.At(g)
	t := &Takeover{Group: st.Name, From: st.Holder, lateBefore: e.late()}
	t.Sessions, _ = e.table.Tally(g)
	t.LostEstimate = -1
	p := e.byName[st.Holder]
	switch {
	case p != nil && (caughtUp || e.hadAll(now, g)):
		o := p.receiver.Outlook()
		t.LostEstimate = o.Lost(handling)
		t.Heard = now.Sub(o.Heard)
	case p == nil && caughtUp:
		t.LostEstimate = 0 // handed over, or the first one
	}
	e.underway[g] = t
	return t
}

// endTakeover files the report. Held: e.mu.
func (e *Engine) endTakeover(g int, t *Takeover, now time.Time) {
	e.underway[g] = nil
	t.At = now
	t.Hot = max(t.Sessions-t.Installed-t.Refused-t.Clashes-t.Outlived, 0)
	if len(e.takeovers) == takeovers {
		e.takeovers = append(e.takeovers[:0], e.takeovers[1:]...)
	}
	e.takeovers = append(e.takeovers, t)
}

// filed notes, in the report of an activation under way, what the kernel says to a
// session. Held: e.mu.
func (e *Engine) filed(g int, r *session.Record, err error) {
	t := e.underway[g]
	if t == nil || err == nil {
		return
	}
	why := "the kernel refused it: " + err.Error()
	switch err {
	case conntrack.ErrClash:
		t.Clashes++
		why = "another flow of this kernel was in the way"
	case conntrack.ErrNotInstallable:
		return // over, or not begun
	default:
		t.Refused++
	}
	t.lose(&r.Key, why)
}

func (t *Takeover) lose(k *session.Key, why string) {
	if t.LostCount++; len(t.Lost) < lostFlows {
		t.Lost = append(t.Lost, LostFlow{*k, why})
	}
}

// pickedUp looks for flows that nobody had told of: the kernel meets a connection in
// its middle, and marks it as one whose windows it does not know. What is translated
// is not met so, for the leak guard drops it. Held: e.mu.
func (e *Engine) pickedUp(ev *conntrack.Event, g int, now time.Time) {
	const tcp = 6
	if len(e.takeovers) == 0 || ev.Rec.Proto != tcp || ev.Kind != conntrack.New || ev.Has&conntrack.HasTCPOptions == 0 ||
		ev.Rec.TCP.FlagsOrig&session.TCPFlagLiberal == 0 || conntrack.WindowScaleKnown(&ev.Rec.TCP) {
		return
	}
	name := e.cfg.Groups[g].Name
	for i := len(e.takeovers) - 1; i >= 0; i-- {
		if t := e.takeovers[i]; t.Group == name {
			if now.Sub(t.At) < pickups {
				t.lose(&ev.Rec.Key, "met in its middle: no record of it had come")
			}
			return
		}
	}
}

// NoteUnknown notes TCP connections that were met in their middle and refused, for
// nobody knows them: after a takeover they are lost.
func (e *Engine) NoteUnknown(keys []session.Key) {
	e.mu.Lock()
	defer e.mu.Unlock()
	n := len(e.takeovers)
	if len(keys) == 0 || n == 0 || time.Since(e.takeovers[n-1].At) > pickups {
		return
	}
	t := e.takeovers[n-1]
	named := make(map[session.Key]bool, len(t.Lost))
	for i := range t.Lost {
		named[t.Lost[i].Key] = true
	}
	for i := range keys {
		k := &keys[i]
		_, known := e.table.Lookup(k)
		if !known && !named[*k] && len(t.Lost) < lostFlows { // beyond that they cannot be told apart
			t.lose(k, "met in its middle, and refused: no record of it had come")
		}
	}
}

// Recent tells whether a takeover was so short ago that what it lost may still be
// met.
func (e *Engine) Recent(now time.Time) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	n := len(e.takeovers)
	return n > 0 && now.Sub(e.takeovers[n-1].At) < pickups
}

// late is how many flows of last owners were ever taken after an activation. Held:
// e.mu.
func (e *Engine) late() (n uint64) {
	for _, p := range e.peers {
		st := p.receiver.Stats()
		n += st.Late + st.Kept
	}
	return n
}

// Takeovers are the last activations, the latest first.
func (e *Engine) Takeovers() (out []Takeover) {
	e.mu.Lock()
	defer e.mu.Unlock()
	until := e.late()
	for i := len(e.takeovers) - 1; i >= 0; i-- {
		t := *e.takeovers[i]
		t.Late = int(until - t.lateBefore)
		t.Lost = append([]LostFlow(nil), t.Lost...)
		until = t.lateBefore
		out = append(out, t)
	}
	return out
}
