package sim

import (
	"understudy/appliance"
	"understudy/vrrp"
)

// Programs are told of every group's state, where the schedule says so, and some of
// them an activation waits for: mostly they end in time.

// prepare runs the programs that an activation waits for.
func (d *daemon) prepare(a appliance.Prepare) {
	n := d.n
	after := n.rng.below(int64(a.Bound) * 5 / 4)
	if after > int64(a.Bound) && n.rng.percent(50) {
		return // they are killed, and nobody says so
	}
	n.w.q.push(event{at: n.w.now + after, kind: evPrepared, node: int8(n.id), a: d.id, b: int32(d.group(a.Group)), c: int32(a.Term)})
}

func (d *daemon) prepared(g int, term uint64) {
	d.post(appliance.Prepared{Group: d.n.w.sc.Groups[g].Name, Term: term})
}

// notify: a program that hears "active" finds the addresses, one that hears something
// else does not.
func (c *checker) notify(n *node, a appliance.Notify) {
	g := n.d.group(a.Group)
	if a.State == vrrp.Active {
		c.announce(n, g)
		return
	}
	if a.Cause == appliance.CauseShutdown { // the last that happens before everything is removed
		return
	}
	if n.d.holder.phase != 0 || n.d.failing || n.w.now < n.kernel.noGate || n.d.racing() {
		return
	}
	if n.kernel.addrs&n.d.cfg.masks[g] != 0 && !n.kernel.drifted {
		n.w.fail("notify", "%s: programs hear that %s is %v while its addresses are here", n.name(), a.Group, a.State)
	}
}

// preparing is how long an activation may wait for programs.
func (w *World) preparing() int64 { return int64(w.sc.Prepare) * 2 }
