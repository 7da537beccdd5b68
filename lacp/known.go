package lacp

// What is known of both ends. The wire is believed before the kernel, which is
// asked once a second only; where nothing has come since the link is up, or since we
// look, the kernel is all there is. It may have been listening for longer than we: a far
// end at the slow rate says nothing for 30 s.

// speaks reports whether LACP runs on the link and the far end is what answers.
func (m *Monitor) speaks(p *member) bool { return m.linked(p) && !m.looping(p) }

func (m *Monitor) linked(p *member) bool { return m.bond.Mode == ModeLACP && p.up() }

func (m *Monitor) looping(p *member) bool { return m.now.Before(p.loopUntil) }

// receive is the state of the Receive machine of our end.
func (m *Monitor) receive(p *member) Receive {
	own, _, ok := m.ourEnd(p)
	switch {
	case p.heard, p.rx.state < PartnerExpired:
		return p.rx.state
	case ok && own.State.Has(Defaulted):
		return PartnerDefaulted
	case ok && own.State.Has(Expired):
		return PartnerExpired
	case !ok && !p.Active: // where a driver tells no more than that it puts frames on a link, LACP is content with it
		return p.rx.state
	}
	return PartnerCurrent
}

// mute reports whether the far end is current, and what it says is not known yet.
func (m *Monitor) mute(p *member) bool {
	_, ok := m.farEnd(p)
	return m.current(p) && !ok
}

// current reports whether what is known of the far end is fresh.
func (m *Monitor) current(p *member) bool { return m.speaks(p) && m.receive(p) == PartnerCurrent }

// farEnd is what the far end says of itself; ok is false if nothing is known.
func (m *Monitor) farEnd(p *member) (far Info, ok bool) {
	switch r := m.receive(p); {
	case !m.speaks(p) || r != PartnerCurrent && r != PartnerExpired:
		return Info{}, false
	case p.heard:
		return p.far, true
	case p.HasStates && r == PartnerCurrent:
		return p.Partner, true
	}
	return Info{}, false
}

// farState is the state bits of a far end that is current, else none.
func (m *Monitor) farState(p *member) State {
	if far, ok := m.farEnd(p); ok && m.current(p) {
		return far.State
	}
	return 0
}

// viewState is our state as the far end knows it: what it acts on.
func (m *Monitor) viewState(p *member) State {
	if p.heard {
		if p.view.System == (MAC{}) {
			return 0
		}
		return p.view.State
	}
	return m.ownState(p)
}

// ourEnd is what our own end says of itself; whole is false if only the state is
// known, ok if not even that.
func (m *Monitor) ourEnd(p *member) (own Info, whole, ok bool) {
	switch {
	case !p.ownAt.IsZero():
		own = p.own
		if p.HasStates && p.snapAt.After(p.ownAt) {
			own.State = p.Actor.State
		}
		return own, true, true
	case p.HasStates:
		own = p.Actor
		if !p.HasIdentities {
			own = Info{System: m.bond.System, State: p.Actor.State}
		}
		return own, p.HasIdentities, true
	}
	return Info{System: m.bond.System}, false, false
}

// ownState is our state: by our word, else as the far end knows it, else by how the
// bond is configured.
func (m *Monitor) ownState(p *member) State {
	if own, _, ok := m.ourEnd(p); ok {
		return own.State
	}
	if p.heard && p.view.System != (MAC{}) {
		return p.view.State
	}
	if m.bond.Rate == RateFast {
		return Activity | Timeout | Aggregation
	}
	return Activity | Aggregation
}

// carries reports whether a member does what it is there for.
func (m *Monitor) carries(p *member) bool {
	if !p.up() {
		return false
	}
	if m.bond.Mode != ModeLACP {
		return true
	}
	own, _, ok := m.ourEnd(p)
	if ok && !own.State.Has(Collecting|Distributing) || !ok && !p.Active {
		return false
	}
	return p.Aggregator == 0 || m.bond.Aggregator == 0 || p.Aggregator == m.bond.Aggregator
}

// compare finds what the members are held against: the partner of the aggregate
// that carries, else the one that most have, else the one that was there first.
func (m *Monitor) compare() {
	m.carrying, m.system, m.key, m.keyKnown, m.speed = 0, MAC{}, 0, false, 0
	var best *member
	for i := range m.members {
		p := &m.members[i]
		if m.carries(p) {
			m.carrying++
		}
		if p.up() && !p.HalfDuplex {
			m.speed = max(m.speed, p.Speed)
		}
		if far, ok := m.farEnd(p); ok && far.System != (MAC{}) && m.better(p, best, false) {
			best = p
		}
	}
	if best == nil {
		return
	}
	far, _ := m.farEnd(best)
	m.system = far.System
	best = nil
	for i := range m.members {
		p := &m.members[i]
		if far, ok := m.farEnd(p); ok && far.System == m.system && m.better(p, best, true) {
			best = p
		}
	}
	far, _ = m.farEnd(best)
	m.key, m.keyKnown = far.Key, true
}

// better reports whether p rather than q (nil: nobody) says what the right partner
// is, or its right key.
func (m *Monitor) better(p, q *member, key bool) bool {
	if q == nil {
		return true
	}
	a, _ := m.farEnd(p)
	b, _ := m.farEnd(q)
	if a.System == b.System && (!key || a.Key == b.Key) {
		return p.farSince.Before(q.farSince)
	}
	if x, y := m.official(a, key), m.official(b, key); x != y {
		return x
	}
	if x, y := m.followers(a, key), m.followers(b, key); x != y {
		return x > y
	}
	return p.farSince.Before(q.farSince)
}

// official reports whether the kernel calls it the active aggregator's partner.
func (m *Monitor) official(far Info, key bool) bool {
	return far.System == m.bond.PartnerMAC && (!key || far.Key == m.bond.PartnerKey)
}

// followers counts the members with that partner.
func (m *Monitor) followers(far Info, key bool) (n int) {
	for i := range m.members {
		if f, ok := m.farEnd(&m.members[i]); ok && f.System == far.System && (!key || f.Key == far.Key) {
			n++
		}
	}
	return n
}
