package lacp

import "time"

// Status is what there is to say of a bond.
type Status struct {
	State     BondState
	Mode      Mode
	Carrier   bool
	Need      int // members that have to carry
	Carrying  int // members that do
	System    MAC // ours; zero: not known
	Findings  []Finding
	Members   []MemberStatus
	Strangers uint64 // frames on interfaces that are no members
}

// MemberStatus is what there is to say of a member.
type MemberStatus struct {
	Interface    string
	Up           bool
	Carries      bool
	Since        time.Time // when the link came up; zero: it is down
	Receive      Receive
	Actor        Info // our end; the state alone, if only that is known
	ActorKnown   bool
	Partner      Info // the far end, as far as it is known
	PartnerKnown bool
	Synchronized bool // both ends have put the link into an aggregate
	Aggregator   uint16
	LinkFailures uint32
	Counters     Counters
}

// Status says how the bond is; Findings and Members are the caller's. Evidence is
// what is seen now, if it is still seen. The critical findings come first, of
// equals those that began first.
func (m *Monitor) Status() Status {
	s := Status{State: m.state, Mode: m.bond.Mode, Carrier: m.bond.Carrier, Need: m.need(), Carrying: m.carrying, System: m.bond.System,
		Findings: []Finding{}, Members: make([]MemberStatus, 0, len(m.members)), Strangers: m.strangers}
	for i := range m.members {
		p := &m.members[i]
		s.Members = append(s.Members, m.statusOf(p))
		for k := range p.latches {
			s.add(m, Kind(k), &p.latches[k], p)
		}
	}
	for k := range m.latches {
		s.add(m, numMemberKinds+Kind(k), &m.latches[k], nil)
	}
	return s
}

// add puts a finding in its place.
func (s *Status) add(m *Monitor, k Kind, l *latch, p *member) {
	if !l.raised {
		return
	}
	name := ""
	if p != nil {
		name = p.Interface
	}
	if l.holds {
		l.told = m.evidence(k, p)
	}
	f := l.finding(k, name)
	at := len(s.Findings)
	for at > 0 {
		q := s.Findings[at-1]
		if q.Severity > f.Severity || q.Severity == f.Severity && !f.Since.Before(q.Since) {
			break
		}
		at--
	}
	s.Findings = append(s.Findings, Finding{})
	copy(s.Findings[at+1:], s.Findings[at:])
	s.Findings[at] = f
}

func (m *Monitor) statusOf(p *member) MemberStatus {
	s := MemberStatus{Interface: p.Interface, Up: p.up(), Carries: m.carries(p), Since: p.upSince, Receive: m.receive(p),
		Aggregator: p.Aggregator, LinkFailures: p.LinkFailures, Counters: p.counters}
	s.Actor, _, s.ActorKnown = m.ourEnd(p)
	s.Partner, s.PartnerKnown = m.farEnd(p)
	s.Synchronized = s.ActorKnown && s.Actor.State.Has(Synchronization) && m.farState(p).Has(Synchronization)
	return s
}
