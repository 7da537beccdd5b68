package session

import (
	"encoding/binary"
	"math/bits"
)

// entry is a record as the table stores it: 60 bytes, no pointers. An address
// is split: its first four bytes (all of an IPv4 address) stand here, the other
// twelve of an IPv6 address in [wide]. What few flows have stands in [aside].
type entry struct {
	src, dst, rsrc, rdst         uint32
	sport, dport, rsport, rdport uint16
	id, timeout, mark            uint32
	wide, aside                  uint32 // index + 1 into the table's side slabs, 0: none
	zone, status, gen            uint16
	dirty                        Sinks
	proto, tcp                   uint8
	wscale                       uint8 // original << 4 | reply
	flagsOrig, flagsReply        uint8
	group                        uint8
	bits                         uint8
}

// Bits of entry.bits. An entry with neither live nor dead is free, and its id
// links the free list.
const (
	bitLive      = 1 << iota // a session
	bitDead                  // a tombstone: somebody must still hear that it is gone
	bitSix                   // IPv6
	bitInstalled             // this box's kernel was given it, or had it first
	bitOwnID                 // id is that of this box's kernel
	bitGiven                 // this box's kernel has it from a peer, not from packets
	bitYoung                 // peers are not told yet: see young.go
	bitRestored              // from the journal: nobody has said since that it lives
)

// wide holds bytes 4 to 15 of the four addresses of an IPv6 record: original
// source, destination, reply source, destination.
type wide [4][12]byte

// aside holds what is rare: SCTP, sequence adjustment, labels, a helper, a master.
type aside struct {
	sctp   SCTP
	seqadj [2]SeqAdj
	labels Labels
	helper Name
	master Key
}

// packed is a record taken apart, before it is known whether the table has it.
type packed struct {
	entry
	wide wide
	rare *Record // has something that stands aside; else nil
}

// aside returns what of the record stands aside.
func (p *packed) aside() aside {
	r := p.rare
	return aside{r.SCTP, r.SeqAdj, r.Labels, r.Helper, r.Master}
}

// isRare tells whether something of r stands aside.
func (r *Record) isRare() bool {
	return r.Master.Family != 0 || r.Helper[0] != 0 || r.Labels != (Labels{}) || r.SCTP != (SCTP{}) ||
		r.SeqAdj[0] != (SeqAdj{}) || r.SeqAdj[1] != (SeqAdj{})
}

func (p *packed) packKey(k *Key) {
	p.src, p.dst = binary.BigEndian.Uint32(k.Src[:4]), binary.BigEndian.Uint32(k.Dst[:4])
	p.sport, p.dport, p.zone, p.proto = k.SrcPort, k.DstPort, k.Zone, k.Proto
	if k.Family == 6 {
		p.bits |= bitSix
		copy(p.wide[0][:], k.Src[4:])
		copy(p.wide[1][:], k.Dst[4:])
	}
}

func (p *packed) pack(r *Record) {
	p.packKey(&r.Key)
	p.rsrc, p.rdst = binary.BigEndian.Uint32(r.ReplySrc[:4]), binary.BigEndian.Uint32(r.ReplyDst[:4])
	p.rsport, p.rdport = r.ReplySrcPort, r.ReplyDstPort
	if p.bits&bitSix != 0 {
		copy(p.wide[2][:], r.ReplySrc[4:])
		copy(p.wide[3][:], r.ReplyDst[4:])
	}
	p.id, p.timeout, p.mark, p.status = r.ID, r.Timeout, r.Mark, uint16(r.Status)
	p.tcp, p.flagsOrig, p.flagsReply = uint8(r.TCP.State), r.TCP.FlagsOrig, r.TCP.FlagsReply
	p.wscale = r.TCP.WScaleOrig<<4 | r.TCP.WScaleReply&15
	if r.isRare() {
		p.rare = r
	}
}

// sameKey compares e, with its side data w, to the key in p.
func (p *packed) sameKey(e *entry, w *wide) bool {
	return e.src == p.src && e.dst == p.dst && e.sport == p.sport && e.dport == p.dport &&
		e.zone == p.zone && e.proto == p.proto && (e.bits^p.bits)&bitSix == 0 &&
		(p.bits&bitSix == 0 || w[0] == p.wide[0] && w[1] == p.wide[1])
}

// Multipliers of the two hashes: arbitrary odd numbers with as many ones as
// zeros.
const (
	mul0 = 0x9e3779b97f4a7c15
	mul1 = 0xd6e8feb86659fd93
	mul2 = 0xa0761d6478bd642f
)

func fold(a, b uint64) uint64 {
	hi, lo := bits.Mul64(a, b)
	return hi ^ lo
}

func join(hi, lo uint32) uint64 { return uint64(hi)<<32 | uint64(lo) }

func ports(a, b, c, d uint16) uint64 {
	return uint64(a)<<48 | uint64(b)<<32 | uint64(c)<<16 | uint64(d)
}

// hashKey places a key in the index. The seed is the table's own: strangers
// choose ports and addresses, and must not be able to choose collisions.
func (e *entry) hashKey(seed [2]uint64, w *wide) uint64 {
	h := fold(join(e.src, e.dst)^seed[0], ports(e.sport, e.dport, e.zone, uint16(e.proto)<<8|uint16(e.bits&bitSix))^seed[1])
	if e.bits&bitSix != 0 {
		le := binary.LittleEndian
		h = fold(h^le.Uint64(w[0][:]), join(le.Uint32(w[0][8:]), le.Uint32(w[1][8:]))^seed[0])
		h = fold(h^le.Uint64(w[1][:]), seed[1]|1)
	}
	return fold(h^seed[1], mul0)
}

// hashContent is the same on every box for the same record: its sum over a
// group tells whether two boxes hold the same set. Timeouts are not in it, they
// differ by nature.
func (e *entry) hashContent(w *wide, a *aside) uint64 {
	h := e.keyHash()
	h = fold(h^join(e.rsrc, e.rdst), ports(e.rsport, e.rdport, e.status, uint16(e.tcp)<<8|uint16(e.wscale))^mul2)
	h = fold(h^join(e.id, e.mark), uint64(e.flagsOrig)<<8^uint64(e.flagsReply)^mul0)
	if e.bits&bitSix != 0 {
		for i := range w {
			h = fold(h^binary.BigEndian.Uint64(w[i][:]), uint64(binary.BigEndian.Uint32(w[i][8:]))^mul1)
		}
	}
	if a != nil && *a != (aside{}) {
		h = fold(h^join(a.sctp.VTagOrig, a.sctp.VTagReply), uint64(a.sctp.State)^mul2)
		for _, s := range a.seqadj {
			h = fold(h^join(s.CorrectionPos, uint32(s.OffsetBefore)), uint64(uint32(s.OffsetAfter))^mul1)
		}
		be := binary.BigEndian
		for _, b := range [...]*[16]byte{(*[16]byte)(&a.labels), (*[16]byte)(&a.helper), (*[16]byte)(&a.master.Src), (*[16]byte)(&a.master.Dst)} {
			h = fold(h^be.Uint64(b[:]), be.Uint64(b[8:])^mul2)
		}
		m := &a.master
		h = fold(h^ports(m.SrcPort, m.DstPort, m.Zone, uint16(m.Proto)<<8|uint16(m.Family)), mul1)
	}
	return fold(h, mul2)
}

func (e *entry) unpackKey(k *Key, w *wide) {
	*k = Key{SrcPort: e.sport, DstPort: e.dport, Zone: e.zone, Proto: e.proto, Family: 4}
	binary.BigEndian.PutUint32(k.Src[:4], e.src)
	binary.BigEndian.PutUint32(k.Dst[:4], e.dst)
	if e.bits&bitSix != 0 {
		k.Family = 6
		copy(k.Src[4:], w[0][:])
		copy(k.Dst[4:], w[1][:])
	}
}

func (e *entry) unpack(r *Record, w *wide, a *aside) {
	*r = Record{} // in place: a literal with fields is built beside it and copied
	r.ReplySrcPort, r.ReplyDstPort = e.rsport, e.rdport
	r.ID, r.Status, r.Timeout, r.Mark = e.id, Status(e.status), e.timeout, e.mark
	r.TCP = TCP{State: TCPState(e.tcp), WScaleOrig: e.wscale >> 4, WScaleReply: e.wscale & 15,
		FlagsOrig: e.flagsOrig, FlagsReply: e.flagsReply}
	e.unpackKey(&r.Key, w)
	binary.BigEndian.PutUint32(r.ReplySrc[:4], e.rsrc)
	binary.BigEndian.PutUint32(r.ReplyDst[:4], e.rdst)
	if e.bits&bitSix != 0 {
		copy(r.ReplySrc[4:], w[2][:])
		copy(r.ReplyDst[4:], w[3][:])
	}
	if a != nil {
		r.SCTP, r.SeqAdj, r.Labels, r.Helper, r.Master = a.sctp, a.seqadj, a.labels, a.helper, a.master
	}
}
