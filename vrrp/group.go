package vrrp

import "time"

// trouble is the first thing that keeps the group out of the election; "" is none.
func (g *group) trouble() string {
	if g.fault != "" {
		return g.fault
	}
	for _, r := range g.members {
		if r.broken != "" {
			return r.broken
		}
	}
	return ""
}

// hold tells the members whether they may preempt.
func (g *group) hold() {
	held := g.ineligible != "" || g.handedOver
	for _, r := range g.members {
		if cfg := r.m.Config(); cfg.Held != held {
			cfg.Held = held
			r.m.Reconfigure(cfg)
		}
	}
}

func (g *group) ready() bool {
	for _, r := range g.members {
		if !r.m.Ready() {
			return false
		}
	}
	return true
}

// stands breaks a deadlock that RFC 9568, which knows no groups, cannot have. Equal priorities are told apart by
// address, and those may order two nodes differently on each segment: after a split both would yield, both would
// come back, and so on. So the anchor (lowest VRID: the same on every node) decides. While it hears a rival that
// it outranks, the other members stand their ground, and the rival, outranked there, is the one to go.
func (g *group) stands(now time.Time, r *router) bool {
	anchor := g.members[0]
	if r == anchor || anchor.m.State() != Active || anchor.rival.priority == 0 {
		return false
	}
	m := anchor.m
	silent := now.Sub(anchor.rival.heard)
	return silent < m.cfg.down(m.cfg.Interval) &&
		!m.outranked(Input{Priority: anchor.rival.priority, Source: anchor.rival.src})
}

// settle makes a Backup group Active once every member is ready. One that still hears an Active keeps them all
// waiting: with one segment cut between two nodes, neither moves.
func (s *Set) settle(now time.Time, g *group) {
	if g.state != Backup || !g.ready() {
		g.wait.end(now)
		return
	}
	if s.held(now, g) {
		return
	}
	cause := CauseActiveDown
	if owner := g.members[0].m.cfg.Priority == 255; owner && g.facts.at.Equal(now) {
		cause = CauseOwner
	}
	for _, r := range g.members {
		s.step(now, r, Input{Event: EventPromote})
	}
	g.highest++
	g.term = g.highest
	g.handedOver = false
	g.hold()
	s.transition(now, g, Active, string(cause))
}

// yield takes an Active group to Backup. Members whose successor was not heard say priority 0: the successor may
// wait for them only, and then waits a skew instead of an Active_Down_Interval. After a hand-over all have said it.
func (s *Set) yield(now time.Time, g *group, cause Cause) {
	leaving := !g.leaveUntil.IsZero()
	g.wait.over() // somebody was heard, or is to come
	s.op(Op{Kind: OpGateClose, Group: g.name})
	for _, r := range g.members {
		if r.m.State() == Active && (!leaving || g.outranked && r.succeeded.IsZero()) {
			s.send(now, r, 0)
		}
		s.step(now, r, Input{Event: EventYield, Rx: r.succeeded})
	}
	s.transition(now, g, Backup, string(cause))
}

// leaveCause is why a group that is leaving ends that.
func (g *group) leaveCause() Cause {
	switch {
	case g.outranked:
		return CauseBetterActive
	case g.succeeded:
		return CauseSuccessor
	}
	return CauseNoSuccessor
}

// onHandOver gives the group away without a gap: everybody may take it, and until somebody has, we serve.
func (s *Set) onHandOver(now time.Time, g *group) {
	if g.state != Active || !g.leaveUntil.IsZero() {
		return
	}
	var wait time.Duration
	for _, r := range g.members {
		s.step(now, r, Input{Event: EventRelease})
		cfg := r.m.Config()
		wait = max(wait, cfg.down(cfg.Interval))
	}
	g.handedOver = true
	g.hold()
	g.leaveUntil = now.Add(wait)
	s.announce(now, g, Active, CauseHandOver)
}

// linger is a yield with an overlap, as at the end of a hand-over: silent at once on every member, and in service
// until the better Active is. The daemon allows it only while the peer that could be better has all that it needs.
func (s *Set) linger(now time.Time, g *group) {
	for _, r := range g.members {
		s.step(now, r, Input{Event: EventLinger})
	}
	g.outranked, g.succeeded = true, true
	g.leaveUntil = now.Add(g.overlapping())
	s.announce(now, g, Active, CauseBetterActive)
}

// Overlap is how long a group that is left serves beside its successor, at most: the successor's advert comes before
// its addresses are in place and announced, and until then everybody still sends to us. It is bounded by an advert
// interval too.
const Overlap = 50 * time.Millisecond

func (g *group) overlapping() time.Duration {
	d := Overlap
	for _, r := range g.members {
		d = min(d, r.m.Config().Interval)
	}
	return d
}

// succeed ends a hand-over a moment after the successor was heard.
func (s *Set) succeed(now time.Time, g *group) {
	g.succeeded = true
	if until := now.Add(g.overlapping()); until.Before(g.leaveUntil) {
		g.leaveUntil = until
	}
}

// onResume is for an election that was restarted beside a kernel that goes on serving: no new term, no waiting.
func (s *Set) onResume(now time.Time, g *group, term uint64) {
	if g.state == Active || g.state == Fault {
		return
	}
	if why := g.trouble(); why != "" {
		s.enterFault(now, g, why, false)
		return
	}
	for _, r := range g.members {
		s.step(now, r, Input{Event: EventPromote})
	}
	g.highest = max(g.highest, term)
	g.term = term
	s.transition(now, g, Active, string(CauseResume))
}

func (s *Set) enterFault(now time.Time, g *group, why string, fence bool) {
	s.leave(now, g, fence)
	s.transition(now, g, Fault, why)
}

// stop takes a group to Initialize.
func (s *Set) stop(now time.Time, g *group, cause Cause, fence bool) {
	if g.state == Initialize {
		return
	}
	s.leave(now, g, fence)
	g.handedOver = false
	g.hold()
	s.transition(now, g, Initialize, string(cause))
}

// leave shuts all machines down: out of service first, then priority 0 on every link that still works.
func (s *Set) leave(now time.Time, g *group, fence bool) {
	if fence {
		s.op(Op{Kind: OpFence, Group: g.name})
	} else if g.state == Active {
		s.op(Op{Kind: OpGateClose, Group: g.name})
	}
	for _, r := range g.members {
		out := r.m.Step(now, Input{Event: EventShutdown})
		if out.Send && s.links[r.cfg.Interface].up {
			s.send(now, r, out.Priority)
		}
		if out.From != out.To {
			r.note(now, out, string(out.Cause))
		}
	}
}

// transition moves the group and tells the daemon.
func (s *Set) transition(now time.Time, g *group, to State, cause string) {
	from := g.state
	g.wait.end(now)
	g.state, g.leaveUntil = to, time.Time{}
	g.succeeded, g.outranked, g.overlap = false, false, false
	for _, r := range g.members {
		r.succeeded = time.Time{}
	}
	g.facts.transitions++
	g.facts.at, g.facts.cause = now, cause
	s.op(Op{Kind: OpTransition, Group: g.name, From: from, To: to, Term: g.reported(), Cause: cause})
}

// announce tells the daemon something about a state that stays.
func (s *Set) announce(now time.Time, g *group, state State, cause Cause) {
	g.facts.at, g.facts.cause = now, string(cause)
	s.op(Op{Kind: OpTransition, Group: g.name, From: state, To: state, Leaving: !g.leaveUntil.IsZero(),
		Term: g.reported(), Cause: string(cause)})
}

// reported is the term the daemon is told: its own while Active, else the highest known.
func (g *group) reported() uint64 {
	if g.state == Active {
		return g.term
	}
	return g.highest
}
