package session

import (
	"encoding/binary"
	"time"
)

// An audit compares the sums of whole groups. Where they differ, the receiver
// asks for the sums of the buckets (DIGEST), and then for the records of those
// buckets that differ: a transfer in small, between two BUCKETS frames, after
// which the receiver sweeps within them. All of it goes on beside what else
// changes; each comparison is of one position of the stream.

// mending is the sender's part of it.
type mending struct {
	digests    GroupSet // groups whose sums are asked for
	digestFrom int      // the first bucket of the lowest of them to be sent
	digestBits uint8

	due  GroupSet // groups of which buckets are asked for
	asks [MaxGroups]*bucketAsk

	phase      mendPhase
	group      int
	ask        *bucketAsk
	listed     int // the bucket to go on with in the list
	generation uint64
	cursor     Slot
	barrier    uint64
}

// bucketAsk is a set of the 2^bits buckets of a group.
type bucketAsk struct {
	bits uint8
	set  bucketSet
}

type mendPhase uint8

const (
	mendNone  mendPhase = iota
	mendList            // telling which buckets
	mendWalk            // telling their records
	mendQueue           // waiting for the queue to pass the barrier
)

// mendSlots is how many slots one fill looks at for records of the buckets:
// 0.3 ms. bucketsListed is how many buckets are told in one frame.
const (
	mendSlots     = 1 << 14
	bucketsListed = 128
	listRoom      = markRoom + 2*bucketsListed
)

func (m *mending) idle() bool { return m.digests|m.due == 0 && m.phase == mendNone }

// hurried tells whether Fill has work though it may have written nothing.
func (m *mending) hurried() bool { return m.phase == mendWalk }

// request takes a RESYNC for digests or buckets.
func (m *mending) request(k mark, r *reader) error {
	if k.flags&markDigests != 0 {
		m.digests |= 1 << uint(k.group)
		m.digestFrom = 0 // of the lowest, which may be this one
		return nil
	}
	a := new(bucketAsk)
	var err error
	if a.bits, err = r.buckets(&a.set); err != nil || a.set.len() == 0 {
		return ErrMalformed
	}
	// A later request tells more: what the earlier one named is named again.
	m.asks[k.group] = a
	m.due |= 1 << uint(k.group)
	return nil
}

// fillMend sends what was asked for, as far as no full transfer takes its place.
func (s *Sender) fillMend(b []byte) []byte {
	m := &s.mending
	if (s.walking|s.wanted)&s.groups.whole() != 0 {
		// A full transfer mends all.
		*m = mending{}
		return b
	}
	b = s.fillDigests(b)
	if m.phase == mendNone {
		s.beginMend()
	}
	if m.phase != mendNone && !s.groups.whole().Has(m.group) {
		m.phase = mendNone
	}
	if m.phase == mendList {
		b = s.listBuckets(b)
	}
	if m.phase == mendWalk {
		b = s.walkBuckets(b)
	}
	if m.phase == mendQueue && s.table.sinks[s.sink].head >= m.barrier && cap(b)-len(b) >= markRoom {
		b = s.mark(b, TypeBuckets, mark{group: m.group, term: s.groups.list[m.group].announced(), generation: m.generation, flags: markOver})
		m.phase = mendNone
	}
	return b
}

// fillDigests sends sums: with the queue empty they are those of the peer's set
// when it reads them.
func (s *Sender) fillDigests(b []byte) []byte {
	m := &s.mending
	for g := 0; m.digests != 0; g++ {
		if !m.digests.Has(g) {
			continue
		}
		if !s.groups.list[g].Active || s.wanted.Has(g) {
			m.digests &^= 1 << uint(g)
			m.digestFrom = 0
			continue
		}
		if m.digestFrom == 0 {
			n, _ := s.table.Tally(g)
			m.digestBits = coarseness(n)
		}
		for total := 1 << m.digestBits; m.digestFrom < total; {
			n := min((cap(b)-len(b)-markRoom)/8, total-m.digestFrom)
			if s.Dirty() != 0 || n < min(1<<minBucketBits, total-m.digestFrom) {
				return b
			}
			b = appendDigests(b, s.table, g, s.groups.list[g].announced(), 0, m.digestBits, m.digestFrom, n)
			s.stats.Frames++
			m.digestFrom += n
		}
		m.digests &^= 1 << uint(g)
		m.digestFrom = 0
	}
	return b
}

// appendDigests appends a DIGEST of n buckets of group g from the one given on.
func appendDigests(b []byte, t *Table, g int, term, survey uint64, bits uint8, from, n int) []byte {
	b, start := openFrame(b, TypeDigest)
	b = binary.AppendUvarint(append(b, byte(g)), term)
	b = append(binary.AppendUvarint(b, survey), bits)
	b = binary.AppendUvarint(b, uint64(from))
	for i := from; i < from+n; i++ {
		b = binary.BigEndian.AppendUint64(b, t.digest(g, bits, i))
	}
	return closeFrame(b, start)
}

func (s *Sender) beginMend() {
	m := &s.mending
	m.due &= s.groups.Active()
	for g := range s.groups.list {
		if m.due.Has(g) && s.groups.whole().Has(g) {
			m.due &^= 1 << uint(g)
			m.phase, m.group, m.ask = mendList, g, m.asks[g]
			m.asks[g] = nil
			m.listed, m.cursor = 0, 0
			s.generation++
			m.generation = s.generation
			s.stats.Mends++
			return
		}
	}
}

func (s *Sender) listBuckets(b []byte) []byte {
	m := &s.mending
	for m.listed >= 0 {
		if cap(b)-len(b) < listRoom {
			return b
		}
		s.sent++
		s.stats.Frames++
		start := 0
		b, start = openFrame(b, TypeBuckets)
		b = binary.AppendUvarint(append(b, byte(m.group)), s.groups.list[m.group].announced())
		b = append(binary.AppendUvarint(b, m.generation), 0)
		b, m.listed = appendBuckets(b, m.ask.bits, &m.ask.set, m.listed, bucketsListed)
		b = closeFrame(b, start)
	}
	m.phase = mendWalk
	return b
}

// walkBuckets sends the records of the buckets. As in a full transfer the cursor
// skips what is dirty, for the queue sends it.
func (s *Sender) walkBuckets(b []byte) []byte {
	m, t := &s.mending, s.table
	bt := batch{typ: TypeRecords}
	end := min(m.cursor+mendSlots, Slot(t.used))
	for cap(b)-len(b) >= fillRoom && m.cursor < end {
		e := t.at(m.cursor)
		if e.bits&(bitLive|bitYoung) == bitLive && int(e.group) == m.group && e.dirty&s.Sink() == 0 &&
			m.ask.set.has(e.bucket(t.wide.at(e.wide))>>(bucketBits-m.ask.bits)) {
			b = s.record(b, &bt, m.cursor, e)
		}
		m.cursor++
	}
	b = s.seal(b, &bt)
	if m.cursor >= Slot(t.used) {
		m.phase, m.barrier, m.ask = mendQueue, t.sinks[s.sink].tail, nil
	}
	return b
}

// auditing is what a receiver has found so far of the buckets that differ.
type auditing struct {
	bits   uint8
	next   int // the first that is not compared yet
	differ bucketSet
}

// remedy is a transfer of buckets that is coming in. Its records have the mark
// of the reception, which others of the buckets have not.
type remedy struct {
	generation uint64
	bits       uint8
	set        bucketSet
	over       bool // all records are here: what was not among them goes
	cursor     Slot
	swept      int
}

// ask is a set of buckets to be asked for.
type ask struct {
	group int // the peer's number
	bucketAsk
}

// onDigest compares the peer's sums with this node's own. theirs is the peer's
// number of the group.
func (r *Receiver) onDigest(g, theirs int, rd *reader) error {
	x := &r.rx[g]
	bits := rd.u8()
	from := rd.uvarint()
	n := len(rd.b) / 8
	if rd.bad || bits > bucketBits || from > Buckets || from+uint64(n) > 1<<bits || len(rd.b)%8 != 0 {
		return ErrMalformed
	}
	if !x.synced || x.remedy != nil {
		x.audit = nil
		return nil
	}
	if from == 0 {
		x.audit = &auditing{bits: bits}
	}
	a := x.audit
	if a == nil || a.bits != bits || a.next != int(from) {
		x.audit = nil // not asked for, or a part is missing
		return nil
	}
	for range n {
		if sum := rd.u64(); sum != r.table.digest(g, bits, a.next) && !x.excused(bits, a.next) {
			a.differ.add(a.next)
		}
		a.next++
	}
	if a.next < 1<<bits {
		return nil
	}
	x.audit = nil
	switch d := a.differ.len(); {
	case d == 0: // what we refused explains all of it
	case d > 1<<bits/2:
		r.differs(g)
		r.Ask(g)
	default:
		r.differs(g)
		r.stats.Buckets += uint64(d)
		r.bucketAsks = append(r.bucketAsks, ask{theirs, bucketAsk{bits, a.differ}})
	}
	return nil
}

// differs counts an audit that found the sets different.
func (r *Receiver) differs(g int) {
	r.stats.Mismatches++
	r.note(Notice{Kind: NoticeMismatch, Group: g, Term: r.groups.list[g].Term})
}

// excused tells whether records of bucket i of 2^bits were refused: its sum cannot
// match.
func (x *reception) excused(bits uint8, i int) bool {
	return x.refusedAny || x.refused != nil && x.refused.any(bits, i)
}

// excuse notes that a record was refused; of a nil key, that of some record
// nothing is known.
func (x *reception) excuse(k *Key) {
	if k == nil {
		x.refusedAny = true
		return
	}
	if x.refused == nil {
		x.refused = new(bucketSet)
	}
	x.refused.add(bucketOf(k))
}

// onBuckets takes the marks around the records of some buckets.
func (r *Receiver) onBuckets(g int, m mark, rd *reader) error {
	x := &r.rx[g]
	if m.flags&markOver != 0 {
		if x.remedy != nil && x.remedy.generation == m.generation {
			x.remedy.over = true
			r.sweeping = true
		}
		return nil
	}
	var set bucketSet
	bits, err := rd.buckets(&set)
	if err != nil {
		return err
	}
	if !x.synced {
		return nil // a full transfer is what is needed
	}
	if x.remedy == nil || x.remedy.generation != m.generation || x.remedy.bits != bits || x.remedy.over {
		x.remedy = &remedy{generation: m.generation, bits: bits}
		x.gen = r.table.NextGeneration()
	}
	for i := range set {
		x.remedy.set[i] |= set[i]
	}
	return nil
}

// sweepSlots is how many slots one Sweep looks at: a millisecond.
const sweepSlots = 1 << 16

// Sweep removes what a transfer of buckets did not name, in slices: the owner
// calls it after each frame until it returns false, and lets others at the table
// in between.
func (r *Receiver) Sweep(now time.Time) (more bool) {
	if !r.sweeping {
		return false
	}
	for g := range r.groups.list {
		x := &r.rx[g]
		m := x.remedy
		if m == nil || !m.over {
			continue
		}
		t := r.table
		end := m.cursor + sweepSlots
		t.Range(m.cursor, end, 1<<uint(g), func(s Slot) bool {
			e := t.at(s)
			if e.gen != x.gen && m.set.has(e.bucket(t.wide.at(e.wide))>>(bucketBits-m.bits)) {
				r.remove(s, now)
				m.swept++
			}
			return true
		})
		if m.cursor = end; m.cursor < t.Slots() {
			return true
		}
		x.remedy = nil
		r.stats.Swept += uint64(m.swept)
		r.stats.Mends++
		r.note(Notice{Kind: NoticeMended, Group: g, Term: r.groups.list[g].Term, Swept: m.swept})
	}
	r.sweeping = false
	return false
}

// askBuckets appends the requests for digests and buckets that are due.
func (r *Receiver) askBuckets(b []byte) []byte {
	b = askFor(b, &r.digestAsks, markDigests)
	for i := range r.bucketAsks {
		a := &r.bucketAsks[i]
		start := 0
		b, start = openFrame(b, TypeResync)
		b = append(b, byte(a.group), markBuckets)
		b, _ = appendBuckets(b, a.bits, &a.set, 0, Buckets)
		b = closeFrame(b, start)
	}
	r.bucketAsks = r.bucketAsks[:0]
	return b
}
