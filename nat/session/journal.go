package session

import (
	"encoding/binary"
	"time"
)

// When a snapshot is due: SnapshotEvery after the last, as timeouts move on without
// a word and ended flows fill the log; sooner when what was logged since is twice
// what a snapshot has, and at least snapshotFloor bytes.
const (
	SnapshotEvery = 60 * time.Second
	snapshotFloor = 4 << 20
)

// Journal writes what a table holds, for a disk: it is a sink, as a [Sender] is, and
// works like one. Records that change become dirty, and [Journal.Fill] writes the
// state that they have by then; a snapshot is a cursor over the table while what
// changes is written anyway. Whoever has its bytes may be slow, or stop: that costs
// a bit a record, and from [Journal.Stop] on nothing.
type Journal struct {
	table  *Table
	groups *Groups

	writing  bool
	sequence uint64 // segment that the last snapshot began with
	walking  bool   // it is not complete
	walked   bool   // but for the queue up to barrier
	cursor   Slot
	barrier  uint64
	wanted   bool // a snapshot is
	began    time.Time
	snapshot int // bytes of the last snapshot's records
	logged   int // bytes written beside it, since it began
	stats    JournalStats
}

// JournalStats counts what a Journal did.
type JournalStats struct {
	Upserts, Deletes, Snapshots, Overflows uint64
}

// NewJournal returns the journal of t.
func NewJournal(t *Table, g *Groups) *Journal { return &Journal{table: t, groups: g} }

// Snapshot begins a snapshot, with the segment of that number; what is filled from
// now on must be written into it and its successors. It makes the journal hear of
// changes if it did not.
func (j *Journal) Snapshot(now time.Time, sequence uint64) {
	if !j.writing {
		j.table.Listen(SinkDisk)
	}
	j.table.overflowed &^= Sink(SinkDisk)
	j.writing, j.wanted, j.sequence, j.began = true, false, sequence, now
	j.walking, j.walked, j.cursor = true, false, 0
	j.snapshot, j.logged = 0, 0
	j.stats.Snapshots++
}

// Stop makes the journal hear of nothing any more.
func (j *Journal) Stop() {
	j.writing, j.walking = false, false
	j.table.Ignore(SinkDisk)
}

// Renew makes a snapshot due: a new one begins with a new HEAD.
func (j *Journal) Renew() { j.wanted = true }

// Writing tells whether the journal hears of changes.
func (j *Journal) Writing() bool { return j.writing }

// Stats returns the counters.
func (j *Journal) Stats() JournalStats { return j.stats }

// Due tells whether a snapshot must be begun.
func (j *Journal) Due(now time.Time) bool {
	switch {
	case !j.writing:
		return true
	case j.table.overflowed&Sink(SinkDisk) != 0:
		j.stats.Overflows++
		return true
	case j.walking:
		return false
	case j.wanted || j.logged > max(snapshotFloor, 2*j.snapshot):
		return true
	}
	return now.Sub(j.began) >= SnapshotEvery && (j.logged > 0 || j.table.Len() > 0)
}

// Head returns the HEAD of a segment that is begun now; who writes and where is the
// caller's to say. resting are the groups whose sessions no kernel has.
func (j *Journal) Head(at Stamp, sequence uint64, resting GroupSet) JournalHead {
	h := JournalHead{Sequence: sequence, At: at}
	for g := range j.groups.list {
		st := &j.groups.list[g]
		h.Groups = append(h.Groups, JournalGroup{st.Name, st.announced(), resting.Has(g)})
	}
	return h
}

// journalRoom is what a records frame needs before its first record.
const journalRoom = JournalHeaderLen + 32 + fillRoom

// Fill appends frames to b, within its capacity, and returns it, with the number of
// records in it: unchanged if there is nothing to write. complete: with these bytes
// the snapshot is. The capacity must be at least 4 KiB.
func (j *Journal) Fill(at Stamp, b []byte) (out []byte, records int, complete bool) {
	if !j.writing || j.table.overflowed&Sink(SinkDisk) != 0 {
		return b, 0, false // what has been forgotten needs a snapshot
	}
	f := journalFill{j: j, b: b, at: at}
	limit := cap(b) - markRoom
	if j.walking && !j.walked {
		limit -= (limit - len(b)) / 4 // a busy queue must not keep the snapshot from its end
	}
	t := j.table
	for limit-len(f.b) >= journalRoom {
		slot, e, _, ok := t.take(SinkDisk)
		if !ok {
			break
		}
		j.logged += f.record(slot, e)
		t.bury(slot, e)
	}
	if j.walking {
		complete = j.walk(&f)
	}
	f.seal()
	if complete {
		f.b = appendComplete(f.b, j.sequence)
	}
	return f.b, f.records, complete
}

// walk goes on with the snapshot and tells whether it is at its end. What is dirty
// is left to the queue; so it is over when the queue has passed the point at which
// it was when the cursor was through.
func (j *Journal) walk(f *journalFill) bool {
	t := j.table
	if !j.walked {
		for ; cap(f.b)-markRoom-len(f.b) >= journalRoom && j.cursor < Slot(t.used); j.cursor++ {
			e := t.at(j.cursor)
			if e.bits&(bitLive|bitYoung) == bitLive && e.dirty&Sink(SinkDisk) == 0 {
				j.snapshot += f.record(j.cursor, e)
			}
		}
		if j.cursor < Slot(t.used) {
			return false
		}
		j.walked, j.barrier = true, t.sinks[SinkDisk].tail
	}
	if t.sinks[SinkDisk].head < j.barrier {
		return false
	}
	j.walking = false
	return true
}

// journalFill is a Fill under way.
type journalFill struct {
	j            *Journal
	b            []byte
	at           Stamp
	start, group int
	open         bool
	records      int
}

// record appends the record at slot, and opens a frame for it where it does not fit
// into the last. It returns its length.
func (f *journalFill) record(slot Slot, e *entry) int {
	g := int(e.group)
	if !f.open || f.group != g || len(f.b)-f.start > MaxFrame-fillRoom {
		f.seal()
		f.b, f.start = openJournal(f.b, FrameRecords)
		f.open, f.group = true, g
		f.b = binary.AppendUvarint(append(f.b, byte(g)), f.j.groups.list[g].announced())
		f.b = appendStamp(f.b, f.at)
	}
	var r Record
	t := f.j.table
	e.unpack(&r, t.wide.at(e.wide), t.aside.at(e.aside))
	before := len(f.b)
	if e.bits&bitDead != 0 {
		f.j.stats.Deletes++
		f.b = AppendDelete(f.b, &r)
	} else {
		f.j.stats.Upserts++
		f.b = appendUpsert(f.b, &r, t.expects[slot], Stand{})
	}
	f.records++
	return len(f.b) - before
}

func (f *journalFill) seal() {
	if f.open {
		f.open = false
		f.b = closeJournal(f.b, f.start)
	}
}
