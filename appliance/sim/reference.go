package sim

import "understudy/vrrp"

// The reference is a second, simpler reckoning of when a router may become
// Active, from what it was given and RFC 9568 alone. It is a lower bound: where it
// cannot know (is the box eligible?) it allows.

// nodeTruth is what is remembered of a node's election between its steps.
type nodeTruth struct {
	routers [MaxRouters]routerTruth
	groups  [MaxGroups]groupTruth
	links   [Segments]linkTruth
}

// linkTruth is what an election was told of a link.
type linkTruth struct {
	up           bool
	since, ended int64 // when it came up, went down
	tries        int   // times it came up without having stayed so
}

// followLink updates it after a step.
func (e *election) followLink(in *vrrp.SetInput) {
	w := e.n.w
	for s := range Segments {
		l := &e.n.truth.links[s]
		if in.Interface != segmentNames[s] {
			continue
		}
		switch {
		case in.Kind != vrrp.InLink || in.Up == l.up:
		case in.Up:
			if l.tries++; l.ended-l.since >= int64(e.cfg.Settle) {
				l.tries = 1
			}
			l.up, l.since = true, e.now
			for r := range w.sc.Routers {
				if w.sc.Routers[r].Segment == s {
					e.n.truth.routers[r].delivers = false
				}
			}
		default:
			l.up, l.ended = false, e.now
		}
	}
}

// unsettled tells whether silence on a router's link proves nothing yet.
func (e *election) unsettled(r int) bool {
	l := e.n.truth.links[e.n.w.sc.Routers[r].Segment]
	return e.cfg.Settle > 0 && e.cfg.Priority[r] != 255 && !e.n.truth.routers[r].delivers && l.tries <= 3 && e.now < l.since+int64(e.cfg.Settle)
}

type routerTruth struct {
	vrrp.RouterView
	learned  int64 // Active_Adver_Interval
	armed    int64 // what the timer is counted from
	onSkew   bool
	heard    int64 // when the successor was heard by one that is leaving; 0: not yet
	earliest int64 // it may not be Active before
	delivers bool  // an advert that counts, as Backup, since its link is up

	promised int64 // the interval that the last advert told
	zeroed   bool  // priority 0 was sent in this activation
	window   int64 // when the count of adverts began
	inWindow int
}

type groupTruth struct {
	vrrp.GroupView
	highest    uint64 // terms used or heard of
	handedOver bool
	preemptAt  int64
	since      int64 // of the state

	holdAt, holdSum int64 // a hold was seen last, and how long it was before

	open, held int64 // world time since when gate or addresses are there without being Active; 0: they are not
}

// fresh forgets everything: a new start, with an empty board.
func (t *nodeTruth) fresh() {
	kept := t.groups
	*t = nodeTruth{}
	for g := range kept {
		t.groups[g].open, t.groups[g].held = kept[g].open, kept[g].held
	}
}

// electionGone keeps what the board keeps.
func (t *nodeTruth) electionGone() {
	kept := t.groups
	*t = nodeTruth{}
	for g := range kept {
		t.groups[g].highest, t.groups[g].open, t.groups[g].held = kept[g].highest, kept[g].open, kept[g].held
	}
}

// skew and activeDown are the formulas of RFC 9568, 6.1 (version 2: RFC 3768).
func skew(version, priority uint8, learned int64) int64 {
	if version == 2 {
		learned = 1e9
	}
	return (256 - int64(priority)) * learned / 256
}

func activeDown(version, priority uint8, learned int64) int64 {
	return 3*learned + skew(version, priority, learned)
}

// rearm starts the reference's timer.
func (e *election) rearm(r int, from int64, onSkew bool) {
	t := &e.n.truth.routers[r]
	version, priority := e.n.w.sc.Routers[r].Version, e.priority(r)
	t.armed, t.onSkew = from, onSkew
	t.earliest = from + skew(version, priority, t.learned)
	if !onSkew {
		t.earliest = from + activeDown(version, priority, t.learned)
	}
}

// refHeld tells whether the box is surely not to preempt: a hand-over, or it lacks
// sessions, Core knows, the bound is not over, and all was said and heard.
func (e *election) refHeld(g int) bool {
	n := e.n
	if n.truth.groups[g].handedOver {
		return true
	}
	d := n.d
	return n.w.sc.Sessions && d != nil && d.syncedOut && e.now < d.syncedAt+syncBound && n.heardAll() &&
		e.now > n.truth.groups[g].since
}

// syncBound is Core's: how long not being in sync forbids to preempt.
const syncBound = int64(30e9)

// heardAll tells whether no message or event is on its way inside the node.
func (n *node) heardAll() bool {
	d := n.d
	return d != nil && !d.lost && d.mode == modeRunning && !n.dHung && n.e != nil && n.e.daemon != nil && n.e.daemon.ready &&
		len(n.up.q) == 0 && len(n.down.q) == 0 && len(d.events) == 0 && n.e.oweAt == 0
}

// follow updates the reference after a step; was is the router before.
func (e *election) follow(r int, was vrrp.State, in *vrrp.SetInput, dropped, reconfigured bool, from vrrp.RouterView) {
	n := e.n
	t := &n.truth.routers[r]
	g := e.groupOf(r)
	own := int64(e.cfg.Interval)
	is := e.set.Router(r).State
	rx := e.now
	if in.Kind == vrrp.InAdvert && !in.Rx.IsZero() {
		rx = min(nano(in.Rx), e.now)
	}
	mine := in.Kind == vrrp.InAdvert && in.Router == r && !dropped && !reconfigured
	// The first advert on a new link may bring the timer nearer without being accepted.
	first := !t.delivers && e.cfg.Settle > 0
	t.delivers = t.delivers || mine && was != vrrp.Initialize
	switch {
	case is != vrrp.Backup:
		if was == vrrp.Initialize && is == vrrp.Active {
			t.learned, t.delivers = own, true // one that goes on: its link is new to this election only
		}
		if t.heard > 0 && (is != vrrp.Active || !e.set.Group(g).Leaving) {
			t.heard = 0
		}
		if mine && is == vrrp.Active && in.Advert.Priority != 0 && e.set.Group(g).Leaving {
			t.learn(e, r, in)
			t.heard = e.now
		}
	case was == vrrp.Initialize:
		t.learned = own
		n.truth.groups[g].preemptAt = e.now + int64(e.cfg.Delay)
		for _, m := range e.cfg.members[g] {
			if since := n.truth.links[n.w.sc.Routers[m].Segment].since; e.cfg.Settle > 0 && e.cfg.Priority[m] != 255 {
				n.truth.groups[g].preemptAt = max(n.truth.groups[g].preemptAt, since+int64(e.cfg.Settle))
			}
		}
		e.rearm(r, e.now, false)
		if e.priority(r) == 255 {
			t.earliest, t.delivers = e.now, true // an owner does not wait, whatever becomes of it
		}
	case was == vrrp.Active && mine && in.Advert.Priority == 0: // of the one that we were giving way to
		e.rearm(r, rx, true)
		t.heard = 0
	case was == vrrp.Active && mine:
		t.learn(e, r, in)
		e.rearm(r, max(rx, t.armed), false)
		t.heard = 0
	case was == vrrp.Active && t.heard > 0:
		e.rearm(r, t.heard, false)
		t.heard = 0
	case was == vrrp.Active:
		e.rearm(r, e.now, false)
	case (reconfigured || in.Kind == vrrp.InWeight) && from.Ready: // it ran out before
	case reconfigured || in.Kind == vrrp.InWeight:
		e.rearm(r, t.armed, t.onSkew)
	case mine && in.Advert.Priority == 0:
		e.rearm(r, max(rx, n.truth.groups[g].since), true)
	case mine && (in.Advert.Priority >= e.priority(r) || !e.refPreempts(r, g)):
		t.learn(e, r, in)
		e.rearm(r, max(rx, n.truth.groups[g].since), false)
	case mine && from.Timer != e.set.Router(r).Timer && (!first || e.set.Router(r).Timer.After(from.Timer) || from.Learned != e.set.Router(r).Learned):
		// It was held by something that the reference does not know of.
		t.learn(e, r, in)
		e.rearm(r, max(rx, n.truth.groups[g].since), false)
	}
}

func (e *election) refPreempts(r, g int) bool {
	if e.refHeld(g) || e.now < e.n.truth.groups[g].preemptAt {
		return false
	}
	return e.cfg.Preempt || e.priority(r) == 255
}

func (t *routerTruth) learn(e *election, r int, in *vrrp.SetInput) {
	if e.n.w.sc.Routers[r].Version != 2 {
		t.learned = int64(in.Advert.Interval)
	}
}
