package lacp

import "time"

// Self has a [Monitor] watch an [Actor] from inside: the wire is what the actor is
// given and sends, the kernel's word is how the actor stands. So an aggregate is
// judged where no bonding driver has it.
type Self struct {
	*Monitor
	names   []string // interfaces of the actor's ports
	members []Member
}

// NewSelf returns one for an actor with a port for each of the interfaces.
func NewSelf(cfg MonitorConfig, interfaces ...string) *Self {
	return &Self{Monitor: NewMonitor(cfg), names: interfaces}
}

// Saw tells of one step of the actor, after it: what it was given, and what it sent.
func (s *Self) Saw(now time.Time, a *Actor, in ActorInput, out []Sending) {
	if in.Kind == ActFrame && in.Port >= 0 && in.Port < len(s.names) {
		s.Step(now, Input{Kind: InFrame, Member: s.names[in.Port], Frame: in.Frame, Lost: in.Lost})
	}
	bond := a.Bond(s.names, s.members)
	s.members = bond.Members
	s.Step(now, Input{Kind: InBond, Bond: &bond})
	for _, f := range out {
		s.Step(now, Input{Kind: InFrame, Member: s.names[f.Port], Frame: f.Frame, Outgoing: true})
	}
	s.Step(now, Input{Kind: InTick})
}
