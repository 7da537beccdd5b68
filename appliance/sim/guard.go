package sim

import (
	"time"

	"understudy/vrrp"
)

// The data plane (S3): gate and addresses are there only while the group is
// Active, or for a bounded time after; who has to see to that depends on who is
// alive.

// kernel notes since when something is there that ought not to be.
func (c *checker) kernel(n *node) {
	for g := range n.w.sc.Groups {
		t := &n.truth.groups[g]
		active := n.e != nil && n.e.set != nil && n.e.set.Group(g).State == vrrp.Active
		since(&t.open, n.kernel.gate[g] && !active, n.w.now)
		since(&t.held, n.kernel.addrs&n.cfg.masks[g] != 0 && !active, n.w.now)
	}
	c.next = min(c.next, n.w.now)
	n.w.ends.planned(n.w)
}

func since(t *int64, is bool, now int64) {
	switch {
	case !is:
		*t = 0
	case *t == 0:
		*t = now
	}
}

// troubled tells whether something is wrong with the node itself, so that it
// cannot be expected to do what it ought to; at is the time for what is over by
// itself.
func (n *node) troubled(at int64) bool {
	k := &n.kernel
	return n.e == nil || n.eHung || n.d == nil || n.dHung || n.d.lost || n.d.failing || n.d.mode == modeLetGo || n.e.daemon == nil ||
		!n.e.daemon.ready || at < n.stalled || at < k.noAddresses || at < k.noGate || at < k.noFence
}

// capable tells whether the election alone could see to it.
func (n *node) capable(at int64) bool {
	return n.e != nil && n.e.set != nil && !n.eHung && at >= n.kernel.noFence && at >= n.kernel.noGate
}

// applyBound is within what a healthy node has let go, and electionBound within
// what a node has whose daemon is of no use.
func (n *node) applyBound() int64 {
	n.worst = max(n.worst, 8*n.slow+4*n.lag+4*n.late) // what is under way may have begun before it got better
	return int64(100*time.Millisecond) + n.worst
}

func (n *node) electionBound() int64 {
	return int64(n.w.sc.Watchdog+n.w.sc.Budget) + fencePatience + int64(time.Second)
}

// budget: who has a daemon that is well does not give up for want of one.
func (c *checker) budget(n *node) {
	d := n.d
	if d == nil || n.dHung || d.failing || n.eHung || !n.e.started { // not begun: nothing is given up
		return
	}
	k := &n.kernel
	calm := max(d.born, n.stalled, k.noAddresses, k.noGate, k.noFence, d.lostAt, n.wokenAt)
	if n.w.now-calm > int64(time.Second)+n.applyBound() {
		n.w.fail("budget", "%s: gives up although its daemon has been well for %v", n.name(), time.Duration(n.w.now-calm))
	}
}

// guard looks at what is there too long.
func (c *checker) guard(w *World) {
	if w.now < c.next {
		return
	}
	c.next = never
	for _, n := range w.nodes {
		pending := false
		for g := range w.sc.Groups {
			pending = pending || n.truth.groups[g].open != 0 || n.truth.groups[g].held != 0
		}
		if !pending {
			n.disturbed, n.incapable = 0, 0
			continue
		}
		c.next = w.now
		if n.troubled(w.before) {
			n.disturbed = w.now
		}
		if !n.capable(w.before) || n.d != nil && !n.dHung && !n.troubled(w.before) || n.e.grace > n.e.now {
			n.incapable = w.now
		}
		for g := range w.sc.Groups {
			t := &n.truth.groups[g]
			c.late(w, n, g, t.open, "gate is open", n.kernel.addrs&n.cfg.masks[g] != 0)
			c.late(w, n, g, t.held, "addresses are held", true)
		}
	}
}

func (c *checker) late(w *World, n *node, g int, since int64, what string, matters bool) {
	if since == 0 {
		return
	}
	name := w.sc.Groups[g].Name
	if d := w.now - max(since, n.disturbed); d > n.applyBound() {
		w.fail("S3", "%s: %s: the %s although it is not Active, for %v", n.name(), name, what, time.Duration(w.now-since))
	}
	// A gate that the kernel would not close matters to nobody without addresses.
	if d := w.now - max(since, n.incapable); matters && d > n.electionBound() {
		w.fail("S3", "%s: %s: the %s although it is not Active and has no daemon, for %v", n.name(), name, what, time.Duration(w.now-since))
	}
}
