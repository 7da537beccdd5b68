package vrrp

import "time"

// Reconfigure goes over to cfg. What did not change does not move: priority, interval, preemption, addresses,
// checksum, tracking and the membership of a running group change in place, and a router added to an Active group
// is Active with it at once. A router whose interface, VRID or version is another is a new one; the old one gives
// up with priority 0. On an error nothing changes.
//
// Ops with Old must be done on the old sockets, and AppendMessage knows the old routers until the next
// Reconfigure: do the Ops first, then rebuild the sockets. Links of new interfaces must have been told with InLink
// before, or their routers start in Fault until they are.
func (s *Set) Reconfigure(now time.Time, cfg SetConfig) (SetOutput, error) {
	cfg, members, err := cfg.normalize()
	if err != nil {
		return SetOutput{}, err
	}
	s.ops, s.notices.list = s.ops[:0], s.notices.list[:0]
	s.old = s.routers
	before := make(map[routerKey]*router, len(s.old))
	for _, r := range s.old {
		before[r.cfg.key()] = r
	}
	groups := make(map[string]*group, len(s.groups))
	for _, g := range s.groups {
		groups[g.name] = g
	}

	s.retire(now, cfg, members)
	s.cfg = cfg
	s.watchStrays()
	s.routers = nil
	for i, rc := range cfg.Routers {
		r := before[rc.key()]
		if r == nil || !sameOnWire(r.cfg, rc) {
			s.routers = append(s.routers, s.newRouter(i, rc))
			continue
		}
		moved := *r // old keeps its index and configuration for Ops with Old
		moved.index = i
		moved.configure(rc)
		s.routers = append(s.routers, &moved)
	}
	s.groups = nil
	for i, gc := range cfg.Groups {
		g := groups[gc.Name]
		if g == nil {
			g = &group{name: gc.Name}
		}
		s.groups = append(s.groups, g)
		s.populate(g, members[i])
	}
	for _, r := range s.routers {
		r.m.Reconfigure(r.cfg.machine(r.m.cfg.Source, r.group.weight))
		r.m.hasten(now)
		s.refresh(r)
	}
	for _, g := range s.groups {
		g.hold()
		s.adopt(now, g)
	}
	return SetOutput{Ops: s.ops, Notices: s.notices.list}, nil
}

// retire ends what cfg no longer has: whole groups, and single routers that left theirs.
func (s *Set) retire(now time.Time, cfg SetConfig, members [][]int) {
	stays := make(map[string]map[routerKey]RouterConfig)
	for i, g := range cfg.Groups {
		stays[g.Name] = make(map[routerKey]RouterConfig)
		for _, k := range members[i] {
			stays[g.Name][cfg.Routers[k].key()] = cfg.Routers[k]
		}
	}
	for _, g := range s.groups {
		from := len(s.ops)
		keep, ok := stays[g.name]
		if !ok {
			s.stop(now, g, CauseReconfigure, false)
		}
		for _, r := range g.members {
			if rc, in := keep[r.cfg.key()]; !in || !sameOnWire(r.cfg, rc) {
				s.step(now, r, Input{Event: EventShutdown})
			}
		}
		for i := from; i < len(s.ops); i++ {
			s.ops[i].Old = s.ops[i].Kind == OpSend
		}
	}
}

// adopt brings the members of a group, old and new, to its state.
func (s *Set) adopt(now time.Time, g *group) {
	if g.state == Initialize {
		if s.started {
			s.start(now, g, CauseReconfigure)
		}
		return
	}
	if s.health(now, g); g.state == Fault {
		return
	}
	for _, r := range g.members {
		switch {
		case g.outranked && r.m.State() != Active: // a better one is Active: nobody need hear of it
			r.m.Step(now, Input{Event: EventPromote})
			r.m.Step(now, Input{Event: EventLinger})
		case g.state == Active && r.m.State() != Active:
			s.step(now, r, Input{Event: EventPromote})
			if !g.leaveUntil.IsZero() {
				s.step(now, r, Input{Event: EventRelease})
			}
		case g.state == Backup && r.m.State() == Initialize:
			s.step(now, r, s.startup(r))
		case g.state == Backup && r.m.State() == Active:
			s.step(now, r, Input{Event: EventYield})
		}
	}
	s.settle(now, g)
}
