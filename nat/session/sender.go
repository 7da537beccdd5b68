package session

import (
	"encoding/binary"
	"time"
)

// Timing of a link.
const (
	PingEvery  = 250 * time.Millisecond
	PeerDead   = 3 * time.Second // nothing heard for so long: the connection is given up
	AuditEvery = 60 * time.Second
)

// window is how many fills may be unacknowledged: what is sent beyond the
// peer's capacity would only get old in buffers, while in the table it coalesces.
const window = 64

// Sender tells one peer of the sessions of the groups this node is Active for.
// It is the sink of that peer: records that change become dirty, [Sender.Fill]
// writes the state they have by then. Nothing is ever sent again; what a lost
// connection left open is settled by a full transfer on the next. A full
// transfer needs no memory: a cursor goes over the table, and what changes
// behind it is dirty anyway.
type Sender struct {
	table  *Table
	groups *Groups
	sink   int
	hello  Hello
	knobs  Knobs

	connections                   uint64 // so far
	connected, greeted, peerKnown bool
	peer                          Hello
	sent, received, applied       uint64 // counted frames of this connection
	inflight                      [window]flight
	first, flights                int
	carried                       [window][]Slot // the upserts of each flight
	terms                         GroupSet       // TERM frames due
	open                          uint64         // queue position behind what may be sent; see held.go
	planned                       bool           // Deadline took what is held back into account

	wanted, walking GroupSet // full transfers asked for, in progress
	cursor          Slot
	walked          bool // the cursor is through; END waits for the queue up to barrier
	barrier         uint64
	generation      uint64
	walkSince       time.Time
	walkEnd         uint64 // frame that ends the last transfer; unapplied while > applied
	synced          time.Time

	kept       GroupSet // asked for what was kept of them; see kept.go
	keptCursor Slot
	mending    mending // see mend.go
	refused    refused // what the peer does not take; see refusal.go
	survey     *Survey // what it is asked for; see survey.go
	telling    telling // how this node stands; see view.go

	packed []byte // scratch of pack

	lastPing, lastHeard, lastAudit time.Time
	blind                          time.Duration // see [Sender.Blind]
	stats                          SenderStats
}

// flight is one fill, or several of those that need no confirmation: the last counted
// frame, and since when the oldest record waited.
type flight struct {
	seq uint64
	at  uint32
}

// SenderStats counts what a sender did.
type SenderStats struct {
	Upserts, Deletes, Frames, Bytes, Transfers, Overflows uint64
	Packed                                                uint64 // of the frames
	Mends                                                 uint64 // transfers of buckets
	Refused                                               uint64 // words of the peer that it does not take a flow
}

// NewSender returns the sender for the peer that is sink n (1 to MaxPeers) of
// t. hello's Node, Boot, Features, Config and Table are this node's; its groups are
// filled in.
func NewSender(t *Table, g *Groups, n int, hello Hello) *Sender {
	return &Sender{table: t, groups: g, sink: n, hello: hello}
}

// SetConfig changes what the hellos from the next connection on say of the
// configuration.
func (s *Sender) SetConfig(hash uint64) { s.hello.Config = hash }

// SetTableSize changes what the hellos from the next connection on say of this
// node's kernel.
func (s *Sender) SetTableSize(t TableSize) { s.hello.Table = t }

// Connect begins a new connection, Disconnect ends it.
func (s *Sender) Connect(now time.Time) {
	s.Disconnect()
	*s = Sender{table: s.table, groups: s.groups, sink: s.sink, hello: s.hello, knobs: s.knobs, generation: s.generation, connections: s.connections + 1,
		synced: s.synced, packed: s.packed, stats: s.stats, connected: true, lastHeard: now, lastPing: now, lastAudit: now}
	s.table.Listen(s.sink)
	s.wanted = s.groups.Active()
	s.walkSince = now
}

// Disconnect forgets what the peer had to hear: the next connection begins with
// a full transfer.
func (s *Sender) Disconnect() {
	s.connected = false
	s.table.Ignore(s.sink)
}

// Sink is the set with this sender's peer.
func (s *Sender) Sink() Sinks { return Sink(s.sink) }

// Announce makes the sender tell the term and ownership of the groups.
func (s *Sender) Announce(groups GroupSet) { s.terms |= groups & s.groups.All() }

// Resync asks for a full transfer of the groups.
func (s *Sender) Resync(now time.Time, groups GroupSet) {
	if s.wanted|s.walking == 0 {
		s.walkSince = now
	}
	s.wanted |= groups
}

// Peer is what the peer said in its hello, if it did.
func (s *Sender) Peer() (Hello, bool) { return s.peer, s.peerKnown }

// Synced tells whether the peer has applied a full transfer on this connection
// and none is under way, and when it last did.
func (s *Sender) Synced() (bool, time.Time) {
	return s.connected && s.peerKnown && s.wanted|s.walking == 0 && s.walkEnd <= s.applied, s.synced
}

// Stats returns the counters.
func (s *Sender) Stats() SenderStats { return s.stats }

// Dirty is the number of records the peer has yet to be sent.
func (s *Sender) Dirty() int { return s.table.Dirty(s.sink) }

// Goal is what a peer had to hear at some moment.
type Goal struct {
	connection uint64
	at         uint64 // where the queue ended
	sent       uint64 // 0, or the counted frame that was the last when it had been written
}

// Goal returns what the peer has to hear now.
func (s *Sender) Goal() Goal { return Goal{connection: s.connections, at: s.queue().tail} }

// Reached tells whether the peer has received all of g, or never will on the connection
// that it was to come by.
func (s *Sender) Reached(g *Goal) bool {
	if g.connection != s.connections || !s.connected {
		return true
	}
	if g.sent == 0 {
		if s.queue().head < g.at {
			return false
		}
		g.sent = s.sent
	}
	return s.received >= g.sent
}

// Heard tells whether the peer has received all, and there is nothing more to send now.
func (s *Sender) Heard() bool { return s.Idle() && s.received == s.sent }

// Lag is how long the oldest change that is not safe at the peer has waited: 0 if all
// are. What makes one safe is the knobs' Ack; what is held back is not safe.
func (s *Sender) Lag(now time.Time) time.Duration { return s.lag(now, s.safe()) }

// Behind is Lag by what the peer has applied, whatever makes a change safe.
func (s *Sender) Behind(now time.Time) time.Duration { return s.lag(now, s.applied) }

func (s *Sender) lag(now time.Time, seq uint64) (lag time.Duration) {
	t := s.table
	if n := s.beyond(seq); n > 0 {
		lag = t.since(now, s.inflight[(s.first+s.flights-n)%window].at)
	}
	if d, ok := s.queue().peek(); ok {
		lag = max(lag, t.since(now, d.at))
	}
	if s.wanted|s.walking != 0 || s.walkEnd > seq {
		lag = max(lag, now.Sub(s.walkSince))
	}
	return max(lag, 0)
}

// safe is the last counted frame whose changes are safe.
func (s *Sender) safe() uint64 {
	switch s.knobs.Ack {
	case AckNone:
		return s.sent
	case AckReceived:
		return s.received
	}
	return s.applied
}

// beyond is the number of fills that end behind the counted frame seq.
func (s *Sender) beyond(seq uint64) (n int) {
	for n < s.flights && s.inflight[(s.first+s.flights-1-n)%window].seq > seq {
		n++
	}
	return n
}

// Idle tells whether there is nothing to send now but pings, and nothing that Deadline
// does not know of.
func (s *Sender) Idle() bool {
	return !s.sendable() && !s.unplanned() && s.wanted&s.groups.whole()|s.walking|s.terms|s.kept == 0 && s.mending.idle() &&
		(s.survey == nil || s.survey.Idle()) && s.telling.left == nil && s.greeted
}

// Deadline is when Fill must be called at the latest, after one that had nothing; zero:
// at once.
func (s *Sender) Deadline(now time.Time) time.Time {
	if s.mending.hurried() && s.beyond(s.safe()) < window {
		return time.Time{}
	}
	at := s.lastPing.Add(PingEvery)
	s.planned = s.queue().len() > 0
	if held, ok := s.heldUntil(now); ok && held.Before(at) {
		return held
	}
	return at
}

// Dead tells whether the peer has been silent for too long.
func (s *Sender) Dead(now time.Time) bool { return now.Sub(s.lastHeard) > PeerDead }

// Handle takes a frame that came back on the connection.
func (s *Sender) Handle(now time.Time, typ Type, payload []byte) error {
	s.lastHeard = now
	r := reader{b: payload}
	if !s.peerKnown && typ != TypeHello {
		return ErrOrder
	}
	switch typ {
	case TypeHello:
		h, err := ParseHello(payload)
		if err != nil {
			return err
		}
		s.peer, s.peerKnown = *h, true
	case TypeAck:
		received, applied := r.uvarint(), r.uvarint()
		if r.bad || received > s.sent || applied > received || received < s.received || applied < s.applied {
			return ErrMalformed
		}
		s.acknowledge(now, received, applied)
	case TypeResync:
		m, err := r.parseMark(typ)
		if err != nil || m.group >= s.groups.Len() {
			return ErrMalformed
		}
		if m.flags&markKept != 0 {
			s.kept |= 1 << uint(m.group)
			s.keptCursor = 0
			break
		}
		if m.flags&(markDigests|markBuckets) != 0 {
			return s.mending.request(m, &r)
		}
		s.Resync(now, s.groups.Active()&(1<<uint(m.group)))
	case TypeRefusal:
		return s.onRefusal(&r)
	case TypeInventory:
		if s.survey != nil {
			return s.survey.onInventory(&r)
		}
	case TypeLook:
		s.telling.looked = true
	case TypePing, TypePong:
	default:
		if typ&critical != 0 {
			return ErrType
		}
	}
	return nil
}

func (s *Sender) acknowledge(now time.Time, received, applied uint64) {
	s.received = received
	if s.applied < s.walkEnd && applied >= s.walkEnd {
		s.synced = now
	}
	s.applied = applied
	for s.flights > 0 && s.inflight[s.first].seq <= applied {
		s.carried[s.first] = s.carried[s.first][:0]
		s.first = (s.first + 1) % window
		s.flights--
	}
}

// fillRoom is what must be free in the buffer for a record to be begun. Behind
// the last one there is still markRoom for an END, however busy the queue is.
const (
	fillRoom = 256
	markRoom = 64
)

// Fill appends frames to b, within its capacity, and returns it: unchanged if
// there is nothing to send. Call it again as long as it returns something.
// The capacity must be at least 4 KiB beside the hello; frames of about 16 KiB
// are a good size. Without a peer's hello only ours is sent.
func (s *Sender) Fill(now time.Time, b []byte) []byte {
	before := len(b)
	if !s.connected {
		return b
	}
	if !s.greeted {
		b = AppendHello(b, s.ownHello())
		s.greeted = true
	}
	if now.Sub(s.lastPing) >= PingEvery {
		s.lastPing = now
		b = s.appendPing(now, b)
	}
	if s.peerKnown {
		s.trip(now)
		if s.beyond(s.safe()) < window {
			b = s.fillState(now, b)
		}
		if s.telling.left != nil {
			b = s.fillView(b)
		}
	}
	s.stats.Bytes += uint64(len(b) - before)
	return b
}

func (s *Sender) ownHello() *Hello {
	h := s.hello
	h.Features |= uint64(features)
	h.Groups = make([]HelloGroup, 0, s.groups.Len())
	for _, g := range s.groups.list {
		h.Groups = append(h.Groups, HelloGroup{g.Name, g.announced(), g.Active})
	}
	return &h
}

func (s *Sender) fillState(now time.Time, b []byte) []byte {
	sent := s.sent
	if s.table.overflowed&s.Sink() != 0 {
		s.table.overflowed &^= s.Sink()
		s.stats.Overflows++
		s.Resync(now, s.groups.Active())
	}
	for g := 0; s.terms != 0; g++ {
		if s.terms.Has(g) {
			s.terms &^= 1 << uint(g)
			st := s.groups.At(g)
			b = s.mark(b, TypeTerm, mark{group: g, term: st.announced(), flags: flag(st.Active)})
		}
	}
	s.wanted &= s.groups.Active()
	if s.walking == 0 && s.wanted&s.groups.whole() != 0 {
		b = s.beginWalk(b)
	}
	oldest := s.table.clock(now)
	limit := cap(b)
	if s.walking != 0 && !s.walked {
		limit -= (limit - len(b)) / 4 // a busy queue must not keep the transfer from ending
	}
	b, oldest = s.fillDirty(b, limit, oldest)
	if s.walking != 0 {
		b = s.fillWalk(b)
	}
	if s.kept != 0 {
		b = s.fillKept(b)
	}
	if !s.mending.idle() {
		b = s.fillMend(b)
	}
	if s.survey != nil {
		b = s.survey.fill(b)
	}
	if now.Sub(s.lastAudit) >= AuditEvery && s.walking|s.wanted == 0 && s.Dirty() == 0 && cap(b)-len(b) >= fillRoom*4 {
		s.lastAudit = now
		b = s.audit(b)
	}
	if s.sent != sent {
		s.launch(oldest)
	}
	return b
}

// launch notes a fill. Where there is no room for it, others need no confirmation, and
// it counts as one of them: applied later than it could be, never too early.
func (s *Sender) launch(oldest uint32) {
	if s.flights == window {
		last := &s.inflight[(s.first+window-1)%window]
		last.seq = s.sent
		if int32(oldest-last.at) < 0 {
			last.at = oldest
		}
		return
	}
	s.inflight[(s.first+s.flights)%window] = flight{s.sent, oldest}
	s.flights++
}

func (s *Sender) mark(b []byte, t Type, m mark) []byte {
	s.sent++
	s.stats.Frames++
	return appendMark(b, t, m)
}

func (s *Sender) audit(b []byte) []byte {
	for g := range s.groups.list {
		if st := s.groups.At(g); st.Active && cap(b)-len(b) >= fillRoom {
			n, sum := s.table.Tally(g)
			b = s.mark(b, TypeAudit, mark{group: g, term: st.announced(), count: uint64(n), sum: sum})
		}
	}
	return b
}

// batch is an open RECORDS or KEPT frame.
type batch struct {
	typ          Type
	start, group int
	open         bool
}

func (s *Sender) record(b []byte, bt *batch, slot Slot, e *entry) []byte {
	g := int(e.group)
	if !bt.open || bt.group != g || len(b)-bt.start > MaxFrame-fillRoom {
		b = s.seal(b, bt)
		b, bt.start = openFrame(b, bt.typ)
		bt.open, bt.group = true, g
		b = append(b, byte(g))
		b = binary.AppendUvarint(b, s.groups.list[g].announced())
	}
	var r Record
	t := s.table
	e.unpack(&r, t.wide.at(e.wide), t.aside.at(e.aside))
	if e.bits&bitDead != 0 {
		s.stats.Deletes++
		return AppendDelete(b, &r)
	}
	s.stats.Upserts++
	if bt.typ == TypeRecords && s.flights < window {
		// Where there is no room for a flight, nobody waits to hear of it.
		i := (s.first + s.flights) % window
		s.carried[i] = append(s.carried[i], slot)
	}
	return appendUpsert(b, &r, t.expects[slot], t.stands[slot])
}

func (s *Sender) seal(b []byte, bt *batch) []byte {
	if !bt.open {
		return b
	}
	bt.open = false
	s.sent++
	s.stats.Frames++
	b = closeFrame(b, bt.start)
	if bt.typ == TypeRecords && s.peer.Has(FeaturePacked) {
		b = s.pack(b, bt.start)
	}
	return b
}

// pack makes the RECORDS frame that begins at start a PACKED one.
func (s *Sender) pack(b []byte, start int) []byte {
	packed, ok := appendPacked(s.packed[:0], b[start+HeaderLen:])
	s.packed = packed[:0]
	if !ok {
		return b
	}
	b = append(b[:start+HeaderLen], packed...)
	b[start+1] = byte(TypePacked)
	s.stats.Packed++
	return closeFrame(b, start)
}

// fillDirty sends from the queue, in its order, up to limit. It returns since
// when the oldest of them waited.
func (s *Sender) fillDirty(b []byte, limit int, oldest uint32) ([]byte, uint32) {
	bt := batch{typ: TypeRecords}
	for limit-len(b) >= fillRoom && s.queue().head < s.open {
		slot, e, at, ok := s.table.take(s.sink)
		if !ok {
			break
		}
		if s.groups.list[e.group].Active {
			b = s.record(b, &bt, slot, e)
			if int32(at-oldest) < 0 {
				oldest = at
			}
		}
		s.table.bury(slot, e)
	}
	return s.seal(b, &bt), oldest
}
