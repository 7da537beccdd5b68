package vrrp

import (
	"net/netip"
	"slices"
	"time"
)

// step drives one machine and collects what it wants sent. What the change means for the group is settle's affair.
func (s *Set) step(now time.Time, r *router, in Input) Output {
	due := r.m.timer
	out := r.m.Step(now, in)
	if out.Send {
		s.send(now, r, out.Priority)
		if in.Event == EventTick {
			r.flap.left(now, due)
		}
	}
	if out.From != out.To {
		r.note(now, out, string(out.Cause))
	}
	return out
}

func (s *Set) onStart(now, begin time.Time) {
	s.started, s.begin = true, begin
	for _, g := range s.groups {
		if g.state == Initialize {
			s.start(now, g, CauseStartup)
		}
	}
}

// start takes a group out of Initialize or Fault, if nothing is wrong with it; else into Fault.
func (s *Set) start(now time.Time, g *group, cause Cause) {
	if why := g.trouble(); why != "" {
		s.enterFault(now, g, why, false)
		return
	}
	for _, r := range g.members {
		r.seals.heard = 0 // what was said meanwhile it has not heard: a sender may have begun anew
		s.step(now, r, s.startup(r))
	}
	s.transition(now, g, Backup, string(cause))
	s.settle(now, g)
}

func (s *Set) onTick(now time.Time) {
	s.matured(now)
	for _, g := range s.groups {
		if !g.leaveUntil.IsZero() && !now.Before(g.leaveUntil) {
			s.yield(now, g, g.leaveCause())
			continue
		}
		ends := g.wait.ends
		fired := !ends.IsZero() && !now.Before(ends)
		for _, r := range g.members {
			if t := r.m.Deadline(); !t.IsZero() && !now.Before(t) {
				s.step(now, r, Input{Event: EventTick})
				fired = true
			}
		}
		if fired {
			s.settle(now, g)
		}
	}
}

func (s *Set) onAdvert(now time.Time, in SetInput) {
	if in.Router < 0 || in.Router >= len(s.routers) || in.Advert == nil {
		return
	}
	r := s.routers[in.Router]
	if r.m.State() == Initialize {
		return
	}
	if s.deaf(now, r) {
		r.facts.drops[ReasonDelay]++ // nobody need hear of it: it was asked for
		s.op(Op{Kind: OpDrop, Router: r.index, Group: r.group.name, Reason: ReasonDelay})
		return
	}
	if reason := r.admit(in); reason != ReasonNone {
		s.refuse(now, r, Notice{Kind: NoticeRefused, Reason: reason, Src: in.Src})
		if reason == ReasonOwn {
			s.doubled(now, r, in)
		}
		s.op(Op{Kind: OpDrop, Router: r.index, Group: r.group.name, Reason: reason})
		return
	}
	a := in.Advert
	src := in.Src.WithZone("")
	s.observe(now, r, src, a)
	event := Input{Event: EventAdvert, Priority: a.Priority, Interval: a.Interval, Source: src, Rx: in.Rx}
	g := r.group
	event.Stand = g.stands(now, r)
	event.Linger = g.overlap
	if g.outranked && a.Priority == 0 && src == r.heir && !r.succeeded.IsZero() {
		s.yield(now, g, CauseBetterActive) // the better one is gone already: every Backup is wanted
	}
	r.rival = rival{src: src, priority: a.Priority, heard: now}
	s.rivalry(now, r, event)
	entered, armed := r.m.entered, r.m.armed
	out := s.step(now, r, event)
	if out.From == Active && out.To == Active && !out.Successor && a.Priority != 0 {
		r.facts.inferior++
	}
	if r.m.State() == Backup && r.m.armed != armed && a.Priority != 0 {
		g.wait.over()
	}
	if out.Successor {
		r.succeeded, r.heir = now, src
	}
	switch {
	case out.Successor && g.leaveUntil.IsZero():
		s.outdone(now, r, event, entered)
		s.linger(now, g)
	case out.Successor:
		s.succeed(now, g)
	case out.From == Active && out.To == Backup:
		s.outdone(now, r, event, entered)
		s.yield(now, g, out.Cause)
	case out.Rearmed:
		for _, other := range g.members {
			if other != r {
				s.step(now, other, Input{Event: EventAnnounce})
			}
		}
	}
}

// admit is what of RFC 9568, 7.1 (and RFC 3768, 7.1) needs the router's configuration.
func (r *router) admit(in SetInput) Reason {
	switch {
	case in.Src.Is4() != (r.cfg.Family == 4):
		return ReasonSource
	case in.Src.WithZone("") == r.m.cfg.Source:
		return ReasonOwn
	}
	expect := &r.expect
	if m := r.m; expect.Owner && (m.left || m.cfg.Held && m.state != Active) {
		// An owner is Active (RFC 3768, 6.4.1), so version 2 has it drop every advert. One that has been handed over, or
		// may not preempt, is a Backup like others.
		e := r.expect
		e.Owner = false
		expect = &e
	}
	reason := expect.Check(in.Advert)
	switch {
	case reason != ReasonNone:
		return reason
	case !r.expect.Unicast.Knows(in.Src.WithZone("")):
		return ReasonSource
	case r.cfg.AuthHeader && r.seals.replayed(in.Advert.Sequence):
		return ReasonReplay
	}
	return ReasonNone
}

// observe keeps what an accepted advert tells beside the election.
func (s *Set) observe(now time.Time, r *router, src netip.Addr, a *Advert) {
	f := &r.facts
	f.received++
	if a.Priority == 0 {
		f.zeroReceived++
	}
	s.compare(now, r, src, a)
	if a.Version != 3 {
		return
	}
	n := Notice{Router: r.index, Interface: r.cfg.Interface, Src: src, Priority: a.Priority, Own: r.m.cfg.Priority,
		Interval: a.Interval, Expected: r.cfg.Interval}
	if a.Interval != r.cfg.Interval {
		f.intervalMismatch++
		n.Kind = NoticeInterval
		s.notice(now, &r.paces, n)
	}
	if !a.Lists(r.cfg.Addresses) {
		f.addressMismatch++
		n.Kind = NoticeAddresses
		s.notice(now, &r.paces, n)
	}
	if r.cfg.Family != 4 {
		return
	}
	f.heard[a.Form] = true
	if r.cfg.Checksum != ChecksumAuto {
		return
	}
	if a.Form == FormMessage {
		r.form = FormMessage
	}
	r.byGroup = r.byGroup || a.ByGroup
}

func (s *Set) onLink(now time.Time, in SetInput) {
	if !s.putOff(now, in) {
		s.takeLink(now, now, in)
	}
}

// takeLink has news of a link count, which came at that time.
func (s *Set) takeLink(now, came time.Time, in SetInput) {
	l := link{up: in.Up, primary: in.Primary, locals: in.LinkLocal}
	if in.Primary.Is6() {
		l.locals = in.Primary
	}
	l.chosen = append(s.links[in.Interface].chosen[:0], in.Sources...)
	l.follow(came, s.links[in.Interface], s.settleOf(in.Interface))
	s.links[in.Interface] = l
	for _, r := range s.routers {
		if r.dependsOn(in.Interface) {
			s.refresh(r)
		}
	}
	for _, g := range s.groups {
		s.health(now, g)
	}
}

func (r *router) dependsOn(iface string) bool {
	return r.cfg.Interface == iface || slices.Contains(r.cfg.Track, iface)
}

// refresh takes the router's source address and its health from the links.
func (s *Set) refresh(r *router) {
	l := s.links[r.cfg.Interface]
	src := l.primary
	if r.cfg.Family == 6 {
		src = l.locals.WithZone("")
	}
	if r.cfg.Source.IsValid() {
		src = netip.Addr{}
		if slices.Contains(l.chosen, r.cfg.Source) {
			src = r.cfg.Source
		}
	}
	r.broken = ""
	switch {
	case !l.up && !r.cfg.Untracked:
		r.broken = "link " + r.cfg.Interface + " down"
	case !src.IsValid():
		r.broken = r.unsourced()
	default:
		cfg := r.m.Config()
		cfg.Source = src
		r.m.Reconfigure(cfg)
	}
	for _, t := range r.cfg.Track {
		if r.broken == "" && !s.links[t].up {
			r.broken = "tracked " + t + " down"
		}
	}
}

// health moves a group into or out of Fault after something changed that may matter.
func (s *Set) health(now time.Time, g *group) {
	if !s.started && g.state == Initialize {
		return
	}
	why := g.trouble()
	switch {
	case why != "" && g.state != Fault:
		s.enterFault(now, g, why, false)
	case why != "":
		g.facts.cause = why
	case g.state == Fault:
		s.start(now, g, CauseRepaired)
	}
}

func (s *Set) onFault(now time.Time, g *group, in SetInput) {
	was := g.fault
	g.fault = ""
	if in.On {
		g.fault = in.Reason
		if g.fault == "" {
			g.fault = "fault"
		}
	}
	if in.On && in.Fence && was == "" && g.state == Fault {
		s.op(Op{Kind: OpFence, Group: g.name}) // a link fault closed the gate only
		return
	}
	if in.On && g.state != Fault && (s.started || g.state != Initialize) {
		s.enterFault(now, g, g.fault, in.Fence)
		return
	}
	s.health(now, g)
}

func (s *Set) onEligible(now time.Time, g *group, ok bool, reason string) {
	g.ineligible = ""
	if !ok {
		g.ineligible = reason
		if reason == "" {
			g.ineligible = "not eligible"
		}
	}
	g.hold()
	s.weighAgain(now, g)
}

func (s *Set) onTerm(now time.Time, g *group, term uint64, raise bool) {
	g.highest = max(g.highest, term)
	if raise && g.state == Active && g.leaveUntil.IsZero() && term >= g.term {
		g.highest++
		g.term = g.highest
		s.announce(now, g, Active, CauseTerm)
	}
}
