package session

import "time"

// Restore puts back into a table, before anything else is in it, what a journal says
// of it. The sessions come as those of a last owner: they rest, which is to say that
// they are in no kernel, until their group is Active here; whatever a kernel or a
// peer says of one of them takes its place; and a peer that becomes Active may ask
// for them as for what this node has kept.
type Restore struct {
	table  *Table
	groups *Groups
	scope  *Scope
	self   JournalHead // Node, Config, Kernel of this node

	now      Stamp
	skip     bool            // the segment is of another node or configuration
	sameBoot bool            // since the segment: the kernel's own clock counts
	local    [MaxGroups]int8 // the segment's number of a group -> ours, -1: not to be restored
	terms    [MaxGroups]uint64
	expects  []Expect
	stats    RestoreStats
}

// RestoreStats counts what became of the records of a journal. But for Restored they
// count what was read, and a record is in a journal as often as it changed.
type RestoreStats struct {
	Restored  int    // sessions in the table
	Expired   uint64 // their time was over
	Scope     uint64 // of addresses or networks that are not ours
	Refused   uint64 // segments of another node or another configuration
	Malformed uint64
	Full      uint64
}

// NewRestore returns a Restore into t. self has this node's Node, Config and Kernel.
func NewRestore(t *Table, g *Groups, scope *Scope, now Stamp, self JournalHead) *Restore {
	return &Restore{table: t, groups: g, scope: scope, now: now, self: self}
}

// Head begins a segment.
//
// Of a journal that was written above the connection table that is there now, only
// what was resting then counts: of anything else the kernel itself has what still
// lives.
func (r *Restore) Head(h *JournalHead) {
	r.skip = h.Node != r.self.Node || h.Config != 0 && r.self.Config != 0 && h.Config != r.self.Config
	if r.skip {
		r.stats.Refused++
	}
	r.sameBoot = h.Kernel.Boot == r.self.Kernel.Boot
	for i := range r.local {
		r.local[i] = -1
	}
	for i, hg := range h.Groups {
		if g := r.groups.Index(hg.Name); g >= 0 && !r.skip && (hg.Resting || h.Kernel != r.self.Kernel) {
			r.local[i] = int8(g)
			r.terms[g] = max(r.terms[g], hg.Term)
		}
	}
}

// Records takes the body of a RECORDS frame. What makes no sense in it is counted.
func (r *Restore) Records(b []byte) {
	rd := reader{b: b}
	group, term, at := int(rd.u8()), rd.uvarint(), rd.stamp()
	if rd.bad || group >= MaxGroups {
		r.stats.Malformed++
		return
	}
	g := int(r.local[group])
	if g < 0 {
		return
	}
	r.terms[g] = max(r.terms[g], term)
	age := r.age(at)
	var rec Record
	for len(rd.b) > 0 {
		body := rd.bytes()
		r.expects = r.expects[:0]
		op, err := parseRecord(body, &rec, &r.expects, nil)
		switch {
		case rd.bad || err != nil:
			r.stats.Malformed++
		case op == OpDelete:
			r.drop(&rec.Key)
		default:
			r.upsert(g, &rec, age)
		}
	}
}

// age is how many seconds ago the moment was. A clock that was set back makes
// sessions younger, one that was set forward older: they stay for longer, or do not
// come back.
func (r *Restore) age(at Stamp) uint32 {
	ms := r.now.Wall - at.Wall
	if r.sameBoot {
		ms = r.now.Boot - at.Boot
	}
	return uint32(min(max(ms, 0)/1000, 1<<32-1))
}

func (r *Restore) upsert(g int, rec *Record, age uint32) {
	t := r.table
	if s, known := t.Lookup(&rec.Key); known && !t.Restored(s) {
		return
	}
	fits := r.scope.Groups(rec).Has(g)
	switch {
	case !rec.Installable():
	case !fits:
		r.stats.Scope++
	case rec.Timeout <= age:
		r.stats.Expired++
	default:
		rec.Timeout -= age
		s, _, err := t.Upsert(rec, g, t.gen)
		if err != nil {
			r.stats.Full++
			return
		}
		t.at(s).bits |= bitRestored
		t.SetExpects(s, r.waiting(age))
		return
	}
	r.drop(&rec.Key) // what it was before is not true either
}

// waiting are the expectations of the record under way whose time is not over.
func (r *Restore) waiting(age uint32) []Expect {
	n := 0
	for _, x := range r.expects {
		if x.Timeout > age {
			x.Timeout -= age
			r.expects[n] = x
			n++
		}
	}
	return r.expects[:n]
}

func (r *Restore) drop(k *Key) {
	if s, known := r.table.Lookup(k); known && r.table.Restored(s) {
		r.table.Delete(s, 0, time.Time{})
	}
}

// Done ends it: the terms of what was restored are raised to what they were, and
// peers may ask for it. It returns the groups that have sessions now.
func (r *Restore) Done() (restored GroupSet) {
	for g := range r.groups.list {
		n, _ := r.table.Tally(g)
		if n == 0 {
			continue
		}
		r.stats.Restored += n
		restored |= 1 << uint(g)
		r.groups.Raise(g, r.terms[g])
		r.groups.list[g].Kept = true
	}
	r.table.resting = restored
	return restored
}

// Stats returns the counters.
func (r *Restore) Stats() RestoreStats { return r.stats }

// Restored tells whether the session at s is from the journal, and nobody has said
// since that it lives.
func (t *Table) Restored(s Slot) bool { return t.at(s).bits&bitRestored != 0 }

// Resting are the groups that have sessions of the journal which no kernel is offered.
func (t *Table) Resting() GroupSet { return t.resting }

// Rouse ends that for the groups. The caller offers them.
func (t *Table) Rouse(groups GroupSet) { t.resting &^= groups }

// Rests tells whether the session at s is from the journal and in no kernel.
func (t *Table) Rests(s Slot) bool { return t.at(s).bits&(bitRestored|bitInstalled) == bitRestored }

// rests is Rests for the session k, if there is one.
func (t *Table) rests(k *Key) bool {
	s, ok := t.Lookup(k)
	return ok && t.Rests(s)
}
