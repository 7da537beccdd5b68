package session

import (
	"encoding/binary"
	"slices"
)

// Expect is a flow that a protocol helper has read of in another one, its master,
// and that is let in, and translated, when it begins (FTP's data, SIP's media). It
// belongs to its master's record, and goes where that goes.
type Expect struct {
	// Key is the tuple of the flow's first packet. The source counts as far as
	// MaskSrc and MaskPort have bits.
	Key
	MaskSrc  Addr
	MaskPort uint16

	// What the flow is translated to as it begins: the source or destination that
	// the helper announced stands for these. NAT says whether it is.
	NAT     bool
	NATDir  uint8 // 0: seen from the master's original direction, 1: from its reply's
	NATAddr Addr
	NATPort uint16

	Class   uint8  // of the helper's, for its limits
	Flags   uint8  // NF_CT_EXPECT_*: permanent, inactive
	Timeout uint32 // seconds left when the record was made
	Helper  Name   // helper of the master
	Fn      Fn     // what the kernel does when the flow begins; empty: nothing
}

// Fn is the name of a function that the kernel offers by name.
type Fn [24]byte

// FnFrom returns s up to a zero as an Fn, cut.
func FnFrom(s string) (f Fn) {
	putWord(f[:], s)
	return f
}

func (f Fn) String() string {
	for i, c := range f {
		if c == 0 {
			return string(f[:i])
		}
	}
	return string(f[:])
}

// MaxExpects bounds what one flow expects, as far as it is replicated: a call of
// SIP has four.
const MaxExpects = 8

// Same tells whether two expectations are the same but for the time they have left.
func (x *Expect) Same(y *Expect) bool {
	a, b := *x, *y
	a.Timeout, b.Timeout = 0, 0
	return a == b
}

// Expects returns what the session at s expects: not to be changed.
func (t *Table) Expects(s Slot) []Expect { return t.expects[s] }

// Expecting is the number of sessions that expect something.
func (t *Table) Expecting() int { return len(t.expects) }

// EachExpecting calls fn for each session that expects something.
func (t *Table) EachExpecting(fn func(Slot)) {
	for s := range t.expects {
		fn(s)
	}
}

// SetExpects replaces what the session at s expects and tells whether that is
// something else than before.
func (t *Table) SetExpects(s Slot, xs []Expect) bool {
	if len(xs)+len(t.expects) == 0 {
		return false
	}
	have := t.expects[s]
	xs = xs[:min(len(xs), MaxExpects)]
	if slices.EqualFunc(have, xs, func(a, b Expect) bool { return a.Same(&b) }) {
		return false
	}
	if len(xs) == 0 {
		delete(t.expects, s)
		return true
	}
	if t.expects == nil {
		t.expects = map[Slot][]Expect{}
	}
	t.expects[s] = slices.Clone(xs)
	return true
}

// Bits of the first byte of an expectation on the wire.
const (
	expectNAT = 1 << 0
	expectDir = 1 << 1
)

// appendExpect appends the attribute for x, whose master is of the given family.
func appendExpect(b []byte, x *Expect, family uint8) []byte {
	start := len(b) + 2
	b = append(b, attrExpect, 0)
	size := addrSize(family)
	be := binary.BigEndian
	b = append(b, flag(x.NAT)*expectNAT|x.NATDir&1*expectDir, x.Proto)
	b = append(append(b, x.Src[:size]...), x.Dst[:size]...)
	b = be.AppendUint16(be.AppendUint16(b, x.SrcPort), x.DstPort)
	b = be.AppendUint16(append(b, x.MaskSrc[:size]...), x.MaskPort)
	if x.NAT {
		b = be.AppendUint16(append(b, x.NATAddr[:size]...), x.NATPort)
	}
	b = binary.AppendUvarint(append(b, x.Class, x.Flags), uint64(x.Timeout))
	for _, word := range []string{x.Helper.String(), x.Fn.String()} {
		b = append(append(b, byte(len(word))), word...)
	}
	n := len(b) - start // below 128 for IPv4, more for IPv6
	if n < 0x80 {
		b[start-1] = byte(n)
		return b
	}
	b = append(b, 0)
	copy(b[start+1:], b[start:])
	b[start-1], b[start] = byte(n)|0x80, byte(n>>7)
	return b
}

// expect reads the value of the attribute.
func (r *reader) expect(family uint8, zone uint16) (x Expect, err error) {
	size := addrSize(family)
	flags := r.u8()
	x.NAT, x.NATDir = flags&expectNAT != 0, flags&expectDir/expectDir
	x.Proto, x.Family, x.Zone = r.u8(), family, zone
	copy(x.Src[:], r.take(size))
	copy(x.Dst[:], r.take(size))
	x.SrcPort, x.DstPort = r.u16(), r.u16()
	copy(x.MaskSrc[:], r.take(size))
	x.MaskPort = r.u16()
	if x.NAT {
		copy(x.NATAddr[:], r.take(size))
		x.NATPort = r.u16()
	}
	x.Class, x.Flags, x.Timeout = r.u8(), r.u8(), r.uvarint32()
	x.Helper = NameFrom(string(r.bytes()))
	x.Fn = FnFrom(string(r.bytes()))
	return x, r.recordErr()
}
