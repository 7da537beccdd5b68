package lacp

import "time"

// Monitor watches one bond from the host that has it: what its members' far ends
// say, what our own end says, and what the kernel knows. See the package's picture.
// The zero value is useless, call NewMonitor. It is not safe for concurrent use,
// and does not grow, whatever it is given.
type Monitor struct {
	cfg     MonitorConfig
	bond    Bond // without Members
	there   bool
	since   time.Time // it was there first
	carried bool      // it has had enough members that carry since then
	state   BondState
	members []member
	latches [numKinds - numMemberKinds]latch
	now     time.Time

	carrying  int // members that carry
	system    MAC // of the partner that the other members are held against; zero: none
	key       uint16
	keyKnown  bool
	speed     uint32
	strangers uint64 // frames on what is no member

	pdu PDU
	out Output
}

// NewMonitor returns a monitor that knows nothing yet.
func NewMonitor(cfg MonitorConfig) *Monitor {
	m := &Monitor{}
	m.Reconfigure(cfg)
	return m
}

// Reconfigure changes what the bond is held against, from the next Step on.
func (m *Monitor) Reconfigure(cfg MonitorConfig) {
	if cfg.Margin <= 0 {
		cfg.Margin = 1
	}
	m.cfg = cfg
}

// State is how the bond is.
func (m *Monitor) State() BondState { return m.state }

// need is how many members have to carry.
func (m *Monitor) need() int { return max(1, m.cfg.MinLinks, m.bond.MinLinks) }

// Step applies one event at the time now. It is defined for every event in every
// state. Only a tick makes a partner expire: a process that was stopped has frames
// to hand in that came in time.
func (m *Monitor) Step(now time.Time, in Input) Output {
	m.out.Raised, m.out.Cleared, m.out.From = m.out.Raised[:0], m.out.Cleared[:0], m.state
	m.now = now
	switch in.Kind {
	case InTick:
		for i := range m.members {
			m.members[i].tick(now)
		}
	case InFrame:
		m.onFrame(now, in)
	case InBond:
		if in.Bond != nil {
			m.onBond(now, in.Bond)
		}
	case InGone:
		m.onGone()
	}
	m.judge(now)
	m.out.To = m.state
	return m.out
}

// Deadline is when to call Step with InTick unless something happens before; zero:
// never.
func (m *Monitor) Deadline() time.Time {
	var at time.Time
	for i := range m.members {
		p := &m.members[i]
		at = earliest(at, p.rx.timer)
		if p.loopUntil.After(m.now) {
			at = earliest(at, p.loopUntil)
		}
		if p.deaf.until.After(m.now) {
			at = earliest(at, p.deaf.until)
		}
		if h := p.hushed(); p.rx.state == PartnerDefaulted && h.After(m.now) {
			at = earliest(at, h)
		}
		for k := range p.latches {
			at = earliest(at, p.latches[k].deadline(Kind(k)))
		}
	}
	for k := range m.latches {
		at = earliest(at, m.latches[k].deadline(numMemberKinds+Kind(k)))
	}
	return at
}

func (m *Monitor) member(name string) *member {
	for i := range m.members {
		if m.members[i].Interface == name {
			return &m.members[i]
		}
	}
	return nil
}

// onBond takes the kernel's word. Members that are new or gone are seen by it.
func (m *Monitor) onBond(now time.Time, b *Bond) {
	if !m.there || m.bond.Mode != b.Mode {
		m.onGone()
		m.there, m.since = true, now
	}
	members := b.Members
	m.bond = *b
	m.bond.Members = nil
	kept := 0
	for i := range m.members { // in place: what is gone is cleared and closed up
		if find(members, m.members[i].Interface) == nil {
			m.drop(&m.members[i])
			continue
		}
		if kept != i {
			m.members[kept] = m.members[i]
		}
		kept++
	}
	m.members = m.members[:kept]
	for i := range members {
		p := m.member(members[i].Interface)
		if p == nil {
			m.members = append(m.members, member{})
			p = &m.members[len(m.members)-1]
			p.Member = members[i]
			p.Carrier, p.Aggregator = false, 0 // so that both are seen to come
		}
		p.snapshot(now, &m.bond, &members[i])
	}
}

func find(members []Member, name string) *Member {
	for i := range members {
		if members[i].Interface == name {
			return &members[i]
		}
	}
	return nil
}

func (m *Monitor) onGone() {
	for i := range m.members {
		m.drop(&m.members[i])
	}
	for k := range m.latches {
		m.cleared("", numMemberKinds+Kind(k), &m.latches[k])
	}
	m.members = m.members[:0]
	m.bond, m.there, m.carried = Bond{}, false, false
}

// drop ends every finding of a member that goes.
func (m *Monitor) drop(p *member) {
	for k := range p.latches {
		m.cleared(p.Interface, Kind(k), &p.latches[k])
	}
}

// cleared tells of a finding that is over, if there is one.
func (m *Monitor) cleared(member string, k Kind, l *latch) {
	if l.raised {
		m.out.Cleared = append(m.out.Cleared, l.finding(k, member))
	}
	*l = latch{}
}

func (l *latch) finding(k Kind, member string) Finding {
	return Finding{Kind: k, Severity: kinds[k].severity, Member: member, Since: l.since, Evidence: l.told}
}

// judge looks at everything anew.
func (m *Monitor) judge(now time.Time) {
	m.compare()
	for i := range m.members {
		p := &m.members[i]
		for k := range p.latches {
			m.one(now, p.upSince, p.Interface, Kind(k), &p.latches[k], memberRules[k](m, p), p)
		}
		p.moved, p.flapped, p.flooded = false, false, false
	}
	up := m.since
	if m.carried = m.carried || m.there && m.carrying >= m.need() && m.bond.Carrier; m.carried {
		up = time.Time{}
	}
	for k := range m.latches {
		m.one(now, up, "", numMemberKinds+Kind(k), &m.latches[k], m.there && bondRules[k](m), nil)
	}
	m.state = m.sum()
}

// one brings one latch up to date.
func (m *Monitor) one(now, up time.Time, name string, k Kind, l *latch, holds bool, p *member) {
	before := *l
	switch raised, cleared := l.step(now, up, k, holds); {
	case raised:
		l.told = m.evidence(k, p)
		m.out.Raised = append(m.out.Raised, l.finding(k, name))
	case cleared:
		m.out.Cleared = append(m.out.Cleared, before.finding(k, name))
	}
}

// sum is the bond's state.
func (m *Monitor) sum() BondState {
	below, down := &m.latches[KindBelowMinLinks-numMemberKinds], &m.latches[KindBondDown-numMemberKinds]
	switch {
	case !m.there:
		return BondUnknown
	case below.raised || down.raised:
		return BondFailed
	case below.holds || down.holds:
		return BondUnknown
	case m.carrying < len(m.members) || m.warned():
		return BondDegraded
	}
	return BondOK
}

// warned reports whether anything worse than worth knowing is raised.
func (m *Monitor) warned() bool {
	for i := range m.members {
		for k := range m.members[i].latches {
			if m.members[i].latches[k].raised && kinds[k].severity > SeverityInfo {
				return true
			}
		}
	}
	for k := range m.latches {
		if m.latches[k].raised && kinds[int(numMemberKinds)+k].severity > SeverityInfo {
			return true
		}
	}
	return false
}
