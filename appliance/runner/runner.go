package runner

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"understudy/appliance"
	"understudy/appliance/identity"
	"understudy/health"
)

// Election is the daemon's end of the election process. Its methods must not
// block.
type Election interface {
	Ready()
	Eligible(group string, ok bool, reason string)
	Announced(group string)
	HandOver(group string)
	Fault(group string, on bool, reason string)
	Weight(group string, weight int)
	Overlap(group string, ok bool)
	Neighbour(state health.State)
	Term(group string, term uint64)
	Stop()
	Respawn(resume []appliance.GroupState)
}

// Edges performs what Core decides.
type Edges struct {
	Election Election
	// Hold makes the kernel and the session plane match a Want. It runs in the
	// holder lane, one call at a time, and may take its time.
	Hold func(context.Context, appliance.Want) appliance.Applied
	// Drain waits until the peer has the sessions of group; ctx carries the bound.
	Drain func(ctx context.Context, group string) error
	// Announce and Withdraw start and end announcements; they must not block.
	Announce func(group string, addresses []identity.Address)
	Withdraw func(group string)
	// Notify has programs told; it must not block. Prepare runs those that an
	// activation waits for, and returns when they have ended; ctx carries the bound.
	// Both may be nil where there are none.
	Notify  func(appliance.Notify)
	Prepare func(context.Context, appliance.Notify)
}

// Runner is the loop. Make it with New, feed it with Post.
type Runner struct {
	core  *appliance.Core
	edges Edges
	log   *slog.Logger

	// eventC holds 256 events. A full channel makes the poster wait: nothing is
	// lost, and the loop, which never blocks, always comes back to it.
	eventC chan appliance.Event
	askC   chan func(*appliance.Core)
	want   mailbox
	done   chan struct{}
	record func(time.Time, appliance.Event, []appliance.Action, *appliance.Core) // nil: nobody asks
	told   func(time.Time, appliance.Event, []appliance.Action, *appliance.Core) // the same

	mu      sync.Mutex
	nextID  uint64
	replies map[uint64]chan error
}

// Record has fn hear, before they are done, of all events and what Core decides about
// them. It is called in the loop, and must not wait. To be set before Run.
func (r *Runner) Record(fn func(now time.Time, ev appliance.Event, actions []appliance.Action, core *appliance.Core)) {
	r.record = fn
}

// Tell has fn hear of the same when it has been done, or is on its way: what it does with
// it delays nothing. It is called in the loop, and must not wait. To be set before Run.
func (r *Runner) Tell(fn func(now time.Time, ev appliance.Event, actions []appliance.Action, core *appliance.Core)) {
	r.told = fn
}

// New returns a Runner for core.
func New(core *appliance.Core, edges Edges, log *slog.Logger) *Runner {
	return &Runner{
		core: core, edges: edges, log: log,
		eventC:  make(chan appliance.Event, 256),
		askC:    make(chan func(*appliance.Core)),
		want:    newMailbox(),
		done:    make(chan struct{}),
		replies: make(map[uint64]chan error),
	}
}

// Post gives the loop an event. After the loop has ended it does nothing.
func (r *Runner) Post(ev appliance.Event) {
	select {
	case r.eventC <- ev:
	case <-r.done:
	}
}

// Ask runs fn in the loop, where the Core may be read. It reports false if the
// loop has ended.
func (r *Runner) Ask(ctx context.Context, fn func(*appliance.Core)) bool {
	answered := make(chan struct{})
	select {
	case r.askC <- func(c *appliance.Core) { fn(c); close(answered) }:
		<-answered
		return true
	case <-r.done:
	case <-ctx.Done():
	}
	return false
}

// Failover posts an operator's request and waits for its reply.
func (r *Runner) Failover(ctx context.Context, group string, force bool) error {
	reply := make(chan error, 1)
	r.mu.Lock()
	r.nextID++
	id := r.nextID
	r.replies[id] = reply
	r.mu.Unlock()
	defer func() {
		r.mu.Lock()
		delete(r.replies, id)
		r.mu.Unlock()
	}()
	r.Post(appliance.Failover{ID: id, Group: group, Force: force})
	select {
	case err := <-reply:
		return err
	case <-r.done:
		return context.Canceled
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Run loops until Core says Finish (nil) or ctx ends. Its lanes have returned
// when it returns.
func (r *Runner) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	var lanes sync.WaitGroup
	defer lanes.Wait()
	defer cancel()
	defer close(r.done)

	lanes.Go(func() { r.holder(ctx) })
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		if d := r.core.Deadline(); !d.IsZero() {
			timer.Reset(max(0, time.Until(d)))
		} else {
			timer.Reset(time.Hour)
		}
		var ev appliance.Event
		select {
		case ev = <-r.eventC:
		case <-timer.C:
			ev = appliance.Tick{}
		case fn := <-r.askC:
			fn(r.core)
			continue
		case <-ctx.Done():
			return ctx.Err()
		}
		now := time.Now()
		r.logEvent(ev)
		actions := r.core.Step(now, ev)
		if r.record != nil {
			r.record(now, ev, actions, r.core)
		}
		end := false
		for _, a := range actions {
			if _, end = a.(appliance.Finish); end {
				break
			}
			r.perform(ctx, &lanes, a)
		}
		if r.told != nil {
			r.told(now, ev, actions, r.core)
		}
		if end {
			return nil
		}
	}
}

func (r *Runner) perform(ctx context.Context, lanes *sync.WaitGroup, a appliance.Action) {
	e := r.edges.Election
	switch a := a.(type) {
	case appliance.Hold:
		r.want.put(a.Want)
	case appliance.Announce:
		r.edges.Announce(a.Group, a.Addresses)
		e.Announced(a.Group) // adverts may come from its virtual MACs
	case appliance.Withdraw:
		r.edges.Withdraw(a.Group)
	case appliance.DrainSessions:
		lanes.Go(func() { r.drain(ctx, a) })
	case appliance.Notify:
		if r.edges.Notify != nil {
			r.edges.Notify(a)
		}
	case appliance.Prepare:
		lanes.Go(func() { r.prepare(ctx, a) })
	case appliance.Reply:
		r.reply(a)
	case appliance.ElectReady:
		e.Ready()
	case appliance.ElectEligible:
		e.Eligible(a.Group, a.OK, a.Reason)
	case appliance.ElectHandOver:
		e.HandOver(a.Group)
	case appliance.ElectFault:
		e.Fault(a.Group, a.On, a.Reason)
	case appliance.ElectWeight:
		e.Weight(a.Group, a.Weight)
	case appliance.ElectOverlap:
		e.Overlap(a.Group, a.OK)
	case appliance.ElectNeighbour:
		e.Neighbour(a.State)
	case appliance.ElectTerm:
		e.Term(a.Group, a.Term)
	case appliance.ElectStop:
		e.Stop()
	case appliance.ElectRespawn:
		e.Respawn(a.Resume)
	}
}

// holder is the lane that makes things so. Only the latest Want counts.
func (r *Runner) holder(ctx context.Context) {
	for {
		w, ok := r.want.take(ctx)
		if !ok {
			return
		}
		applied := r.edges.Hold(ctx, w)
		if ctx.Err() != nil {
			return
		}
		r.Post(applied)
	}
}

func (r *Runner) drain(ctx context.Context, a appliance.DrainSessions) {
	bound, cancel := context.WithTimeout(ctx, a.Bound)
	defer cancel()
	err := r.edges.Drain(bound, a.Group)
	r.Post(appliance.Drained{Group: a.Group, Err: err})
}

func (r *Runner) prepare(ctx context.Context, a appliance.Prepare) {
	if r.edges.Prepare != nil {
		bound, cancel := context.WithTimeout(ctx, a.Bound)
		defer cancel()
		r.edges.Prepare(bound, a.Notify)
	}
	r.Post(appliance.Prepared{Group: a.Group, Term: a.Term})
}

func (r *Runner) reply(a appliance.Reply) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if c := r.replies[a.ID]; c != nil {
		c <- a.Err // buffered, and answered once
		delete(r.replies, a.ID)
	}
}

// logEvent tells what an operator wants to read later; packets and ticks are not
// among it. Transitions are told by the election process, which also knows those
// that this one missed.
func (r *Runner) logEvent(ev appliance.Event) {
	switch ev := ev.(type) {
	case appliance.Transition:
		r.log.Debug("transition", "group", ev.Group, "state", ev.State.String(), "term", ev.Term, "cause", ev.Cause, "leaving", ev.Leaving)
	case appliance.Fenced:
		r.log.Warn("fenced without us", "group", ev.Group)
	case appliance.ElectionLost:
		r.log.Error("election process lost", "resume", len(ev.Resume))
	case appliance.Applied:
		for group, err := range ev.Failed {
			r.log.Error("identity not held as desired", "group", group, "gen", ev.Gen, "err", err)
		}
		if ev.Static != nil {
			r.log.Warn("something static is not there; it is tried again", "gen", ev.Gen, "err", ev.Static)
		}
		for group, n := range ev.PutBack {
			r.log.Warn("something was removed by someone else and has been put back", "group", group, "how_many", n)
		}
	case appliance.CheckChanged:
		r.log.Info("check", "check", ev.Name, "state", ev.State.String(), "value", ev.Value, "why", ev.Why)
	case appliance.Reclaimed:
		r.log.Info("another node was active too; announcing again", "group", ev.Group)
	case appliance.BondChanged:
		r.log.Info("bond", "bond", ev.Name, "state", ev.State.String(), "lost", ev.Lost, "why", ev.Why)
	case appliance.LinkChanged:
		r.log.Debug("interface", "iface", ev.Name, "up", ev.Up)
	case appliance.Drifted:
		r.log.Warn("kernel differs from what was applied", "why", ev.Why)
	case appliance.Drained:
		r.log.Info("sessions drained for hand-over", "group", ev.Group, "err", ev.Err)
	case appliance.Failover:
		r.log.Info("hand-over requested", "group", ev.Group, "force", ev.Force)
	case appliance.Reloaded:
		r.log.Info("configuration reloaded")
	case appliance.Stop:
		r.log.Info("stopping")
	}
}
