package sim

import (
	"time"

	"understudy/appliance"
)

// linkLost wakes the daemon for the end of its link.
func (d *daemon) linkLost(at int64) {
	d.n.down.flush()
	d.n.wakeDaemon(at)
}

// resumable lists the groups whose last advert is young enough to go on.
func (d *daemon) resumable() (out []appliance.GroupState) {
	now := d.n.local()
	for g := range d.n.w.sc.Groups {
		if s := &d.n.board.slots[g]; s.resumable(now) > 0 {
			out = append(out, appliance.GroupState{Group: d.n.w.sc.Groups[g].Name, State: s.state, Term: s.term})
		}
	}
	return out
}

// respawn starts a new election and briefs it (Client.Respawn).
func (d *daemon) respawn(resume []appliance.GroupState) {
	n, w := d.n, d.n.w
	id := n.pid()
	now := n.local()
	d.lost, d.since, d.child, d.lostAt = false, now, id, w.now
	n.up, n.down = fifo{}, fifo{}
	ready := max(w.now, n.noSpawn) + n.rng.between(int64(2*time.Millisecond), int64(20*time.Millisecond))
	for _, s := range resume {
		g := d.group(s.Group)
		n.board.slots[g].claim = claimOpen
		left := n.board.slots[g].resumable(now)
		w.q.push(event{at: max(w.now, n.clock.when(now+left)), kind: evGuard, node: int8(n.id), a: d.id, b: int32(g), c: id})
	}
	d.brief(resume)
	w.q.push(event{at: ready, kind: evElection, node: int8(n.id), a: id})
}

// brief tells a new election everything.
func (d *daemon) brief(resume []appliance.GroupState) {
	n, w := d.n, d.n.w
	put := func(m message) { n.up.put(m, w.now) }
	put(message{kind: msgConfigure, cfg: d.conf})
	for g := range w.sc.Groups {
		if d.fenced {
			put(message{kind: msgFence, group: g, mask: d.fences[g]})
		}
	}
	for g := range w.sc.Groups {
		if d.eligTold[g] {
			put(d.eligible[g])
		}
		if d.faults[g].ok {
			put(d.faults[g])
		}
	}
	for g := range w.sc.Groups {
		if d.weighed[g] {
			put(d.weights[g])
		}
	}
	for _, s := range resume {
		put(message{kind: msgResume, group: d.group(s.Group), groupState: groupState{term: s.Term}})
	}
	for g := range w.sc.Groups {
		if t := n.board.slots[g].highest; t > 0 {
			put(message{kind: msgTerm, group: g, groupState: groupState{term: t}})
		}
	}
	if d.ready {
		put(message{kind: msgReady})
	}
}

// electionUp is a respawned election that has got so far as to read its link.
func (n *node) electionUp(id int32) {
	if n.d == nil || n.e != nil || n.d.child != id {
		return
	}
	n.e = n.newElection(&peer{})
	n.e.id = id
	n.wakeElection()
}

// overdue is the guard of a group that is not resumed in time.
func (n *node) overdue(e event) {
	d := n.d
	if d == nil || d.id != e.a || d.child != e.c {
		return
	}
	if n.dHung { // the timer fires when the process goes on
		e.at = n.w.now + int64(time.Millisecond)
		n.w.q.push(e)
		return
	}
	g := int(e.b)
	if !n.board.slots[g].take(claimFenced) {
		return
	}
	n.w.trace("%s no election in time: fenced %s", n.name(), n.w.sc.Groups[g].Name)
	m := member{fence: d.fences[g], fenced: d.fenced}
	n.kernel.runFence(n, g, &m)
	d.post(appliance.Fenced{Group: n.w.sc.Groups[g].Name})
}

// wakeElectionAt gives the election a turn at a time of the world.
func (n *node) wakeElectionAt(at int64) {
	if n.e != nil && !n.eHung {
		n.eWake = min(n.eWake, max(at, n.w.now))
	}
}
