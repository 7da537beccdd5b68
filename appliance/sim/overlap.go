package sim

import (
	"time"

	"understudy/vrrp"
)

// The overlap: an Active that hears a better one, and whose daemon vouches for it,
// falls silent at once and serves on for a moment.

// overlap judges its beginning: it was allowed in this activation, by a daemon that
// lives, and it is bounded. What it may say on the wire, S2 judges.
func (c *checker) overlap(w *World, e *election, g int, in *vrrp.SetInput) {
	was, is := c.group[g], e.set.Group(g)
	if !is.Leaving || was.Leaving || in.Kind == vrrp.InHandOver {
		return
	}
	name := w.sc.Groups[g].Name
	switch {
	case in.Kind != vrrp.InAdvert:
		w.fail("overlap", "%s: %s is left by input %d", e.n.name(), name, in.Kind)
	case !e.groups[g].overlap:
		w.fail("overlap", "%s: %s serves beside a better one, and nobody has allowed that", e.n.name(), name)
	case !e.n.kernel.gate[g] && w.now >= e.n.kernel.noGate:
		w.fail("overlap", "%s: %s serves beside a better one, and has never served yet", e.n.name(), name)
	case !w.sc.Sessions:
		w.fail("overlap", "%s: %s serves beside a better one, with which it shares no sessions", e.n.name(), name)
	case nano(e.set.Deadline()) > e.now+overlapBound(e.cfg):
		w.fail("overlap", "%s: %s serves beside a better one until %v from now", e.n.name(), name, time.Duration(nano(e.set.Deadline())-e.now))
	}
	w.ends.overlapped(w, g)
}

func overlapBound(cfg *setup) int64 { return min(int64(vrrp.Overlap), int64(cfg.Interval)) }

// serving counts the nodes that have a group's addresses behind an open gate.
func (w *World) serving(g int) (count int) {
	for _, n := range w.nodes {
		if n.kernel.gate[g] && n.kernel.addrs&n.cfg.masks[g] != 0 {
			count++
		}
	}
	return count
}

// overlapped: while a node that came back takes its role, the other one lingers.
// Before it is back, those that succeed it may have run out together, and sort
// that out among them: nothing was promised to be bridged.
func (x *ending) overlapped(w *World, g int) {
	if x.phase == exercising && g == 0 && w.sc.Exercise == "return" && w.nodes[x.victim].running {
		x.bridged = true
	}
}

// planned watches who serves while a role moves in a network that is well: nobody at
// no moment, if there was an overlap, and two for no longer than that takes.
func (x *ending) planned(w *World) {
	if x.phase != exercising || w.sc.Exercise != "return" && w.sc.Exercise != "failover" {
		return
	}
	switch w.serving(0) {
	case 0:
		if x.bridged && w.sc.Prepare == 0 {
			w.fail("gap", "nobody serves %s, although the old one was to bridge that", w.sc.Groups[0].Name)
		}
	case 1:
		x.dual = 0
	default:
		if x.dual == 0 {
			x.dual = w.now
		}
	}
}

// both is how long two have been serving, when that is too long.
func (x *ending) both(w *World) {
	bound := int64(0)
	for _, n := range w.nodes {
		bound = max(bound, overlapBound(n.cfg)+n.applyBound())
	}
	if x.dual > 0 && w.now-x.dual > bound {
		w.fail("dual", "two have been serving %s for %v", w.sc.Groups[0].Name, time.Duration(w.now-x.dual))
	}
}

// alone waits until the node that has its role back is the only one that serves.
func (w *World) alone(v *node) {
	if w.serving(0) == 1 && v.kernel.gate[0] && v.kernel.addrs&v.cfg.masks[0] != 0 {
		w.done = true
		return
	}
	if took := v.local() - v.truth.groups[0].since; took > overlapBound(v.cfg)+v.applyBound()+4*w.settledDelay()+w.preparing() {
		w.fail("L3", "%s is Active again for %v, and not the only one that serves", v.name(), time.Duration(took))
	}
}
