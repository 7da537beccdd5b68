package session

import "time"

// What a kernel is offered. A standby's kernel gets sessions as they come, or, where a
// group is cold, not before this node becomes Active: then they are mustered.

// SetCold makes the groups cold, and no others: of their sessions the kernel is told
// only what it has already, from an earlier life, until that ends.
func (t *Table) SetCold(groups GroupSet) { t.cold = groups }

// offered takes the kernel from the sinks for whom e is dirty, if it must not have it.
func (t *Table) offered(e *entry, to Sinks) Sinks {
	if to&Sink(SinkKernel) != 0 && e.bits&bitInstalled == 0 &&
		(t.cold.Has(int(e.group)) || e.bits&bitRestored != 0 && t.resting.Has(int(e.group))) {
		to &^= Sink(SinkKernel)
	}
	return to
}

// Offer makes the session at s dirty for the kernel, if a kernel can hold it, and tells
// whether it is.
func (t *Table) Offer(s Slot, now time.Time) bool {
	e := t.at(s)
	if e.bits&bitLive == 0 || !e.installable(t.aside.at(e.aside)) {
		return false
	}
	t.Mark(s, Sink(SinkKernel), now)
	return e.dirty&t.offered(e, Sink(SinkKernel)) != 0
}

// sort keeps apart what no standby's kernel can hold yet.
func (t *Table) sort(s Slot, e *entry) {
	if e.installable(t.aside.at(e.aside)) {
		if len(t.early) > 0 {
			delete(t.early, s)
		}
		return
	}
	if t.early == nil {
		t.early = map[Slot]struct{}{}
	}
	t.early[s] = struct{}{}
}

// installable is [Record.Installable] of what is stored.
func (e *entry) installable(a *aside) bool {
	answered := Status(e.status)&StatusSeenReply != 0
	switch {
	case a != nil && a.master.Family != 0 && !answered:
		return false
	case e.proto == protoTCP:
		return isOpen(e.tcp)
	case e.proto == protoSCTP:
		return a != nil && a.sctp.State >= SCTPEstablished
	}
	return answered || a != nil && a.helper != (Name{})
}

// Muster makes those sessions of the groups dirty for the kernel that it lacks and that
// may go on through this node now: masters before those that they expected. Where a group
// is cold that is all of them, and it is cold no more; else those that no standby's kernel
// can hold. silent is
// since when nothing was heard of the groups' owner, hold what a standby's kernel would
// have given to each at least; what has outlived both is left out, and counted.
func (t *Table) Muster(groups GroupSet, now time.Time, silent, hold time.Duration) (mustered, outlived int) {
	var r Record
	var expected []Slot
	offer := func(s Slot) {
		t.Mark(s, Sink(SinkKernel), now)
		mustered++
	}
	look := func(s Slot) bool {
		if t.at(s).bits&bitInstalled != 0 {
			return true
		}
		switch t.Record(s, &r); {
		case !r.Resumable():
		case r.Outlived(silent, hold):
			outlived++
		case r.Master.Family != 0:
			expected = append(expected, s)
		default:
			offer(s)
		}
		return true
	}
	whole := groups & t.cold
	t.cold &^= groups
	t.Each(whole, look)
	for s := range t.early {
		if g := t.Group(s); groups.Has(g) && !whole.Has(g) {
			look(s)
		}
	}
	// Those that were expected by one that was itself expected come last.
	for _, second := range []bool{false, true} {
		for _, s := range expected {
			t.Record(s, &r)
			m, ok := t.Lookup(&r.Master)
			if a := t.masterOf(m, ok); (a.Family != 0) == second {
				offer(s)
			}
		}
	}
	return mustered, outlived
}

// masterOf is the master of the session at s, if there is one.
func (t *Table) masterOf(s Slot, ok bool) (k Key) {
	if ok {
		if a := t.aside.at(t.at(s).aside); a != nil {
			k = a.master
		}
	}
	return k
}
