package lacp

import (
	"encoding/binary"
	"time"
)

const (
	// flapMany changes within flapWithin are no accident.
	flapMany   = 4
	flapWithin = time.Minute

	// floodMany is how many frames a second no conformant system exceeds: LACP
	// sends 3 in any second, all Slow Protocols together 10 (802.3, annex 57A).
	floodMany = 10
)

// Counters are what was seen on a member. A frame is in one of them, but Flooded,
// which counts again.
type Counters struct {
	Received uint64             // LACPDUs of the far end
	Sent     uint64             // LACPDUs of ours
	Markers  uint64             // Marker PDUs, both ways
	Looped   uint64             // LACPDUs of ours that came back
	Refused  [numReasons]uint64 // by Reason
	Lost     uint64             // came, and were not seen: nobody had the time to
	Flooded  uint64             // of those that came in, what was above the limit
}

// RefusedFor returns how many frames were refused for the reason.
func (c *Counters) RefusedFor(r Reason) uint64 {
	if r < numReasons {
		return c.Refused[r]
	}
	return 0
}

// member is what a Monitor remembers of one.
type member struct {
	Member              // the kernel's word
	snapAt    time.Time // when it came
	upSince   time.Time // zero: down
	rx        receiver
	was       bool // the partner has been current since the link came up
	heard     bool // a PDU has come since then
	heardAt   time.Time
	far       Info // the far end, by its last PDU
	view      Info // what it believed of us
	farSince  time.Time
	last      MAC // the last partner there was, whenever
	own       Info
	ownAt     time.Time // zero: nothing of ours was seen
	former    MAC       // the partner before the last change
	loopUntil time.Time // our own PDUs come back
	deaf      deafness
	counters  Counters

	changes [flapMany]time.Time // the last ones
	second  time.Time           // where the count of frames began
	frames  int                 // since then

	moved, flapped, flooded bool // in this step

	latches [numMemberKinds]latch
}

// hushed is when even an end that speaks each 30 s would have been heard.
func (p *member) hushed() time.Time {
	return latest(p.upSince, p.heardAt).Add(SlowPeriodic + ShortTimeout)
}

func (p *member) tick(now time.Time) {
	was := p.rx.state
	if p.rx.tick(now) && was == PartnerCurrent {
		p.changed(now)
	}
}

// snapshot takes the kernel's word of a member.
func (p *member) snapshot(now time.Time, b *Bond, s *Member) {
	wasUp := p.Member.up() && !p.upSince.IsZero()
	flaps := int(min(s.LinkFailures-min(p.LinkFailures, s.LinkFailures), flapMany))
	if wasUp && !s.up() {
		flaps = max(flaps, 1)
	}
	if p.Aggregator != 0 && s.Aggregator != 0 && p.Aggregator != s.Aggregator {
		flaps++
	}
	p.Member, p.snapAt = *s, now
	if s.up() && s.HasStates && s.Partner.State.Has(Synchronization) && !troubled(s.Actor.State) {
		p.was = true // though we have not heard it
	}
	for range flaps {
		p.changed(now)
	}
	switch {
	case !s.up():
		p.upSince, p.ownAt, p.was, p.heard, p.deaf = time.Time{}, time.Time{}, false, false, deafness{}
		p.rx.disable(PortDisabled)
	case !wasUp:
		p.upSince = now
		if b.Mode == ModeLACP {
			p.rx.enable(now)
		}
	}
}

// changed notes one change of those that should be rare.
func (p *member) changed(now time.Time) {
	copy(p.changes[:], p.changes[1:])
	p.changes[flapMany-1] = now
	oldest := p.changes[0]
	p.flapped = p.flapped || !oldest.IsZero() && now.Sub(oldest) <= flapWithin
}

// onFrame takes what was seen on the wire.
func (m *Monitor) onFrame(now time.Time, in Input) {
	p := m.member(in.Member)
	if p == nil {
		m.strangers++
		return
	}
	c := &p.counters
	c.Lost += uint64(in.Lost)
	if !in.Outgoing {
		p.count(now)
	}
	const header = 14
	if len(in.Frame) < header {
		c.Refused[ReasonTruncated]++
		return
	}
	body := in.Frame[header:]
	kind, reason := Classify(MAC(in.Frame), binary.BigEndian.Uint16(in.Frame[12:]), body)
	switch {
	case reason != ReasonNone:
	case kind == SubtypeMarker:
		if _, reason = ParseMarker(body); reason == ReasonNone {
			c.Markers++
		}
	default:
		reason = Parse(body, &m.pdu)
		m.pdu.Extensions = nil // the frame is not ours
	}
	switch {
	case reason != ReasonNone:
		c.Refused[reason]++
	case kind == SubtypeMarker:
	case in.Outgoing:
		c.Sent++
		p.own, p.ownAt = m.pdu.Actor, now
	case m.looped(p):
		c.Looped++
		p.loopUntil = now.Add(timeoutOf(m.ownState(p)))
	default:
		c.Received++
		m.onPDU(now, p)
	}
}

// looped reports whether the PDU that has come in is one of ours. Where our own
// system is not known, it is whom the sender believes to speak to.
func (m *Monitor) looped(p *member) bool {
	own, _, _ := m.ourEnd(p)
	if own.System == (MAC{}) {
		own.System = m.pdu.Partner.System
	}
	return own.System != MAC{} && m.pdu.Actor.System == own.System
}

// onPDU takes what the far end says.
func (m *Monitor) onPDU(now time.Time, p *member) {
	if m.bond.Mode != ModeLACP || !p.up() {
		return // a switch that speaks LACP to a bond that does not
	}
	far := m.pdu.Actor
	if !p.heard || far.System != p.far.System || far.Key != p.far.Key {
		p.farSince = now
	}
	if p.last != (MAC{}) && p.last != far.System {
		p.former, p.moved = p.last, true
		p.changed(now)
	}
	if far.System != p.far.System {
		p.deaf = deafness{}
	}
	p.deaf.word(now, far.State)
	if far.System != (MAC{}) {
		p.last = far.System
	}
	p.far, p.view, p.heard, p.heardAt, p.was = far, m.pdu.Partner, true, now, true
	p.loopUntil = time.Time{}
	p.rx.heard(now, m.ownState(p))
}

// count notes one frame and sees when there are too many.
func (p *member) count(now time.Time) {
	if p.second.IsZero() || now.Sub(p.second) >= time.Second || now.Before(p.second) {
		p.second, p.frames = now, 0
	}
	p.frames++
	if p.frames > floodMany {
		p.counters.Flooded++
		p.flooded = true
	}
}
