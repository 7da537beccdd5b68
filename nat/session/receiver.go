package session

import "time"

// Receiver takes the frames of one peer into the table and makes what they
// change dirty for the kernel. Whatever the bytes say it neither panics nor
// stores a record that belongs to no group here.
type Receiver struct {
	table  *Table
	groups *Groups
	scope  *Scope
	hello  Hello

	connected, greeted bool
	peer               *Hello
	local              [MaxGroups]int8 // the peer's group number -> ours, -1: none
	rx                 [MaxGroups]reception
	received, applied  uint64
	ackedR, ackedA     uint64
	settling           [settleMax]settling
	nsettling          int
	asks, keptAsks     GroupSet // RESYNC due, by the peer's numbers
	digestAsks         GroupSet // the same, for digests; for buckets:
	bucketAsks         []ask
	sweeping           bool // Sweep has work
	refusals           refusals
	sink               int // the peer is, in the table: see SetSink
	surveyed           surveyed
	hearing            hearing
	seeing             seeing
	claims             GroupSet // groups the peer says it is Active for, by our numbers
	asked, told        GroupSet // asked for what it kept of them; it has said all
	pong               uint64
	pongDue            bool
	lastHeard          time.Time
	late               [MaxGroups]time.Time
	notices            []Notice
	expects            []Expect // of the record under way
	stand              Stand    // the same
	unpacked           []byte   // scratch
	stats              ReceiverStats
}

// reception is how far a group's set has come from this peer.
type reception struct {
	gen        uint16 // mark of the records seen since BEGIN
	generation uint64
	receiving  bool
	synced     bool       // END applied, and nothing lost since
	refusedAny bool       // this transfer had records we cannot even place: no sum can match
	refused    *bucketSet // buckets with records we do not take: their sums cannot match
	audit      *auditing
	remedy     *remedy
}

// settling is a frame that is applied once the kernel queue is through to pos.
type settling struct{ seq, pos uint64 }

const settleMax = 256

// NoticeKind is the kind of a [Notice].
type NoticeKind uint8

const (
	NoticeHello    NoticeKind = iota // the peer introduced itself
	NoticeTerm                       // a new term was heard
	NoticeRaised                     // our own term was raised above one heard
	NoticeConflict                   // another node claims a group we are Active for
	NoticeBegin                      // a full transfer began
	NoticeSynced                     // a full transfer is applied; Swept sessions were not in it
	NoticeMismatch                   // an audit found the sets different
	NoticeKept                       // the peer has told all that it kept of a group
	NoticeClaim                      // the peer is Active for a group, or not any more, in a term that is no news
	NoticeView                       // the peer has told how it stands: see [Receiver.View]
	NoticeMended                     // what an audit found different is as the peer has it; Swept sessions were not there
)

// Notice is something the owner of a Receiver must know.
type Notice struct {
	Kind  NoticeKind
	Group int
	Term  uint64
	Swept int
}

// ReceiverStats counts what a receiver did and refused.
type ReceiverStats struct {
	Frames, Upserts, Deletes, Swept                    uint64
	Stale, Refused, Scope, Unknown, Malformed, Full    uint64
	Transfers, Mismatches, UnknownFrames, UnknownGroup uint64
	Late, Kept                                         uint64
	Buckets, Mends                                     uint64 // sent anew after an audit
}

// NewReceiver returns the receiver for the peer that hello's answer must name.
// hello is this node's own; its groups are filled in.
func NewReceiver(t *Table, g *Groups, scope *Scope, hello Hello) *Receiver {
	return &Receiver{table: t, groups: g, scope: scope, hello: hello}
}

// SetConfig changes what the hellos from the next connection on say of the
// configuration.
func (r *Receiver) SetConfig(hash uint64) { r.hello.Config = hash }

// SetTableSize changes what the hellos from the next connection on say of this
// node's kernel.
func (r *Receiver) SetTableSize(t TableSize) { r.hello.Table = t }

// Connect begins a new connection, Disconnect ends it.
func (r *Receiver) Connect(now time.Time) {
	*r = Receiver{table: r.table, groups: r.groups, scope: r.scope, hello: r.hello, sink: r.sink,
		notices: r.notices[:0], expects: r.expects, unpacked: r.unpacked, stats: r.stats, connected: true, lastHeard: now}
	for i := range r.local {
		r.local[i] = -1
	}
}

// Disconnect forgets that the peer's groups are in sync.
func (r *Receiver) Disconnect() {
	r.connected = false
	for i := range r.rx {
		r.Abandon(i)
	}
}

// Synced tells whether all of group g has come from this peer, and nothing was
// lost since.
func (r *Receiver) Synced(g int) bool { return r.connected && r.rx[g].synced }

// Receiving tells whether a full transfer of group g is coming in.
func (r *Receiver) Receiving(g int) bool { return r.connected && r.rx[g].receiving }

// Peer is what the peer said in its hello, nil before.
func (r *Receiver) Peer() *Hello { return r.peer }

// Stats returns the counters.
func (r *Receiver) Stats() ReceiverStats { return r.stats }

// Silent tells whether the peer has missed several pings: its last word need not
// hold any more.
func (r *Receiver) Silent(now time.Time) bool { return now.Sub(r.lastHeard) > 4*PingEvery }

// Dead tells whether the peer has been silent for too long.
func (r *Receiver) Dead(now time.Time) bool { return now.Sub(r.lastHeard) > PeerDead }

// Notices returns what has happened since the last call, valid until the next.
func (r *Receiver) Notices() []Notice {
	n := r.notices
	r.notices = r.notices[:0]
	return n
}

func (r *Receiver) note(n Notice) {
	// The owner reads after each frame; a frame makes one or two notices per group.
	if len(r.notices) < 4*MaxGroups {
		r.notices = append(r.notices, n)
	}
}

// Abandon forgets a transfer of group g that is coming in: its END must not
// sweep. The owner calls it when this node becomes Active.
func (r *Receiver) Abandon(g int) {
	x := &r.rx[g]
	x.receiving, x.synced, x.audit, x.remedy = false, false, nil, nil
}

// AcceptLate makes the receiver take new sessions of group g, which this node
// took over from the peer, until the given time: in a hand-over the peer serves
// for a moment longer, and flows are born there.
func (r *Receiver) AcceptLate(g int, until time.Time) { r.late[g] = until }

// Ask makes the receiver ask the peer for a full transfer of group g.
func (r *Receiver) Ask(g int) {
	for i, l := range r.local {
		if l == int8(g) {
			r.asks |= 1 << uint(i)
		}
	}
}

// Handle takes one frame. An error means that the connection must be closed.
func (r *Receiver) Handle(now time.Time, typ Type, payload []byte) error {
	r.lastHeard = now
	if r.peer == nil && typ != TypeHello {
		return ErrOrder
	}
	if typ == TypePacked {
		b, err := appendUnpacked(r.unpacked[:0], payload)
		if r.unpacked = b[:0]; err != nil {
			return err
		}
		typ, payload = TypeRecords, b
	}
	if typ.counted() {
		r.received++
		r.stats.Frames++
		defer r.settle()
	}
	rd := reader{b: payload}
	switch typ {
	case TypeHello:
		return r.onHello(payload)
	case TypePing:
		r.onPing(now, &rd)
		return nil
	case TypeView:
		return r.onView(&rd)
	case TypePong, TypeMove: // a move is for who holds the connections
		return nil
	case TypeBegin, TypeRecords, TypeEnd, TypeTerm, TypeAudit, TypeKept, TypeDigest, TypeBuckets, TypeQuery:
	default:
		if typ&critical != 0 {
			return ErrType
		}
		r.stats.UnknownFrames++
		return nil
	}
	m, err := rd.parseMark(typ)
	if err != nil {
		return err
	}
	if m.group >= MaxGroups {
		return ErrMalformed
	}
	g := int(r.local[m.group])
	if typ == TypeDigest {
		if id := rd.uvarint(); id != 0 {
			return r.onSurvey(id, g, m.group, &rd) // no claim
		}
	}
	if typ == TypeQuery {
		return r.onQuery(g, m.group, &rd)
	}
	if g < 0 {
		r.stats.UnknownGroup++
		return nil
	}
	switch typ {
	case TypeTerm:
		r.hear(g, m.term, m.flags&markActive != 0)
		return nil
	case TypeKept: // no claim
		return r.onKept(now, g, rd.b)
	}
	switch v := r.hear(g, m.term, true); {
	case v == Stale:
		r.stats.Stale++
		r.Abandon(g)
		return r.lateRecords(now, typ, g, rd.b)
	case r.groups.list[g].Active:
		r.stats.Refused++
		r.Abandon(g)
		return r.lateRecords(now, typ, g, rd.b)
	}
	switch typ {
	case TypeBegin:
		r.begin(g, m)
	case TypeRecords:
		return r.records(now, g, rd.b)
	case TypeEnd:
		r.end(now, g, m)
	case TypeAudit:
		r.check(g, m)
	case TypeDigest:
		return r.onDigest(g, m.group, &rd)
	case TypeBuckets:
		return r.onBuckets(g, m, &rd)
	}
	return nil
}

func (r *Receiver) onHello(payload []byte) error {
	h, err := ParseHello(payload)
	if err != nil {
		return err
	}
	if r.peer != nil {
		return ErrOrder
	}
	r.peer = h
	for i, hg := range h.Groups {
		g := r.groups.Index(hg.Name)
		if r.local[i] = int8(g); g >= 0 {
			r.hear(g, hg.Term, hg.Active)
		}
	}
	r.note(Notice{Kind: NoticeHello})
	return nil
}

// hear judges the peer's claim and tells the owner what is new in it.
func (r *Receiver) hear(g int, term uint64, active bool) Verdict {
	before := r.groups.list[g]
	was := r.claims
	if r.claims &^= 1 << uint(g); active {
		r.claims |= 1 << uint(g)
	}
	v := r.groups.Hear(g, term, r.peer.Node, active)
	if v != Newer {
		if r.claims != was {
			r.note(Notice{Kind: NoticeClaim, Group: g, Term: r.groups.list[g].Term})
		}
		return v
	}
	after := r.groups.list[g]
	if before.Holder != after.Holder || !active {
		r.Abandon(g)
	}
	n := Notice{Kind: NoticeTerm, Group: g, Term: after.Term}
	switch {
	case before.Active && active:
		n.Kind = NoticeConflict
	case after.Own != before.Own:
		n.Kind = NoticeRaised
	}
	r.note(n)
	return v
}

func (r *Receiver) begin(g int, m mark) {
	r.rx[g] = reception{gen: r.table.NextGeneration(), generation: m.generation, receiving: true}
	r.note(Notice{Kind: NoticeBegin, Group: g, Term: m.term})
}

// end sweeps what the peer did not send: it is gone on the peer.
func (r *Receiver) end(now time.Time, g int, m mark) {
	x := &r.rx[g]
	if !x.receiving || x.generation != m.generation {
		return // its BEGIN was refused, as when we were Active then
	}
	n := 0
	r.table.Sweep(1<<uint(g), x.gen, func(s Slot) {
		r.remove(s, now)
		n++
	})
	x.receiving, x.synced = false, true
	r.groups.list[g].Kept = false
	r.stats.Swept += uint64(n)
	r.stats.Transfers++
	if m.flags&markTallied != 0 {
		r.check(g, m)
	}
	r.note(Notice{Kind: NoticeSynced, Group: g, Term: m.term, Swept: n})
}

// check compares the group's set with the peer's tally. A peer that keeps sums of
// buckets is asked for them, others for a full transfer. Where we refused records
// the tally cannot match, and a transfer would not help.
func (r *Receiver) check(g int, m mark) {
	x := &r.rx[g]
	if !x.synced || x.remedy != nil {
		return
	}
	if n, sum := r.table.Tally(g); uint64(n) == m.count && sum == m.sum {
		return
	}
	audit := m.generation == 0 // right after a transfer another would not help
	switch {
	case audit && r.peer.Has(FeatureBuckets):
		for i, l := range r.local {
			if l == int8(g) {
				r.digestAsks |= 1 << uint(i)
			}
		}
	case x.refusedAny || x.refused != nil:
	default:
		if r.differs(g); audit {
			r.Ask(g)
		}
	}
}
