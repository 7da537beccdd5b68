package lacp

import "time"

// troubled is a far end that has not heard us: what else it says of us is old.
func troubled(s State) bool { return s&(Expired|Defaulted) != 0 }

// deafness is for how long the word of a far end counts that it does not hear us.
//
// Such a far end speaks each second for 3 s; then it gives us up, and has nobody to
// tell it how often to speak: each 30 s. At the fast rate that is less often than our
// Receive machine believes what it is told, so this word has a time of its own: until
// the next one is overdue. Said once it counts as long as a PDU at the fast rate, for
// an end whose link has just come up says it in health, and may have nothing to say
// after it for 30 s.
type deafness struct {
	since time.Time // it said so first, and nothing else since
	until time.Time // it counts
}

// overdue is when the next word should have come. The bonding driver counts its 30 s in
// ticks that are some percent late, those of a busy machine a quarter.
const overdue = SlowPeriodic + SlowPeriodic/2

// word takes the state in a PDU of the far end.
func (d *deafness) word(now time.Time, far State) {
	switch {
	case !troubled(far):
		*d = deafness{}
	case d.since.IsZero():
		*d = deafness{since: now, until: now.Add(ShortTimeout)}
	case now.Sub(d.since) < lasting:
		d.until = now.Add(ShortTimeout)
	default:
		d.until = now.Add(overdue)
	}
}

// deaf: we hear a far end that does not hear us.
func (m *Monitor) deaf(p *member) bool {
	if p.heard {
		return m.speaks(p) && m.now.Before(p.deaf.until)
	}
	return troubled(m.farState(p))
}

// said is the state that the far end tells of itself: of one that is deaf its last
// word, though it is older than what else is believed.
func (m *Monitor) said(p *member) State {
	if p.heard && m.deaf(p) {
		return p.far.State
	}
	return m.farState(p)
}
