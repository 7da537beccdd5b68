package replica

import (
	"context"
	"errors"
	"fmt"
	"time"

	"understudy/nat/conntrack"
	"understudy/nat/session"
)

// keepHarvesting reads the kernel's events. It waits for the first of a burst
// only: the others are read each millisecond, which costs half of what a wake-up
// for each of them costs, on the packet path too.
func (e *Engine) keepHarvesting(ctx context.Context) error {
	w, err := newWaiter(e.events.FD())
	if err != nil {
		return fmt.Errorf("replica: %w", err)
	}
	defer w.close()
	defer context.AfterFunc(ctx, w.stop)()
	for ctx.Err() == nil {
		n, err := e.readEvents()
		if err != nil {
			return err
		}
		if n > 0 {
			sleep(ctx, harvestPause(e.cfg.Harvest, n))
			continue
		}
		if err := w.wait(); err != nil {
			return fmt.Errorf("replica: wait for events: %w", err)
		}
	}
	return nil
}

// Under load each reading may bring more: what a reading costs beside its events, on
// both gateways, is as much as 30 of them do.
const (
	harvestMany    = 12 // events a reading, from which on there are fewer readings
	harvestLongest = 4  // times the usual pause
)

// harvestPause is how long to wait after a reading that brought n events. At a steady
// rate it grows from one to the next, or shrinks: it is the longest from 12 events a
// millisecond on, and the usual one below.
func harvestPause(usual time.Duration, n int) time.Duration {
	return min(max(usual, usual*time.Duration(n)/harvestMany), harvestLongest*usual)
}

// harvestSlice is how many events are handled without letting anyone else at
// the table: 0.2 ms.
const harvestSlice = 256

// readEvents reads all that is queued and returns how much that was.
func (e *Engine) readEvents() (total int, err error) {
	for {
		e.mu.Lock()
		e.weigh(time.Now(), false)
		n, err := e.events.Drain(harvestSlice, e.handler)
		e.kickSenders()
		if e.table.Dirty(session.SinkKernel) > 0 {
			kick(e.install)
		}
		if errors.Is(err, conntrack.ErrOverrun) {
			e.overrun()
			err = nil
			n = harvestSlice // there is more
		}
		e.mu.Unlock()
		total += n
		if err != nil || n < harvestSlice {
			return total, err
		}
	}
}

// Bounds of the pause between dumps that overruns or errors ask for.
const (
	dumpPauseMin = 2 * time.Second
	dumpPauseMax = 30 * time.Second
)

// overrun has events lost. What became of our sessions only a dump tells; the
// sessions of peers are all offered to the kernel again, which shows what it let
// go of. Held: e.mu.
func (e *Engine) overrun() {
	now := time.Now()
	e.counters.Overruns++
	e.lost = true
	e.dumpSoon(now)
	kick(e.dump)
	e.weigh(now, true)
	e.table.Each(e.groups.All()&^e.groups.Active(), func(s session.Slot) bool {
		e.table.Offer(s, now)
		return true
	})
	e.log.Warn("conntrack events lost", "overruns", e.counters.Overruns)
	e.notify(Change{Kind: Overrun})
}

// dumpSoon makes the owner's dump due, but not at once after the last one: under
// an overload that lasts, dumps must not add to it. Held: e.mu.
func (e *Engine) dumpSoon(now time.Time) {
	at := e.dumped.Add(e.dumpPause)
	if at.Before(now) {
		at = now
	}
	if at.Before(e.reconcile) {
		e.reconcile = at
	}
}

// dumpOver plans the next dump: soon if this one failed or events were lost
// meanwhile, and each time later as long as that goes on. Held: e.mu.
func (e *Engine) dumpOver(began, now time.Time, failed bool) {
	e.dumped, e.dumpTook = now, now.Sub(began)
	// From beginning to beginning, and never more than half of the time.
	if e.reconcile = began.Add(e.period()); e.reconcile.Before(now.Add(e.dumpTook)) {
		e.reconcile = now.Add(e.dumpTook)
	}
	if e.anew {
		e.reconcile = now
	}
	if !failed && !e.lost {
		e.dumpPause = dumpPauseMin
		return
	}
	e.dumpPause = min(max(2*e.dumpPause, dumpPauseMin), dumpPauseMax)
	e.dumpSoon(now)
}

// dumpAgain has a box that polls make the next dump before long, after one that
// began at the given time. Held: e.mu.
func (e *Engine) dumpAgain(began, now time.Time) {
	if e.overload.Step() != session.Polling {
		return
	}
	if at := now.Add(e.overload.PollEvery(now.Sub(began))); at.Before(e.reconcile) {
		e.reconcile = at
	}
}

// onEvent takes one event. Held: e.mu.
func (e *Engine) onEvent(ev *conntrack.Event) {
	e.counters.Events++
	if e.spare(ev) {
		return
	}
	gs := e.scope.Groups(&ev.Rec)
	if gs == 0 {
		return
	}
	g, owned := e.groupOf(ev, gs, ev.Kind != conntrack.Destroy)
	switch {
	case ev.Kind == conntrack.Destroy && owned:
		e.ended(ev)
	case ev.Kind == conntrack.Destroy:
		e.taken(ev)
	case owned:
		e.changed(ev, g)
	default:
		e.counters.Stray++
	}
}

// ended: a session of ours is over.
func (e *Engine) ended(ev *conntrack.Event) {
	s, ok := e.table.Lookup(&ev.Rec.Key)
	if !ok {
		e.forget(&ev.Rec.Key)
		return
	}
	if ev.Has&conntrack.HasID != 0 {
		if id, own := e.table.ID(s); own && id != ev.Rec.ID {
			return // an earlier incarnation of it
		}
		// A dump under way may still show it, and must not revive it.
		e.table.Identify(s, ev.Rec.ID)
	}
	e.table.Delete(s, e.sinksOf(s), time.Now())
}

// taken: the kernel let go of a session that we hold for a peer. Only the peer
// says when it is over, so the kernel is given it again.
func (e *Engine) taken(ev *conntrack.Event) {
	s, ok := e.table.Lookup(&ev.Rec.Key)
	if !ok || !e.table.Installed(s) || e.saw(s) {
		return
	}
	e.table.SetInstalled(s, false)
	if e.table.Offer(s, time.Now()) {
		e.counters.Reinstalled++
	}
}

// changed: a session of ours is new, or another than it was.
func (e *Engine) changed(ev *conntrack.Event, g int) {
	s, known := e.table.Lookup(&ev.Rec.Key)
	r, ok := e.merge(ev, s, known)
	if !ok {
		return
	}
	class, wanted := e.wants(r)
	if !wanted {
		if known {
			e.table.Delete(s, e.sinksOf(s), time.Now())
		} else {
			e.remember(ev, r)
		}
		return
	}
	e.forget(&r.Key)
	if !known {
		e.pickedUp(ev, g, time.Now())
	}
	s, ch, err := e.table.Upsert(r, g, e.gen)
	e.own(s, &r.Key, ch, class, err)
}

// wants tells whether the flow is to be replicated, and its class.
func (e *Engine) wants(r *session.Record) (class int, ok bool) {
	if !r.Replicable() && !(e.cfg.Knobs.Early && r.Begun()) {
		return -1, false
	}
	class = e.cfg.Classes.ClassOf(&r.Key)
	if class >= 0 && e.cfg.Classes[class].Never {
		e.counters.Excluded++
		return class, false
	}
	return class, e.cfg.Knobs.Early || !e.cfg.Classes.TooEarly(class, r)
}

// own notes that a session, of the given class, came from this box's kernel.
func (e *Engine) own(s session.Slot, k *session.Key, ch session.Change, class int, err error) {
	if err != nil {
		e.counters.Full++
		return
	}
	e.table.SetOwnID(s)
	e.table.SetInstalled(s, true)
	if ch&session.ChangeWire == 0 {
		return
	}
	now := time.Now()
	if ch&session.ChangeNew != 0 {
		e.adoptOrphans(s, k)
	}
	if class >= 0 && e.cfg.Classes[class].MinAge > 0 && !e.cfg.Knobs.Early && !e.table.HasHelper(s) &&
		(ch&session.ChangeNew != 0 || ch&session.ChangeID != 0 && e.table.Young(s)) {
		e.young.Add(now, e.table, s, class)
	}
	if !e.table.Young(s) {
		e.table.Mark(s, e.sinksOf(s), now)
	}
	if ch&session.ChangeNew != 0 && e.table.HasMaster(s) {
		e.depends()
	}
}

// comeOfAge has peers told of the sessions that are old enough; of all of them, if
// nobody will be here to do so later. Held: e.mu.
func (e *Engine) comeOfAge(now time.Time, all bool) {
	n := 0
	if all {
		n = e.young.All(now, e.table, e.peerSinks())
	} else {
		n = e.young.Due(now, e.table, e.peerSinks())
	}
	if n > 0 {
		e.kickSenders()
	}
}

// merge completes what an event or a dump shows by what is known: the kernel
// leaves out what did not change. The result is valid until the next call.
func (e *Engine) merge(ev *conntrack.Event, s session.Slot, known bool) (*session.Record, bool) {
	r := &e.merged
	*r = ev.Rec
	if ev.Has&conntrack.HasTupleZone != 0 {
		e.counters.Unsupported++
		return nil, false
	}
	var old session.Record
	if known {
		e.table.Record(s, &old)
	}
	const tcp = 6
	if r.Proto == tcp && ev.Has&conntrack.HasTCP == 0 {
		if !known {
			e.counters.Partial++ // the next dump shows all of it
			return nil, false
		}
		r.TCP.State = old.TCP.State
	}
	if known {
		if ev.Has&conntrack.HasTCPOptions == 0 {
			state := r.TCP.State
			r.TCP = old.TCP
			r.TCP.State = state
		}
		if ev.Has&conntrack.HasMark == 0 {
			r.Mark = old.Mark
		}
		if ev.Has&conntrack.HasStatus == 0 {
			r.Status = old.Status
		}
		if ev.Has&conntrack.HasTimeout == 0 {
			r.Timeout = old.Timeout
		}
		if ev.Has&conntrack.HasSCTP == 0 {
			r.SCTP = old.SCTP
		}
		if ev.Has&conntrack.HasSeqAdj == 0 {
			r.SeqAdj = old.SeqAdj
		}
		// A dump shows all labels there are.
		if ev.Has&conntrack.HasLabels == 0 && ev.Kind != conntrack.Entry {
			r.Labels = old.Labels
		}
		if ev.Has&conntrack.HasHelper == 0 {
			r.Helper = old.Helper
		}
		if ev.Has&conntrack.HasMaster == 0 {
			r.Master = old.Master
		}
	}
	if !known {
		e.recall(ev, r)
	}
	r.Status &^= session.StatusOffload | session.StatusHWOffload // of this kernel's flowtables
	// What else the kernel notes in the flags is about numbers that do not travel.
	const travels = session.TCPFlagWindowScale | session.TCPFlagSACK | 0x04 | session.TCPFlagLiberal
	r.TCP.FlagsOrig &= travels
	r.TCP.FlagsReply &= travels
	if known && conntrack.WindowScaleKnown(&old.TCP) || conntrack.WindowScaleKnown(&r.TCP) {
		// Liberal is what installing it made it; the flow itself needs none.
		r.TCP.FlagsOrig &^= session.TCPFlagLiberal
		r.TCP.FlagsReply &^= session.TCPFlagLiberal
	}
	return r, true
}
