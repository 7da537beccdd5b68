package sim

import (
	"time"

	"understudy/vrrp"
)

// exercise does something to the Active of the first group in a network that is
// well, where the bounds of the liveness rules are exact.
func (w *World) exercise() {
	x := &w.ends
	x.phase, x.began, x.moves = exercising, w.now, 0
	x.seen = [MaxGroups]int64{}
	x.releaseAt, x.checkAt = 0, 0
	for _, n := range w.nodes {
		if n.e.set.Group(0).State == vrrp.Active {
			x.victim = n.id
		}
	}
	w.trace("-- exercise: %s %s", w.sc.Exercise, nodeName(x.victim))
	n := w.nodes[x.victim]
	switch w.sc.Exercise {
	case "crash", "return":
		n.crash()
	case "stop":
		n.act(&Act{Verb: StopUnit})
	case "failover":
		n.act(&Act{Verb: Failover, Word: "force"})
	case "split":
		for s := range syncLink {
			w.split(s, 1<<x.victim)
		}
	case "link":
		n.setLink(w.sc.Routers[w.sc.Groups[0].Routers[0]].Segment, "down")
	}
}

// exercised waits for the successor. Crash: L1, an Active_Down_Interval of the
// slowest. Priority 0: L2, the skew of the quickest; the hand-over may take a
// while to begin.
func (w *World) exercised() {
	x := &w.ends
	v := w.nodes[x.victim]
	if w.sc.Exercise == "failover" && x.seen[0] == 0 && x.releaseAt == 0 {
		v.act(&Act{Verb: Failover, Word: "force"}) // one that was under way may have been in the way
	}
	if x.seen[0] == 0 {
		down, interval := w.longest()
		bound := down + interval + 4*w.settledDelay() + int64(2*time.Second)
		if w.sc.Exercise == "crash" || w.sc.Exercise == "return" {
			bound = down + 2*w.settledDelay() + int64(6*time.Millisecond) + w.settledDelay()*40
		}
		if w.now-x.began > bound {
			w.fail("L1", "%v after %s of %s nobody is Active", time.Duration(w.now-x.began), w.sc.Exercise, v.name())
		}
		return
	}
	if took, bound := x.seen[0]-x.releaseAt, x.bound; x.releaseAt > 0 && took > bound {
		w.fail("L2", "%v from priority 0 to the next Active, bound %v", time.Duration(took), time.Duration(bound))
		return
	}
	switch w.sc.Exercise {
	case "split":
		w.heal(v)
	case "return":
		w.comeBack(v)
	case "failover": // until it has let go, or has it back; two that serve for too long are a rule of their own
		again := v.e != nil && v.e.set != nil && v.e.set.Group(0).State == vrrp.Active && !v.e.set.Group(0).Leaving
		w.done = again || !v.kernel.gate[0] && v.kernel.addrs&v.cfg.masks[0] == 0
	default:
		w.done = true
	}
}

// heal joins two Actives again (L5): when each has sent an advert, on every
// segment, the worse one has yielded. Where each is the better one on some
// segment it may take another election.
func (w *World) heal(v *node) {
	x := &w.ends
	switch {
	case x.checkAt == 0:
		for s := range syncLink {
			w.act(&Act{Verb: Heal, Seg: s})
		}
		x.checkAt = never
		if w.ranked(v) {
			_, interval := w.longest()
			x.checkAt = w.now + interval + 3*w.settledDelay() + int64(time.Millisecond)
			if w.sc.Prepare > 0 { // who waits for programs has not told its peers that it is Active
				x.checkAt += int64(vrrp.Overlap)
			}
		}
	case x.checkAt == never:
		w.done = true
	case w.now >= x.checkAt:
		if c := w.actives(0, -1); c != 1 {
			w.fail("L5", "%d are Active after a split was healed", c)
		}
		w.done = true
	}
}

// ranked tells whether v is better than each other node, or worse, in all of the
// first group's routers.
func (w *World) ranked(v *node) bool {
	for _, n := range w.nodes {
		above, below := false, false
		for _, r := range v.cfg.members[0] {
			a, b := v.e.priority(r), n.e.priority(r)
			above, below = above || a >= b, below || a <= b
		}
		if n != v && above && below {
			return false
		}
	}
	return true
}

// comeBack starts the crashed node again (L3): the best one is Active an
// Active_Down_Interval after it has begun, or may preempt.
func (w *World) comeBack(v *node) {
	x := &w.ends
	if v.e == nil || v.e.set == nil {
		if !v.running {
			v.start(0)
		}
		return
	}
	best := v.e.cfg.Preempt && v.e.cfg.Delay == 0
	state := v.e.set.Group(0).State
	down, due, held := int64(0), int64(0), false
	for _, r := range v.cfg.members[0] {
		for _, n := range w.nodes {
			best = best && (n == v || n.e != nil && n.e.set != nil && v.e.priority(r) > n.e.priority(r))
		}
		is := v.e.set.Router(r)
		held = held || is.Held
		own := activeDown(w.sc.Routers[r].Version, v.e.priority(r), int64(is.Learned))
		down = max(down, own)
		due = max(due, v.truth.routers[r].earliest)
		if s := int64(v.e.cfg.Settle); s > 0 { // until then it leaves the other alone, and may not have heard it
			due = max(due, v.truth.links[w.sc.Routers[r].Segment].since+s+own-3*int64(is.Learned))
		}
		if v.e.priority(r) == 255 && state == vrrp.Backup { // an owner that was held when it began waits like others
			due = max(due, v.truth.routers[r].armed+own)
		}
	}
	switch {
	case !best:
		w.done = true
	case state == vrrp.Active:
		w.alone(v)
	case state != vrrp.Backup || held:
		if w.now-x.began > calmBound+2*down {
			w.fail("L3", "%s may not preempt, long after its return", v.name())
		}
	case v.local() > due+int64(time.Millisecond):
		w.fail("L3", "%s has the best priority and is not Active an Active_Down_Interval after the last advert it had to accept", v.name())
	}
}

// releaseBound is how long after priority 0 a successor may take: delay and skew
// of the quickest, judged by its slowest member.
func (w *World) releaseBound() int64 {
	best := never
	for _, n := range w.nodes {
		if n.id == w.ends.victim || n.e == nil || n.e.set == nil {
			continue
		}
		worst := int64(0)
		for _, r := range n.cfg.members[0] {
			worst = max(worst, skew(w.sc.Routers[r].Version, n.e.priority(r), n.truth.routers[r].learned))
		}
		best = min(best, worst)
	}
	return best + best/4000 + w.settledDelay() + int64(time.Microsecond) // clocks are 200 ppm wrong, at most
}

// released notes the first priority 0 of the victim. A link that is down lets none
// through to its segment.
func (x *ending) released(w *World, node, g int) {
	if x.phase == exercising && node == x.victim && g == 0 && x.releaseAt == 0 && w.sc.Exercise != "link" {
		x.releaseAt, x.bound = w.now, w.releaseBound()
	}
}

// expect judges a hand-written schedule's word about who is Active.
func (w *World) expect(g int, want int64) {
	is := int64(0)
	for _, n := range w.nodes {
		if n.e != nil && n.e.set != nil && n.e.set.Group(g).State == vrrp.Active {
			is |= 1 << n.id
		}
	}
	if is != want {
		w.fail("expect", "%s: Active is %s, expected %s", w.sc.Groups[g].Name, setText(is), setText(want))
	}
}
