package main

import (
	"fmt"
	"strings"
	"time"

	"understudy/lacp"
)

// lacpReport is how an aggregate stands: what `understudy lacp` prints.
type lacpReport struct {
	At       time.Time      `json:"at,omitzero"`
	State    lacp.BondState `json:"state"`
	Carrying int            `json:"carrying"`
	Links    []lacpLink     `json:"links"`
	Findings []lacpFinding  `json:"findings"`
}

type lacpLink struct {
	Interface    string        `json:"interface"`
	Up           bool          `json:"up"`
	Receive      lacp.Receive  `json:"receive"`
	Mux          lacp.Mux      `json:"mux"`
	Selected     lacp.Selected `json:"selected"`
	Aggregator   int           `json:"aggregator"` // from 1; 0: none
	Synchronized bool          `json:"synchronized"`
	Carries      bool          `json:"carries"`
	Actor        lacpEnd       `json:"actor"`
	Partner      *lacpEnd      `json:"partner"` // null: not known
	ActorChurn   lacp.Churn    `json:"actor_churn"`
	PartnerChurn lacp.Churn    `json:"partner_churn"`
}

type lacpEnd struct {
	SystemPriority uint16 `json:"system_priority"`
	System         string `json:"system"`
	Key            uint16 `json:"key"`
	PortPriority   uint16 `json:"port_priority"`
	Port           uint16 `json:"port"`
	State          string `json:"state"` // hexadecimal
	StateBits      string `json:"state_bits"`
}

type lacpFinding struct {
	Name     string        `json:"name"`
	Severity lacp.Severity `json:"severity"`
	Since    time.Time     `json:"since"`
	Member   string        `json:"member"` // empty: all of it
	Detail   string        `json:"detail"`
}

// lacpReportOf asks the actor and who watches it.
func lacpReportOf(a *lacp.Actor, self *lacp.Self) lacpReport {
	s := self.Status()
	r := lacpReport{State: s.State, Carrying: s.Carrying, Links: []lacpLink{}, Findings: []lacpFinding{}}
	for i, m := range s.Members {
		p := a.Port(i)
		l := lacpLink{Interface: m.Interface, Up: p.Up, Receive: p.Receive, Mux: p.Mux, Selected: p.Selected, Synchronized: m.Synchronized,
			Carries: m.Carries, Actor: lacpEndOf(p.Actor), ActorChurn: p.ActorChurn, PartnerChurn: p.PartnerChurn}
		if p.Selected != lacp.Unselected {
			l.Aggregator = p.Aggregator + 1
		}
		if m.PartnerKnown {
			far := lacpEndOf(m.Partner)
			l.Partner = &far
		}
		r.Links = append(r.Links, l)
	}
	for _, f := range s.Findings {
		r.Findings = append(r.Findings, lacpFinding{f.Name(), f.Severity, f.Since.Truncate(time.Millisecond), f.Member, f.Detail()})
	}
	return r
}

func lacpEndOf(i lacp.Info) lacpEnd {
	return lacpEnd{i.SystemPriority, i.System.String(), i.Key, i.PortPriority, i.Port, fmt.Sprintf("0x%02x", uint8(i.State)), i.State.String()}
}

// text is the report for a person.
func (r lacpReport) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %v: %d of %d links carry\n", r.At.Format("15:04:05.000"), r.State, r.Carrying, len(r.Links))
	for _, l := range r.Links {
		state := "down"
		if l.Up {
			state = fmt.Sprintf("partner %v, %v", l.Receive, l.Mux)
			if l.Selected == lacp.StandbyPort {
				state += " (standby)"
			}
		}
		fmt.Fprintf(&b, "  %-8s %s\n    this end %s\n", l.Interface, state, l.Actor)
		if l.Partner != nil {
			fmt.Fprintf(&b, "    far end  %s\n", *l.Partner)
		}
	}
	for _, f := range r.Findings {
		fmt.Fprintf(&b, "  %v %s: %s\n", f.Severity, f.Name, f.Detail)
	}
	return b.String()
}

// String is one line.
func (e lacpEnd) String() string {
	return fmt.Sprintf("%s key %d port %d %s (%s)", e.System, e.Key, e.Port, e.State, e.StateBits)
}
