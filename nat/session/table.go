package session

import (
	"errors"
	"time"
)

// Slot is the place of a record in a [Table]. It stays valid until the record
// is deleted and every sink has taken the deletion.
type Slot uint32

// Sinks is a set of those who must hear of changes, a bit each: [SinkKernel],
// up to seven peers, [SinkDisk].
type Sinks uint16

// SinkKernel is the kernel of a standby. The peers follow, 1 to MaxPeers, and then
// the [Journal].
const (
	SinkKernel = 0
	MaxPeers   = 7
	SinkDisk   = MaxPeers + 1
	MaxSinks   = SinkDisk + 1
)

// MaxGroups bounds the groups of a node, MaxRecords the sessions of a table.
const (
	MaxGroups  = 64
	MaxRecords = 1<<24 - 1
)

// ErrFull refuses a new record: the table is at its limit.
var ErrFull = errors.New("session: table is full")

// Change tells what an upsert altered.
type Change uint8

const (
	ChangeNew     Change = 1 << iota // it was not there
	ChangeBinding                    // another translation: a kernel must delete and create
	ChangeState                      // anything else that a kernel is told
	ChangeID                         // another incarnation, or another box's name for it
	ChangeGroup                      // it belongs to another group now
	ChangeClosing                    // the TCP state, and the connection goes on or winds down

	// ChangeKernel is what a kernel must be told at once, ChangeWire what a peer
	// must. A standby's kernel hears of a closing connection when it is renewed
	// or over: that it closes does not matter to its packets, and most are over
	// within milliseconds.
	ChangeKernel = ChangeNew | ChangeBinding | ChangeState
	ChangeWire   = ChangeKernel | ChangeID | ChangeGroup | ChangeClosing
)

// GroupSet is a set of groups, a bit each.
type GroupSet uint64

// Has tells whether group g is in the set.
func (s GroupSet) Has(g int) bool { return s>>uint(g)&1 != 0 }

// tally sums up the live records of a group; see [Table.Tally].
type tally struct {
	count   int
	sum     uint64
	buckets *[Buckets]uint64 // parts of sum; nil: never had any
}

// Table holds the sessions of a node, its own and its peers'. The package
// documentation tells how it is laid out. It is not safe for concurrent use.
type Table struct {
	seed  [2]uint64
	start time.Time
	limit int

	chunks []*[chunkSize]entry
	used   uint32 // slots ever handed out
	free   uint32 // slot + 1 of the first free entry
	wide   slab[wide]
	aside  slab[aside]
	index  index
	// What few sessions expect: see expect.go.
	expects map[Slot][]Expect
	// How those stand that outlive their servers, and how many how: see stand.go.
	stands   map[Slot]Stand
	standing map[StandClass]int

	sinks      [MaxSinks]fifo
	active     Sinks
	overflowed Sinks
	groups     [MaxGroups]tally
	cold       GroupSet          // not for this kernel now: see offer.go
	resting    GroupSet          // groups whose sessions of the journal no kernel is offered
	early      map[Slot]struct{} // sessions that no standby's kernel can hold yet
	live, dead int
	young      int // of live
	keepDead   bool
	gen        uint16
}

const chunkSize = 1024

// maxDead is how many tombstones may wait for a slow peer beside as many as
// there are sessions; past it the peer gets a whole resync instead.
const maxDead = 1 << 16

// NewTable returns an empty table for at most limit records (0: [MaxRecords]).
// seed must be unpredictable; start is the zero of the table's clock.
func NewTable(seed [2]uint64, start time.Time, limit int) *Table {
	if limit <= 0 || limit > MaxRecords {
		limit = MaxRecords
	}
	return &Table{seed: seed, start: start, limit: limit, active: 1 << SinkKernel}
}

// Len is the number of sessions.
func (t *Table) Len() int { return t.live }

// Tombstones is the number of deletions somebody has yet to hear of.
func (t *Table) Tombstones() int { return t.dead }

// Tally returns how many sessions group g has and a sum over their contents
// that is equal on two boxes when their sets are.
func (t *Table) Tally(g int) (count int, sum uint64) { return t.groups[g].count, t.groups[g].sum }

func (t *Table) at(s Slot) *entry { return &t.chunks[s/chunkSize][s%chunkSize] }

// clock converts to the table's milliseconds. They wrap after 49 days; only
// differences are used.
func (t *Table) clock(now time.Time) uint32 { return uint32(now.Sub(t.start).Milliseconds()) }

func (t *Table) since(now time.Time, at uint32) time.Duration {
	return time.Duration(int32(t.clock(now)-at)) * time.Millisecond
}

// Lookup finds a live session.
func (t *Table) Lookup(k *Key) (Slot, bool) {
	var p packed
	p.packKey(k)
	s, ok := t.find(&p, p.hashKey(t.seed, &p.wide))
	return s, ok && t.at(s).bits&bitLive != 0
}

// knows is Lookup that finds a tombstone as well: what has just ended here.
func (t *Table) knows(k *Key) bool {
	var p packed
	p.packKey(k)
	_, ok := t.find(&p, p.hashKey(t.seed, &p.wide))
	return ok
}

func (t *Table) find(p *packed, h uint64) (Slot, bool) {
	sh := t.index.shard(h)
	for i := sh.home(h); len(sh.words) > 0; i = sh.next(i) {
		w := sh.words[i]
		if w == 0 {
			break
		}
		if !alike(w, h) {
			continue
		}
		s := slotOf(w)
		if e := t.at(s); p.sameKey(e, t.wide.at(e.wide)) {
			return s, true
		}
	}
	return 0, false
}

// Upsert stores r as a session of group g, seen in generation gen, and tells
// what that changed. Nobody is told: see [Table.Mark]. A tombstone is revived.
func (t *Table) Upsert(r *Record, g int, gen uint16) (Slot, Change, error) {
	var p packed
	p.pack(r)
	h := p.hashKey(t.seed, &p.wide)
	s, ok := t.find(&p, h)
	if !ok {
		return t.insert(&p, h, g, gen)
	}
	return s, t.replace(s, &p, g, gen), nil
}

// Reconcile is Upsert for a record out of a dump that began with generation
// gen: a dump is read in slices, so what an event wrote (or deleted, see
// [Table.KeepTombstones]) since it began is newer and stays.
func (t *Table) Reconcile(r *Record, g int, gen uint16) (Slot, Change, error) {
	var p packed
	p.pack(r)
	h := p.hashKey(t.seed, &p.wide)
	s, ok := t.find(&p, h)
	if !ok {
		return t.insert(&p, h, g, gen)
	}
	e := t.at(s)
	if e.bits&bitLive != 0 && e.gen == gen || e.bits&bitDead != 0 && t.keepDead && e.id == r.ID {
		return s, 0, nil
	}
	return s, t.replace(s, &p, g, gen), nil
}

func (t *Table) insert(p *packed, h uint64, g int, gen uint16) (Slot, Change, error) {
	s, ok := t.alloc()
	if !ok {
		return 0, 0, ErrFull
	}
	e := t.at(s)
	*e = p.entry
	e.bits |= bitLive
	e.group, e.gen = uint8(g), gen
	if e.bits&bitSix != 0 {
		e.wide = t.wide.take(p.wide)
	}
	if p.rare != nil {
		e.aside = t.aside.take(p.aside())
	}
	t.index.add(h, s)
	t.enlist(e)
	t.sort(s, e)
	return s, ChangeWire, nil
}

func (t *Table) replace(s Slot, p *packed, g int, gen uint16) (ch Change) {
	e := t.at(s)
	if e.bits&bitDead != 0 {
		ch = ChangeNew
		e.bits ^= bitDead | bitLive
		e.bits &^= bitOwnID | bitGiven
		t.dead--
	} else {
		t.delist(e)
	}
	if e.rsrc != p.rsrc || e.rdst != p.rdst || e.rsport != p.rsport || e.rdport != p.rdport {
		ch |= ChangeBinding
	}
	if e.bits&bitSix != 0 {
		w := t.wide.at(e.wide)
		if *w != p.wide {
			ch |= ChangeBinding
			*w = p.wide
		}
	}
	if t.replaceAside(e, p) || e.status != p.status || e.mark != p.mark ||
		e.wscale != p.wscale || e.flagsOrig != p.flagsOrig || e.flagsReply != p.flagsReply {
		ch |= ChangeState
	}
	switch {
	case e.tcp == p.tcp:
	case isOpen(e.tcp) && isOpen(p.tcp):
		ch |= ChangeClosing
	default:
		ch |= ChangeState
	}
	if e.id != p.id {
		ch |= ChangeID
		e.bits &^= bitOwnID
	}
	if int(e.group) != g {
		ch |= ChangeGroup
	}
	e.rsrc, e.rdst, e.rsport, e.rdport = p.rsrc, p.rdst, p.rsport, p.rdport
	e.bits &^= bitRestored
	e.id, e.timeout, e.mark, e.status = p.id, p.timeout, p.mark, p.status
	e.tcp, e.wscale, e.flagsOrig, e.flagsReply = p.tcp, p.wscale, p.flagsOrig, p.flagsReply
	e.group, e.gen = uint8(g), gen
	t.enlist(e)
	t.sort(s, e)
	if ch&ChangeBinding != 0 {
		t.SetStand(s, Stand{}) // it was told of another server
	}
	return ch
}

func isOpen(tcp uint8) bool { return TCPState(tcp) >= TCPEstablished && TCPState(tcp) <= TCPLastAck }

func (t *Table) replaceAside(e *entry, p *packed) (changed bool) {
	switch {
	case e.aside == 0 && p.rare == nil:
		return false
	case e.aside == 0:
		e.aside = t.aside.take(p.aside())
		return true
	case p.rare == nil:
		t.aside.put(e.aside)
		e.aside = 0
		return true
	}
	have, a := t.aside.at(e.aside), p.aside()
	changed = *have != a
	*have = a
	return changed
}

func (t *Table) enlist(e *entry) {
	t.live++
	if e.bits&bitYoung != 0 {
		t.young++
		return
	}
	g := &t.groups[e.group]
	g.count++
	w := t.wide.at(e.wide)
	g.weigh(e.bucket(w), e.hashContent(w, t.aside.at(e.aside)))
}

func (t *Table) delist(e *entry) {
	t.live--
	if e.bits&bitYoung != 0 {
		t.young--
		return
	}
	g := &t.groups[e.group]
	g.count--
	w := t.wide.at(e.wide)
	g.weigh(e.bucket(w), -e.hashContent(w, t.aside.at(e.aside)))
}

func (t *Table) alloc() (Slot, bool) {
	if t.free != 0 {
		s := Slot(t.free - 1)
		t.free = t.at(s).id
		return s, true
	}
	if int(t.used) >= t.limit {
		return 0, false
	}
	if t.used%chunkSize == 0 {
		t.chunks = append(t.chunks, new([chunkSize]entry))
	}
	t.used++
	return Slot(t.used - 1), true
}

// Delete turns a session into a tombstone that the given sinks must hear of. It
// is gone once they all have, at once if none has to.
func (t *Table) Delete(s Slot, to Sinks, now time.Time) {
	e := t.at(s)
	if e.bits&bitLive == 0 {
		return
	}
	if e.bits&bitYoung != 0 {
		to &= Sink(SinkKernel) // nobody else knows of it
	}
	if t.dead+1 > maxDead+t.live-1 {
		to &^= t.overflow(to)
	}
	t.delist(e)
	e.bits &^= bitYoung
	e.bits ^= bitLive | bitDead
	t.dead++
	delete(t.expects, s)
	t.SetStand(s, Stand{})
	delete(t.early, s)
	t.Mark(s, to, now)
	t.bury(s, e)
}

// overflow finds those of the sinks, but for the kernel, for whom the tombstones
// wait: each gets a whole resync instead. Who keeps up has a short queue, and is not
// made to pay for one that does not.
func (t *Table) overflow(to Sinks) (slow Sinks) {
	for n := SinkKernel + 1; n < MaxSinks; n++ {
		if to&t.active&Sink(n) != 0 && t.sinks[n].len() > (maxDead+t.live)/2 {
			slow |= Sink(n)
		}
	}
	t.overflowed |= slow
	if slow&Sink(SinkDisk) != 0 {
		t.purge(SinkDisk) // a peer that stalls is given up in seconds; a disk is not
	}
	return slow
}

// bury frees a tombstone that nobody waits for.
func (t *Table) bury(s Slot, e *entry) {
	if e.bits&bitDead == 0 || e.dirty != 0 || t.keepDead {
		return
	}
	t.index.remove(e.hashKey(t.seed, t.wide.at(e.wide)), s)
	t.wide.put(e.wide)
	t.aside.put(e.aside)
	*e = entry{id: t.free}
	t.free = uint32(s) + 1
	t.dead--
}

// KeepTombstones keeps even tombstones nobody waits for, while a dump is read
// that may still show what was deleted meanwhile. Turning it off buries them.
func (t *Table) KeepTombstones(on bool) {
	if t.keepDead = on; on || t.dead == 0 {
		return
	}
	for s := Slot(0); s < Slot(t.used); s++ {
		t.bury(s, t.at(s))
	}
}
