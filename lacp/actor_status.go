package lacp

// PortStatus is how a port of an [Actor] stands.
type PortStatus struct {
	Up           bool
	Actor        Info
	Partner      Info
	Receive      Receive
	Pace         Pace
	Mux          Mux
	Selected     Selected
	Aggregator   int // index of the port that it is named for; it counts if Selected is not Unselected
	ActorChurn   Churn
	PartnerChurn Churn
	Counters     PortCounters
}

// Carries reports whether frames may be put on the port.
func (s PortStatus) Carries() bool { return s.Actor.State.Has(Collecting | Distributing) }

// Ports is how many ports there are.
func (a *Actor) Ports() int { return len(a.ports) }

// Port says how one stands.
func (a *Actor) Port(i int) PortStatus {
	p := &a.ports[i]
	return PortStatus{Up: p.up, Actor: p.actor, Partner: p.partner, Receive: p.receiver.state, Pace: p.periodic.pace, Mux: p.mux,
		Selected: p.selected, Aggregator: p.agg, ActorChurn: p.actorChurn.state, PartnerChurn: p.partnerChurn.state, Counters: p.counters}
}

// Bond describes the actor's ports as a kernel would its bond: with a [Monitor], an
// aggregate is watched where there is no bonding driver. names are the interfaces of
// the ports. Members is appended to members[:0].
func (a *Actor) Bond(names []string, members []Member) Bond {
	b := Bond{Mode: ModeLACP, System: a.cfg.System, Rate: RateSlow, Members: members[:0]}
	if a.cfg.Fast {
		b.Rate = RateFast
	}
	active := a.active()
	for i := range a.ports {
		p := &a.ports[i]
		m := Member{Interface: names[i], Carrier: p.up, HasStates: true, HasIdentities: true, Actor: p.actor, Partner: p.partner}
		if p.selected != Unselected {
			m.Aggregator = uint16(p.agg + 1)
			if p.agg == active {
				b.Aggregator, b.PartnerMAC, b.PartnerKey = m.Aggregator, p.partner.System, p.partner.Key
			}
		}
		m.Active = p.actor.State.Has(Distributing)
		b.Carrier = b.Carrier || m.Active && p.agg == active
		b.Members = append(b.Members, m)
	}
	return b
}

// active is the aggregator that a bond would use.
func (a *Actor) active() int {
	if a.cfg.Single {
		return a.chosen
	}
	best := -1
	for j := range a.ports {
		if n := a.size(j); n > 0 && (best < 0 || n > a.size(best)) {
			best = j
		}
	}
	return best
}
