package lacp

import (
	"fmt"
	"strings"
)

// evidence says what was seen of a finding: bits and values. p is nil for the
// kinds that are of the bond.
func (m *Monitor) evidence(k Kind, p *member) string {
	if p == nil {
		return m.evidenceOfBond(k)
	}
	far, _ := m.farEnd(p)
	own, whole, _ := m.ourEnd(p)
	switch k {
	case KindLinkDown:
		if p.Carrier {
			return "it has carrier, and the driver's monitor says down"
		}
		return "no carrier"
	case KindLoopback:
		return fmt.Sprintf("PDUs of our own system %v come in", own.System)
	case KindPassiveBoth:
		if m.current(p) {
			return fmt.Sprintf("our state %s, the far end's %s", bits(own.State), bits(far.State))
		}
		return fmt.Sprintf("our state %s, and nothing is heard", bits(own.State))
	case KindExpired:
		return fmt.Sprintf("no PDU for %v from %s", timeoutOf(m.ownState(p)), m.speaker(p))
	case KindDefaulted:
		if p.last != (MAC{}) {
			return fmt.Sprintf("no PDU for %v; %v was there before", timeoutOf(m.ownState(p))+ShortTimeout, p.last)
		}
		return "no PDU since the link came up"
	case KindPartnerExpired, KindPartnerDefaulted:
		return fmt.Sprintf("%s says %s", m.speaker(p), bits(m.said(p)))
	case KindUnidirectional:
		if m.deaf(p) || !whole {
			return fmt.Sprintf("we hear %s, and it has not heard us: %s", m.speaker(p), bits(m.said(p)))
		}
		return fmt.Sprintf("%s hears %s, and this is %s", whose(far), whose(p.view), whose(own))
	case KindIndividual:
		if far.State.Has(Aggregation) {
			return fmt.Sprintf("our own state is %s", bits(own.State))
		}
		return fmt.Sprintf("%s says %s", whose(far), bits(far.State))
	case KindOtherSystem:
		return fmt.Sprintf("it leads to %s; %s lead to %v", whose(far), m.with(m.system, 0, false), m.system)
	case KindOtherKey:
		return fmt.Sprintf("it leads to %s; %s lead to key %d", whose(far), m.with(m.system, m.key, true), m.key)
	case KindSplit:
		return fmt.Sprintf("it is in aggregator %d, and %d is the active one", p.Aggregator, m.bond.Aggregator)
	case KindNotCollecting:
		return fmt.Sprintf("%s says %s and knows that we are %s", whose(far), bits(far.State), bits(m.viewState(p)))
	case KindNotDistributing:
		return fmt.Sprintf("our state %s, the far end's %s", bits(m.ownState(p)), bits(far.State))
	case KindStandby, KindPartnerChurn:
		if far == (Info{}) {
			return "no partner is known"
		}
		return fmt.Sprintf("%s says %s", whose(far), bits(far.State))
	case KindActorChurn:
		return fmt.Sprintf("our state is %s", bits(own.State))
	case KindTimeoutMismatch:
		return fmt.Sprintf("we ask for a PDU each %s, the far end each %s", period(m.ownState(p)), period(far.State))
	case KindPartnerChanged:
		return fmt.Sprintf("from %v to %v", p.former, p.last)
	case KindSpeedMismatch:
		duplex := ""
		if p.HalfDuplex {
			duplex = ", half duplex"
		}
		return fmt.Sprintf("%d Mbit/s%s; the fastest member has %d", p.Speed, duplex, m.speed)
	case KindFlapping:
		return fmt.Sprintf("%d changes in %v", flapMany, p.changes[flapMany-1].Sub(p.changes[0]).Round(1e8))
	case KindFlood:
		return fmt.Sprintf("more than %d frames in a second", floodMany)
	}
	return ""
}

func (m *Monitor) evidenceOfBond(k Kind) string {
	switch k {
	case KindBelowMinLinks:
		return fmt.Sprintf("%d of %d members carry, %d have to%s", m.carrying, len(m.members), m.need(), m.idle())
	case KindAtMinLinks:
		return fmt.Sprintf("%d of %d members carry, %d have to%s", m.carrying, len(m.members), m.need(), m.idle())
	}
	return fmt.Sprintf("no carrier, with %d of %d members that would carry", m.carrying, len(m.members))
}

// idle names the members that do not carry.
func (m *Monitor) idle() string {
	var names []string
	for i := range m.members {
		if p := &m.members[i]; !m.carries(p) {
			names = append(names, p.Interface)
		}
	}
	if names == nil {
		return ""
	}
	return "; not " + strings.Join(names, ", ")
}

// with names the members whose far end is that.
func (m *Monitor) with(system MAC, key uint16, keyed bool) string {
	var names []string
	for i := range m.members {
		if f, ok := m.farEnd(&m.members[i]); ok && f.System == system && (!keyed || f.Key == key) {
			names = append(names, m.members[i].Interface)
		}
	}
	return strings.Join(names, ", ")
}

// speaker is the far end whose word counts.
func (m *Monitor) speaker(p *member) string {
	if p.heard {
		return whose(p.far)
	}
	return whose(p.Partner)
}

func whose(i Info) string { return fmt.Sprintf("%v port %d key %d", i.System, i.Port, i.Key) }

func bits(s State) string { return fmt.Sprintf("0x%02x (%v)", uint8(s), s) }

func period(s State) string {
	if s.Has(Timeout) {
		return "second"
	}
	return "30 s"
}
