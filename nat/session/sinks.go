package session

import "time"

// Sink returns the set with the one sink n.
func Sink(n int) Sinks { return 1 << uint(n) }

// Mark makes the record dirty for those of the sinks that listen, for the kernel if it
// may have it. A record that
// is dirty already keeps its place: what is sent is its state then.
func (t *Table) Mark(s Slot, to Sinks, now time.Time) {
	e := t.at(s)
	to = t.offered(e, to&t.active&^e.dirty)
	if to == 0 {
		return
	}
	e.dirty |= to
	at := t.clock(now)
	for n := range t.sinks {
		if to>>n&1 != 0 {
			t.sinks[n].push(s, at)
		}
	}
}

// take removes the sink's next dirty record from its queue. A tombstone lives
// on until [Table.settle].
func (t *Table) take(n int) (Slot, *entry, uint32, bool) {
	d, ok := t.sinks[n].peek()
	if !ok {
		return 0, nil, 0, false
	}
	t.sinks[n].pop()
	e := t.at(d.slot)
	e.dirty &^= Sink(n)
	return d.slot, e, d.at, true
}

// Listen makes sink n hear of changes from now on.
func (t *Table) Listen(n int) {
	t.active |= Sink(n)
	t.overflowed &^= Sink(n)
}

// Ignore makes sink n hear nothing any more and forgets what it had to hear.
func (t *Table) Ignore(n int) {
	t.active &^= Sink(n)
	t.overflowed &^= Sink(n)
	t.purge(n)
}

// purge forgets what sink n has to hear.
func (t *Table) purge(n int) {
	for {
		s, e, _, ok := t.take(n)
		if !ok {
			return
		}
		t.bury(s, e)
	}
}

// Dirty is the number of records that sink n has to hear of.
func (t *Table) Dirty(n int) int { return t.sinks[n].len() }

// Op is what a sink must do with a record.
type Op uint8

const (
	OpUpsert Op = iota // it is as the record says
	OpDelete           // it is gone, or this kernel cannot, or must not, have what has become of it
)

// Work is a piece of work for a kernel.
type Work struct {
	Slot      Slot
	Op        Op
	Group     int
	Installed bool // the kernel was given it before: an update, not a create
	Restored  bool // from the journal: what the kernel has in its place is newer
}

// TakeKernel fills recs and work with the next records that the kernel must be
// told of, as many as fit in both, and returns their number and the queue
// position behind them (see [Table.KernelQueue]). Upserts count as installed
// from here on, for a deletion that arrives meanwhile must reach the kernel;
// report failure by [Table.SetInstalled].
func (t *Table) TakeKernel(recs []Record, work []Work) (n int, position uint64) {
	for n < len(recs) && n < len(work) {
		s, e, _, ok := t.take(SinkKernel)
		if !ok {
			break
		}
		w := Work{Slot: s, Group: int(e.group), Installed: e.bits&bitInstalled != 0, Restored: e.bits&bitRestored != 0}
		e.unpack(&recs[n], t.wide.at(e.wide), t.aside.at(e.aside))
		if e.bits&bitDead != 0 || !recs[n].Resumable() || t.offered(e, Sink(SinkKernel)) == 0 {
			w.Op = OpDelete
			e.bits &^= bitInstalled
			t.bury(s, e)
		} else {
			e.bits |= bitInstalled | bitGiven
		}
		work[n] = w
		n++
	}
	return n, t.sinks[SinkKernel].head
}

// KernelQueue returns the position behind the last record queued for the
// kernel: all that was applied so far is in the kernel once the position that
// [Table.TakeKernel] returned, its work done, has come this far.
func (t *Table) KernelQueue() uint64 { return t.sinks[SinkKernel].tail }

// Installed tells whether the kernel was given the session at s.
func (t *Table) Installed(s Slot) bool { return t.at(s).bits&bitInstalled != 0 }

// SetInstalled notes whether this box's kernel holds the session k.
func (t *Table) SetInstalled(s Slot, on bool) {
	e := t.at(s)
	if e.bits&bitInstalled != 0 != on && e.bits&bitLive != 0 {
		e.bits ^= bitInstalled
	}
}

// Given tells whether the kernel has the session at s from a peer; it was
// installed, then, with leave to ignore TCP windows. Forget ends that. Give notes
// such leave for a session of this box's own.
func (t *Table) Given(s Slot) bool { return t.at(s).bits&bitGiven != 0 }

// Give makes Given true.
func (t *Table) Give(s Slot) { t.at(s).bits |= bitGiven }

// Forget makes Given false.
func (t *Table) Forget(s Slot) { t.at(s).bits &^= bitGiven }

// SetOwnID notes that the ID of the session at s is that of this box's kernel,
// so that a DESTROY or a dump can be compared with it.
func (t *Table) SetOwnID(s Slot) { t.at(s).bits |= bitOwnID }

// Identify gives the session at s the ID that this box's kernel has for it.
func (t *Table) Identify(s Slot, id uint32) {
	e := t.at(s)
	if e.bits&bitLive == 0 {
		return
	}
	t.delist(e)
	e.id = id
	e.bits |= bitOwnID
	t.enlist(e)
}

// ID returns a session's ID, and whether it is that of this box's kernel.
func (t *Table) ID(s Slot) (id uint32, own bool) {
	e := t.at(s)
	return e.id, e.bits&bitOwnID != 0
}
