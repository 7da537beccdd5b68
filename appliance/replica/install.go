package replica

import (
	"context"
	"time"

	"golang.org/x/sys/unix"

	"understudy/nat/conntrack"
	"understudy/nat/session"
)

// batch is the scratch space of the installer: guarded by e.kmu.
type batch struct {
	recs    [conntrack.MaxBatch]session.Record
	work    [conntrack.MaxBatch]session.Work
	done    [conntrack.MaxBatch]error // for each of recs
	some    [conntrack.MaxBatch]session.Record
	index   [conntrack.MaxBatch]int // of some, in recs
	keys    [conntrack.MaxBatch]session.Key
	cold    session.GroupSet // not to be installed now
	results [conntrack.MaxBatch]error
	unsaid  int // batches since the last that was acknowledged
}

// unsaidMost is how many batches one acknowledgement is for, at most: 1 ms of work.
const unsaidMost = 4

// upkeep is how often the installer looks after what nobody kicks it for.
const upkeep = 100 * time.Millisecond

// keepInstalling gives the kernel what it must be told: peers' sessions as they
// arrive, and renewals.
func (e *Engine) keepInstalling(ctx context.Context) error {
	tick := time.NewTicker(upkeep)
	defer tick.Stop()
	retried := time.Now()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-e.install:
			e.makeLoose()
		case now := <-tick.C:
			e.mu.Lock()
			e.weigh(now, false)
			e.counters.Renewed += uint64(e.holder.Step(now, e.table, e.groups.All()&^e.groups.Active()))
			if now.Sub(retried) >= time.Second {
				retried = now
				e.tryAgain(now)
			}
			e.watchOwners(now)
			e.comeOfAge(now, false)
			e.depart(now)
			e.settleDown(now)
			e.salvage(now)
			e.watchResting(now)
			e.mu.Unlock()
			e.makeLoose() // of what a dump has brought since
			e.makeStrict(now)
		}
		for ctx.Err() == nil {
			n, err := e.installBatch()
			if err != nil {
				e.log.Error("sessions not installed", "err", err)
			}
			if n == 0 || err != nil {
				break
			}
		}
	}
}

// retries bounds what is remembered of refused sessions; the renewal finds the
// others.
const retries = 4096

// tryAgain offers the kernel what it refused. Held: e.mu.
func (e *Engine) tryAgain(now time.Time) {
	for i := range e.retry {
		if s, ok := e.table.Lookup(&e.retry[i]); ok && !e.table.Installed(s) {
			e.table.Offer(s, now)
		}
	}
	e.retry = e.retry[:0]
}

// installBatch gives the kernel the next records and returns how many it took.
// An error is one of the socket.
func (e *Engine) installBatch() (taken int, err error) {
	e.kmu.Lock()
	defer e.kmu.Unlock()
	b := &e.batch
	e.mu.Lock()
	n, position := e.table.TakeKernel(b.recs[:], b.work[:])
	active := e.groups.Active() &^ e.taking
	b.cold = e.cold()
	e.need(n)
	e.mu.Unlock()
	if n > 0 {
		err = e.tellKernel(n, active)
	}
	if err == nil && n > 0 {
		e.tellExpects(n, active)
	}
	wrong := e.kernel.Distrusted()
	e.mu.Lock()
	defer e.mu.Unlock()
	before := e.kernelDone
	e.kernelDone = position
	for g := range e.cfg.Groups {
		if at := e.arrived[g]; before < at && position >= at {
			e.notify(Change{Kind: SyncChanged, Group: e.cfg.Groups[g].Name})
		}
	}
	if wrong && !e.distrusted {
		e.distrusted = true
		e.audits = e.groups.All() // what was installed before may be wrong too
		kick(e.dump)
		e.log.Error("this kernel does not translate an entry as it was told; all of them are compared")
	}
	e.file(n, active)
	// While there is more to install, not every batch is acknowledged.
	if e.batch.unsaid++; e.table.Dirty(session.SinkKernel) == 0 || e.batch.unsaid >= unsaidMost {
		e.batch.unsaid = 0
	}
	for _, p := range e.peers {
		p.receiver.Applied(position)
		if n > 0 && e.batch.unsaid == 0 {
			kick(p.reply)
		}
	}
	return n, err
}

// tellKernel carries out the first n pieces of work: deletions first, for what
// they free may be wanted by the others. Entries of a group that is Active here
// are left as they are: its kernel knows better.
func (e *Engine) tellKernel(n int, active session.GroupSet) (err error) {
	b := &e.batch
	clear(b.done[:n])
	k := 0
	for i := range n {
		if b.work[i].Op == session.OpDelete {
			b.keys[k] = b.recs[i].Key
			k++
		}
	}
	if k > 0 {
		err = e.kernel.Delete(b.keys[:k], b.results[:k])
	}
	hold := uint32(e.cfg.Hold / time.Second)
	k = e.pick(n, func(i int, w session.Work) bool { return w.Installed && !active.Has(w.Group) })
	if k > 0 && err == nil {
		err = e.kernel.Update(b.some[:k], conntrack.UpdateOptions{Hold: hold, Liberal: true}, b.results[:k])
		for j := range k {
			i := b.index[j]
			if b.done[i] = b.results[j]; b.results[j] == conntrack.ErrNotFound && !b.cold.Has(b.work[i].Group) {
				b.work[i].Installed = false // lost: install it
			}
		}
	}
	// Those that others expected come behind their masters. What is from the journal
	// is older than whatever is in its place.
	for step := range 4 {
		keep, related := step%2 == 1, step >= 2
		k = e.pick(n, func(i int, w session.Work) bool {
			return !w.Installed && (active.Has(w.Group) || w.Restored) == keep && (b.recs[i].Master.Family != 0) == related
		})
		if k == 0 || err != nil {
			continue
		}
		o := conntrack.InstallOptions{Liberal: true, Hold: hold, KeepLocal: keep, Spot: true}
		err = e.kernel.Install(b.some[:k], o, b.results[:k])
		for j := range k {
			i := b.index[j]
			if err == nil {
				b.results[j] = e.installBare(&b.recs[i], o, b.results[j])
			}
			if b.done[i] = b.results[j]; b.done[i] == conntrack.ErrClash {
				switch {
				case b.work[i].Restored:
					b.done[i] = e.overStray(&b.recs[i], o)
				case !keep:
					b.done[i] = e.settleClash(&b.recs[i], o)
				}
			}
		}
	}
	if err != nil {
		for i := range n {
			b.done[i] = err // which of it was done is unknown: all is offered again
		}
	}
	return err
}

// installBare installs a flow, which the kernel has refused with the given result,
// without what it lacks for it: a helper that this kernel does not have, a master that
// is not there and will not come. Better so than not at all. Held: e.kmu.
func (e *Engine) installBare(r *session.Record, o conntrack.InstallOptions, refused error) error {
	bare := *r
	switch {
	case refused == conntrack.ErrNotFound && r.Master.Family != 0:
		e.mu.Lock()
		s, coming := e.table.Lookup(&r.Master)
		coming = coming && !e.table.Installed(s) && e.taking == 0
		e.mu.Unlock()
		if coming {
			return refused // it is tried again
		}
		bare.Master = session.Key{}
	case refused == unix.EOPNOTSUPP && r.Helper != (session.Name{}):
		bare.Helper = session.Name{}
	default:
		return refused
	}
	var res [1]error
	if err := e.kernel.Install([]session.Record{bare}, o, res[:]); err != nil {
		return err
	}
	if res[0] == nil {
		e.mu.Lock()
		e.counters.Bare++
		e.mu.Unlock()
	}
	return res[0]
}

// pick copies the upserts that fn wants to b.some and returns their number.
func (e *Engine) pick(n int, fn func(i int, w session.Work) bool) (k int) {
	b := &e.batch
	for i := range n {
		if w := b.work[i]; w.Op == session.OpUpsert && fn(i, w) {
			b.some[k], b.index[k] = b.recs[i], i
			k++
		}
	}
	return k
}

// settleClash: another entry of this standby's kernel holds the tuple. If no
// session we know of is behind it, it is in the way. Held: e.kmu.
func (e *Engine) settleClash(r *session.Record, o conntrack.InstallOptions) error {
	other, err := e.kernel.Holder(r)
	if err != nil {
		return conntrack.ErrClash
	}
	e.mu.Lock()
	_, known := e.table.Lookup(&other.Key)
	e.mu.Unlock()
	if known {
		return conntrack.ErrClash // its end is on the way
	}
	var res [1]error
	if err := e.kernel.Delete([]session.Key{other.Key}, res[:]); err != nil {
		return err
	}
	if err := e.kernel.Install([]session.Record{*r}, o, res[:]); err != nil {
		return err
	}
	e.mu.Lock()
	e.counters.Stale++
	e.mu.Unlock()
	return res[0]
}

// file counts the results and notes what the kernel does not have. Held: e.mu.
func (e *Engine) file(n int, active session.GroupSet) {
	b := &e.batch
	for i := range n {
		w := b.work[i]
		lost := b.done[i] == conntrack.ErrNotFound && w.Installed // and to be had again at a takeover only
		if w.Op == session.OpUpsert && !lost {
			e.filed(w.Group, &b.recs[i], b.done[i])
			e.tellOwner(w.Group, &b.recs[i], b.done[i])
		}
		switch err := b.done[i]; {
		case w.Op == session.OpDelete:
			e.counters.Removed++
			continue
		case err == nil && w.Installed:
			e.counters.Updated++
			continue
		case err == nil:
			e.counters.Installed++
			continue
		case lost:
		case err == conntrack.ErrClash:
			e.counters.Clashes++
			e.notify(Change{Kind: Clash, Group: e.cfg.Groups[w.Group].Name})
		case err == conntrack.ErrTableFull:
			e.counters.KernelFull++
			e.tellFull()
		case err == conntrack.ErrNotInstallable:
			e.counters.Unsupported++
		default:
			e.counters.Errors++
			e.log.Debug("session not installed", "session", b.recs[i].String(), "err", err)
		}
		if s, ok := e.table.Lookup(&b.recs[i].Key); ok {
			e.table.SetInstalled(s, false)
			if b.done[i] == conntrack.ErrClash && active.Has(w.Group) {
				// Taken from another owner, and a flow of ours has its place.
				e.table.Delete(s, e.peerSinks(), time.Now())
				e.kickSenders()
			}
		}
		if !active.Has(w.Group) && len(e.retry) < retries && b.done[i] != conntrack.ErrNotInstallable {
			e.retry = append(e.retry, b.recs[i].Key)
		}
	}
}
