package lacp

import (
	"encoding/binary"
	"time"
)

// Actor is one end of aggregated links: a system with ports, each of which runs the
// Receive, Periodic, Mux, Transmit and Churn machines of 802.1AX-2008, 5.4, and one
// Selection Logic for all of them. It moves no traffic: what a port may do is in its
// [PortStatus]. The zero value is useless, call NewActor. It is not safe for
// concurrent use.
type Actor struct {
	cfg    ActorConfig
	ports  []port
	chosen int // Single: the aggregator that is used; -1: none yet

	pdu  PDU
	out  []Sending
	bufs [][]byte
}

// port is one port with its variables (5.4.7, 5.4.8).
type port struct {
	cfg     PortConfig
	up      bool
	actor   Info // Actor_Oper
	partner Info // Partner_Oper

	receiver receiver
	periodic periodic
	mux      Mux
	wait     time.Time // wait_while_timer; zero: not running
	waited   bool      // it has run out (Ready_N)
	selected Selected
	agg      int // index of the aggregator, that of the port it is named for
	ntt      bool
	sent     [maxPerSecond]time.Time
	asked    [markersPerSecond]time.Time

	actorChurn, partnerChurn churn
	counters                 PortCounters
}

// PortCounters are what went through a port. A frame that came is in one of them.
type PortCounters struct {
	Received      uint64 // LACPDUs
	Sent          uint64
	MarkersAsked  uint64 // Marker information received
	MarkersSent   uint64 // answers
	MarkersUnsaid uint64 // not answered: too many in a second
	MarkersOther  uint64 // answers of others, and what no Marker is known to be
	Looped        uint64 // LACPDUs of our own
	Idle          uint64 // LACPDUs and Marker PDUs that came while the port was down
	Lost          uint64 // came, and were not seen: nobody had the time to
	Refused       [numReasons]uint64
}

// NewActor returns an actor whose ports are down.
func NewActor(cfg ActorConfig) *Actor {
	a := &Actor{chosen: -1}
	a.cfg.Ports = make([]PortConfig, 0, len(cfg.Ports))
	a.ports = make([]port, len(cfg.Ports))
	for i := range a.ports {
		a.ports[i].receiver.disable(PortDisabled)
		a.ports[i].agg = i
	}
	a.configure(time.Time{}, cfg)
	for i := range a.ports {
		a.recordDefault(&a.ports[i])
	}
	return a
}

// Reconfigure changes what the ports say of themselves. The number of ports stays.
func (a *Actor) Reconfigure(now time.Time, cfg ActorConfig) []Sending {
	a.out = a.out[:0]
	a.configure(now, cfg)
	a.run(now)
	return a.out
}

func (a *Actor) configure(now time.Time, cfg ActorConfig) {
	if cfg.Version == 0 {
		cfg.Version = 1
	}
	for i := range a.ports {
		p := &a.ports[i]
		var c PortConfig
		if i < len(cfg.Ports) {
			c = cfg.Ports[i]
		}
		was := p.actor
		p.actor.SystemPriority, p.actor.System = cfg.SystemPriority, cfg.System
		p.actor.Key, p.actor.PortPriority, p.actor.Port = c.Key, c.Priority, c.Number
		p.say(Activity, !cfg.Passive)
		p.say(Timeout, cfg.Fast)
		p.say(Aggregation, !c.Individual)
		p.ntt = p.ntt || p.actor != was
		if !sameEnd(p.actor, was) || was.State.Has(Aggregation) != p.actor.State.Has(Aggregation) {
			p.selected = Unselected // another link aggregation group
		}
		disabled := p.cfg.Disabled
		p.cfg = c
		if p.up && disabled != c.Disabled {
			a.enable(now, p)
		}
	}
	ports := append(a.cfg.Ports[:0], cfg.Ports...)
	a.cfg = cfg
	a.cfg.Ports = ports
}

// say sets or clears bits of our own state.
func (p *port) say(bits State, on bool) {
	if on {
		p.actor.State |= bits
	} else {
		p.actor.State &^= bits
	}
}

// Step applies one event at the time now and returns the frames to send; they are
// valid until the next call. It is defined for every event in every state. Only a
// tick makes a partner expire, as in a [Monitor].
func (a *Actor) Step(now time.Time, in ActorInput) []Sending {
	a.out = a.out[:0]
	switch in.Kind {
	case ActTick:
		for i := range a.ports {
			a.expire(now, &a.ports[i])
		}
	case ActLink:
		if in.Port >= 0 && in.Port < len(a.ports) {
			a.link(now, &a.ports[in.Port], in.Up)
		}
	case ActFrame:
		if in.Port >= 0 && in.Port < len(a.ports) {
			a.ports[in.Port].counters.Lost += uint64(in.Lost)
			a.frame(now, in.Port, in.Frame)
		}
	}
	a.run(now)
	return a.out
}

// run lets the machines go on until none has anything to do. What a port does may
// wait for another (a whole aggregate becomes ready at once), never in a circle.
func (a *Actor) run(now time.Time) {
	for again := true; again; {
		again = a.selectPorts()
		for i := range a.ports {
			again = a.stepMux(now, &a.ports[i]) || again
		}
	}
	for i := range a.ports {
		p := &a.ports[i]
		p.stepPeriodic(now)
		p.actorChurn.step(now, p.speaks(), p.actor.State.Has(Synchronization))
		p.partnerChurn.step(now, p.speaks(), p.partner.State.Has(Synchronization))
		a.transmit(now, i)
	}
}

// Deadline is when to call Step with ActTick unless something happens before; zero:
// never.
func (a *Actor) Deadline() time.Time {
	var at time.Time
	for i := range a.ports {
		p := &a.ports[i]
		for _, t := range [...]time.Time{p.receiver.timer, p.periodic.timer, p.wait, p.actorChurn.timer, p.partnerChurn.timer} {
			at = earliest(at, t)
		}
		if p.ntt {
			at = earliest(at, p.sent[0].Add(time.Second))
		}
	}
	return at
}

// speaks reports whether the port is up and is to speak LACP.
func (p *port) speaks() bool { return p.up && !p.cfg.Disabled }

func (a *Actor) link(now time.Time, p *port, up bool) {
	if p.up == up {
		return
	}
	p.up = up
	if up {
		a.enable(now, p)
	} else {
		a.becomeDisabled(p, PortDisabled)
	}
}

// enable starts the port's Receive machine from PORT_DISABLED.
func (a *Actor) enable(now time.Time, p *port) {
	if p.cfg.Disabled {
		a.becomeDisabled(p, LACPDisabled)
		return
	}
	a.becomeExpired(now, p)
	p.ntt = true
}

// frame takes one from the wire.
func (a *Actor) frame(now time.Time, at int, b []byte) {
	p := &a.ports[at]
	const header = 14
	if len(b) < header {
		p.counters.Refused[ReasonTruncated]++
		return
	}
	body := b[header:]
	kind, reason := Classify(MAC(b), binary.BigEndian.Uint16(b[12:]), body)
	var mark Marker
	switch {
	case reason != ReasonNone:
	case kind == SubtypeMarker:
		mark, reason = ParseMarker(body)
	default:
		reason = Parse(body, &a.pdu)
		a.pdu.Extensions = nil // the frame is not ours
	}
	switch {
	case reason != ReasonNone:
		p.counters.Refused[reason]++
	case !p.up:
		p.counters.Idle++
	case kind == SubtypeMarker:
		a.answer(now, at, mark)
	case a.pdu.Actor.System == p.actor.System:
		p.counters.Looped++ // a link to ourselves is never aggregated
	default:
		p.counters.Received++
		a.receive(now, p)
	}
}

// emit returns a buffer for one more frame of the port, with its header.
func (a *Actor) emit(at int) *Sending {
	n := len(a.out)
	if n == len(a.bufs) {
		a.bufs = append(a.bufs, nil)
	}
	a.out = append(a.out, Sending{at, AppendHeader(a.bufs[n][:0], a.ports[at].cfg.MAC)})
	return &a.out[n]
}

// keep gives the buffer back to where the next one of its place is taken from.
func (a *Actor) keep(s *Sending) { a.bufs[len(a.out)-1] = s.Frame }
