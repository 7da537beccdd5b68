package session

import "encoding/binary"

// Hello is what each end of a connection says first. It is made of attributes,
// so that it can grow.
type Hello struct {
	Node     string // at most 255 bytes
	Boot     uint64 // chosen at random by each start of the program
	Features uint64 // what it understands beyond the first version: see Feature
	Config   uint64 // a hash of the configuration both must share; 0: not compared
	Table    TableSize
	Groups   []HelloGroup
	// Moved is the token of the MOVE that ended the connection which this one goes
	// on with; 0: it is a new one.
	Moved uint64
}

// TableSize is how much the kernel of a node can track: Max entries, in so many
// Buckets, of which Count are there now. 0 is not known.
type TableSize struct{ Max, Buckets, Count uint64 }

// HelloGroup names a group. Frames refer to a group by its place in the
// sender's hello.
type HelloGroup struct {
	Name   string // at most 255 bytes
	Term   uint64
	Active bool
}

// Feature is a bit of [Hello.Features]. What a peer without it would not
// understand is not said to it.
type Feature uint64

const (
	// FeatureBuckets: RESYNC for digests and for buckets, DIGEST, BUCKETS.
	FeatureBuckets Feature = 1 << 0
	// FeatureSurvey: DIGEST and QUERY that are answered by INVENTORY.
	FeatureSurvey Feature = 1 << 1
	// FeatureMove: MOVE, and a hello that goes on. Whoever holds the connections says
	// it in the hello that it gives, for it is their doing.
	FeatureMove Feature = 1 << 8

	features = FeatureBuckets | FeatureSurvey | FeaturePacked // of this version
)

// Has tells whether the hello's node has the feature.
func (h *Hello) Has(f Feature) bool { return Feature(h.Features)&f == f }

const (
	helloNode     = critical | 1
	helloBoot     = critical | 2
	helloFeatures = 3
	helloConfig   = 4
	helloGroup    = critical | 5 // term, flags, name; repeated
	helloTable    = 6            // three unsigned varints
	helloMoved    = 40           // only to who has FeatureMove
)

// AppendHello appends a hello frame.
func AppendHello(b []byte, h *Hello) []byte {
	b, start := openFrame(b, TypeHello)
	attr := func(typ byte, n int) { b = binary.AppendUvarint(append(b, typ), uint64(n)) }
	attr(helloNode, len(h.Node))
	b = append(b, h.Node...)
	number := func(typ byte, v uint64) { attr(typ, 8); b = binary.BigEndian.AppendUint64(b, v) }
	number(helloBoot, h.Boot)
	number(helloFeatures, h.Features)
	number(helloConfig, h.Config)
	if h.Table != (TableSize{}) {
		var v [3 * binary.MaxVarintLen64]byte
		sizes := v[:0]
		for _, n := range [...]uint64{h.Table.Max, h.Table.Buckets, h.Table.Count} {
			sizes = binary.AppendUvarint(sizes, n)
		}
		attr(helloTable, len(sizes))
		b = append(b, sizes...)
	}
	if h.Moved != 0 {
		number(helloMoved, h.Moved)
	}
	for _, g := range h.Groups {
		attr(helloGroup, 9+len(g.Name))
		b = binary.BigEndian.AppendUint64(b, g.Term)
		b = append(b, flag(g.Active))
		b = append(b, g.Name...)
	}
	return closeFrame(b, start)
}

func flag(on bool) byte {
	if on {
		return 1
	}
	return 0
}

// ParseHello decodes the payload of a hello frame.
func ParseHello(b []byte) (*Hello, error) {
	h := new(Hello)
	r := reader{b: b}
	for len(r.b) > 0 {
		typ := r.u8()
		v := reader{b: r.bytes()}
		switch {
		case r.bad:
			return nil, ErrMalformed
		case typ == helloNode:
			h.Node = string(v.b)
		case typ == helloBoot:
			h.Boot = v.u64()
		case typ == helloFeatures:
			h.Features = v.u64()
		case typ == helloConfig:
			h.Config = v.u64()
		case typ == helloTable:
			h.Table = TableSize{Max: v.uvarint(), Buckets: v.uvarint(), Count: v.uvarint()}
		case typ == helloMoved:
			h.Moved = v.u64()
		case typ == helloGroup:
			g := HelloGroup{Term: v.u64(), Active: v.u8()&1 != 0}
			g.Name = string(v.b)
			h.Groups = append(h.Groups, g)
		case typ&critical != 0:
			return nil, ErrCritical
		}
		if v.bad {
			return nil, ErrMalformed
		}
	}
	if h.Node == "" || len(h.Node) > 255 || len(h.Groups) > MaxGroups {
		return nil, ErrMalformed
	}
	return h, nil
}

// mark is the payload of BEGIN, END, TERM, AUDIT and RESYNC, and the front of
// RECORDS, KEPT, DIGEST and BUCKETS. Not every type uses every field; see appendMark.
type mark struct {
	group      int
	term       uint64
	generation uint64 // of the transfer: BEGIN, END
	count, sum uint64 // BEGIN: count only, a hint; END, AUDIT: Table.Tally
	flags      uint8
}

const (
	markActive  = 1 << 0 // TERM: the sender is the group's Active
	markTallied = 1 << 0 // END: count and sum are exact
	markKept    = 1 << 0 // RESYNC: of a group you are not Active for, what you have kept
	markDigests = 1 << 1 // RESYNC: the sums of your buckets
	markBuckets = 1 << 2 // RESYNC: the records of the buckets that follow
	markOver    = 1 << 0 // BUCKETS: that was all of them
)

// appendMark appends a whole frame of type t.
func appendMark(b []byte, t Type, m mark) []byte {
	b, start := openFrame(b, t)
	b = append(b, byte(m.group))
	if t != TypeResync {
		b = binary.AppendUvarint(b, m.term)
	}
	switch t {
	case TypeResync:
		if m.flags != 0 { // the first version had none
			b = append(b, m.flags)
		}
	case TypeBegin:
		b = binary.AppendUvarint(binary.AppendUvarint(b, m.generation), m.count)
	case TypeEnd:
		b = append(binary.AppendUvarint(b, m.generation), m.flags)
		b = binary.BigEndian.AppendUint64(binary.AppendUvarint(b, m.count), m.sum)
	case TypeTerm:
		b = append(b, m.flags)
	case TypeAudit:
		b = binary.BigEndian.AppendUint64(binary.AppendUvarint(b, m.count), m.sum)
	case TypeBuckets:
		b = append(binary.AppendUvarint(b, m.generation), m.flags)
	}
	return closeFrame(b, start)
}

// parseMark reads what appendMark wrote, from the payload. Bytes behind it are
// left in r: they are from a newer version, or the records.
func (r *reader) parseMark(t Type) (m mark, err error) {
	m.group = int(r.u8())
	if t != TypeResync && t != TypeQuery {
		m.term = r.uvarint()
	}
	switch t {
	case TypeResync:
		if len(r.b) > 0 {
			m.flags = r.u8()
		}
	case TypeBegin:
		m.generation, m.count = r.uvarint(), r.uvarint()
	case TypeEnd:
		m.generation, m.flags, m.count, m.sum = r.uvarint(), r.u8(), r.uvarint(), r.u64()
	case TypeTerm:
		m.flags = r.u8()
	case TypeAudit:
		m.count, m.sum = r.uvarint(), r.u64()
	case TypeBuckets:
		m.generation, m.flags = r.uvarint(), r.u8()
	}
	if r.bad {
		return m, ErrMalformed
	}
	return m, nil
}

// appendAck appends an ACK: how many counted frames of this connection were
// received, and how many of them are in the kernel.
func appendAck(b []byte, received, applied uint64) []byte {
	b, start := openFrame(b, TypeAck)
	b = binary.AppendUvarint(binary.AppendUvarint(b, received), applied)
	return closeFrame(b, start)
}

// appendPong appends a PONG that carries v, of the PING that it answers.
func appendPong(b []byte, v uint64) []byte {
	b, start := openFrame(b, TypePong)
	return closeFrame(binary.BigEndian.AppendUint64(b, v), start)
}
