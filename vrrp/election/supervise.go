package election

import (
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"understudy/vrrp"
	"understudy/vrrp/witness"
)

// daemon is the other process while there is one.
type daemon struct {
	conn  *conn
	proc  *os.Process // nil: not our child, a daemon that has started us
	pid   int
	pidfd int // readable when it has ended
	since time.Time
	beat  time.Time // when it last said anything; zero: not yet
	ready bool
	came  bool // was Ready at least once
	leave bool // has announced its absence
	bye   bool
	mute  bool // has closed its link
	gone  bool // has ended, and is being reaped
	wait  func() (exit string, code int)
}

// supervision is what the parent knows of the life of its daemons.
type supervision struct {
	daemon    *daemon
	spawning  bool
	restartAt time.Time
	failures  int // in a row
	everReady bool

	downSince time.Time // no Ready daemon since; zero: there is one, or never was
	grace     time.Time // nothing is held against the daemon before
	lost      bool      // given up: everything is fenced and in Fault
	fenceAt   time.Time // next try of a fence that failed
	fenceFrom time.Time // first try

	daemonStats DaemonStats
}

const (
	backoffMin = 100 * time.Millisecond
	backoffMax = 5 * time.Second
	// stable is how long a daemon must have lived for its death to count as new.
	stable = 10 * time.Second
	// startTries is how often the very first daemon may fail.
	startTries = 5
	// exitConfig is a daemon's exit code for a configuration it cannot use.
	exitConfig = 2
	// fencePatience is how long we go on announcing what we could not let go of.
	// After that a peer had better try, whatever is left here.
	fencePatience = time.Second
	fenceRetry    = 50 * time.Millisecond
	fenceSlow     = time.Second // once a peer has been told to take over
)

// responsive tells whether the daemon can be left to do its part.
func (l *loop) responsive(now time.Time) bool {
	d := l.daemon
	return d != nil && d.ready && !d.bye && !d.mute && now.Sub(d.beat) < l.opt.Watchdog/2
}

func (l *loop) supervisionDeadline() time.Time {
	var first time.Time
	if l.daemon == nil && !l.spawning && l.stopping.stage == running {
		first = l.restartAt
	}
	if l.daemon != nil && !l.daemon.gone {
		first = earlier(first, l.watchdogAt())
	}
	first = earlier(first, l.budgetAt())
	return earlier(first, l.fenceAt)
}

func (l *loop) watchdogAt() time.Time {
	at := l.daemon.since.Add(l.opt.StartLimit)
	if !l.daemon.beat.IsZero() {
		at = l.daemon.beat.Add(l.opt.Watchdog)
	}
	return later(at, l.grace)
}

// excuse grants the daemon the time that we were not there ourselves: in a machine
// that hangs and goes on neither of us runs, and the one that wakes first must not
// take the other for dead.
func (l *loop) excuse() {
	slept := l.now.Sub(l.wake)
	if l.wake.IsZero() || slept < l.opt.Watchdog/4 || l.daemon == nil || l.daemon.beat.IsZero() {
		return
	}
	l.daemon.beat = l.daemon.beat.Add(slept)
	if l.daemon.beat.After(l.now) {
		l.daemon.beat = l.now
	}
}

// budgetAt is when we let go of everything unless a daemon is Ready before.
func (l *loop) budgetAt() time.Time {
	if l.downSince.IsZero() || l.lost || !l.everReady || !l.fenceAt.IsZero() || l.stopping.stage != running {
		return time.Time{}
	}
	return later(l.downSince.Add(l.opt.Budget), l.grace)
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// supervise handles the timers of supervision.
func (l *loop) supervise() {
	if l.daemon != nil && !l.daemon.gone && expired(l.watchdogAt(), l.now) {
		l.log.Error("daemon is silent: killed", "pid", l.daemon.pid, "silent", l.now.Sub(later(l.daemon.beat, l.daemon.since)))
		l.daemonStats.Killed++
		l.kill()
	}
	if expired(l.budgetAt(), l.now) || expired(l.fenceAt, l.now) {
		l.letGo()
	}
	if l.daemon == nil && !l.spawning && expired(l.restartAt, l.now) && l.stopping.stage == running {
		l.spawn()
	}
}

// spawn starts a daemon. Not on the loop's thread: to load a program from a slow
// disk may take longer than an advert can wait.
func (l *loop) spawn() {
	l.spawning, l.restartAt = true, time.Time{}
	start, board, ev := l.opt.SpawnDaemon, l.board.File(), l.events
	go func() { // ends by itself; at most one runs
		d, err := startDaemon(start, board)
		ev.spawned <- spawned{d, err}
		ev.wake()
	}()
}

func startDaemon(start Spawn, board *os.File) (*daemon, error) {
	mine, child, err := SocketPair()
	if err != nil {
		return nil, err
	}
	proc, err := start(child, board)
	child.Close()
	if err != nil {
		mine.Close()
		return nil, fmt.Errorf("election: start the daemon: %w", err)
	}
	pidfd, err := unix.PidfdOpen(proc.Pid, 0)
	if err != nil {
		mine.Close()
		_ = proc.Kill()
		_, _ = proc.Wait()
		return nil, fmt.Errorf("election: pidfd: %w", err)
	}
	c, err := newConn(mine)
	if err != nil {
		unix.Close(pidfd)
		_ = proc.Kill()
		_, _ = proc.Wait()
		return nil, err
	}
	return &daemon{conn: c, proc: proc, pid: proc.Pid, pidfd: pidfd, wait: func() (string, int) { return waitFor(proc) }}, nil
}

func (l *loop) onSpawned(s spawned) {
	l.spawning = false
	if s.err != nil {
		l.log.Error("daemon not started", "error", s.err)
		l.daemonStats.LastExit = s.err.Error()
		l.unfit()
		l.schedule(1)
		return
	}
	l.log.Info("daemon started", "pid", s.daemon.pid)
	l.attach(s.daemon)
	l.tell(l.attached())
	l.tell(l.findings())
	if l.stopping.stage != running {
		l.tell(Stop{})
	}
}

// attach makes d the daemon.
func (l *loop) attach(d *daemon) {
	d.since = l.now
	l.neighbour = witness.NeighbourUnknown // until it says so
	l.daemon, l.owed = d, debt{}
	for i := range l.groups {
		l.groups[i].faultStale = true
	}
}

// onReady: the daemon holds what an Active has to hold.
func (l *loop) onReady() {
	first := !l.daemon.ready
	if !l.everReady && l.opt.Ready != nil {
		go l.opt.Ready()
	}
	l.daemon.ready, l.daemon.came, l.everReady = true, true, true
	l.daemon.leave = false
	l.downSince, l.grace, l.fenceAt, l.fenceFrom = time.Time{}, time.Time{}, time.Time{}, time.Time{}
	lost := l.lost
	l.lost = false
	l.kennel.arm(l.now)
	if l.realtime == nil {
		go becomeRealtime() // what was made meanwhile
	}
	for i := range l.groups {
		g := &l.groups[i]
		was := g.fault
		g.unfenced = false // from now on the daemon sees to it
		if g.faultStale {
			g.fault, g.faultStale = "", false
		}
		if lost || was != g.fault {
			l.step(vrrp.SetInput{Kind: vrrp.InFault, Group: g.name, On: g.fault != "", Reason: g.fault})
		}
	}
	if !l.started && l.stopping.stage == running {
		l.started = true
		l.step(vrrp.SetInput{Kind: vrrp.InStart, Begin: l.begin()})
	}
	if l.daemon.proc == nil && first { // it waits to hear whether we could resume
		l.tell(l.attached())
		l.tell(l.findings())
	}
	if l.reloads { // the one that was asked to is gone, and this one has read the file
		l.say(NewsReloaded)
	}
	l.log.Info("daemon ready", "pid", l.daemon.pid)
}

// kill ends the daemon. What follows comes from its pidfd.
func (l *loop) kill() {
	if err := unix.PidfdSendSignal(l.daemon.pidfd, unix.SIGKILL, nil, 0); err != nil && err != unix.ESRCH {
		l.log.Error("daemon not killed", "pid", l.daemon.pid, "error", err)
	}
	// Until then the next beat is due in a while: do not come back at once.
	l.daemon.beat = l.now
	l.down()
}

// onEOF: a daemon that has closed its link is of no use any more. Its end comes
// from its pidfd.
func (l *loop) onEOF() {
	l.daemon.mute = true
	if !l.daemon.bye {
		_ = unix.PidfdSendSignal(l.daemon.pidfd, unix.SIGKILL, nil, 0)
		l.down()
	}
}

// onGone has a daemon that has ended reaped. Not on the loop's thread, although nothing is
// left to wait for: while others look at the process in /proc, the kernel turns in a loop
// in wait until they have let go of it, and they never do where the real-time class keeps
// them from the processor.
func (l *loop) onGone() {
	d, ev := l.daemon, l.events
	d.gone = true
	if d.wait == nil { // it is not our child
		l.onExit(reaped{d, "ended", 1})
		return
	}
	go func() { // ends by itself; at most one runs
		exit, code := d.wait()
		ev.reaped <- reaped{d, exit, code}
		ev.wake()
	}()
}

// waitFor reaps a process.
func waitFor(p *os.Process) (exit string, code int) {
	state, err := p.Wait()
	if err != nil {
		return "ended", 1
	}
	return state.String(), state.ExitCode()
}

// onExit buries the daemon.
func (l *loop) onExit(r reaped) {
	d, exit, code := r.daemon, r.exit, r.code
	d.conn.close()
	unix.Close(d.pidfd)
	l.keepApart(false) // its dump has ended with it
	l.daemon, l.owed = nil, debt{}
	l.daemonStats.LastExit = exit
	if d.bye {
		l.said = true
		l.log.Info("daemon ended", "pid", d.pid, "exit", exit)
		return
	}
	if d.leave {
		l.log.Info("daemon makes way for another", "pid", d.pid, "lived", l.now.Sub(d.since))
	} else {
		l.log.Error("daemon died", "pid", d.pid, "exit", exit, "lived", l.now.Sub(d.since))
	}
	if !d.came {
		l.unfit()
	}
	if l.now.Sub(d.since) > stable {
		l.failures = 0
	}
	l.down()
	l.schedule(code)
	if l.stopping.stage != running {
		l.relieve()
	}
}

// relieve takes out of service what a daemon that died while we stop has given up and
// not removed: no other one comes to do so. What is Active serves on.
func (l *loop) relieve() {
	for i := range l.groups {
		if g := &l.groups[i]; g.state != vrrp.Active {
			l.fence(g.name)
		}
	}
}

// unfit tells that the program of the daemon was of no use.
func (l *loop) unfit() {
	if l.opt.Unfit != nil {
		l.opt.Unfit()
	}
}

// down starts the budget. What the daemon allowed it can no longer vouch for.
func (l *loop) down() {
	if l.daemon != nil {
		l.daemon.ready = false
	}
	if l.set != nil {
		l.step(vrrp.SetInput{Kind: vrrp.InOverlap})
	}
	if l.downSince.IsZero() {
		l.downSince = l.now
	}
}

// schedule plans the next daemon, or gives up on the first.
func (l *loop) schedule(code int) {
	l.failures++
	if !l.everReady && l.stopping.stage == running && (code == exitConfig || l.failures >= startTries) {
		l.outcome, l.ended = &ExitError{Code: code}, true
		return
	}
	l.daemonStats.Restarts++
	var wait time.Duration
	if l.failures > 1 {
		wait = min(backoffMin<<min(l.failures-2, 10), backoffMax)
	}
	l.restartAt = l.now.Add(wait)
}

// letGo gives everything up because there is no daemon: out of service first,
// then priority 0. While nothing at all can be done about a group, it is in truth
// still served here, so we go on announcing it, for a bounded time.
func (l *loop) letGo() {
	if l.fenceFrom.IsZero() {
		l.log.Error("no daemon within its budget: letting go", "down", l.now.Sub(l.downSince))
		l.fenceFrom = l.now
	}
	l.fenceAt = time.Time{}
	if l.lost {
		l.fenceAgain()
		return
	}
	for i := range l.groups {
		g := &l.groups[i]
		if g.state != vrrp.Active {
			continue
		}
		if o := l.fences.run(g.name); o.serving() && l.now.Sub(l.fenceFrom) < fencePatience {
			l.log.Error("FENCE FAILED: trying again before anybody is told to take over", "group", g.name, "error", o.err())
			l.fenceAt = l.now.Add(fenceRetry)
		}
	}
	if !l.fenceAt.IsZero() {
		return
	}
	l.fenceFrom, l.lost = time.Time{}, true
	l.step(vrrp.SetInput{Kind: vrrp.InFault, On: true, Reason: "daemon lost", Fence: true})
	for i := range l.groups {
		// One that was in Fault on the daemon's word has its gate closed, and what
		// the daemon has not removed by now nobody else will.
		if g := &l.groups[i]; g.fault != "" {
			l.fence(g.name)
		}
	}
	l.fenceAgain()
}

// fenceAgain fences what could not be fenced when we let go. Until a daemon is
// there nobody else does.
func (l *loop) fenceAgain() {
	for i := range l.groups {
		g := &l.groups[i]
		if !g.unfenced {
			continue
		}
		if l.fences.run(g.name).err() == nil {
			g.unfenced = false
			l.log.Warn("fenced at last", "group", g.name)
			continue
		}
		l.fenceAt = l.now.Add(fenceSlow)
	}
}
