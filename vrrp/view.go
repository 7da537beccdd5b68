package vrrp

import (
	"net/netip"
	"time"
)

// RouterView is what an invariant is about in one virtual router: a copy, without allocation, for those who watch
// every step. People want Snapshot.
type RouterView struct {
	State    State
	Ready    bool          // Backup, Active_Down_Timer ran out
	Timer    time.Time     // zero: not armed
	Learned  time.Duration // Active_Adver_Interval
	Held     bool          // leaves a live lower Active alone
	Priority uint8         // as advertised
	Source   netip.Addr    // of its adverts; invalid until its link was told
	Form     ChecksumForm  // of its adverts
}

// GroupView is the same for a group.
type GroupView struct {
	State         State
	Leaving       bool
	Term, Highest uint64
	HandedOver    bool
	Held          bool // its takeover is put off
	Spent         bool // ... and will not be again, until an advert is heard
}

// Router looks at a router by its index in the configuration.
func (s *Set) Router(i int) RouterView {
	m := s.routers[i].m
	return RouterView{State: m.state, Ready: m.ready, Timer: m.timer, Learned: m.learned, Held: m.cfg.Held,
		Priority: m.cfg.Priority, Source: m.cfg.Source, Form: s.routers[i].form}
}

// Group looks at a group by its index in the configuration.
func (s *Set) Group(i int) GroupView {
	g := s.groups[i]
	return GroupView{State: g.state, Leaving: !g.leaveUntil.IsZero(), Term: g.term, Highest: g.highest, HandedOver: g.handedOver,
		Held: !g.wait.since.IsZero(), Spent: g.wait.spent}
}
