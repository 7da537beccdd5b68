package sim

import (
	"time"

	"understudy/appliance"
	"understudy/vrrp"
)

// checker holds every step against the rules.
type checker struct {
	was    [MaxRouters]vrrp.RouterView // before the step
	group  [MaxGroups]vrrp.GroupView
	advert vrrp.Advert
	next   int64 // world time when guard has to look again
	reconf bool
}

// before keeps what a step starts from.
func (c *checker) before(w *World, e *election, in vrrp.SetInput, reconfigure bool) {
	for r := range w.sc.Routers {
		c.was[r] = e.set.Router(r)
	}
	for g := range w.sc.Groups {
		c.group[g] = e.set.Group(g)
	}
	c.reconf = reconfigure
	w.mix(uint64(e.n.id)<<48 | uint64(in.Kind)<<40 | uint64(in.Router))
}

// after judges a step of a Set.
func (c *checker) after(w *World, e *election, in vrrp.SetInput, ops []vrrp.Op) {
	reconfigure := c.reconf
	dropped := false
	for i := range ops {
		if ops[i].Kind == vrrp.OpDrop {
			dropped = true
		}
	}
	if dropped && len(ops) > 1 || in.Kind == vrrp.InRefused && len(ops) > 0 {
		w.fail("S4", "%s: a dropped packet had an effect: %+v", e.n.name(), ops)
	}
	if dropped || in.Kind == vrrp.InRefused {
		for r := range w.sc.Routers {
			if is := e.set.Router(r); is != c.was[r] {
				w.fail("S4", "%s: a dropped packet has changed %s: %+v, was %+v", e.n.name(), w.sc.Routers[r].Name, is, c.was[r])
			}
		}
	}
	for i := range ops {
		if ops[i].Kind == vrrp.OpTransition {
			c.transition(w, e, &ops[i])
		}
	}
	if !reconfigure {
		e.followLink(&in)
	}
	for g := range w.sc.Groups {
		c.afterGroup(w, e, g, &in, dropped, reconfigure)
	}
	c.kernel(e.n)
}

func (c *checker) afterGroup(w *World, e *election, g int, in *vrrp.SetInput, dropped, reconfigure bool) {
	n, was, is := e.n, c.group[g], e.set.Group(g)
	t := &n.truth.groups[g]
	c.overlap(w, e, g, in)
	if is.State != was.State {
		e.groups[g].overlap = false
	}
	if is.State == vrrp.Active && was.State != vrrp.Active {
		c.activation(w, e, g, in, reconfigure)
	}
	if is.State == vrrp.Backup && was.State == vrrp.Active {
		c.yield(w, e, g, in, reconfigure)
	}
	for _, r := range e.cfg.members[g] {
		c.router(w, e, r, g, in, dropped, reconfigure)
		e.follow(r, c.was[r].State, in, dropped, reconfigure, c.was[r])
	}
	if !reconfigure {
		c.hold(w, e, g, in, dropped)
	}
	if is.State != was.State {
		t.since = e.now
	}
	switch {
	case is.Leaving && !was.Leaving && in.Kind == vrrp.InHandOver:
		t.handedOver = true
	case is.State == vrrp.Active && was.State != vrrp.Active && in.Kind != vrrp.InResume, is.State == vrrp.Initialize,
		in.Kind == vrrp.InReclaim && !reconfigure:
		t.handedOver = false
	}
	t.GroupView = is
	if is.Highest > t.highest && in.Kind == vrrp.InTerm {
		t.highest = is.Highest
	}
}

// router: every member is in its group's state, and its timer fits (S1, S8).
func (c *checker) router(w *World, e *election, r, g int, in *vrrp.SetInput, dropped, reconfigure bool) {
	was, v, is := c.was[r], e.set.Router(r), e.set.Group(g)
	t := &e.n.truth.routers[r]
	want := is.State
	if want == vrrp.Fault {
		want = vrrp.Initialize
	}
	if v.State != want {
		w.fail("group", "%s: %s is %v, its group %v", e.n.name(), w.sc.Routers[r].Name, v.State, is.State)
	}
	armed := !v.Timer.IsZero()
	switch {
	case v.State == vrrp.Initialize && armed,
		v.State == vrrp.Backup && armed == v.Ready,
		v.State == vrrp.Active && armed == is.Leaving:
		w.fail("S1", "%s: %s is %v, timer %v, ready %v, leaving %v", e.n.name(), w.sc.Routers[r].Name, v.State, armed, v.Ready, is.Leaving)
	}
	if armed && v.State == vrrp.Active && nano(v.Timer)-e.now > max(int64(e.cfg.Interval), t.promised) && !reconfigure {
		w.fail("S11", "%s: %s is Active and silent for %v", e.n.name(), w.sc.Routers[r].Name, time.Duration(nano(v.Timer)-e.now))
	}
	if v.Learned < vrrp.MinCentis.Duration() || v.Learned > 255*time.Second {
		w.fail("S8", "%s: learned %v", e.n.name(), v.Learned)
	}
	if v.Learned != was.Learned && !reconfigure {
		byAdvert := in.Kind == vrrp.InAdvert && in.Router == r && !dropped && in.Advert.Priority != 0 && v.Learned == in.Advert.Interval
		byStart := was.State == vrrp.Initialize && v.State != vrrp.Initialize && v.Learned == e.cfg.Interval
		if !byAdvert && !byStart {
			w.fail("S8", "%s: %s learned %v after %v without an advert that says so", e.n.name(), w.sc.Routers[r].Name, v.Learned, was.Learned)
		}
	}
	if reconfigure {
		t.learned = int64(v.Learned)
	}
	if v.State == vrrp.Active && was.State != vrrp.Active {
		t.zeroed = false
	}
}

// activation: only a timer makes a Backup Active, at the time the reference gives
// (S7, S9, S10), unless an election resumes.
func (c *checker) activation(w *World, e *election, g int, in *vrrp.SetInput, reconfigure bool) {
	n := e.n
	if in.Kind == vrrp.InResume && !reconfigure {
		for _, r := range e.cfg.members[g] {
			n.truth.routers[r].delivers = true // who resumes has been serving: the link is new to the process alone
		}
		return
	}
	if in.Kind == vrrp.InAdvert && !reconfigure {
		w.fail("S7", "%s: Active by a packet", n.name())
	}
	for _, r := range e.cfg.members[g] {
		t := &n.truth.routers[r]
		if c.was[r].State == vrrp.Backup && e.now < t.earliest && !reconfigure {
			w.fail("S7", "%s: %s is Active %v before its Active_Down_Timer can have run out (refuses to preempt: %v)",
				n.name(), w.sc.Routers[r].Name, time.Duration(t.earliest-e.now), !e.refPreempts(r, g))
		}
		if e.unsettled(r) && !reconfigure {
			w.fail("settle", "%s: %s is Active though its link is new, and has delivered nothing", n.name(), w.sc.Routers[r].Name)
		}
		c.unread(w, e, r, g)
	}
	w.ends.activated(w, n.id, g)
}

// unread: nothing that would have kept it Backup lies in its socket (S10).
func (c *checker) unread(w *World, e *election, r, g int) {
	rt := &w.sc.Routers[r]
	for _, i := range e.n.inbox[rt.Segment] {
		f := &w.pool.all[i]
		d, reason := vrrp.ParseDatagram(f.b[:f.n])
		if reason == vrrp.ReasonNone {
			reason = vrrp.ParseAdvert(d, &c.advert)
		}
		if reason != vrrp.ReasonNone || c.advert.VRID != rt.VRID || (rt.Family == 4) != d.Src.Is4() || c.advert.Version != rt.Version {
			continue
		}
		if f.rx < e.now && c.advert.Priority > 0 && (c.advert.Priority >= e.priority(r) || !e.refPreempts(r, g)) && rt.Version == 3 {
			w.fail("S10", "%s: %s is Active while an advert of priority %d lies in its socket, for %v", e.n.name(), rt.Name,
				c.advert.Priority, time.Duration(e.now-f.rx))
		}
	}
}

// yield: only a better one, or the end of a hand-over, takes Active to Backup
// without a fault (S6, S13).
func (c *checker) yield(w *World, e *election, g int, in *vrrp.SetInput, reconfigure bool) {
	n := e.n
	switch {
	case reconfigure:
		w.fail("S6", "%s: a reload makes an Active group Backup", n.name())
	case c.group[g].Leaving:
		if in.Kind != vrrp.InAdvert && in.Kind != vrrp.InTick {
			w.fail("S6", "%s: the hand-over ends by input %d", n.name(), in.Kind)
		}
	case in.Kind == vrrp.InVouch && w.sc.Guard == "hold":
		if !in.On || !in.Known || c.group[g].Spent {
			w.fail("S6", "%s: gives way to a heartbeat that says %v, known %v, limit used up %v", n.name(), in.On, in.Known, c.group[g].Spent)
		}
	case in.Kind != vrrp.InAdvert:
		w.fail("S6", "%s: yields by input %d", n.name(), in.Kind)
	default:
		p := e.priority(in.Router)
		if a := in.Advert; a.Priority < p || a.Priority == p && in.Src.Compare(e.set.Source(in.Router)) <= 0 {
			w.fail("S6", "%s: %s, priority %d, yields to priority %d from %v", n.name(), w.sc.Routers[in.Router].Name, p, a.Priority, in.Src)
		}
	}
}

// transition: terms only grow.
func (c *checker) transition(w *World, e *election, op *vrrp.Op) {
	g := e.index(op.Group)
	t := &e.n.truth.groups[g]
	fresh := op.To == vrrp.Active && op.From != vrrp.Active && op.Cause != string(vrrp.CauseResume)
	if (fresh || op.Cause == string(vrrp.CauseTerm)) && op.Term <= t.highest {
		w.fail("term", "%s: %s activates with term %d, %d was there before", e.n.name(), op.Group, op.Term, t.highest)
	}
	if op.To == vrrp.Active {
		t.highest = max(t.highest, op.Term)
	}
}

// sent judges an advert before it goes out (S2, S5, S12, and the order of a
// yield).
func (c *checker) sent(w *World, e *election, op *vrrp.Op) {
	n := e.n
	g := e.groupOf(op.Router)
	v := e.set.Group(g)
	t := &n.truth.routers[op.Router]
	if op.Priority > 0 {
		if v.State != vrrp.Active || v.Leaving {
			w.fail("S2", "%s: advertises %s while %v, leaving %v", n.name(), op.Group, v.State, v.Leaving)
		}
		t.promised = int64(e.cfg.Interval)
		if op.Priority != e.priority(op.Router) {
			w.fail("S2", "%s: advertises priority %d", n.name(), op.Priority)
		}
		c.storm(w, e, op.Router)
		return
	}
	if c.group[g].State != vrrp.Active || c.was[op.Router].State != vrrp.Active {
		w.fail("S2", "%s: priority 0 from %v", n.name(), c.group[g].State)
	}
	if t.zeroed {
		w.fail("S2", "%s: priority 0 twice for one activation", n.name())
	}
	t.zeroed = true
	w.ends.released(w, n.id, g)
	refused := w.now < n.kernel.noFence || w.now < n.kernel.noGate
	switch {
	case v.Leaving || refused:
	case n.kernel.gate[g]:
		w.fail("fence", "%s: priority 0 for %s while its gate is open", n.name(), op.Group)
	case e.lost && n.kernel.addrs&e.groups[g].fence != 0:
		w.fail("fence", "%s: priority 0 for %s, without a daemon, while its addresses are held", n.name(), op.Group)
	}
}

// storm bounds what rivals can make a router send (S12): in one interval its own
// advert and one for an activation, and at most four asserts and four answers to
// priority 0 for each router of the group.
func (c *checker) storm(w *World, e *election, r int) {
	t := &e.n.truth.routers[r]
	if e.now-t.window >= int64(e.cfg.Interval) {
		t.window, t.inWindow = e.now, 0
	}
	t.inWindow++
	if bound := 3 + 10*len(w.sc.Routers); t.inWindow > bound {
		w.fail("S12", "%s: %d adverts of %s within an interval", e.n.name(), t.inWindow, w.sc.Routers[r].Name)
	}
}

// core judges how often Core is told how things stand: the two processes must not
// keep each other busy.
func (c *checker) core(d *daemon, ev appliance.Event) {
	if _, ok := ev.(appliance.Attached); !ok {
		return
	}
	w := d.n.w
	if w.now-d.window >= int64(time.Second) {
		d.window, d.inWindow = w.now, 0
	}
	if d.inWindow++; d.inWindow > 40 {
		w.fail("storm", "%s: told %d times in a second how things stand", d.n.name(), d.inWindow)
	}
}

// want: only groups that Core believes Active have addresses.
func (c *checker) want(d *daemon, want appliance.Want) {
	for _, g := range want.Groups {
		if (len(g.Identity.Addresses) > 0) != g.Active {
			d.n.w.fail("want", "%s: %s active %v, %d addresses wanted", d.n.name(), g.Name, g.Active, len(g.Identity.Addresses))
		}
	}
}

// announce: never before the address answers (S3).
func (c *checker) announce(n *node, g int) {
	if n.e == nil || n.e.set == nil || n.e.set.Group(g).State != vrrp.Active || n.d.holder.phase != 0 || n.kernel.drifted || n.d.racing() {
		return // it has lost the race against a yield, or the next Want; a Withdraw follows
	}
	if want := n.d.cfg.masks[g]; !n.kernel.gate[g] || n.kernel.addrs&want == 0 {
		n.w.fail("S3", "%s: announces %s before it answers", n.name(), n.w.sc.Groups[g].Name)
	}
}

// racing tells whether something is on its way to Core that may change what it wants.
func (d *daemon) racing() bool {
	for _, ev := range d.events {
		switch ev.(type) {
		case appliance.Synced, appliance.Claimed, appliance.TermHeard, appliance.CheckChanged, appliance.LinkChanged, appliance.BondChanged, appliance.Tick:
		default:
			return true
		}
	}
	return len(d.n.down.q) > 0
}
