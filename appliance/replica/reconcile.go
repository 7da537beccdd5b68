package replica

import (
	"context"
	"errors"
	"time"

	"understudy/nat/conntrack"
	"understudy/nat/session"
)

// keepDumping compares table and kernel: as the owner from time to time and when
// events were lost, as a standby when a peer's sessions are all here.
func (e *Engine) keepDumping(ctx context.Context) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		e.lookAgain()
		now := time.Now()
		e.probe(now)
		e.mu.Lock()
		active := e.groups.Active()
		due := active != 0 && !now.Before(e.reconcile)
		audits := e.audits &^ active
		e.audits = 0
		wait := time.Second
		if active != 0 && !due {
			wait = min(wait, e.reconcile.Sub(now))
		}
		e.mu.Unlock()
		if audits != 0 {
			e.report("audit", e.audit(audits))
		}
		if due {
			e.report("reconcile", e.compare(ctx, active))
			continue
		}
		timer.Reset(wait)
		select {
		case <-ctx.Done():
			return nil
		case <-e.dump:
		case <-timer.C:
		}
	}
}

func (e *Engine) report(what string, err error) {
	if err != nil {
		e.mu.Lock()
		e.counters.DumpErrors++
		e.mu.Unlock()
		e.log.Warn("conntrack dump failed", "for", what, "err", err)
	}
}

// dumpSlice is how many entries of a dump are handled under one lock.
const dumpSlice = 64

// dumpGroups calls fn, with e.mu held, for each kernel entry of the groups.
func (e *Engine) dumpGroups(groups session.GroupSet, fn func(ev *conntrack.Event, g int)) error {
	e.dumpMu.Lock()
	defer e.dumpMu.Unlock()
	e.lookAround()
	var slice [dumpSlice]conntrack.Event
	var group [dumpSlice]session.GroupSet
	n := 0
	flush := func() {
		e.mu.Lock()
		for i := range n {
			if g, _ := e.groupOf(&slice[i], group[i], false); groups.Has(g) {
				fn(&slice[i], g)
			}
		}
		e.mu.Unlock()
		n = 0
	}
	err := e.dumper.Dump(conntrack.Filter{}, func(ev *conntrack.Event) {
		// The scope changes only between dumps: no lock for what is not ours.
		gs := e.scope.Groups(&ev.Rec)
		if gs&groups == 0 {
			return
		}
		slice[n], group[n] = *ev, gs
		if n++; n == dumpSlice {
			flush()
		}
	})
	flush()
	return err
}

// compare makes the table of the groups that are Active here what the kernel
// has. Events go on meanwhile; where they know better, see [session.Table.Reconcile].
func (e *Engine) compare(ctx context.Context, groups session.GroupSet) error {
	began := time.Now()
	e.mu.Lock()
	e.gen = e.table.NextGeneration()
	gen := e.gen
	e.table.KeepTombstones(true)
	e.counters.Dumps++
	e.owed = e.owed || e.lost || e.passed
	e.lost, e.passed, e.anew = false, false, false
	e.seen = unworthy{}
	goal := e.table.KernelQueue()
	e.mu.Unlock()
	// What is on its way into the kernel must be there to be seen.
	if err := e.installUntil(ctx, goal); err != nil {
		e.log.Warn("sessions not installed", "err", err)
	}
	offloaded := 0
	err := e.dumpGroups(groups, func(ev *conntrack.Event, g int) {
		if e.entry(ev, g, gen) {
			offloaded++
		}
	})
	now := time.Now()
	e.watchTunnels(now)
	if err == nil {
		err = e.compareExpects(groups)
		now = time.Now()
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.dumpOver(began, now, err != nil)
	e.dumpAgain(began, now)
	if err == nil {
		e.compared, e.owed = began, false
		e.setOffloaded(offloaded)
		e.unworthy = e.seen
		swept := 0
		e.table.Sweep(groups&e.groups.Active(), gen, func(s session.Slot) {
			if e.rests(s) {
				return
			}
			e.table.Delete(s, e.sinksOf(s), now)
			swept++
		})
		e.counters.Swept += uint64(swept)
		for g := range e.cfg.Groups {
			if groups.Has(g) {
				e.groups.SetPartial(g, false)
			}
		}
		e.makeSure(now, groups)
		e.salvage(now) // peers can be asked now
	}
	e.table.KeepTombstones(false)
	if e.knobs().Dump {
		e.letGo() // what it has found is the checkpoint
	}
	e.kickSenders()
	e.depart(now)
	if errors.Is(err, conntrack.ErrDumpInterrupted) {
		e.log.Debug("conntrack dump interrupted")
		return nil
	}
	return err
}

// entry takes an entry that the owner's dump shows, and tells whether it is in a
// flowtable. Held: e.mu.
func (e *Engine) entry(ev *conntrack.Event, g int, gen uint16) (offloaded bool) {
	if !e.groups.Active().Has(g) {
		return false
	}
	offloaded = ev.Rec.Offloaded()
	s, known := e.table.Lookup(&ev.Rec.Key)
	r, ok := e.merge(ev, s, known)
	if !ok {
		return offloaded // swept if it is known
	}
	class, wanted := e.wants(r)
	if !wanted {
		e.seen.note(r, class)
		return offloaded
	}
	s, ch, err := e.table.Reconcile(r, g, gen)
	if err == nil && e.table.Dead(s) {
		return offloaded // deleted while the dump was read
	}
	if isTunnel(&ev.Rec) {
		e.tunnels.seen = append(e.tunnels.seen, ev.Rec)
	}
	e.own(s, &r.Key, ch, class, err)
	return offloaded
}

// audit makes the kernel of a standby what the peers' sessions say. A box that
// was Active, or that was restarted, has entries that nobody vouches for; they
// would clash with what the owner does now. Until it has been through once, such a
// box is not in sync: who takes over owns what his kernel has, and flows that have
// long ended would live again on every node.
func (e *Engine) audit(groups session.GroupSet) error {
	var stale []session.Key
	now := time.Now()
	e.mu.Lock()
	begun := e.settledOf(groups)
	e.mu.Unlock()
	err := e.dumpGroups(groups, func(ev *conntrack.Event, g int) {
		if !e.settled(g) {
			return
		}
		s, known := e.table.Lookup(&ev.Rec.Key)
		if !known && e.cfg.Knobs.Mirror {
			return // made by its packets, and of its peer it is not told
		}
		if !known {
			// What is only forwarded takes nothing from anybody, and may be on its
			// way through this node for a good reason.
			if _, ours := e.scope.Translated(&ev.Rec); ours {
				stale = append(stale, ev.Rec.Key)
			}
			return
		}
		var r session.Record
		e.table.Record(s, &r)
		if same := r.SameBinding(&ev.Rec) && conntrack.InEffect(&ev.Rec); same != e.table.Installed(s) {
			e.table.SetInstalled(s, same)
			e.table.Offer(s, now)
		}
	})
	e.remove(groups, stale)
	// What clashed with stale entries has room now.
	e.mu.Lock()
	e.table.Each(groups&^e.groups.Active(), func(s session.Slot) bool {
		if !e.table.Installed(s) {
			e.table.Offer(s, now)
		}
		return true
	})
	if err != nil {
		e.audits |= groups // with the next turn of the timer
	} else if first := begun & e.settledOf(groups) & e.unaudited; first != 0 {
		e.unaudited &^= first
		for g := range e.cfg.Groups {
			if first.Has(g) {
				e.arrived[g] = e.table.KernelQueue() // what has got room
			}
		}
		e.notify(Change{Kind: SyncChanged})
	}
	e.mu.Unlock()
	kick(e.install)
	return err
}

// settledOf is those of the groups that are settled. Held: e.mu.
func (e *Engine) settledOf(groups session.GroupSet) (out session.GroupSet) {
	for g := range e.cfg.Groups {
		if groups.Has(g) && e.settled(g) {
			out |= 1 << uint(g)
		}
	}
	return out
}

// settled tells whether the table is the truth about group g, which is not
// Active here. Held: e.mu.
func (e *Engine) settled(g int) bool {
	return !(e.groups.Active() | e.taking).Has(g) && e.told(g)
}

// remove deletes entries from the kernel that are still unknown.
func (e *Engine) remove(groups session.GroupSet, keys []session.Key) {
	for len(keys) > 0 {
		n := min(len(keys), conntrack.MaxBatch)
		e.removeBatch(groups, keys[:n])
		keys = keys[n:]
	}
}

func (e *Engine) removeBatch(groups session.GroupSet, keys []session.Key) {
	e.kmu.Lock()
	defer e.kmu.Unlock()
	e.mu.Lock()
	if groups&(e.groups.Active()|e.taking) != 0 {
		e.mu.Unlock()
		return // taken over meanwhile: the table follows the kernel now
	}
	n := 0
	for i := range keys {
		if _, known := e.table.Lookup(&keys[i]); !known {
			keys[n] = keys[i]
			n++
		}
	}
	e.counters.Stale += uint64(n)
	e.mu.Unlock()
	if n == 0 {
		return
	}
	if err := e.kernel.Delete(keys[:n], e.batch.results[:n]); err != nil {
		e.log.Warn("stale sessions not removed", "err", err)
	}
}
