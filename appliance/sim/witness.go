package sim

import (
	"net/netip"

	"understudy/appliance"
	"understudy/health"
	"understudy/vrrp"
	"understudy/vrrp/witness"
)

// The heartbeats of package vrrp/witness: real Guards, whose packets travel on the
// sync segment with its losses, delays and cuts, also twice. The neighbour in
// common is on the LAN: a node hears it while its link there is up and its daemon
// says so. The model tells its guard at once what the daemon would tell it.

// guardKeys are made once a run: they cost more than a heartbeat.
func (w *World) guardKeys() {
	for i := range w.sc.Nodes {
		w.keys[i], _ = witness.NewKey([]byte("the secret of a simulated cluster"), nodeName(i))
	}
}

func (n *node) newGuard(id int32) *witness.Guard {
	w := n.w
	c := witness.Config{Mode: witness.ModeOff}
	if w.sc.Guard != "" {
		at := func(i int) netip.AddrPort { return netip.AddrPortFrom(source(syncLink, i, 4), 7788) }
		c = witness.Config{Node: n.name(), Mode: witness.Mode(w.sc.Guard), Listen: at(n.id), Key: w.keys[n.id]}
		for i := range w.sc.Nodes {
			if i != n.id {
				c.Peers = append(c.Peers, witness.Peer{Name: nodeName(i), Address: at(i), Keys: []witness.Key{w.keys[i]}})
			}
		}
	}
	return witness.NewGuard(c, uint64(n.id+1)<<32|uint64(id))
}

// beatRoom is how many heartbeats wait in a socket that nobody reads.
const beatRoom = 64

// sendBeat puts a heartbeat on its way.
func (w *World) sendBeat(from, to int, packet []byte) {
	p := &w.paths[syncLink][from][to]
	if !w.nodes[from].linkUp[syncLink] || p.cut || p.rng.percent(p.loss) {
		return
	}
	w.deliverBeat(p, to, packet)
	if p.rng.percent(p.dup) {
		w.deliverBeat(p, to, packet)
	}
}

func (w *World) deliverBeat(p *path, to int, packet []byte) {
	i := int32(len(w.beats))
	if k := len(w.freeBeats); k > 0 {
		i, w.freeBeats = w.freeBeats[k-1], w.freeBeats[:k-1]
	} else {
		w.beats = append(w.beats, beatPacket{})
	}
	b := &w.beats[i]
	b.bytes = append(b.bytes[:0], packet...)
	if p.rng.percent(p.bad) {
		bit := p.rng.below(int64(len(b.bytes)) * 8)
		b.bytes[bit/8] ^= 1 << (bit % 8)
	}
	at := w.now + p.delay
	if p.jitter > 0 {
		at += p.rng.below(p.jitter)
	}
	w.q.push(event{at: at, kind: evBeat, node: int8(to), a: i})
}

// beatPacket is a heartbeat on its way, or in a socket.
type beatPacket struct {
	bytes []byte
	rx    int64
}

// arriveBeat is a heartbeat at a node.
func (n *node) arriveBeat(i int32) {
	if n.e == nil || !n.linkUp[syncLink] || n.deaf && n.eHung || len(n.beatbox) >= beatRoom {
		n.w.freeBeats = append(n.w.freeBeats, i)
		return
	}
	n.w.beats[i].rx = n.local()
	n.beatbox = append(n.beatbox, i)
	n.wakeElection()
}

// receiveBeats reads all that has come, as the loop does before it believes a timer.
func (e *election) receiveBeats() {
	n, w := e.n, e.n.w
	for len(n.beatbox) > 0 && n.e == e {
		i := n.beatbox[0]
		n.beatbox = n.beatbox[1:]
		b := &w.beats[i]
		e.guard.Receive(stamp(e.now), stamp(b.rx), b.bytes)
		for k := range e.guard.Said() {
			if g, term, news := e.guard.Term(k, e.set); news {
				n.board.slots[g].highest = max(n.board.slots[g].highest, term)
				e.step(vrrp.SetInput{Kind: vrrp.InTerm, Group: w.sc.Groups[g].Name, Term: term})
			}
			if in, ok := e.guard.Vouch(k); ok {
				e.step(in)
			}
		}
		w.freeBeats = append(w.freeBeats, i)
	}
}

// beat sends what is due and judges, at the end of a turn.
func (e *election) beat() {
	n, w := e.n, e.n.w
	if e.guard.Due(stamp(e.now)) {
		e.guard.SetNeighbour(n.neighbour())
		for k := range e.guard.Peers() {
			to := k
			if k >= n.id {
				to++
			}
			w.beatBuf, _ = e.guard.Append(stamp(e.now), k, e.set, w.beatBuf[:0])
			w.sendBeat(n.id, to, w.beatBuf)
		}
		w.check.dual(w, n)
	}
	changed, again := e.guard.Judge(stamp(e.now), e.set)
	for _, name := range again {
		e.tell(message{kind: msgReclaim, group: e.index(name)})
	}
	if changed {
		e.tell(message{kind: msgFound, findings: findings(e.guard.Findings())})
	}
}

func findings(in []witness.Finding) (out []appliance.Finding) {
	for _, f := range in {
		out = append(out, appliance.Finding{Alarm: string(f.Kind), Group: f.Group, Peer: f.Peer, Since: f.Since, Detail: f.Detail})
	}
	return out
}

// neighbour is what a node's heartbeats say of it.
func (n *node) neighbour() witness.Neighbour {
	switch {
	case n.d == nil || n.dHung || n.checks[soft] == health.Unknown:
		return witness.NeighbourUnknown
	case n.linkUp[0]:
		return witness.NeighbourUp
	}
	return witness.NeighbourDown
}

// hold: never longer than the limit, from one advert to the next, by a reckoning of
// its own.
func (c *checker) hold(w *World, e *election, g int, in *vrrp.SetInput, dropped bool) {
	t := &e.n.truth.groups[g]
	is := e.set.Group(g)
	if w.sc.Guard != "hold" {
		if is.Held {
			w.fail("hold", "%s: holds without being told to", e.n.name())
		}
		return
	}
	if t.holdAt != 0 {
		t.holdSum += e.now - t.holdAt
		t.holdAt = 0
	}
	heard := in.Kind == vrrp.InAdvert && !dropped && in.Advert.Priority != 0 && e.groupOf(in.Router) == g
	if heard || in.Kind == vrrp.InVouch && !in.On && is.State == vrrp.Active || is.State == vrrp.Active && is.Leaving {
		t.holdSum = 0
	}
	if is.Held {
		t.holdAt = e.now
		// Who has slept reads its sockets before it believes its timer, in the same turn.
		due := e.set.Deadline()
		if overdue := !due.IsZero() && nano(due) <= e.now; t.holdSum >= int64(w.sc.HoldLimit) && !overdue {
			w.fail("hold", "%s: %s is held for %v", e.n.name(), w.sc.Groups[g].Name, t.holdSum)
		}
		if is.State != vrrp.Backup {
			w.fail("hold", "%s: %s is held while %v", e.n.name(), w.sc.Groups[g].Name, is.State)
		}
	}
}

// dual: with hold, where heartbeats come through and the better one hears the
// neighbour, two are not Active for long, unless the lower has used up its limit.
func (c *checker) dual(w *World, n *node) {
	if w.sc.Guard != "hold" {
		return
	}
	for _, m := range w.nodes {
		if m == n {
			continue
		}
		for g := range w.sc.Groups {
			since := &w.duals[n.id][m.id][g]
			if !w.sees(n, m, g) {
				*since = 0
				continue
			}
			if *since == 0 {
				*since = w.now
			}
			bound := 12*int64(max(n.cfg.Interval, m.cfg.Interval)) + 8*(w.slowest+w.settledDelay()+n.late+m.late) + int64(100e6)
			if w.now-*since > bound {
				w.fail("guard", "%s and %s are both Active in %s for %v although heartbeats come through", n.name(), m.name(),
					w.sc.Groups[g].Name, w.now-*since)
			}
		}
	}
}

// sees tells whether n is Active beside m, better, and would have to give way.
func (w *World) sees(n, m *node, g int) bool {
	if n.e == nil || m.e == nil || m.eHung || n.eHung || m.e.set == nil || m.neighbour() != witness.NeighbourUp {
		return false
	}
	for _, pair := range [2][2]int{{n.id, m.id}, {m.id, n.id}} {
		if p := &w.paths[syncLink][pair[0]][pair[1]]; p.cut || p.loss > 0 || p.bad > 0 {
			return false
		}
	}
	a, b := n.e.set.Group(g), m.e.set.Group(g)
	if !n.linkUp[syncLink] || !m.linkUp[syncLink] || a.State != vrrp.Active || b.State != vrrp.Active || a.Leaving || b.Leaving || a.Spent {
		return false
	}
	anchor := n.e.set.Members(g)[0]
	ours, theirs := n.e.set.Router(anchor), m.e.set.Router(anchor)
	if ours.Priority != theirs.Priority {
		return theirs.Priority > ours.Priority
	}
	return theirs.Source.Compare(ours.Source) > 0
}
