package appliance

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// UnprotectedStatus counts the flows that would be lost if this node died now, by
// the reason. Peer is whose word it is by: of several, the one that has most.
type UnprotectedStatus struct {
	Total         int    `json:"total"`
	Peer          string `json:"peer"`
	Young         int    `json:"young"`          // held back by their class
	Dirty         int    `json:"dirty"`          // a change was not sent yet
	InFlight      int    `json:"in_flight"`      // sent, not acknowledged as applied
	Refused       int    `json:"refused"`        // the peer, or its kernel, does not take them
	Unsynced      int    `json:"unsynced"`       // the peer is not connected, or has not had a full transfer: not known
	Offloaded     int    `json:"offloaded"`      // in flowtables, as the last dump saw them; so are the next two
	Excluded      int    `json:"excluded"`       // their class is not replicated
	NotReplicable int    `json:"not_replicable"` // not yet answered or established, or of a kind that cannot be moved
	// Classes are those of them that a [[sessions.class]] is the reason for.
	Classes []ClassUnprotected `json:"classes"`
}

// ClassUnprotected counts those of one class.
type ClassUnprotected struct {
	Class    string `json:"class"`
	Young    int    `json:"young"`
	Excluded int    `json:"excluded"`
}

// PhasesStatus are how long the parts of a takeover took.
type PhasesStatus struct {
	EventsSeconds float64 `json:"events_seconds"` // reading what this kernel had told
	LinkSeconds   float64 `json:"link_seconds"`   // reading what the peers had sent
	KernelSeconds float64 `json:"kernel_seconds"` // installing what the kernel lacked
}

// LostFlow is a flow that is known to be lost, and why.
type LostFlow struct {
	Flow FlowName `json:"flow"`
	Why  string   `json:"why"`
}

// parts are the reasons that there are flows for, in words.
func (u *UnprotectedStatus) parts() string {
	var out []string
	for _, p := range []struct {
		n    int
		what string
	}{
		{u.Unsynced, "not known to be at a peer"}, {u.Young, "young"}, {u.Dirty, "not sent yet"}, {u.InFlight, "in flight"},
		{u.Refused, "refused by the peer"}, {u.NotReplicable, "not established"}, {u.Excluded, "excluded by class"}, {u.Offloaded, "in flowtables"},
	} {
		if p.n > 0 {
			out = append(out, fmt.Sprintf("%d %s", p.n, p.what))
		}
	}
	for _, c := range u.Classes {
		out = append(out, fmt.Sprintf("class %s: %d", c.Class, c.Young+c.Excluded))
	}
	return strings.Join(out, ", ")
}

func (u *UnprotectedStatus) writeText(t io.Writer) {
	if u.Total == 0 {
		fmt.Fprintln(t, "if it died now\tevery flow goes on")
		return
	}
	fmt.Fprintf(t, "if it died now\t%d flows unprotected: %s\n", u.Total, u.parts())
}

// WriteText says it in one line.
func (l *TakeoverStatus) WriteText(t io.Writer, now time.Time) {
	fmt.Fprintf(t, "last takeover\t%s\n", l.text(now))
}

func (l *TakeoverStatus) text(now time.Time) string {
	s := fmt.Sprintf("%s, %d sessions hot, %d installed in %.1f ms", ago(now, &l.At), l.Hot, l.Installed, l.DurationSeconds*1000)
	if l.From != "" {
		s += ", from " + l.From
	}
	if l.Refused+l.Clashes > 0 {
		s += fmt.Sprintf(", %d refused, %d clashes", l.Refused, l.Clashes)
	}
	switch {
	case l.LostEstimate == nil:
		s += ", lost: not known"
	case *l.LostEstimate > 0:
		s += fmt.Sprintf(", about %d lost", *l.LostEstimate)
	}
	if l.Late > 0 {
		s += fmt.Sprintf(", %d came late", l.Late)
	}
	if l.LostCount > 0 {
		s += fmt.Sprintf(", %d known to be lost", l.LostCount)
	}
	return s
}
