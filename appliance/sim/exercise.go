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
	x.releaseAt = 0
	for _, n := range w.nodes {
		if n.e.set.Group(0).State == vrrp.Active {
			x.victim = n.id
		}
	}
	w.trace("-- exercise: %s %s", w.sc.Exercise, nodeName(x.victim))
	n := w.nodes[x.victim]
	switch w.sc.Exercise {
	case "crash":
		n.crash()
	case "stop":
		n.act(&Act{Verb: StopUnit})
	case "failover":
		n.act(&Act{Verb: Failover, Word: "force"})
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
		if w.sc.Exercise == "crash" {
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
	w.done = true
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
			worst = max(worst, skew(w.sc.Routers[r].Version, n.e.cfg.Priority[r], n.truth.routers[r].learned))
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
