package sim

import (
	"time"

	"understudy/vrrp"
)

// ending is what follows the faults: everything is repaired, and within bounds
// there is one Active in each group, the right one, and it stays (L1 to L6).
type ending struct {
	phase   endPhase
	began   int64 // of the phase
	healthy int64 // since when every node is; 0: not yet
	moves   int   // activations, all in all

	victim    int              // of the exercise
	releaseAt int64            // of the first priority 0
	bound     int64            // for a successor after it
	checkAt   int64            // when the exercise is judged; 0: not known yet
	bridged   bool             // the one that gives way lingers, or has
	dual      int64            // since when two serve; 0: they do not
	seen      [MaxGroups]int64 // activation of somebody else after the exercise
}

type endPhase uint8

const (
	faults endPhase = iota
	settling
	exercising
	watching
)

// Bounds of the ending. Each is what the parts can take one after the other.
const (
	healthBound = int64(150 * time.Second) // Core's pause after a refusal of the kernel is up to a minute
	calmBound   = syncBound + int64(5*time.Second)
)

func (x *ending) activated(w *World, node, g int) {
	x.moves++
	// Who hands over to one that has learned too long an interval takes the group back.
	if x.phase == exercising && (node != x.victim || x.releaseAt > 0) && x.seen[g] == 0 {
		x.seen[g] = w.now
	}
}

// phase is the ending's own clock.
func (w *World) phase() {
	x := &w.ends
	if x.phase == faults {
		w.repair()
		x.phase, x.began = settling, w.now
	}
	switch x.phase {
	case settling:
		w.settle()
	case exercising:
		x.both(w)
		w.exercised()
	case watching:
		w.watch()
	}
	if !w.done && w.failure == nil {
		next := w.now + max(w.settledDelay()*40, int64(5*time.Millisecond))
		if x.checkAt > w.now {
			next = min(next, x.checkAt)
		}
		w.q.push(event{at: next, kind: evPhase})
	}
}

// repair ends every fault.
func (w *World) repair() {
	w.trace("-- everything is repaired")
	for s := range w.paths {
		for i := range w.paths[s] {
			for j := range w.paths[s][i] {
				w.paths[s][i][j].reset(w.settledDelay())
			}
		}
	}
	for _, n := range w.nodes {
		n.late, n.lag, n.stalled, n.noSpawn, n.transfer, n.slow = 0, 0, 0, 0, 0, int64(time.Millisecond)
		n.kernel.noAddresses, n.kernel.noGate, n.kernel.noFence = 0, 0, 0
		n.wake()
		for _, name := range checkNames {
			n.setCheck(name, "up")
		}
		for s := range n.linkUp {
			if !n.linkUp[s] || n.bare[s] {
				n.setLink(s, "up")
			}
		}
		for g := range w.sc.Groups {
			if n.poked {
				n.surprise(&Act{Verb: Poke, A: n.id, G: g, Word: "fault-off"})
			}
		}
		n.poked = false
		n.wakeElection()
		n.wakeDaemon(w.now)
		if !n.running && n.e == nil && n.d == nil {
			n.start(0)
		}
	}
	w.sessionsChanged()
}

// longest returns the longest Active_Down_Interval and interval there are.
func (w *World) longest() (down, interval int64) {
	for _, n := range w.nodes {
		cfg := n.cfg
		if n.e != nil && n.e.set != nil {
			cfg = n.e.cfg
		}
		interval = max(interval, int64(cfg.Interval))
		for r := range w.sc.Routers {
			learned, priority := int64(cfg.Interval), cfg.Priority[r]
			if n.e != nil && n.e.set != nil {
				learned, priority = max(learned, int64(n.e.set.Router(r).Learned)), n.e.priority(r)
			}
			down = max(down, activeDown(w.sc.Routers[r].Version, priority, learned))
		}
	}
	return down, interval
}

// settleBound is how long links are new that came up when everything was repaired.
func (w *World) settleBound() (longest int64) {
	for _, n := range w.nodes {
		longest = max(longest, int64(n.cfg.Settle))
	}
	return longest
}

func (w *World) settle() {
	x := &w.ends
	for _, n := range w.nodes {
		if !n.running && n.e == nil && n.d == nil {
			n.start(0) // it was stopping
		}
	}
	down, interval := w.longest()
	slack := 4*w.settledDelay() + int64(20*time.Millisecond)
	if sick := w.sick(); sick != "" {
		x.healthy = 0
		if w.now-x.began > healthBound {
			w.fail("healthy", "%s", sick)
		}
		return
	}
	if x.healthy == 0 {
		x.healthy = w.now
	}
	if w.now-x.healthy > 2*down+w.settleBound()+slack {
		for g := range w.sc.Groups {
			if w.actives(g, -1) == 0 {
				w.fail("L1", "nobody is Active in %s", w.sc.Groups[g].Name)
			}
		}
	}
	why := w.unrest(-1)
	if w.now-x.began <= w.slowest+2*interval {
		why = "what was sent before may still arrive"
	}
	if why != "" {
		delay := int64(0)
		for _, n := range w.nodes {
			delay = max(delay, int64(n.cfg.Delay), int64(n.cfg.Settle))
		}
		if w.now-x.healthy > calmBound+delay+6*down+6*interval {
			w.fail("L4", "no calm: %s", why)
		}
		return
	}
	if w.sc.Exercise != "" && len(w.nodes) > 1 {
		w.exercise()
		return
	}
	x.phase, x.began, x.moves, x.victim = watching, w.now, 0, -1
}

// sick names a node that is not well yet, and why.
func (w *World) sick() string {
	for _, n := range w.nodes {
		switch {
		case n.troubled(w.now):
			return n.name() + ": a process is not there, or the kernel refuses"
		case !n.e.started || n.e.stage != stageRunning || n.e.sigterm || n.d.mode != modeRunning:
			return n.name() + ": not running"
		case n.e.lastBeat() != n.e.now || !n.heardAll():
			return n.name() + ": its processes have not heard each other"
		}
		for g := range w.sc.Groups {
			if n.e.set.Group(g).State == vrrp.Fault || n.e.set.Group(g).State == vrrp.Initialize {
				return n.name() + ": " + w.sc.Groups[g].Name + " is in " + n.e.set.Group(g).State.String()
			}
		}
	}
	return ""
}

// actives counts the nodes that are Active in a group; but is left out.
func (w *World) actives(g, but int) (count int) {
	for _, n := range w.nodes {
		if n.id != but && n.e != nil && n.e.set != nil && n.e.set.Group(g).State == vrrp.Active {
			count++
		}
	}
	return count
}

// unrest says what is not as it is going to stay: one Active a group that serves,
// nobody else who has anything, nobody who is about to preempt. but is a node
// that is not there.
func (w *World) unrest(but int) string {
	for _, n := range w.nodes {
		if n.id != but && (n.d == nil || n.e == nil || n.e.set == nil) {
			return n.name() + ": a process is not there"
		}
		if n.id != but && n.d.draining > 0 {
			return n.name() + ": is about to hand over"
		}
	}
	for g := range w.sc.Groups {
		name := w.sc.Groups[g].Name
		if c := w.actives(g, but); c != 1 {
			return name + ": not exactly one is Active"
		}
		var active *node
		for _, n := range w.nodes {
			if n.id != but && n.e.set.Group(g).State == vrrp.Active {
				active = n
			}
		}
		if v := active.e.set.Group(g); v.Leaving {
			return active.name() + ": still leaving " + name
		}
		if !active.kernel.gate[g] || active.kernel.addrs&active.cfg.masks[g] != active.cfg.masks[g] {
			return active.name() + ": does not serve " + name
		}
		for _, n := range w.nodes {
			if n == active || n.id == but {
				continue
			}
			if n.kernel.gate[g] || n.kernel.addrs&n.cfg.masks[g] != 0 {
				return n.name() + ": has something of " + name
			}
			for _, r := range n.cfg.members[g] {
				if n.e.unsettled(r) {
					return n.name() + ": a link is new in " + name
				}
				// V5: whoever has not heard a slow Active yet waits by its own, quicker interval.
				if v := n.e.set.Router(r); !v.Ready && v.Learned != active.e.cfg.Interval {
					return n.name() + ": has not heard " + active.name() + " in " + name
				}
			}
			if w.ends.phase == settling && n.e.groups[g].refrains {
				return n.name() + ": not eligible yet in " + name
			}
			if w.preempts(n, active, g) {
				return n.name() + ": is about to preempt in " + name
			}
		}
	}
	if w.sc.Sessions && w.ends.phase == settling {
		for _, n := range w.nodes {
			for _, m := range w.nodes {
				if s := w.session(n.id, m.id); m != n && (s.stage != caughtUp || s.pending) {
					return n.name() + ": session link to " + m.name() + " is not up"
				}
			}
			if n.d.syncedOut || w.now < n.plane.latest()+int64(10*time.Millisecond) {
				return n.name() + ": not in sync"
			}
		}
	}
	return ""
}

// preempts tells whether no member of n's group accepts the Active's adverts.
func (w *World) preempts(n, active *node, g int) bool {
	for _, r := range n.cfg.members[g] {
		v, cfg := n.e.set.Router(r), n.e.cfg
		may := !v.Held && (cfg.Preempt || n.e.priority(r) == 255)
		if !may || active.e.priority(r) >= n.e.priority(r) {
			return false
		}
	}
	return true
}

// watch: when all is calm, nothing moves any more.
func (w *World) watch() {
	x := &w.ends
	down, _ := w.longest()
	if why := w.unrest(x.victim); why != "" {
		w.fail("L4", "calm is over: %s", why)
		return
	}
	if x.moves > 0 {
		w.fail("L4", "an activation although all was calm")
	}
	if w.now-x.began > down+down/3 {
		w.done = true
	}
}
