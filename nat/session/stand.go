package session

import "encoding/binary"

// Stand is how a connection of an entry point stands that is to go on at another server when its
// own dies: what whoever takes over has to know to carry that out. The kernel's table has none of
// it, so it is no part of a [Record], nor of what is compared: it is told beside one, and may be
// old. The zero value is that of a flow which nobody protects.
type Stand struct {
	Mode Protection // what protects it; 0: nothing
	// Why is the reason for which it could not be moved when it was told (the numbers are those
	// of docs/session-protocol.md, section 4); 0: it could.
	Why uint8
	// Whole: all that its client has said is logged, where it is told from.
	Whole bool
	// Known: the numbers are. It was at rest: the server had answered all that it had
	// acknowledged.
	Known  bool
	End    uint32 // behind what the server has said, in its own sequence numbers
	Acked  uint32 // behind what it has acknowledged
	Window uint16 // of its last segment
}

// StandClass counts alike what a takeover would do with connections that were called alike.
type StandClass struct {
	Called Addr
	Port   uint16
	Family uint8
	Mode   Protection
	Why    uint8
	Known  bool
}

// Protection is what has a connection outlive its server. The numbers are on the wire.
type Protection uint8

// The kinds.
const (
	ByPosition Protection = 1 // it is moved where it is (lazy)
	ByLog      Protection = 2 // what its client said is said again (replay)
	ByShadow   Protection = 3 // that is done all along (warm)
)

// Stand returns how the session at s stands.
func (t *Table) Stand(s Slot) Stand { return t.stands[s] }

// EachStanding calls fn for each session that is protected.
func (t *Table) EachStanding(fn func(Slot, Stand)) {
	for s, st := range t.stands {
		fn(s, st)
	}
}

// Standing is how many sessions stand how.
func (t *Table) Standing() map[StandClass]int { return t.standing }

// SetStand replaces how the session at s stands, and tells whether that is something else than
// before.
func (t *Table) SetStand(s Slot, st Stand) bool {
	if len(t.stands) == 0 && st.Mode == 0 {
		return false
	}
	have, was := t.stands[s]
	if have == st {
		return false
	}
	if was {
		t.countStand(s, have, -1)
	}
	if st.Mode == 0 {
		delete(t.stands, s)
		return true
	}
	if t.stands == nil {
		t.stands, t.standing = map[Slot]Stand{}, map[StandClass]int{}
	}
	t.stands[s] = st
	t.countStand(s, st, 1)
	return true
}

func (t *Table) countStand(s Slot, st Stand, n int) {
	e := t.at(s)
	var k Key
	e.unpackKey(&k, t.wide.at(e.wide))
	c := StandClass{Called: k.Dst, Port: k.DstPort, Family: k.Family, Mode: st.Mode, Why: st.Why, Known: st.Known}
	if t.standing[c] += n; t.standing[c] == 0 {
		delete(t.standing, c)
	}
}

// Bits of the third byte of a stand on the wire.
const (
	standKnown = 1 << 0
	standWhole = 1 << 1
)

// appendStand appends the attribute: 5 bytes, or 15 with the numbers.
func appendStand(b []byte, st *Stand) []byte {
	size := byte(3)
	if st.Known {
		size = 13
	}
	b = append(b, attrStand, size, byte(st.Mode), st.Why, flag(st.Known)*standKnown|flag(st.Whole)*standWhole)
	if st.Known {
		b = binary.BigEndian.AppendUint32(b, st.End)
		b = binary.BigEndian.AppendUint32(b, st.Acked)
		b = binary.BigEndian.AppendUint16(b, st.Window)
	}
	return b
}

// stand reads the value of the attribute.
func (r *reader) stand() (st Stand, err error) {
	st.Mode, st.Why = Protection(r.u8()), r.u8()
	flags := r.u8()
	st.Known, st.Whole = flags&standKnown != 0, flags&standWhole != 0
	if st.Known {
		st.End, st.Acked, st.Window = r.u32(), r.u32(), r.u16()
	}
	if st.Mode == 0 {
		st = Stand{}
	}
	return st, r.recordErr()
}
