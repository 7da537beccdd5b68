package sim

import (
	"time"

	"understudy/vrrp"
)

// peer is the daemon as the election knows it.
type peer struct {
	child   bool // false: it has started us
	since   int64
	beat    int64 // when it last said something; see silent
	flowing bool  // it beats, and the beats come through: beat is now
	ready   bool
	bye     bool
	mute    bool
	exited  bool
}

// silent: from here on it does not beat any more.
func (p *peer) silent(now int64) {
	if p.flowing {
		p.flowing, p.beat = false, now
	}
}

// excuse grants the daemon the time that the election was not there itself.
func (e *election) excuse() {
	slept := e.now - e.wakeBy
	if d := e.daemon; d != nil && !d.flowing && d.beat != 0 && e.wakeBy != 0 && slept >= e.watchdog()/4 {
		d.beat = min(d.beat+slept, e.now)
	}
}

// supervision is what the election knows of the life of its daemons.
type supervision struct {
	daemon    *peer
	spawning  int32 // number of the daemon that is being started; 0: none
	restartAt int64
	failures  int
	everReady bool

	downSince, grace   int64
	lost               bool
	fenceAt, fenceFrom int64
}

// Bounds, as in package election.
const (
	startLimit    = int64(10 * time.Second)
	drainLimit    = int64(1500 * time.Millisecond)
	byeLimit      = int64(5 * time.Second)
	backoffMin    = int64(100 * time.Millisecond)
	backoffMax    = int64(5 * time.Second)
	stable        = int64(10 * time.Second)
	fencePatience = int64(time.Second)
	fenceRetry    = int64(50 * time.Millisecond)
	fenceSlow     = int64(time.Second)
	beatEvery     = int64(250 * time.Millisecond)
)

func (e *election) watchdog() int64 { return int64(e.n.w.sc.Watchdog) }

// lastBeat is when the daemon was last heard. Beats that come regularly are not
// events of the simulation: while they flow, the last one is now.
func (e *election) lastBeat() int64 {
	d := e.daemon
	if d.flowing && (e.n.dHung || e.n.w.now < e.n.stalled) {
		d.silent(e.now)
	}
	if d.flowing {
		return e.now
	}
	return d.beat
}

func (e *election) responsive() bool {
	d := e.daemon
	return d != nil && d.ready && !d.bye && !d.mute && e.now-e.lastBeat() < e.watchdog()/2
}

func (e *election) supervisionDeadline() int64 {
	at := int64(0)
	if e.daemon == nil && e.spawning == 0 && e.stage == stageRunning {
		at = e.restartAt
	}
	if e.daemon != nil && !e.daemon.flowing {
		at = earlier(at, e.watchdogAt())
	}
	at = earlier(at, e.budgetAt())
	return earlier(at, e.fenceAt)
}

func (e *election) watchdogAt() int64 {
	at := e.daemon.since + startLimit
	if b := e.lastBeat(); b != 0 {
		at = b + e.watchdog()
	}
	return later(at, e.grace)
}

func (e *election) budgetAt() int64 {
	if e.downSince == 0 || e.lost || !e.everReady || e.fenceAt != 0 || e.stage != stageRunning {
		return 0
	}
	return later(e.downSince+int64(e.n.w.sc.Budget), e.grace)
}

// timers handles what is not the Set's.
func (e *election) timers() {
	if expired(e.oweAt, e.now) {
		e.pay()
	}
	if e.daemon != nil && expired(e.watchdogAt(), e.now) {
		e.killDaemon()
	}
	if expired(e.budgetAt(), e.now) || expired(e.fenceAt, e.now) {
		e.letGo()
	}
	if e.daemon == nil && e.spawning == 0 && expired(e.restartAt, e.now) && e.stage == stageRunning {
		e.spawn()
	}
	e.checkStop()
}

func (e *election) pay() {
	state, stop := e.owesState, e.owesStop
	e.owesState, e.owesStop, e.oweAt = false, false, 0
	if state {
		e.tell(e.attached())
	}
	if stop {
		e.tell(message{kind: msgStop})
	}
}

// spawn starts a daemon; while the machine cannot start processes it waits.
func (e *election) spawn() {
	n := e.n
	e.restartAt = 0
	e.spawning = n.pid()
	at := max(n.w.now, n.noSpawn) + n.rng.between(int64(2*time.Millisecond), int64(20*time.Millisecond))
	n.w.q.push(event{at: at, kind: evDaemon, node: int8(n.id), a: e.spawning})
}

// attach makes the process that has just started the daemon.
func (e *election) attach(d *peer) {
	d.since = e.now
	e.daemon = d
	e.owesState, e.owesStop, e.oweAt = false, false, 0
	for g := range e.groups {
		e.groups[g].faultStale = true
	}
}

func (e *election) onReady() {
	first := !e.daemon.ready
	e.daemon.ready, e.everReady = true, true
	e.downSince, e.grace, e.fenceAt, e.fenceFrom = 0, 0, 0, 0
	lost := e.lost
	e.lost = false
	for g := range e.n.w.sc.Groups {
		m := &e.groups[g]
		was := m.fault
		m.unfenced = false
		if m.faultStale {
			m.fault, m.faultStale = "", false
		}
		if lost || was != m.fault {
			e.step(vrrp.SetInput{Kind: vrrp.InFault, Group: e.n.w.sc.Groups[g].Name, On: m.fault != "", Reason: m.fault})
		}
	}
	if !e.started && e.stage == stageRunning {
		e.started = true
		e.step(vrrp.SetInput{Kind: vrrp.InStart})
	}
	if !e.daemon.child && first {
		e.tell(e.attached())
	}
}

// killDaemon ends a daemon that is silent.
func (e *election) killDaemon() {
	e.n.w.trace("%s watchdog: daemon killed", e.n.name())
	e.daemon.beat, e.daemon.flowing = e.now, false
	e.down()
	e.n.killDaemon()
}

// daemonExited: its last words are read in the next turn, then it is buried.
func (e *election) daemonExited() {
	if e.daemon != nil {
		e.daemon.silent(e.n.local())
		e.daemon.exited = true
	}
}

func (e *election) bury() {
	d := e.daemon
	e.daemon = nil
	e.owesState, e.owesStop, e.oweAt = false, false, 0
	if d.bye {
		e.said = true
		return
	}
	if e.now-d.since > stable {
		e.failures = 0
	}
	e.down()
	e.schedule()
	if e.stage != stageRunning {
		e.relieve()
	}
}

// relieve takes out of service what a daemon that died while the node stops has given
// up and not removed.
func (e *election) relieve() {
	for g := range e.n.w.sc.Groups {
		if e.groups[g].state != vrrp.Active {
			e.fence(g)
		}
	}
}

// down starts the budget.
func (e *election) down() {
	if e.daemon != nil {
		e.daemon.ready = false
	}
	if e.set != nil {
		for g := range e.groups {
			e.groups[g].overlap = false
		}
		e.step(vrrp.SetInput{Kind: vrrp.InOverlap})
	}
	if e.downSince == 0 {
		e.downSince = e.now
	}
}

func (e *election) schedule() {
	e.failures++
	wait := int64(0)
	if e.failures > 1 {
		wait = min(backoffMin<<min(e.failures-2, 10), backoffMax)
	}
	e.restartAt = e.now + wait
}

// letGo gives everything up because there is no daemon: out of service first,
// then priority 0.
func (e *election) letGo() {
	n := e.n
	if e.fenceFrom == 0 {
		n.w.trace("%s no daemon within its budget: letting go", n.name())
		n.w.check.budget(n)
		e.fenceFrom = e.now
	}
	e.fenceAt = 0
	if e.lost {
		e.fenceAgain()
		return
	}
	for g := range n.w.sc.Groups {
		m := &e.groups[g]
		if m.state != vrrp.Active {
			continue
		}
		if n.kernel.runFence(n, g, m) && e.now-e.fenceFrom < fencePatience {
			e.fenceAt = e.now + fenceRetry
		}
	}
	if e.fenceAt != 0 {
		return
	}
	e.fenceFrom, e.lost = 0, true
	e.step(vrrp.SetInput{Kind: vrrp.InFault, On: true, Reason: "daemon lost", Fence: true})
	for g := range n.w.sc.Groups {
		if e.groups[g].fault != "" {
			e.fence(g)
		}
	}
	e.fenceAgain()
}

// fenceAgain fences what could not be fenced when it let go.
func (e *election) fenceAgain() {
	n := e.n
	for g := range n.w.sc.Groups {
		m := &e.groups[g]
		if !m.unfenced {
			continue
		}
		if n.kernel.runFence(n, g, m) || n.w.now < n.kernel.noGate {
			e.fenceAt = e.now + fenceSlow
			continue
		}
		m.unfenced = false
	}
}
