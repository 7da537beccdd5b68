package sim

import (
	"time"

	"understudy/appliance"
	"understudy/vrrp"
)

// daemon models package daemon around the real Core: the runner's loop, the
// client of the election, the holder lane. Times are the node's.
type daemon struct {
	n    *node
	id   int32
	cfg  *setup
	core *appliance.Core

	events []appliance.Event // posted, not yet handled

	// The client's memory, for a new election.
	ready    bool
	fences   [MaxGroups]mask
	fenced   bool // fences are known
	eligible [MaxGroups]message
	eligTold [MaxGroups]bool
	faults   [MaxGroups]message
	weights  [MaxGroups]message
	weighed  [MaxGroups]bool
	conf     *setup

	born   int64 // of the world
	lostAt int64 // last time it had no election
	lost   bool  // the link's end has been read; waiting for a new election
	since  int64 // when the election was respawned
	looked int64 // when it last looked whether the election lives
	absent int64 // how late its looks were since that last said something
	child  int32 // its number

	holder    holder
	asked     *setup // a reload that the election has not answered
	askedAt   int64  // of the world
	requests  uint64
	mode      mode
	gen       uint64 // of the last Want
	failing   bool   // the last Hold was refused
	syncedOut bool   // Core's last word is that it is not in sync
	syncedAt  int64  // since when
	told      appliance.Synced
	toldOnce  bool
	claimed   [MaxGroups]bool
	draining  int   // hand-overs that wait for the peer to have every session
	probed    bool  // the first word of what is tracked has come
	window    int64 // see checker.core
	inWindow  int
}

// daemonUp is a daemon process that has got so far as to open its link.
func (n *node) daemonUp(id int32) {
	e := n.e
	if e == nil || e.spawning != id {
		return
	}
	if n.eHung {
		n.w.q.push(event{at: n.w.now + int64(10*time.Millisecond), kind: evDaemon, node: int8(n.id), a: id})
		return
	}
	e.now = n.local()
	e.spawning = 0
	n.up, n.down = fifo{}, fifo{}
	n.w.trace("%s daemon %d runs", n.name(), id)
	n.d = &daemon{n: n, id: id, born: n.w.now, cfg: n.cfg, conf: n.cfg, core: appliance.NewCore(stamp(n.local()), n.cfg.core),
		syncedOut: true, syncedAt: n.local()}
	n.dHung = false
	e.attach(&peer{child: true, flowing: true, beat: e.now})
	e.tell(e.attached())
	if e.stage != stageRunning {
		e.tell(message{kind: msgStop})
	}
	n.d.sendFences()
	n.wakeElection()
	n.wakeDaemon(n.w.now)
	n.w.sessionsChanged()
	n.firstWords()
}

func (d *daemon) post(ev appliance.Event) {
	d.events = append(d.events, ev)
	d.n.wakeDaemon(d.n.w.now)
}

// turn handles what has come: messages, events, the deadline.
func (d *daemon) turn() {
	n := d.n
	n.dWake = never
	d.read()
	for len(d.events) > 0 && n.d == d {
		ev := d.events[0]
		d.events = d.events[:copy(d.events, d.events[1:])]
		d.step(ev)
	}
	if n.d != d {
		return
	}
	if at := nano(d.core.Deadline()); at != 0 && n.local() >= at {
		d.step(appliance.Tick{})
	}
	if n.d == d {
		d.lookBack()
	}
	if n.d == d {
		d.plan()
	}
}

func (d *daemon) plan() {
	n := d.n
	wake := never
	if at := nano(d.core.Deadline()); at != 0 {
		wake = n.clock.when(at)
	}
	if !d.lost {
		wake = min(wake, n.down.next(n.stalled))
	}
	if n.eHung && n.e != nil {
		wake = min(wake, n.w.now+beatEvery)
	}
	if len(d.events) > 0 {
		wake = n.w.now
	}
	n.dWake = min(n.dWake, max(wake, n.w.now))
}

// lookBack kills an election that hangs while it ought to announce a group.
func (d *daemon) lookBack() {
	n := d.n
	now := n.local()
	silence, gap := now-n.board.alive, now-d.looked
	// As the real one does: what it slept itself is no silence of the election.
	if d.looked == 0 || gap > silence {
		d.absent = 0
	}
	if d.looked != 0 {
		d.absent += max(0, gap-int64(300*time.Millisecond))
	}
	d.looked = now
	if n.e == nil || !n.eHung || d.lost {
		return
	}
	silence = max(0, silence-d.absent)
	if age := now - d.since; d.since != 0 && silence > age && age < int64(5*time.Second) {
		return
	}
	for g := range n.w.sc.Groups {
		s := &n.board.slots[g]
		if s.state == vrrp.Active && silence > 4*s.interval+int64(200*time.Millisecond) {
			n.w.trace("%s election hangs: killed", n.name())
			n.killElection()
			return
		}
	}
}

// read takes what the election says (Client.Recv).
func (d *daemon) read() {
	n := d.n
	for !d.lost && n.down.ready(n.w.now, n.stalled) {
		m, ok := n.down.take()
		if !ok {
			d.lost, d.lostAt = true, n.w.now
			d.post(appliance.ElectionLost{Resume: d.resumable()})
			return
		}
		d.onMessage(&m)
	}
}

func (d *daemon) onMessage(m *message) {
	sc := d.n.w.sc
	switch m.kind {
	case msgAttached:
		ev := appliance.Attached{}
		for g := range sc.Groups {
			s := m.groups[g]
			d.current(g, &s)
			ev.Groups = append(ev.Groups, appliance.GroupState{Group: sc.Groups[g].Name, State: s.state, Term: s.term, Leaving: s.leaving})
		}
		d.post(ev)
	case msgTransition:
		s := m.groupState
		if d.current(m.group, &s); s.state != m.state {
			return
		}
		d.post(appliance.Transition{GroupState: appliance.GroupState{Group: sc.Groups[m.group].Name, State: m.state,
			Term: m.term, Leaving: m.leaving}, Cause: m.reason})
	case msgFenced:
		d.post(appliance.Fenced{Group: sc.Groups[m.group].Name})
	case msgFound:
		d.post(appliance.Guarded{Findings: m.findings})
	case msgReclaim:
		d.post(appliance.Reclaimed{Group: sc.Groups[m.group].Name})
	case msgConfigured:
		d.reloaded(m.cfg)
	case msgStop:
		d.post(appliance.Stop{})
	}
}

// current corrects a state that says Active and is outdated.
func (d *daemon) current(g int, s *groupState) {
	if b := &d.n.board.slots[g]; s.state == vrrp.Active && b.state != vrrp.Active {
		s.state, s.leaving = b.state, false
	}
}

// step gives Core an event and performs what it decides.
func (d *daemon) step(ev appliance.Event) {
	n, w := d.n, d.n.w
	w.Steps.Core++
	w.Coverage.event(d, ev)
	d.note(ev)
	for _, a := range d.core.Step(stamp(n.local()), ev) {
		d.perform(a)
		if n.d != d {
			return
		}
	}
	w.check.core(d, ev)
}

// note follows what Core has heard, for those who judge it.
func (d *daemon) note(ev appliance.Event) {
	switch ev := ev.(type) {
	case appliance.Synced:
		if !ev.InSync && !d.syncedOut {
			d.syncedAt = d.n.local()
		}
		d.syncedOut = !ev.InSync
	case appliance.Applied:
		if ev.Gen == d.gen { // an older one says nothing about the last Hold
			d.failing = ev.Failed != nil
		}
	case appliance.ElectionLost:
		if d.mode != modeStopping {
			d.mode = modeLetGo
		}
	case appliance.Stop:
		d.mode = modeStopping
	}
}

func (d *daemon) perform(a appliance.Action) {
	n, w := d.n, d.n.w
	switch a := a.(type) {
	case appliance.Hold:
		d.hold(a.Want)
	case appliance.Announce:
		w.check.announce(n, d.group(a.Group))
	case appliance.Withdraw:
	case appliance.DrainSessions:
		n.drain(d.group(a.Group), int64(a.Bound))
	case appliance.Reply:
	case appliance.ElectReady:
		if d.mode == modeStarting {
			d.mode = modeRunning
		}
		d.sendFences()
		d.send(message{kind: msgReady})
	case appliance.ElectEligible:
		d.send(message{kind: msgEligible, group: d.group(a.Group), ok: a.OK, reason: a.Reason})
	case appliance.ElectHandOver:
		d.send(message{kind: msgHandOver, group: d.group(a.Group)})
	case appliance.ElectFault:
		d.send(message{kind: msgFault, group: d.group(a.Group), ok: a.On, reason: a.Reason})
	case appliance.ElectWeight:
		d.send(message{kind: msgWeight, group: d.group(a.Group), wait: int64(a.Weight)})
	case appliance.ElectOverlap:
		d.send(message{kind: msgOverlap, group: d.group(a.Group), ok: a.OK})
	case appliance.Notify:
		w.check.notify(n, a)
	case appliance.Prepare:
		d.prepare(a)
	case appliance.ElectTerm:
		d.send(message{kind: msgTerm, group: d.group(a.Group), groupState: groupState{term: a.Term}})
	case appliance.ElectStop:
		d.send(message{kind: msgStop})
	case appliance.ElectRespawn:
		if d.mode == modeLetGo {
			d.mode = modeStarting
		}
		d.respawn(a.Resume)
	case appliance.Finish:
		n.kernel.clean(n)
		d.send(message{kind: msgBye})
		n.w.trace("%s daemon ends", n.name())
		n.killDaemon()
	}
}

func (d *daemon) group(name string) int {
	for g := range d.n.w.sc.Groups {
		if d.n.w.sc.Groups[g].Name == name {
			return g
		}
	}
	return 0
}

func (d *daemon) sendFences() {
	d.fenced = true
	for g := range d.n.w.sc.Groups {
		d.fences[g] = d.cfg.masks[g]
		d.send(message{kind: msgFence, group: g, mask: d.fences[g]})
	}
}

// send passes a message to the election and remembers what a new one would have
// to be told.
func (d *daemon) send(m message) {
	n := d.n
	switch m.kind {
	case msgConfigure:
		d.conf = m.cfg
	case msgEligible:
		d.eligible[m.group], d.eligTold[m.group] = m, true
	case msgFault:
		d.faults[m.group] = m
	case msgWeight:
		d.weights[m.group], d.weighed[m.group] = m, true
	case msgReady:
		d.ready = true
	}
	if d.lost || n.down.end {
		return // nobody is at the other end
	}
	n.up.put(m, n.w.now+n.lag)
	if !n.eHung {
		n.wakeElectionAt(n.up.next(n.stalled))
	}
}
