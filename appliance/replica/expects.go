package replica

import (
	"time"

	"understudy/nat/conntrack"
	"understudy/nat/session"
)

// What helpers read of in one flow, its master, and expect as another: FTP's data,
// SIP's media. It is part of the master's record. On a standby it is in the kernel
// with the master, as the flow may begin on either side of a takeover.

// orphans bounds the expectations whose master is not known yet: the kernel tells of
// what a flow's first packet says before it tells of the flow.
const orphans = 256

// expecting is the scratch space and the memory of this: kernel of the installer's,
// guarded by kmu; the rest by mu.
type expecting struct {
	kernel  map[session.Key][]session.Expect // what this kernel was given, by master
	orphans map[session.Key][]session.Expect
	// Masters whose sequence numbers may be adjusted now; at most as many as orphans.
	rewritten []session.Key
}

// onExpect takes an event of an expectation. Held: e.mu.
func (e *Engine) onExpect(ev *conntrack.ExpectEvent) {
	e.counters.Events++
	s, known := e.table.Lookup(&ev.Master)
	if !known {
		if ev.Kind != conntrack.Destroy && len(e.expecting.orphans) < orphans {
			e.expecting.orphans[ev.Master] = with(e.expecting.orphans[ev.Master], &ev.Expect)
		}
		return
	}
	if !(e.groups.Active() | e.taking).Has(e.table.Group(s)) {
		return
	}
	xs := e.table.Expects(s)
	if ev.Kind == conntrack.Destroy {
		xs = without(xs, &ev.Expect)
	} else {
		xs = with(xs, &ev.Expect)
		const tcp = 6
		if ev.Master.Proto == tcp && len(e.expecting.rewritten) < orphans {
			e.expecting.rewritten = append(e.expecting.rewritten, ev.Master)
			kick(e.dump)
		}
	}
	e.expects(s, xs)
}

// expects notes what the session at s, of a group that is Active here, expects.
// Held: e.mu.
func (e *Engine) expects(s session.Slot, xs []session.Expect) {
	if len(xs) > session.MaxExpects {
		e.counters.Unsupported++
	}
	more := len(xs) > len(e.table.Expects(s))
	if e.table.SetExpects(s, xs) && !e.table.Young(s) {
		e.table.Mark(s, e.peerSinks(), time.Now())
		if more {
			e.depends()
		}
	}
}

// adoptOrphans gives a session that has become known what was heard of it before.
// Held: e.mu.
func (e *Engine) adoptOrphans(s session.Slot, k *session.Key) {
	if len(e.expecting.orphans) == 0 {
		return
	}
	if xs, ok := e.expecting.orphans[*k]; ok {
		delete(e.expecting.orphans, *k)
		e.expects(s, xs)
	}
}

func with(xs []session.Expect, x *session.Expect) []session.Expect {
	return append(without(xs, x), *x)
}

// without returns a copy of xs that has not x.
func without(xs []session.Expect, x *session.Expect) (out []session.Expect) {
	for i := range xs {
		if xs[i].Key != x.Key {
			out = append(out, xs[i])
		}
	}
	return out
}

// compareExpects makes what sessions of the groups that are Active here expect what
// the kernel says.
func (e *Engine) compareExpects(groups session.GroupSet) error {
	found := map[session.Key][]session.Expect{}
	e.dumpMu.Lock()
	err := e.dumper.DumpExpects(func(ev *conntrack.ExpectEvent) {
		found[ev.Master] = append(found[ev.Master], ev.Expect)
	})
	e.dumpMu.Unlock()
	if err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	clear(e.expecting.orphans)
	clear(e.heralds) // the dump has told all
	var gone []session.Slot
	active := e.groups.Active() & groups
	e.table.EachExpecting(func(s session.Slot) {
		var r session.Record
		if e.table.Record(s, &r); active.Has(e.table.Group(s)) && found[r.Key] == nil {
			gone = append(gone, s)
		}
	})
	for _, s := range gone {
		e.expects(s, nil)
	}
	for k, xs := range found {
		if s, ok := e.table.Lookup(&k); ok && active.Has(e.table.Group(s)) {
			e.expects(s, xs)
		}
	}
	return nil
}

// tellExpects tells the kernel what the first n pieces of work, that are done, expect.
// Held: e.kmu.
func (e *Engine) tellExpects(n int, active session.GroupSet) {
	b := &e.batch
	e.mu.Lock()
	some := e.table.Expecting() > 0 || len(e.expecting.kernel) > 0
	e.mu.Unlock()
	if !some {
		return
	}
	for i := range n {
		w := b.work[i]
		k := b.recs[i].Key
		given := e.expecting.kernel[k]
		if w.Op == session.OpDelete || !w.Installed && len(given) > 0 {
			delete(e.expecting.kernel, k) // they went with their master
			given = nil
		}
		if w.Op == session.OpDelete || b.done[i] != nil || active.Has(w.Group) {
			continue
		}
		e.mu.Lock()
		var want []session.Expect
		if s, ok := e.table.Lookup(&k); ok {
			want = e.table.Expects(s)
		}
		e.mu.Unlock()
		if len(want)+len(given) > 0 {
			e.giveExpects(k, given, want)
		}
	}
}

// giveExpects makes what the kernel was given for the flow master what is wanted.
// Held: e.kmu.
func (e *Engine) giveExpects(master session.Key, given, want []session.Expect) {
	var old, add []session.Expect
	for i := range given {
		if !holds(want, &given[i]) {
			old = append(old, given[i])
		}
	}
	for i := range want {
		if !holds(given, &want[i]) {
			add = append(add, want[i])
		}
	}
	results := make([]error, max(len(old), len(add)))
	err := e.kernel.Unexpect(old, results)
	if err == nil {
		err = e.kernel.Expect(master, add, results)
	}
	failed := 0
	for i := range add {
		if results[i] != nil {
			failed++
			e.log.Debug("expectation not installed", "of", add[i].Helper.String(), "err", results[i])
		}
	}
	if err != nil {
		e.log.Warn("expectations not installed", "err", err)
	}
	if e.expecting.kernel[master] = want; len(want) == 0 {
		delete(e.expecting.kernel, master)
	}
	e.mu.Lock()
	e.counters.Expected += uint64(len(add) - failed)
	e.counters.Errors += uint64(failed)
	e.mu.Unlock()
}

func holds(xs []session.Expect, x *session.Expect) bool {
	for i := range xs {
		if xs[i].Same(x) {
			return true
		}
	}
	return false
}

// lookAgain reads the masters of what is newly expected: with the announcement that
// the kernel has rewritten the sequence numbers are adjusted from there on, and it
// tells nobody.
func (e *Engine) lookAgain() {
	e.mu.Lock()
	keys := e.expecting.rewritten
	e.expecting.rewritten = nil
	e.mu.Unlock()
	for _, k := range keys {
		e.dumpMu.Lock()
		r, err := e.dumper.Get(k)
		e.dumpMu.Unlock()
		if err != nil || r.Key != k {
			continue // it is over
		}
		e.mu.Lock()
		if s, ok := e.table.Lookup(&k); ok && (e.groups.Active() | e.taking).Has(e.table.Group(s)) {
			var have session.Record
			if e.table.Record(s, &have); have.SeqAdj != r.SeqAdj && have.ID == r.ID {
				have.SeqAdj = r.SeqAdj
				s, ch, err := e.table.Upsert(&have, e.table.Group(s), e.gen)
				e.own(s, &have.Key, ch, -1, err)
				e.kickSenders()
			}
		}
		e.mu.Unlock()
	}
}
