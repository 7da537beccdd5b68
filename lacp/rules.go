package lacp

// memberRules says how each kind is seen on a member. That it lasts, and what is
// told of it, is elsewhere: see kinds.go and evidence.go.
var memberRules = [numMemberKinds]func(*Monitor, *member) bool{
	KindLinkDown:    func(m *Monitor, p *member) bool { return !p.up() },
	KindLoopback:    func(m *Monitor, p *member) bool { return m.linked(p) && m.looping(p) },
	KindPassiveBoth: (*Monitor).bothPassive,
	KindExpired: func(m *Monitor, p *member) bool {
		return m.speaks(p) && p.was && m.receive(p) == PartnerExpired && !m.deaf(p)
	},
	KindDefaulted:        (*Monitor).nobody,
	KindPartnerExpired:   func(m *Monitor, p *member) bool { return m.said(p).Has(Expired) },
	KindPartnerDefaulted: func(m *Monitor, p *member) bool { return m.said(p).Has(Defaulted) },
	KindUnidirectional:   func(m *Monitor, p *member) bool { return m.deaf(p) || m.crossed(p) },
	KindIndividual:       (*Monitor).individual,
	KindOtherSystem:      (*Monitor).otherSystem,
	KindOtherKey:         (*Monitor).otherKey,
	KindSplit:            (*Monitor).split,
	KindNotCollecting:    (*Monitor).notCollecting,
	KindNotDistributing:  func(m *Monitor, p *member) bool { return m.weWithhold(p) || m.theyWithhold(p) },
	KindStandby:          (*Monitor).standby,
	KindActorChurn:       (*Monitor).actorChurns,
	KindPartnerChurn: func(m *Monitor, p *member) bool {
		return m.speaks(p) && !m.mute(p) && !m.farState(p).Has(Synchronization)
	},
	KindTimeoutMismatch: (*Monitor).timeoutsDiffer,
	KindPartnerChanged:  func(m *Monitor, p *member) bool { return p.moved },
	KindSpeedMismatch:   (*Monitor).slower,
	KindFlapping:        func(m *Monitor, p *member) bool { return p.flapped },
	KindFlood:           func(m *Monitor, p *member) bool { return p.flooded },
}

// bondRules does the same for the bond; the first is of numMemberKinds.
var bondRules = [numKinds - numMemberKinds]func(*Monitor) bool{
	KindBelowMinLinks - numMemberKinds: func(m *Monitor) bool { return m.carrying < m.need() },
	KindAtMinLinks - numMemberKinds: func(m *Monitor) bool {
		return m.carrying >= m.need() && m.carrying < m.need()+m.cfg.Margin && m.carrying < len(m.members)
	},
	KindBondDown - numMemberKinds: func(m *Monitor) bool { return !m.bond.Carrier && m.carrying >= m.need() },
}

// bothPassive: we are, and so is what answers; or nobody speaks for so long that
// nobody begins.
func (m *Monitor) bothPassive(p *member) bool {
	own, _, ok := m.ourEnd(p)
	if !m.speaks(p) || m.mute(p) {
		return false
	}
	if m.current(p) {
		return !m.farState(p).Has(Activity) && !m.ownState(p).Has(Activity)
	}
	return ok && !own.State.Has(Activity) && m.receive(p) == PartnerDefaulted && !m.now.Before(p.hushed())
}

func (m *Monitor) nobody(p *member) bool {
	return m.speaks(p) && m.receive(p) == PartnerDefaulted && !m.bothPassive(p) && !m.deaf(p)
}

// crossed: it hears somebody, and that is another port than this one.
func (m *Monitor) crossed(p *member) bool {
	own, whole, _ := m.ourEnd(p)
	if !p.heard || !whole || !m.current(p) || m.deaf(p) {
		return false
	}
	v := p.view
	return v.System != own.System || v.Port != own.Port || v.Key != own.Key
}

func (m *Monitor) individual(p *member) bool {
	own, _, ok := m.ourEnd(p)
	return m.current(p) && (!m.farState(p).Has(Aggregation) && !m.mute(p) || ok && !own.State.Has(Aggregation))
}

func (m *Monitor) otherSystem(p *member) bool {
	far, ok := m.farEnd(p)
	return ok && far.System != (MAC{}) && far.System != m.system
}

func (m *Monitor) otherKey(p *member) bool {
	far, ok := m.farEnd(p)
	return ok && far.System == m.system && m.keyKnown && far.Key != m.key
}

func (m *Monitor) split(p *member) bool {
	return m.linked(p) && p.Aggregator != 0 && m.bond.Aggregator != 0 && p.Aggregator != m.bond.Aggregator
}

// notCollecting: it is in sync, knows that we are, and waits for nothing else.
func (m *Monitor) notCollecting(p *member) bool {
	far := m.farState(p)
	return far.Has(Synchronization) && !far.Has(Collecting) && m.viewState(p).Has(Synchronization)
}

// weWithhold: both ends collect, and ours does not distribute.
func (m *Monitor) weWithhold(p *member) bool {
	own, _, ok := m.ourEnd(p)
	return ok && own.State.Has(Synchronization|Collecting) && !own.State.Has(Distributing) &&
		m.farState(p).Has(Synchronization|Collecting)
}

// theyWithhold: the same of the far end.
func (m *Monitor) theyWithhold(p *member) bool {
	far := m.farState(p)
	return far.Has(Synchronization|Collecting) && !far.Has(Distributing) && m.viewState(p).Has(Synchronization|Collecting)
}

// standby: the far end is well, hears us, and leaves the link out.
func (m *Monitor) standby(p *member) bool {
	far := m.farState(p)
	return far.Has(Aggregation) && !far.Has(Synchronization) && !troubled(far)
}

func (m *Monitor) actorChurns(p *member) bool {
	own, _, ok := m.ourEnd(p)
	return m.speaks(p) && ok && !own.State.Has(Synchronization)
}

func (m *Monitor) timeoutsDiffer(p *member) bool {
	far := m.farState(p)
	_, _, ok := m.ourEnd(p)
	known := ok || m.bond.Rate != RateUnknown || p.view.System != (MAC{})
	if far == 0 || troubled(far) || !known {
		return false
	}
	return far.Has(Timeout) != m.ownState(p).Has(Timeout)
}

func (m *Monitor) slower(p *member) bool {
	if m.bond.Mode == ModeActiveBackup || !p.up() {
		return false
	}
	return p.Speed != 0 && m.speed != 0 && p.Speed != m.speed || p.HalfDuplex && m.speed != 0
}
