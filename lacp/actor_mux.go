package lacp

import "time"

// Mux is a state of the Mux machine (802.1AX-2008, 5.4.15), with coupled control
// (Detached, Waiting, Attached, CollectingDistributing) or with independent control
// (Detached, Waiting, Attached, MuxCollecting, MuxDistributing).
type Mux uint8

// The states.
const (
	Detached Mux = iota
	Waiting      // AggregateWait: others may join together with it
	Attached     // it belongs to its aggregate, and is not used
	MuxCollecting
	MuxDistributing
	CollectingDistributing
)

var muxNames = [...]string{"detached", "waiting", "attached", "collecting", "distributing", "collecting_distributing"}

// String is the state's name, as "attached".
func (m Mux) String() string {
	if int(m) < len(muxNames) {
		return muxNames[m]
	}
	return "unknown"
}

// MarshalText makes a Mux its name in JSON.
func (m Mux) MarshalText() ([]byte, error) { return []byte(m.String()), nil }

// stepMux makes one transition, if one is due, and reports whether there was one.
func (a *Actor) stepMux(now time.Time, p *port) bool {
	far := p.partner.State
	used := p.selected == SelectedPort && far.Has(Synchronization)
	switch p.mux {
	case Detached:
		if p.selected == Unselected {
			return false
		}
		p.wait, p.waited = now.Add(AggregateWait), false
		p.become(Waiting)
	case Waiting:
		if !p.waited && !now.Before(p.wait) {
			p.wait, p.waited = time.Time{}, true
		}
		switch {
		case p.selected == Unselected:
			p.become(Detached)
		case p.selected == SelectedPort && a.ready(p.agg):
			p.become(Attached)
		default:
			return false
		}
	case Attached:
		switch {
		case p.selected != SelectedPort:
			p.become(Detached)
		case used && a.cfg.Independent:
			p.become(MuxCollecting)
		case used:
			p.become(CollectingDistributing)
		default:
			return false
		}
	case MuxCollecting:
		switch {
		case !used:
			p.become(Attached)
		case far.Has(Collecting):
			p.become(MuxDistributing)
		default:
			return false
		}
	case MuxDistributing:
		if used && far.Has(Collecting) {
			return false
		}
		p.become(MuxCollecting)
	case CollectingDistributing:
		if used {
			return false
		}
		p.become(Attached)
	}
	return true
}

// become enters a state.
func (p *port) become(m Mux) {
	p.mux = m
	if m != Waiting {
		p.wait, p.waited = time.Time{}, false
	}
	p.say(Synchronization, m >= Attached)
	p.say(Collecting, m > Attached)
	p.say(Distributing, m >= MuxDistributing)
	p.ntt = p.ntt || m != Waiting
}

// ready is Ready: every port that waits for the aggregator has waited.
func (a *Actor) ready(agg int) bool {
	for i := range a.ports {
		if p := &a.ports[i]; p.agg == agg && p.selected == SelectedPort && p.mux == Waiting && !p.waited {
			return false
		}
	}
	return true
}
