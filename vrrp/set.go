package vrrp

import (
	"net/netip"
	"time"
)

// Set is all virtual routers of a node, and the groups in which they move. It decides; its caller owns sockets,
// clock and kernel, and does the Ops in order:
//
//   - on activation: every member's advert, then OpTransition with a new term;
//   - on a yield: OpGateClose, then priority 0 on the members whose successor has not been heard, then OpTransition;
//   - on a fault or stop: OpGateClose (or OpFence), priority 0 where the link allows, then OpTransition;
//   - on a hand-over: priority 0 on every member, then OpTransition with Leaving. The group serves on, silent, until
//     Overlap after the successor's first advert on any member, or one Active_Down_Interval; then OpGateClose and
//     OpTransition. It
//     does not preempt the successor afterwards, until it was Active again or InReclaim lets it;
//   - with HoldLimit, on a takeover that is put off: OpTransition from Backup to Backup; on a yield to a better Active
//     that only its heartbeat tells of: as on a yield, but without priority 0.
//   - when a better Active is heard and the daemon has said that it knows it (InOverlap): OpTransition with Leaving,
//     nothing on the wire; after Overlap as on a yield.
//
// A group is Active only as a whole: when the Active_Down_Timer of every member has run out. A member that hears a
// better Active takes the group to Backup, a member in fault takes it to Fault.
//
// A Set is not safe for concurrent use, allocates nothing in steady state and never reads the clock.
type Set struct {
	cfg     SetConfig
	routers []*router
	groups  []*group
	links   map[string]link
	started bool
	begin   time.Time // see delay.go
	waiting []waiting // see debounce.go
	ops     []Op
	old     []*router // routers before the last Reconfigure, for Ops with Old

	notices notices
	strays  map[string]*paces // by interface: packets for none of its routers
}

// router is a machine with everything around it that RFC 9568 does not know.
type router struct {
	cfg       RouterConfig
	expect    Expect
	index     int
	group     *group
	m         *Machine
	broken    string // why it cannot take part; "" if it can
	form      ChecksumForm
	byGroup   bool // see Advert.ByGroup
	rival     rival
	succeeded time.Time  // leaving: when the successor was heard last; zero: it was not
	heir      netip.Addr // … and who that was
	facts     routerFacts

	rivals [maxRivals]known
	flap   flap
	double double
	paces  paces
	seals  sequence // with AuthHeader
}

// rival is the last other router heard.
type rival struct {
	src      netip.Addr
	priority uint8
	heard    time.Time
}

// group moves its routers as one.
type group struct {
	name    string
	members []*router // ascending VRID; the first is the anchor
	state   State
	term    uint64 // of the last activation
	highest uint64 // heard of or used

	fault      string // told by the daemon; "" is none
	ineligible string // why the daemon does not want it to preempt; "" is none
	weight     int    // told by the daemon, added to the priority of every member
	handedOver bool
	overlap    bool      // told by the daemon: the next that outranks us has our sessions
	leaveUntil time.Time // Active and silent, after a hand-over or outranked; zero: not leaving
	outranked  bool      // leaving, because of a better Active
	succeeded  bool      // leaving, and the successor was heard
	wait       hold

	facts groupFacts
}

// NewSet returns a Set with everything in Initialize. The error names every mistake of cfg.
func NewSet(cfg SetConfig) (*Set, error) {
	cfg, members, err := cfg.normalize()
	if err != nil {
		return nil, err
	}
	s := &Set{links: make(map[string]link), strays: make(map[string]*paces)}
	s.cfg = cfg
	s.watchStrays()
	for i := range cfg.Routers {
		s.routers = append(s.routers, s.newRouter(i, cfg.Routers[i]))
	}
	for i, g := range cfg.Groups {
		s.groups = append(s.groups, &group{name: g.Name})
		s.populate(s.groups[i], members[i])
	}
	for _, r := range s.routers {
		s.refresh(r) // no link is known yet, so every one counts as down
	}
	return s, nil
}

func (s *Set) newRouter(i int, cfg RouterConfig) *router {
	r := &router{index: i, m: NewMachine(cfg.machine(netip.Addr{}, 0)), form: FormPseudo}
	r.configure(cfg)
	return r
}

func (r *router) configure(cfg RouterConfig) {
	if cfg.Checksum != r.cfg.Checksum {
		r.form, r.byGroup = FormPseudo, cfg.Checksum == ChecksumGroup
		if cfg.Checksum == ChecksumRFC9568 {
			r.form = FormMessage
		}
	}
	r.cfg = cfg
	r.expect = cfg.expect()
}

func (s *Set) populate(g *group, members []int) {
	g.members = g.members[:0]
	for _, i := range members {
		g.members = append(g.members, s.routers[i])
		s.routers[i].group = g
	}
}

// Config is what the Set runs with: defaults filled, and every router in a group.
func (s *Set) Config() SetConfig { return s.cfg }

// Deadline is when to call Step with InTick next; zero: no timer runs.
func (s *Set) Deadline() time.Time {
	var first time.Time
	earlier := func(t time.Time) {
		if !t.IsZero() && (first.IsZero() || t.Before(first)) {
			first = t
		}
	}
	for _, r := range s.routers {
		earlier(r.m.Deadline())
	}
	for i := range s.waiting {
		earlier(s.waiting[i].due)
	}
	for _, g := range s.groups {
		earlier(g.leaveUntil)
		earlier(g.wait.ends)
	}
	return first
}

// Step applies one event. It is defined for every input in every state; an index or name that does not exist, and
// an advert before InStart, do nothing.
func (s *Set) Step(now time.Time, in SetInput) SetOutput {
	s.ops, s.notices.list = s.ops[:0], s.notices.list[:0]
	switch in.Kind {
	case InStart:
		s.onStart(now, in.Begin)
	case InTick:
		s.onTick(now)
	case InAdvert:
		s.onAdvert(now, in)
	case InRefused:
		s.onRefused(now, in)
	case InLink:
		s.onLink(now, in)
	case InTerm:
		s.each(in.Group, func(g *group) { s.onTerm(now, g, in.Term, in.Raise) })
	case InEligible:
		s.each(in.Group, func(g *group) { s.onEligible(now, g, in.OK, in.Reason) })
	case InFault:
		s.each(in.Group, func(g *group) { s.onFault(now, g, in) })
	case InWeight:
		s.each(in.Group, func(g *group) { s.onWeight(now, g, in.Weight) })
	case InOverlap:
		s.each(in.Group, func(g *group) { g.overlap = in.OK })
	case InHandOver:
		s.each(in.Group, func(g *group) { s.onHandOver(now, g) })
	case InReclaim:
		s.each(in.Group, func(g *group) { g.handedOver = false; g.hold() })
	case InResume:
		s.each(in.Group, func(g *group) { s.onResume(now, g, in.Term) })
	case InVouch:
		s.each(in.Group, func(g *group) { s.onVouch(now, g, in) })
	case InStop:
		s.started = false
		s.each("", func(g *group) { s.stop(now, g, CauseShutdown, in.Fence) })
	}
	return SetOutput{Ops: s.ops, Notices: s.notices.list}
}

func (s *Set) each(name string, do func(*group)) {
	for _, g := range s.groups {
		if name == "" || g.name == name {
			do(g)
		}
	}
}

// AppendMessage appends the VRRP message that op, an OpSend of the last step, asks for: the IP payload.
func (s *Set) AppendMessage(b []byte, op Op) []byte {
	r, a := s.outgoing(op)
	return AppendAdvert(b, &a, r.cfg.Addresses, r.m.cfg.Source)
}

// AppendPacket is AppendMessage with the IP header before it.
func (s *Set) AppendPacket(b []byte, op Op) []byte {
	r, a := s.outgoing(op)
	if r.cfg.Multicast.IsValid() {
		return AppendPacketTo(b, &a, r.cfg.Addresses, r.m.cfg.Source, r.cfg.Multicast)
	}
	return AppendPacket(b, &a, r.cfg.Addresses, r.m.cfg.Source)
}

func (s *Set) outgoing(op Op) (*router, Advert) {
	r := s.routers
	if op.Old {
		r = s.old
	}
	cfg := &r[op.Router].cfg
	a := Advert{Version: cfg.Version, VRID: cfg.VRID, Priority: op.Priority, Interval: cfg.Interval,
		Form: r[op.Router].form, ByGroup: r[op.Router].byGroup, AuthType: r[op.Router].expect.AuthType, Auth: r[op.Router].expect.Auth}
	if cfg.AuthHeader {
		a.Auth, a.Key, a.Sequence = [8]byte{}, a.Auth, op.Sequence
	}
	return r[op.Router], a
}

// Members are the routers of a group by their index, the anchor first.
func (s *Set) Members(group int) (members []int) {
	for _, r := range s.groups[group].members {
		members = append(members, r.index)
	}
	return members
}

// Source is the address that adverts of a router are sent from; invalid until its link was told.
func (s *Set) Source(router int) netip.Addr { return s.routers[router].m.cfg.Source }

// Inferior counts the adverts that a router, by its index in the configuration, has heard while Active, and that do not
// outrank it: somebody else has been, or is, Active as well. Those of priority 0 are not among them.
func (s *Set) Inferior(router int) uint64 { return s.routers[router].facts.inferior }

// Interface is where op, an OpSend of the last step, is to go out.
func (s *Set) Interface(op Op) string {
	r, _ := s.outgoing(op)
	return r.cfg.Interface
}

func (s *Set) op(o Op) { s.ops = append(s.ops, o) }

func (s *Set) send(now time.Time, r *router, priority uint8) {
	r.facts.sent++
	if priority == 0 {
		r.facts.zeroSent++
	}
	r.double.sent(now, priority)
	op := Op{Kind: OpSend, Router: r.index, Group: r.group.name, Priority: priority}
	if r.cfg.AuthHeader {
		op.Sequence = r.seals.next(now.Unix())
	}
	s.op(op)
}
