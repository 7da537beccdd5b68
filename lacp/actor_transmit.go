package lacp

import "time"

// maxPerSecond is how many LACPDUs a port may send in any second (802.1AX-2008,
// 5.4.16).
const maxPerSecond = 3

// transmit is the Transmit machine: what is to be told is told at once, unless too
// much was told just now.
func (a *Actor) transmit(now time.Time, at int) {
	p := &a.ports[at]
	switch {
	case !p.ntt:
		return
	case p.periodic.pace == NoPeriodic:
		p.ntt = false
		return
	case !allowed(p.sent[:], now):
		return
	}
	p.ntt = false
	p.counters.Sent++
	s := a.emit(at)
	s.Frame = Append(s.Frame, &PDU{Version: a.cfg.Version, Actor: p.actor, Partner: p.partner, Extensions: a.cfg.Extensions})
	a.keep(s)
}

// allowed takes one of len(last) a second, if there is one left.
func allowed(last []time.Time, now time.Time) bool {
	if first := last[0]; !first.IsZero() && now.Sub(first) < time.Second {
		return false
	}
	copy(last, last[1:])
	last[len(last)-1] = now
	return true
}

// markersPerSecond bounds the answers to Marker PDUs: all Slow Protocols of a port
// together may be 10 frames a second (802.3, annex 57A).
const markersPerSecond = 5

// answer is the Marker Responder (802.1AX-2008, 5.5.4).
func (a *Actor) answer(now time.Time, at int, m Marker) {
	p := &a.ports[at]
	if m.Kind != MarkerInformation {
		p.counters.MarkersOther++
		return
	}
	p.counters.MarkersAsked++
	if !allowed(p.asked[:], now) {
		p.counters.MarkersUnsaid++
		return
	}
	p.counters.MarkersSent++
	s := a.emit(at)
	s.Frame = AppendMarker(s.Frame, m.Answer())
	a.keep(s)
}
