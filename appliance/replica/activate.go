package replica

import (
	"context"
	"errors"
	"fmt"
	"time"

	"understudy/nat/conntrack"
	"understudy/nat/session"
)

// Report is what an activation did.
type Report struct {
	Term      uint64 // higher than asked for if a higher one was known
	Sessions  int    // of the group, when it was activated
	Hot       int    // of them, those that the kernel had already
	Installed int    // those that it did not have yet
	Refused   int    // those that it would not take
	Clashes   int    // those that another of its flows was in the way of
	Outlived  int    // those that it was not given: their owner was silent for too long
	// LostEstimate is how many flows of the last owner had no record here yet: by its
	// own last word, and the rate at which its flows began. -1: nothing is known of it.
	LostEstimate int
	Heard        time.Duration // how long ago the last owner had said anything; 0: there was none
	Duration     time.Duration
	Phases       Phases
}

// How long an activation reads what peers have sent. A dead peer's last words
// take microseconds, a full window of them 20 ms; a peer that goes on talking is
// not waited for.
const (
	readSoft = 50 * time.Millisecond
	readHard = time.Second
)

// afterTakeover is when the dump of an activation begins. To walk the kernel's
// buckets takes one system call of some 10 ms when there are few sessions, which
// a kernel without preemption does not interrupt: gate, addresses and
// announcements that are to run on the same processor would wait for it.
const afterTakeover = 100 * time.Millisecond

// Activate makes this node the owner of the group's sessions. When it returns,
// the kernel has every session that has arrived: the gate may be opened and the
// addresses added. A dump then follows in the background. Activating an Active
// group again, in a higher term, installs nothing; see [Engine.reclaimed].
func (e *Engine) Activate(ctx context.Context, group string, term uint64) (Report, error) {
	began := time.Now()
	g, err := e.group(group)
	if err != nil {
		return Report{}, err
	}
	bit := session.GroupSet(1) << uint(g)
	e.mu.Lock()
	again := e.groups.Active().Has(g)
	if again {
		e.groups.Activate(g, term)
		if e.stay(g) || term > e.asked[g] {
			e.reclaimed(began, g)
		}
		e.asked[g] = term
		e.announce(began, bit)
		own := e.groups.At(g).Own
		e.mu.Unlock()
		return Report{Term: own, Duration: time.Since(began)}, nil
	}
	e.mu.Unlock()
	lap, phases := watch{began}, Phases{}
	// What this kernel lost up to now it lost as a standby, and gets back.
	if _, err := e.readEvents(); err != nil {
		e.log.Warn("last events not read", "group", group, "err", err)
	}
	e.mu.Lock()
	e.taking |= bit
	before := e.counters.Installed
	if e.groups.Active() == 0 {
		e.compared = began // nothing has begun here before
	}
	err = e.turn()
	peers := e.incoming()
	e.mu.Unlock()
	lap.lap(&phases.Events)
	deadline := began.Add(readHard)
	if d, ok := ctx.Deadline(); ok && d.Before(deadline) {
		deadline = d
	}
	for _, w := range peers {
		w.tap.await(began.Add(readSoft), deadline)
	}
	lap.lap(&phases.Link)

	e.mu.Lock()
	caughtUp := e.caughtUp(g)
	heard := e.groups.At(g).Term
	report := e.beginTakeover(g, caughtUp, began)
	e.resume(g, term)
	own := e.groups.Activate(g, term)
	e.asked[g] = term
	e.groups.SetPartial(g, true) // until the dump that follows
	for _, p := range e.peers {
		p.receiver.Abandon(g)
		e.acceptLate(p, g, time.Now())
	}
	if !caughtUp {
		now := time.Now()
		e.beginSalvage(now, g, e.hadAll(now, g))
	}
	now := time.Now()
	_, outlived := e.table.Muster(bit, now, e.silence(now, g), e.cfg.Hold)
	e.tryAgain(now) // what waited for its master waits no longer
	e.wakeOrWait(now, g, heard)
	goal := e.table.KernelQueue()
	e.mu.Unlock()
	instErr := e.installUntil(ctx, goal)
	lap.lap(&phases.Kernel)
	now = time.Now()
	e.kmu.Lock()
	clear(e.expecting.kernel) // from here on the kernel's own affair
	e.kmu.Unlock()
	e.mu.Lock()
	e.taking &^= bit
	e.reconcile = now.Add(afterTakeover)
	e.strict[g] = now.Add(e.cfg.Strict)
	e.announce(now, bit)
	report.Term, report.Installed, report.Outlived = own, int(e.counters.Installed-before), outlived
	report.Duration, report.Phases = now.Sub(began), phases
	e.endTakeover(g, report, now)
	r := report.Report
	e.mu.Unlock()
	kick(e.dump)
	e.log.Info("sessions taken over", "group", group, "term", own, "from", report.From, "sessions", r.Sessions, "hot", r.Hot, "installed", r.Installed,
		"refused", r.Refused, "clashes", r.Clashes, "outlived", r.Outlived, "lost_estimate", r.LostEstimate, "duration", r.Duration,
		"events", r.Phases.Events, "link", r.Phases.Link, "kernel", r.Phases.Kernel)
	e.notify(Change{Kind: SyncChanged, Group: group, Term: own})
	return r, errors.Join(err, instErr)
}

// acceptLate has what begins at p, which claims group g as well, taken for a while. That
// is longer than it takes for watchOwners to ask for what p keeps, so that nothing falls in
// between. Held: e.mu.
func (e *Engine) acceptLate(p *peer, g int, now time.Time) {
	p.receiver.AcceptLate(g, now.Add(2*e.cfg.Late))
}

// join makes the events of flows that begin and change arrive, or not: only an
// owner needs them, and they cost a standby dear. One that polls has them from its
// dumps. Held: e.mu.
func (e *Engine) join(on bool) error {
	e.owner = on
	if on = on && e.overload.Step() != session.Polling; e.joined == on {
		return nil
	}
	do := e.events.Leave
	if on {
		do = e.events.Join
	}
	if err := do(conntrack.GroupNew, conntrack.GroupUpdate, conntrack.GroupExpectNew, conntrack.GroupExpectDestroy); err != nil {
		return fmt.Errorf("replica: %w", err)
	}
	e.joined = on
	return nil
}

func (e *Engine) incoming() (w []*wire) {
	for _, p := range e.peers {
		if p.in != nil {
			w = append(w, p.in)
		}
	}
	return w
}

// installUntil works until the kernel's queue is done up to goal.
func (e *Engine) installUntil(ctx context.Context, goal uint64) error {
	for {
		e.mu.Lock()
		done := e.kernelDone >= goal
		e.mu.Unlock()
		if done || ctx.Err() != nil {
			return ctx.Err()
		}
		if n, err := e.installBatch(); err != nil || n == 0 {
			return err
		}
	}
}

// ErrNoPeer: there is nobody who has the sessions.
var ErrNoPeer = errors.New("replica: no peer has the sessions")

// Drain waits until a peer has applied all of the sessions but what the last
// moment brought: what it would miss is less than one batch. It does so whatever the
// mode; from its beginning on nothing is held back, until the group is given up or it
// turns out that it is not.
func (e *Engine) Drain(ctx context.Context, group string) error {
	if _, err := e.group(group); err != nil {
		return err
	}
	if _, err := e.readEvents(); err != nil {
		return err
	}
	e.mu.Lock()
	e.hasten(time.Now())
	e.mu.Unlock()
	if err := e.reread(ctx); err != nil {
		return fmt.Errorf("replica: sessions of group %q not read: %w", group, err)
	}
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		e.mu.Lock()
		e.hasten(time.Now())
		connected, ready := 0, false
		for _, p := range e.peers {
			synced, _ := p.sender.Synced()
			if _, known := p.sender.Peer(); p.out != nil && known {
				connected++
			}
			ready = ready || synced && p.sender.Dirty() < conntrack.MaxBatch && p.sender.Behind(time.Now()) < 10*time.Millisecond
		}
		e.mu.Unlock()
		switch {
		case ready:
			return nil
		case connected == 0:
			return ErrNoPeer
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("replica: sessions of group %q not drained: %w", group, ctx.Err())
		case <-tick.C:
		}
	}
}

// SetTerm notes a term of the group that was heard of elsewhere.
func (e *Engine) SetTerm(group string, term uint64) {
	g, err := e.group(group)
	if err != nil {
		return
	}
	now := time.Now()
	e.mu.Lock()
	defer e.mu.Unlock()
	before := e.groups.At(g)
	if e.groups.Raise(g, term); e.groups.At(g) != before {
		e.announce(now, 1<<uint(g)) // a peer that resumes an older term learns of it
	}
}
