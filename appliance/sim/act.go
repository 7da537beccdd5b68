package sim

import (
	"strings"
	"time"

	"understudy/appliance"
	"understudy/vrrp"
)

// act does one act of the schedule.
func (w *World) act(a *Act) {
	n, m := w.nodes[a.A], w.nodes[a.B]
	if w.Trace != nil {
		w.trace("-- %s", w.sc.actText(a))
	}
	w.mix(uint64(a.Verb))
	switch a.Verb {
	case Cut, Join:
		w.paths[a.Seg][n.id][m.id].cut = a.Verb == Cut
		w.paths[a.Seg][m.id][n.id].cut = a.Verb == Cut
		w.sessionsChanged()
	case Mute:
		w.paths[a.Seg][n.id][m.id].cut = true
		w.sessionsChanged()
	case Noise:
		p := &w.paths[a.Seg][n.id][m.id]
		p.loss, p.dup, p.bad, p.delay, p.jitter = a.N[0], a.N[1], a.N[2], int64(a.D[0]), int64(a.D[1])
		w.slowest = max(w.slowest, p.delay+p.jitter)
	case Split:
		w.split(a.Seg, a.N[0])
	case Heal:
		for i := range w.nodes {
			for j := range w.nodes {
				w.paths[a.Seg][i][j].reset(w.settledDelay())
			}
		}
		w.sessionsChanged()
	case LinkState:
		n.setLink(a.Seg, a.Word)
	case Rogue:
		for r := range w.sc.Routers {
			if w.sc.Routers[r].Segment == a.Seg && a.N[1] > 0 {
				w.transmit(-1, a.Seg, w.outsider(r, uint8(a.N[0]), int64(a.D[0])))
			}
		}
	case Junk:
		w.junk(a.Seg, int(a.N[0]))
	case Expect:
		w.expect(a.G, a.N[0])
	default:
		n.act(a)
	}
	w.check.guard(w)
}

// split separates a set of nodes from the others.
func (w *World) split(segment int, set int64) {
	for i := range w.nodes {
		for j := range w.nodes {
			if set>>i&1 != set>>j&1 {
				w.paths[segment][i][j].cut = true
			}
		}
	}
	w.sessionsChanged()
}

// junk is packets of chance bytes, most of which look like adverts at first.
func (w *World) junk(segment, count int) {
	r := seeded(w.sc.Seed, 3, uint64(w.now))
	for range count {
		p := w.packet[:0]
		for i := range w.sc.Routers {
			if w.sc.Routers[i].Segment == segment {
				p = w.outsider(i, uint8(r.next()), int64(time.Second))
			}
		}
		for range r.between(1, 4) {
			if len(p) > 0 {
				p[r.below(int64(len(p)))] = byte(r.next())
			}
		}
		w.transmit(-1, segment, p[:r.between(0, int64(len(p)))])
	}
}

// act does what concerns one node.
func (n *node) act(a *Act) {
	w := n.w
	until := w.now + int64(a.D[0])
	defer n.applyBound()
	switch a.Verb {
	case Crash:
		n.crash()
	case Start:
		if !n.running {
			n.start(0)
		}
	case StopUnit:
		if n.e != nil {
			n.e.sigterm = true
			n.wakeElection()
		}
	case Kill:
		n.kill(a.Word)
	case Hang:
		n.hang(a.Word)
	case Wake:
		n.wake()
	case Deaf:
		n.hang("both")
		n.deaf = true
	case NoSpawn:
		n.noSpawn = until
	case Slow:
		n.slow = max(int64(a.D[0]), 1)
	case Refuse:
		switch a.Word {
		case "addresses":
			n.kernel.noAddresses = until
		case "gate":
			n.kernel.noGate = until
		case "fence":
			n.kernel.noFence = until
		}
	case Drift:
		n.drift(a.G)
	case Delay:
		n.lag = int64(a.D[0])
	case Stall:
		n.stalled = until
		if n.e != nil && n.e.daemon != nil {
			n.e.daemon.silent(n.local())
		}
		n.wakeElection()
		n.wakeDaemon(w.now)
	case Late:
		n.late = int64(a.D[0])
	case Check:
		name, state, _ := strings.Cut(a.Word, "-")
		n.setCheck(name, state)
	case Resync:
		n.transfer = int64(a.D[0])
	case Reclaim:
		n.poke(vrrp.SetInput{Kind: vrrp.InReclaim, Group: w.sc.Groups[a.G].Name})
	case Poke:
		n.surprise(a)
	case Event:
		if n.d != nil {
			n.d.event(a)
		}
	default:
		n.actDaemon(a)
	}
}

func (n *node) kill(which string) {
	if which != "daemon" {
		n.killElection()
	}
	if which != "election" {
		n.killDaemon()
	}
}

// drift is somebody who removes an address of ours.
func (n *node) drift(g int) {
	m := n.cfg.masks[g] & n.kernel.addrs
	if m == 0 {
		return
	}
	n.kernel.setAddresses(n, n.kernel.addrs&^(m&-m))
	n.kernel.drifted = true
	if n.d != nil {
		n.d.post(appliance.Drifted{Why: "removed"})
	}
}

// actDaemon does what goes through the daemon: nothing, if it does not answer.
func (n *node) actDaemon(a *Act) {
	d, w := n.d, n.w
	if d == nil {
		return
	}
	next := n.cfg.Node
	extra := n.cfg.extra
	switch a.Verb {
	case Failover:
		d.requests++
		ev := appliance.Failover{ID: d.requests, Group: w.sc.Groups[a.G].Name, Force: a.Word == "force"}
		if a.Word == "all" {
			ev.Group = ""
		}
		d.post(ev)
		return
	case Raise:
		d.send(message{kind: msgTerm, group: a.G, groupState: groupState{term: uint64(a.N[0])}, ok: true})
		return
	case Absence:
		d.send(message{kind: msgBudget, wait: int64(a.D[0])})
		return
	case Priority:
		for r := range next.Priority {
			next.Priority[r] = uint8(min(max(a.N[0], 1), 254))
		}
	case Preempt:
		next.Preempt = a.Word == "yes"
	case Addresses:
		extra = int(min(max(a.N[0], 0), perRouter-1))
	case Interval:
		next.Interval = a.D[0]
	}
	if n.dHung || d.lost || d.asked != nil && w.now-d.askedAt <= configureBound {
		return // the control socket does not answer, or one is under way
	}
	d.asked, d.askedAt = w.newSetup(n.name(), next, extra), w.now
	d.send(message{kind: msgConfigure, cfg: d.asked})
}

// configureBound is how long a reload waits for the election.
const configureBound = int64(10 * time.Second)

// reloaded goes on with a reload that the election has accepted.
func (d *daemon) reloaded(cfg *setup) {
	n := d.n
	late := n.w.now-d.askedAt > configureBound
	if cfg != d.asked || late {
		d.asked = nil
		return
	}
	d.asked = nil
	n.cfg, d.cfg = cfg, cfg
	d.sendFences()
	d.post(appliance.Reloaded{Config: cfg.core})
}
