package sim

import (
	"time"

	"understudy/vrrp"
	"understudy/vrrp/witness"
)

// election models the loop of package election, around the real Set: the order
// of a turn, what it does with the Ops, and (in supervise.go and stop.go) how it
// keeps a daemon, fences and ends. Times are the node's, ns.
type election struct {
	n     *node
	id    int32
	cfg   *setup
	set   *vrrp.Set
	guard *witness.Guard

	groups  [MaxGroups]member
	sent    [MaxRouters]int64 // last advert, priority 0 aside
	started bool
	resumed bool

	supervision
	stage   stage
	until   int64
	wakeBy  int64 // when the turn was to begin at the latest; 0: no timer runs
	said    bool
	sigterm bool

	owesState, owesStop bool
	oweAt               int64
	now                 int64 // of this turn
}

// member is a group as the election keeps it.
type member struct {
	groupState
	fault      string
	faultStale bool
	fence      mask // what its fence removes
	fenced     bool // it has one
	unfenced   bool // the last try failed
	overlap    bool // may serve beside a better one, in this activation
	refrains   bool // was told that it is not eligible
	weight     int  // added to the priority of every member
}

func (n *node) newElection(d *peer) *election {
	e := &election{n: n, id: n.pid(), now: n.local()}
	e.daemon = d
	e.guard = n.newGuard(e.id)
	n.w.trace("%s election %d runs", n.name(), e.id)
	return e
}

// configure goes over to a file. Links are told with the old configuration, as
// the loop does.
func (e *election) configure(cfg *setup) {
	w := e.n.w
	if e.set == nil {
		set, err := vrrp.NewSet(cfg.set)
		if err != nil {
			w.fail("config", "%v", err)
			return
		}
		e.set, e.cfg = set, cfg
		e.guard.Layout(set)
		for s := range Segments {
			e.step(e.n.link(s))
		}
		return
	}
	e.cfg = cfg
	now := e.now
	w.Steps.Set++
	w.check.before(w, e, vrrp.SetInput{}, true)
	w.Coverage.reconfigure(e)
	out, err := e.set.Reconfigure(stamp(now), cfg.set)
	if err != nil {
		w.fail("config", "%v", err)
		return
	}
	e.guard.Layout(e.set)
	e.apply(out.Ops)
	w.check.after(w, e, vrrp.SetInput{}, out.Ops)
}

// turn is one round of the loop: the ports first, and empty, before an expired
// timer is believed.
func (e *election) turn() {
	n := e.n
	n.eWake = never
	e.now = n.local()
	n.board.alive = e.now
	e.excuse()
	if e.set == nil && !e.adopt() {
		return
	}
	d := nano(e.set.Deadline())
	due := d != 0 && e.now >= d
	e.receive()
	e.receiveBeats()
	e.readLinks()
	if due {
		e.step(vrrp.SetInput{Kind: vrrp.InTick})
	}
	e.readEvents()
	e.readDaemon()
	e.timers()
	if n.e == e {
		e.beat()
		e.plan()
	}
}

// plan is the poll: it finds when the next turn is.
func (e *election) plan() {
	n := e.n
	at := nano(e.set.Deadline())
	at = earlier(at, nano(e.guard.Deadline()))
	at = earlier(at, e.supervisionDeadline())
	at = earlier(at, e.until)
	at = earlier(at, e.oweAt)
	e.wakeBy = at
	wake := never
	if at != 0 {
		wake = n.clock.when(at)
		if n.late > 0 {
			wake += n.rng.below(n.late)
		}
	}
	if d := e.daemon; d != nil && !d.mute {
		wake = min(wake, n.up.next(n.stalled))
	}
	n.eWake = min(n.eWake, max(wake, n.w.now))
}

// earlier is the first of two times, of which zero is none.
func earlier(a, b int64) int64 {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}

func later(a, b int64) int64 { return max(a, b) }

func expired(at, now int64) bool { return at != 0 && now >= at }

// receive reads every port empty.
func (e *election) receive() {
	n := e.n
	for s := range n.inbox {
		for i := 0; i < len(n.inbox[s]); i++ {
			e.onFrame(n.inbox[s][i])
			if n.e != e {
				return
			}
		}
		n.inbox[s] = n.inbox[s][:0]
	}
}

func (e *election) onFrame(i int32) {
	w := e.n.w
	f := &w.pool.all[i]
	defer w.pool.put(i)
	a := &w.advert
	d, reason := vrrp.ParseDatagram(f.b[:f.n])
	if reason == vrrp.ReasonNone {
		reason = vrrp.ParseAdvert(d, a)
	}
	router := -1
	if len(d.Payload) > 1 {
		for r := range w.sc.Routers {
			rt := &w.sc.Routers[r]
			if rt.Segment == int(f.segment) && rt.VRID == d.Payload[1] && (rt.Family == 4) == d.Src.Is4() {
				router = r
			}
		}
	}
	if router < 0 && reason == vrrp.ReasonNone {
		reason = vrrp.ReasonVRID
	}
	if reason != vrrp.ReasonNone {
		e.step(vrrp.SetInput{Kind: vrrp.InRefused, Router: router, Interface: segmentNames[f.segment], Src: d.Src, Refused: reason})
		if router >= 0 {
			e.guard.Refused(stamp(f.rx), router, d.Src, reason)
		}
		return
	}
	if reason := e.step(vrrp.SetInput{Kind: vrrp.InAdvert, Router: router, Src: d.Src, Advert: a, Rx: stamp(f.rx)}); reason != vrrp.ReasonNone {
		e.guard.Refused(stamp(f.rx), router, d.Src, reason)
	} else {
		e.guard.Heard(stamp(f.rx), e.set, router, d.Src, a)
	}
}

func (e *election) readLinks() {
	for s, news := range e.n.linkNews {
		if news {
			e.n.linkNews[s] = false
			e.step(e.n.link(s))
		}
	}
}

// step gives the Set an input, and does what it asks for. It tells why an advert
// was refused.
func (e *election) step(in vrrp.SetInput) (refused vrrp.Reason) {
	w := e.n.w
	w.Steps.Set++
	w.check.before(w, e, in, false)
	w.Coverage.input(e, &in)
	out := e.set.Step(stamp(e.now), in)
	for i := range out.Ops {
		if out.Ops[i].Kind == vrrp.OpDrop {
			refused = out.Ops[i].Reason
		}
	}
	e.apply(out.Ops)
	w.check.after(w, e, in, out.Ops)
	return refused
}

// apply does the Ops in their order.
func (e *election) apply(ops []vrrp.Op) {
	for i := range ops {
		op := &ops[i]
		switch op.Kind {
		case vrrp.OpSend:
			e.send(op)
		case vrrp.OpGateClose:
			e.n.kernel.closeGate(e.n, e.index(op.Group))
		case vrrp.OpFence:
			e.fence(e.index(op.Group))
		case vrrp.OpTransition:
			e.onTransition(op)
		}
	}
}

func (e *election) index(name string) int {
	for g := range e.n.w.sc.Groups {
		if e.n.w.sc.Groups[g].Name == name {
			return g
		}
	}
	return 0
}

// priority is what a router advertises: an owner's does not move.
func (e *election) priority(r int) uint8 {
	p := e.cfg.Priority[r]
	if p == 255 {
		return p
	}
	return uint8(min(max(int(p)+e.groups[e.groupOf(r)].weight, 1), 254))
}

func (e *election) groupOf(r int) int {
	for g := range e.n.w.sc.Groups {
		for _, m := range e.cfg.members[g] {
			if m == r {
				return g
			}
		}
	}
	return 0
}

func (e *election) send(op *vrrp.Op) {
	n, w := e.n, e.n.w
	segment := w.sc.Routers[op.Router].Segment
	if !e.set.Source(op.Router).IsValid() {
		return
	}
	w.check.sent(w, e, op)
	if n.linkUp[segment] { // else the kernel refuses
		w.packet = e.set.AppendPacket(w.packet[:0], *op)
		w.transmit(n.id, segment, w.packet)
		if op.Priority > 0 {
			e.sent[op.Router] = e.now
			e.post(e.groupOf(op.Router))
		}
	}
	w.mix(uint64(n.id)<<40 | uint64(op.Router)<<32 | uint64(op.Priority))
	if w.Trace != nil {
		w.trace("%s sends %s priority %d", n.name(), w.sc.Routers[op.Router].Name, op.Priority)
	}
}

// post notes how long a group could be resumed after our death.
func (e *election) post(g int) {
	m := &e.groups[g]
	if m.state != vrrp.Active || m.leaving {
		return
	}
	until := int64(0)
	for _, r := range e.cfg.members[g] {
		if e.sent[r] == 0 {
			return
		}
		until = earlier(until, e.sent[r]+2*int64(e.cfg.Interval))
	}
	e.n.board.slots[g].resumeUntil = until
	e.n.board.slots[g].interval = int64(e.cfg.Interval)
}

func (e *election) onTransition(op *vrrp.Op) {
	n, w := e.n, e.n.w
	g := e.index(op.Group)
	e.guard.Stir(stamp(e.now))
	e.groups[g].groupState = groupState{op.To, op.Term, op.Leaving}
	n.board.slots[g].note(op.To, op.Leaving, op.Term)
	e.post(g)
	w.mix(uint64(n.id)<<40 | uint64(g)<<32 | uint64(op.To)<<16 | op.Term)
	if w.Trace != nil {
		w.trace("%s %s %v -> %v (%s) term %d leaving %v", n.name(), op.Group, op.From, op.To, op.Cause, op.Term, op.Leaving)
	}
	e.tell(message{kind: msgTransition, group: g, groupState: groupState{op.To, op.Term, op.Leaving}, reason: op.Cause})
	if op.From == vrrp.Active && op.To != vrrp.Active && !e.responsive() {
		n.kernel.removeFenced(n, g, &e.groups[g])
		e.tell(message{kind: msgFenced, group: g})
	}
}

// fence takes a group out of service without the daemon.
func (e *election) fence(g int) {
	n, m := e.n, &e.groups[g]
	if e.bidden() {
		n.w.fail("tidied", "%s: fences %s although its daemon has left nothing", n.name(), n.w.sc.Groups[g].Name)
	}
	m.unfenced = n.kernel.runFence(n, g, m) || n.w.now < n.kernel.noGate
	e.tell(message{kind: msgFenced, group: g})
}

// tell sends to the daemon, if there is one. What does not fit goes out later,
// as the whole state.
func (e *election) tell(m message) {
	n := e.n
	if e.daemon == nil || e.daemon.mute {
		return
	}
	if n.down.put(m, n.w.now+n.lag) {
		if n.d != nil {
			n.wakeDaemon(n.down.next(n.stalled))
		}
		return
	}
	switch m.kind {
	case msgStop:
		e.owesStop = true
	case msgConfigured:
		return
	default:
		e.owesState = true
	}
	e.oweAt = e.now + int64(50*time.Millisecond)
}

func (e *election) attached() message {
	m := message{kind: msgAttached}
	for g := range e.groups {
		m.groups[g] = e.groups[g].groupState
	}
	return m
}

func (e *election) active() bool {
	for g := range e.n.w.sc.Groups {
		if e.groups[g].state == vrrp.Active {
			return true
		}
	}
	return false
}
