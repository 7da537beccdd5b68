package sim

import (
	"errors"

	"understudy/appliance"
)

// kernel is what a box has in its kernel, and who owns the sessions there.
type kernel struct {
	gate    [MaxGroups]bool // open
	addrs   mask
	drifted bool // somebody removed something that was not put back yet
	dirty   bool // both processes died: to be cleaned

	// until when it refuses, times of the world
	noAddresses, noGate, noFence int64
}

func (k *kernel) setGate(n *node, g int, open bool) bool {
	if n.w.now < k.noGate {
		return false
	}
	if k.gate[g] != open {
		k.gate[g] = open
		n.w.trace("%s gate of %s open %v", n.name(), n.w.sc.Groups[g].Name, open)
		n.w.check.kernel(n)
	}
	return true
}

func (k *kernel) setAddresses(n *node, m mask) {
	if k.addrs != m {
		k.addrs = m
		n.w.trace("%s addresses %b", n.name(), m)
		n.w.check.kernel(n)
	}
}

// closeGate is the gate part of a fence, by the election.
func (k *kernel) closeGate(n *node, g int) bool {
	if n.w.now < k.noFence || n.e != nil && !n.e.groups[g].fenced {
		return false
	}
	return k.setGate(n, g, false)
}

// runFence executes a whole fence. It returns true if nothing of it worked: the
// group is as much in service as before.
func (k *kernel) runFence(n *node, g int, m *member) (serving bool) {
	if n.w.now < k.noFence {
		return true
	}
	if !m.fenced {
		return false
	}
	n.w.trace("%s fence %s", n.name(), n.w.sc.Groups[g].Name)
	k.setGate(n, g, false)
	k.setAddresses(n, k.addrs&^m.fence)
	return false
}

// removeFenced is the rest of a fence whose gate part was done.
func (k *kernel) removeFenced(n *node, g int, m *member) {
	if n.w.now >= k.noFence && m.fenced {
		k.setAddresses(n, k.addrs&^m.fence)
	}
}

// clean removes everything of ours.
func (k *kernel) clean(n *node) {
	k.addrs, k.gate, k.dirty = 0, [MaxGroups]bool{}, false
	n.w.trace("%s kernel cleaned", n.name())
	n.w.check.kernel(n)
}

// holder is the lane that makes things so; only the latest Want counts.
type holder struct {
	want    appliance.Want
	waiting bool
	now     appliance.Want // being done
	phase   int            // 0: idle
	held    mask
	failed  map[string]error
}

// Refusals of the kernel.
var (
	errGate      = errors.New("gate: refused")
	errAddresses = errors.New("addresses: refused")
)

func (d *daemon) hold(w appliance.Want) {
	d.holder.want, d.holder.waiting, d.gen = w, true, w.Gen
	d.n.w.check.want(d, w)
	if d.holder.phase == 0 {
		d.beginHold()
	}
}

func (d *daemon) beginHold() {
	h := &d.holder
	if !h.waiting {
		return
	}
	h.now, h.waiting, h.phase, h.failed = h.want, false, 1, nil
	d.nextPhase(4)
}

// nextPhase comes after a part of what the kernel takes.
func (d *daemon) nextPhase(part int64) {
	n := d.n
	n.w.q.push(event{at: n.w.now + 1 + n.rng.below(2*n.slow/part), kind: evHold, node: int8(n.id), a: d.id})
}

func (h *holder) fail(group string, err error) {
	if h.failed == nil {
		h.failed = make(map[string]error)
	}
	h.failed[group] = err
}

// holdPhase does one of the steps of daemon.holder.Hold, which take time, so that
// everything else can come between them.
func (d *daemon) holdPhase() {
	h, n := &d.holder, d.n
	if n.dHung {
		d.nextPhase(1)
		return
	}
	switch h.phase {
	case 1: // giving up: gate closed, sessions handed over
		for i, g := range h.now.Groups {
			if g.Active {
				continue
			}
			if !n.kernel.setGate(n, i, false) {
				h.fail(g.Name, errGate)
			}
			n.deactivate(i)
		}
	case 2: // taking: sessions in the kernel
		for i, g := range h.now.Groups {
			if g.Active {
				n.activate(i, g.Term)
			}
		}
	case 3: // gate open
		for i, g := range h.now.Groups {
			if g.Active && !n.kernel.setGate(n, i, true) {
				h.fail(g.Name, errGate)
			}
		}
	case 4:
		d.addresses()
		return
	}
	h.phase++
	d.nextPhase(4)
}

// addresses is the end of a Hold: the kernel has the addresses, or says why not.
func (d *daemon) addresses() {
	h, n := &d.holder, d.n
	var want mask
	for _, g := range h.now.Groups {
		if g.Active && h.failed[g.Name] == nil {
			want |= n.w.maskOf(g.Identity)
		}
	}
	out := appliance.Applied{Gen: h.now.Gen}
	if n.w.now < n.kernel.noAddresses && want&^n.kernel.addrs != 0 {
		n.kernel.setAddresses(n, n.kernel.addrs&want) // what is to go does go
		for _, g := range h.now.Groups {
			if g.Active && n.w.maskOf(g.Identity)&^n.kernel.addrs != 0 {
				h.fail(g.Name, errAddresses)
			}
		}
	} else {
		added := want &^ n.kernel.addrs
		n.kernel.setAddresses(n, want)
		for _, g := range h.now.Groups {
			if h.held&added&n.w.maskOf(g.Identity) != 0 {
				out.Restored = append(out.Restored, g.Name)
			}
		}
		h.held = want
	}
	out.Failed = h.failed
	h.phase = 0
	n.kernel.drifted = false
	d.post(out)
	d.beginHold()
}
