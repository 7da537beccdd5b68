package history

import (
	"time"
	"unicode/utf8"
)

// Kind says what an event is about.
type Kind string

// Kinds of events. More may come.
const (
	Transition Kind = "transition" // a group's change of state, or the start of one
	Check      Kind = "check"      // Subject is up or down
	Bond       Kind = "bond"       // Subject is up or down
	Link       Kind = "link"       // an interface that is tracked
	Peers      Kind = "peers"      // the session link, and whether we are in sync
	Alarm      Kind = "alarm"      // Subject was raised or cleared
	Kernel     Kind = "kernel"     // differs from what was asked for
	Operator   Kind = "operator"   // an order, and what came of it
	Moved      Kind = "moved"      // connections of Subject, a server that died, went on at others
	Process    Kind = "process"    // the daemon and its election
)

// Event is one thing that happened, in the form of `understudy events --json`. The form is
// a contract: keys may be added, never removed; times are RFC 3339, durations seconds.
type Event struct {
	ID      uint64    `json:"id"`  // in the order of what happened; over restarts too
	Rev     uint64    `json:"rev"` // of its last change, over all events
	At      time.Time `json:"at"`
	Kind    Kind      `json:"kind"`
	Group   string    `json:"group"`   // empty: none in particular
	Subject string    `json:"subject"` // name of the check, bond, interface or alarm
	From    string    `json:"from"`    // states, of what has any
	To      string    `json:"to"`
	Leaving bool      `json:"leaving,omitempty"` // still active, and handing over
	Cause   string    `json:"cause"`             // a word, or for a fault its reason
	Term    uint64    `json:"term"`
	Text    string    `json:"text"` // what happened and why, in a line for people
	// Evidence is what was known at that moment, a line each.
	Evidence []string `json:"evidence"`
	// Phases are the parts of a change of state, in their order; DurationSeconds is
	// their sum. For a takeover: detect (since the last sign of the one before), told
	// (by the election to the daemon), prepare (programs that it waits for), sessions, gate,
	// addresses, announce.
	Phases          []Phase `json:"phases"`
	DurationSeconds float64 `json:"duration_seconds"`
	Open            bool    `json:"open,omitempty"`  // phases are still to come
	Times           uint64  `json:"times,omitempty"` // it happened so often; 0: once
}

// Phase is a part of a change of state.
type Phase struct {
	Name    string  `json:"name"`
	Seconds float64 `json:"seconds"`
}

// Names of phases.
const (
	PhaseDetect    = "detect"
	PhaseTold      = "told"
	PhasePrepare   = "prepare"
	PhaseSessions  = "sessions"
	PhaseGate      = "gate"
	PhaseAddresses = "addresses"
	PhaseAnnounce  = "announce"
	PhaseRemove    = "remove" // of giving up: gate shut, addresses gone
)

// Bounds of what one event can hold.
const (
	textBound     = 300 // bytes
	evidenceBound = 16  // lines
)

// bounded is the event cut to its bounds, with its arrays present.
func (e Event) bounded() Event {
	for _, s := range []*string{&e.Group, &e.Subject, &e.Cause, &e.Text} {
		*s = cut(*s)
	}
	lines := make([]string, 0, min(len(e.Evidence), evidenceBound))
	for _, l := range e.Evidence[:min(len(e.Evidence), evidenceBound)] {
		lines = append(lines, cut(l))
	}
	e.Evidence = lines
	if e.Phases == nil {
		e.Phases = []Phase{}
	}
	return e
}

// cut shortens a text to its bound, at the border of a character.
func cut(s string) string {
	if len(s) <= textBound {
		return s
	}
	const more = "…"
	s = s[:textBound-len(more)]
	for len(s) > 0 && !utf8.ValidString(s) {
		s = s[:len(s)-1]
	}
	return s + more
}

// phase adds a part, unless it is none.
func (e *Event) phase(name string, d time.Duration) {
	if d <= 0 {
		return
	}
	e.Phases = append(e.Phases, Phase{name, d.Seconds()})
	e.DurationSeconds += d.Seconds()
}
