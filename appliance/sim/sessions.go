package sim

import (
	"errors"
	"time"

	"understudy/appliance"
)

// session is the link between two daemons over the last segment.
type session struct {
	possible bool
	stage    sessionStage
	pending  bool  // it has changed, and nobody has noticed yet
	num      int32 // of the attempt: old events are known by it
}

type sessionStage uint8

const (
	apart sessionStage = iota
	connected
	caughtUp // each has what the other had
)

// plane is what a daemon's session plane knows of each group, as in package
// replica.
type plane struct {
	active [MaxGroups]bool
	term   [MaxGroups]uint64
	holder [MaxGroups]int   // node that owns the group's sessions, plus 1; 0: nobody
	full   [MaxGroups]int64 // world time at which all of the holder's are here
	lacks  [MaxGroups]bool  // Active without the sessions of whoever was before
	claims [MaxGroups]uint8 // nodes that say they are Active
}

// latest is when the last transfer that is under way ends.
func (p *plane) latest() (at int64) {
	for _, full := range p.full {
		at = max(at, full)
	}
	return at
}

var errNoPeer = errors.New("no peer has them")

func (w *World) session(i, j int) *session { return &w.links[min(i, j)][max(i, j)] }

// sessionsChanged looks at every pair after something that may matter to it.
func (w *World) sessionsChanged() {
	if !w.sc.Sessions {
		return
	}
	for i, a := range w.nodes {
		for j := i + 1; j < len(w.nodes); j++ {
			b, s := w.nodes[j], &w.links[i][j]
			ok := a.d != nil && b.d != nil && !a.dHung && !b.dHung && a.linkUp[syncLink] && b.linkUp[syncLink] &&
				!w.paths[syncLink][i][j].cut && !w.paths[syncLink][j][i].cut
			if ok == s.possible {
				continue
			}
			s.possible, s.pending = ok, true
			s.num++
			after := a.rng.between(int64(5*time.Millisecond), int64(60*time.Millisecond))
			if !ok && (a.d == nil || b.d == nil) {
				after = int64(time.Millisecond) // the socket says so
			}
			w.q.push(event{at: w.now + after, kind: evSynced, node: int8(i), a: int32(j), b: s.num})
		}
	}
}

// sessionEvent moves a link on by a stage.
func (w *World) sessionEvent(i, j int, num int32) {
	if i == j { // a node looks again whether it is in sync by now
		w.nodes[i].report()
		return
	}
	s := w.session(i, j)
	if s.num != num {
		return
	}
	s.pending = false
	a, b := w.nodes[i], w.nodes[j]
	switch {
	case !s.possible:
		s.stage = apart
		a.unclaimed(b)
		b.unclaimed(a)
	case s.stage == apart:
		s.stage = connected
		a.introduce(b)
		b.introduce(a)
		w.q.push(event{at: w.now + a.resync(), kind: evSynced, node: int8(i), a: int32(j), b: num})
	default:
		s.stage = caughtUp
		a.plane.lacks, b.plane.lacks = [MaxGroups]bool{}, [MaxGroups]bool{}
	}
	a.report()
	b.report()
}

// resync is what a full transfer takes.
func (n *node) resync() int64 {
	if n.transfer > 0 {
		return n.transfer
	}
	return n.rng.between(int64(5*time.Millisecond), int64(300*time.Millisecond))
}

// introduce tells a peer, over a link that is new, what we own.
func (n *node) introduce(to *node) {
	for g := range n.w.sc.Groups {
		switch {
		case n.plane.active[g]:
			to.hears(n, g, n.plane.term[g])
		case to.plane.holder[g] == n.id+1:
			to.plane.holder[g] = 0
			to.plane.claims[g] &^= 1 << n.id
		default:
			to.plane.claims[g] &^= 1 << n.id
		}
	}
}

// hears is a peer's word that it owns a group, under a term; 0: not any more.
func (n *node) hears(from *node, g int, term uint64) {
	if n.plane.claims[g] &^= 1 << from.id; term != 0 {
		n.plane.claims[g] |= 1 << from.id
	}
	if term == 0 {
		if n.plane.holder[g] == from.id+1 {
			n.plane.holder[g] = 0
		}
		n.report()
		return
	}
	n.plane.holder[g] = from.id + 1
	n.plane.full[g] = n.w.now + n.resync()
	n.w.q.push(event{at: n.plane.full[g], kind: evSynced, node: int8(n.id), a: int32(n.id)})
	if n.d != nil {
		n.d.post(appliance.TermHeard{Group: n.w.sc.Groups[g].Name, Term: term})
	}
	n.report()
}

// termHeard is hears, after the link's latency; who says it is found out then.
func (n *node) termHeard(g int, term uint64) {
	for _, from := range n.w.nodes {
		if from != n && from.plane.active[g] == (term != 0) && (term == 0 || from.plane.term[g] == term) &&
			n.w.session(n.id, from.id).stage != apart {
			n.hears(from, g, term)
		}
	}
}

func (n *node) say(g int, term uint64) {
	for _, to := range n.w.nodes {
		if to != n && n.w.session(n.id, to.id).stage != apart {
			n.w.q.push(event{at: n.w.now + int64(time.Millisecond), kind: evNews, node: int8(to.id), a: int32(g), b: int32(term)})
		}
	}
}

func (n *node) activate(g int, term uint64) {
	if n.plane.active[g] && n.plane.term[g] == term {
		return
	}
	n.plane.lacks[g] = !n.plane.active[g] && !n.groupInSync(g)
	n.plane.active[g], n.plane.term[g] = true, term
	n.say(g, term)
	n.report()
}

func (n *node) deactivate(g int) {
	if !n.plane.active[g] {
		return
	}
	n.plane.active[g], n.plane.lacks[g] = false, false
	n.plane.holder[g] = 0
	for _, p := range n.w.nodes {
		if p != n && p.plane.active[g] && n.w.session(n.id, p.id).stage != apart {
			n.hears(p, g, p.plane.term[g])
		}
	}
	n.say(g, 0)
	n.report()
}

func (n *node) connected() bool {
	for _, p := range n.w.nodes {
		if p != n && n.w.session(n.id, p.id).stage != apart {
			return true
		}
	}
	return false
}

// unclaimed forgets what a peer said that is not connected any more.
func (n *node) unclaimed(from *node) {
	for g := range n.plane.claims {
		n.plane.claims[g] &^= 1 << from.id
	}
}

func (n *node) covered() bool {
	for _, p := range n.w.nodes {
		if p != n && n.w.session(n.id, p.id).stage == caughtUp {
			return true
		}
	}
	return false
}

func (n *node) inSync() bool {
	for g := range n.w.sc.Groups {
		if !n.groupInSync(g) {
			return false
		}
	}
	return true
}

// groupInSync is replica.Engine.inSync: Active here, or all of the holder's
// sessions are, or a connected peer says that nobody is the holder.
func (n *node) groupInSync(g int) bool {
	if n.plane.active[g] {
		return true
	}
	for _, p := range n.w.nodes {
		if p == n || n.w.session(n.id, p.id).stage == apart {
			continue
		}
		switch n.plane.holder[g] {
		case p.id + 1:
			return n.w.now >= n.plane.full[g]
		case 0:
			return true
		}
	}
	return false
}

// report tells Core of readiness, when it has changed.
func (n *node) report() {
	if n.d == nil || !n.w.sc.Sessions {
		return
	}
	for g := range n.w.sc.Groups {
		if on := n.plane.claims[g] != 0; on != n.d.claimed[g] {
			n.d.claimed[g] = on
			n.d.post(appliance.Claimed{Group: n.w.sc.Groups[g].Name, On: on})
		}
	}
	s := appliance.Synced{Connected: n.connected(), InSync: n.inSync(), Covered: n.covered(), Incomplete: n.plane.lacks != [MaxGroups]bool{}}
	if n.d.toldOnce && s == n.d.told {
		return
	}
	n.d.told, n.d.toldOnce = s, true
	n.w.trace("%s session plane: connected %v in sync %v", n.name(), s.Connected, s.InSync)
	n.d.post(s)
}

// drain waits until a peer has every session.
func (n *node) drain(g int, bound int64) {
	after, fine := bound, int32(0)
	for _, p := range n.w.nodes {
		if p != n && n.w.session(n.id, p.id).stage == caughtUp {
			after, fine = n.rng.between(int64(time.Millisecond), int64(30*time.Millisecond)), 1
		}
	}
	n.d.draining++
	n.w.q.push(event{at: n.w.now + after, kind: evDrained, node: int8(n.id), a: n.d.id, b: int32(g), c: fine})
}

func (d *daemon) drained(g int, fine bool) {
	d.draining = max(d.draining-1, 0)
	ev := appliance.Drained{Group: d.n.w.sc.Groups[g].Name}
	if !fine {
		ev.Err = errNoPeer
	}
	d.post(ev)
}
