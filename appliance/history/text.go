package history

import (
	"fmt"
	"io"
	"strings"
	"time"

	"understudy/appliance"
	"understudy/vrrp"
)

// sentence says what became of a group, and why.
func sentence(group string, was vrrp.State, ev appliance.Transition) string {
	why := reason(ev.Cause, ev.Heard)
	if ev.State == vrrp.Fault {
		why = ev.Cause // its own words
	}
	text := fmt.Sprintf("%s is %s", group, ev.State)
	if was != ev.State {
		text += ", was " + was.String()
	}
	return text + ": " + why
}

// reason puts the word for a cause into words, with who was heard.
func reason(cause string, heard []vrrp.Heard) string {
	switch vrrp.Cause(cause) {
	case vrrp.CauseActiveDown:
		return activeDown(heard)
	case vrrp.CauseBetterActive:
		if h := foremost(heard); h != nil && h.Rival.IsValid() && h.RivalPriority > h.Priority {
			return fmt.Sprintf("%s is active with priority %d, this node has %d", h.Rival, h.RivalPriority, h.Priority)
		}
	}
	return appliance.CauseText(cause)
}

// activeDown says why nobody else was Active any more, or nobody better.
func activeDown(heard []vrrp.Heard) string {
	h := foremost(heard)
	switch {
	case h == nil || !h.Rival.IsValid():
		return "nobody else is active"
	case h.RivalPriority == 0:
		return fmt.Sprintf("%s has given it up", h.Rival)
	case preempted(h):
		return fmt.Sprintf("%s is active with priority %d, this node has %d", h.Rival, h.RivalPriority, h.Priority)
	case h.Silence > old:
		return "nobody else is active"
	}
	return fmt.Sprintf("%s (priority %d) was not heard any more", h.Rival, h.RivalPriority)
}

// old is how long ago somebody must have been heard to be no part of it any more.
const old = time.Minute

// preempted tells whether the rival was still there, and outranked: half of the time that
// its silence would have taken had not passed.
func preempted(h *vrrp.Heard) bool { return h.Silence < h.Waits/2 && h.RivalPriority < h.Priority }

// foremost is the router whose rival was heard last; nil: there is none.
func foremost(heard []vrrp.Heard) (h *vrrp.Heard) {
	for i := range heard {
		if x := &heard[i]; h == nil || x.Rival.IsValid() && (!h.Rival.IsValid() || x.Silence < h.Silence) {
			h = x
		}
	}
	return h
}

// silence is since when nobody was heard who would have kept the group from becoming
// Active: on no member. Someone who gave it up, or was outranked, was heard.
func silence(heard []vrrp.Heard) (time.Duration, bool) {
	h := foremost(heard)
	if h == nil || !h.Rival.IsValid() || h.RivalPriority == 0 || preempted(h) || h.Silence > old {
		return 0, false
	}
	return h.Silence, true
}

func heardLines(heard []vrrp.Heard) (lines []string) {
	for _, h := range heard {
		name := h.Router
		if h.Family == 6 {
			name += " (ipv6)"
		}
		switch {
		case !h.Rival.IsValid():
			lines = append(lines, fmt.Sprintf("%s: nobody else was ever heard, own priority %d", name, h.Priority))
		default:
			lines = append(lines, fmt.Sprintf("%s: last advert of %s (priority %d) %s before, own priority %d, takes over after %s of silence",
				name, h.Rival, h.RivalPriority, short(h.Silence), h.Priority, short(h.Waits)))
		}
	}
	return lines
}

// evidence is what was known when a group changed its state.
func (o *Observer) evidence(now time.Time, g *group, heard []vrrp.Heard) []string {
	lines := heardLines(heard)
	for _, s := range o.sources {
		if s.state.String() == "down" {
			line := fmt.Sprintf("%s %s was down for %s", s.kind, s.name, short(now.Sub(s.since)))
			if s.why != "" {
				line += ": " + s.why
			}
			lines = append(lines, line)
		}
	}
	if g.unfit != "" {
		lines = append(lines, "kept out of the election: "+g.unfit)
	}
	if g.weight != 0 {
		lines = append(lines, fmt.Sprintf("priorities moved by %+d for what is tracked", g.weight))
	}
	if g.claimed {
		lines = append(lines, "a peer said by its session link that it is active")
	}
	for _, f := range o.guarded {
		lines = append(lines, f.Alarm+": "+f.Detail)
	}
	if age := now.Sub(o.ordered.at); o.ordered.what != "" && age < recent {
		lines = append(lines, fmt.Sprintf("an operator had asked for %s %s before", o.ordered.what, short(age)))
	}
	switch {
	case !o.synced:
	case !o.sync.Connected:
		lines = append(lines, "sessions: no peer was connected")
	case !o.sync.InSync:
		lines = append(lines, "sessions: not in sync with the peer")
	default:
		lines = append(lines, fmt.Sprintf("sessions: in sync with the peer, %s behind what it has to have", short(o.sync.Lag)))
	}
	return lines
}

// WriteText prints an event for people: a line, and what belongs to it below. Times are
// in zone.
func (e *Event) WriteText(w io.Writer, zone *time.Location) error {
	_, err := fmt.Fprintf(w, "%s  %-10s  %s\n", e.At.In(zone).Format("2006-01-02 15:04:05.000"), e.Kind, e.Line())
	for _, l := range e.Evidence {
		fmt.Fprintf(w, "    %s\n", l)
	}
	if len(e.Phases) > 0 {
		fmt.Fprintf(w, "    %s\n", e.phasesText())
	}
	return err
}

// Line is the event in a line, without its time.
func (e *Event) Line() string {
	text := e.Text
	if e.Term > 0 && e.Kind == Transition && e.To == vrrp.Active.String() {
		text += fmt.Sprintf(" (term %d)", e.Term)
	}
	if e.Times > 1 {
		text += fmt.Sprintf(" (%d times)", e.Times)
	}
	return text
}

func (e *Event) phasesText() string {
	parts := make([]string, 0, len(e.Phases))
	for _, p := range e.Phases {
		parts = append(parts, p.Name+" "+short(time.Duration(p.Seconds*float64(time.Second))))
	}
	text := "took " + short(time.Duration(e.DurationSeconds*float64(time.Second))) + ": " + strings.Join(parts, ", ")
	if e.Open {
		text += ", and goes on"
	}
	return text
}

// short is a duration with as many digits as say something.
func short(d time.Duration) string {
	switch {
	case d < time.Millisecond:
		return fmt.Sprintf("%.2f ms", d.Seconds()*1000)
	case d < 10*time.Millisecond:
		return fmt.Sprintf("%.1f ms", d.Seconds()*1000)
	case d < time.Second:
		return fmt.Sprintf("%.0f ms", d.Seconds()*1000)
	case d < time.Minute:
		return fmt.Sprintf("%.1f s", d.Seconds())
	case d < time.Hour:
		return d.Round(time.Second).String()
	}
	return strings.TrimSuffix(d.Round(time.Minute).String(), "0s")
}
