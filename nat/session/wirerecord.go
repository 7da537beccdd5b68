package session

import (
	"encoding/binary"
	"errors"
)

// IP protocol numbers.
const (
	protoICMP    = 1
	protoTCP     = 6
	protoUDP     = 17
	protoDCCP    = 33
	protoGRE     = 47
	protoICMPv6  = 58
	protoVRRP    = 112
	protoSCTP    = 132
	protoUDPLite = 136
)

// ErrCritical is a record with a critical attribute this version does not know:
// the record is skipped and counted. ErrRecord is one whose bytes make no sense.
var (
	ErrCritical = errors.New("session: unknown critical attribute")
	ErrRecord   = errors.New("session: malformed record")
)

// A record begins with a byte of flags. The bits reserved are critical.
const (
	recSix       = 1 << 0 // addresses of 16 bytes
	recReplySrc  = 1 << 1 // the reply source is not the inverse of the original destination
	recReplyDst  = 1 << 2 // the reply destination is not the inverse of the original source
	recZone      = 1 << 3
	recProto     = 3 << 4 // 0: a byte follows, else TCP, UDP, ICMP of the family
	recProtoTCP  = 1 << 4
	recProtoUDP  = 2 << 4
	recProtoICMP = 3 << 4
	recDelete    = 1 << 6
	recReserved  = 1 << 7
)

// Attributes of a record: type (with the critical bit), length, value. A known
// attribute that is longer than expected has grown at its end.
const (
	attrTCP    = critical | 1 // state, scales (original << 4 | reply), flags of both directions
	attrMark   = 2            // 32 bits
	attrSCTP   = critical | 3 // state, tags of both directions
	attrSeqAdj = critical | 4 // direction, position, offset before and after
	attrLabels = 5            // 128 bits
	attrHelper = 6            // its name
	attrMaster = 7            // protocol, addresses of the record's family, ports
	attrExpect = 8            // a flow that this one expects: see expect.go; repeated
	attrStand  = 9            // how it outlives its server: see stand.go
)

// AppendUpsert appends r as an upsert: its length and then its bytes, 35 for a
// TCP flow over IPv4 with a translated source.
func AppendUpsert(b []byte, r *Record) []byte { return appendUpsert(b, r, nil, Stand{}) }

// appendUpsert is AppendUpsert for a flow that expects others, or is protected.
func appendUpsert(b []byte, r *Record, expects []Expect, stand Stand) []byte {
	start := len(b)
	b = append(b, 0)
	b = appendKey(b, r, 0)
	b = binary.BigEndian.AppendUint32(b, r.ID)
	b = binary.AppendUvarint(b, uint64(uint16(r.Status)))
	b = binary.AppendUvarint(b, uint64(r.Timeout))
	if r.TCP != (TCP{}) {
		b = append(b, attrTCP, 4, byte(r.TCP.State), r.TCP.WScaleOrig<<4|r.TCP.WScaleReply&15, r.TCP.FlagsOrig, r.TCP.FlagsReply)
	}
	if r.Mark != 0 {
		b = append(b, attrMark, 4)
		b = binary.BigEndian.AppendUint32(b, r.Mark)
	}
	if r.SCTP != (SCTP{}) {
		b = append(b, attrSCTP, 9, r.SCTP.State)
		b = binary.BigEndian.AppendUint32(b, r.SCTP.VTagOrig)
		b = binary.BigEndian.AppendUint32(b, r.SCTP.VTagReply)
	}
	for dir, s := range r.SeqAdj {
		if s != (SeqAdj{}) {
			b = append(b, attrSeqAdj, 13, byte(dir))
			b = binary.BigEndian.AppendUint32(b, s.CorrectionPos)
			b = binary.BigEndian.AppendUint32(b, uint32(s.OffsetBefore))
			b = binary.BigEndian.AppendUint32(b, uint32(s.OffsetAfter))
		}
	}
	if r.Labels != (Labels{}) {
		b = append(append(b, attrLabels, byte(len(r.Labels))), r.Labels[:]...)
	}
	if r.Helper != (Name{}) {
		name := r.Helper.String()
		b = append(append(b, attrHelper, byte(len(name))), name...)
	}
	if m := &r.Master; m.Family != 0 {
		size := addrSize(r.Family)
		b = append(b, attrMaster, byte(5+2*size), m.Proto)
		b = append(append(b, m.Src[:size]...), m.Dst[:size]...)
		b = binary.BigEndian.AppendUint16(b, m.SrcPort)
		b = binary.BigEndian.AppendUint16(b, m.DstPort)
	}
	for i := range expects {
		b = appendExpect(b, &expects[i], r.Family)
	}
	if stand.Mode != 0 {
		b = appendStand(b, &stand)
	}
	return sealRecord(b, start)
}

// AppendDelete appends a deletion of the flow with r's key and ID: 19 bytes for
// IPv4.
func AppendDelete(b []byte, r *Record) []byte {
	start := len(b)
	b = append(b, 0)
	b = appendKey(b, r, recDelete)
	b = binary.BigEndian.AppendUint32(b, r.ID)
	return sealRecord(b, start)
}

// addrSize is how many bytes an address of the family has.
func addrSize(family uint8) int {
	if family == 6 {
		return 16
	}
	return 4
}

// sealRecord puts the length in front: one byte is kept free for it, and a
// longer record, which is rare, makes room for a second.
func sealRecord(b []byte, start int) []byte {
	n := len(b) - start - 1
	if n < 0x80 {
		b[start] = byte(n)
		return b
	}
	b = append(b, 0)
	copy(b[start+2:], b[start+1:])
	b[start], b[start+1] = byte(n)|0x80, byte(n>>7)
	return b
}

func appendKey(b []byte, r *Record, flags byte) []byte {
	size := 4
	icmp := uint8(protoICMP)
	if r.Family == 6 {
		size, icmp = 16, protoICMPv6
		flags |= recSix
	}
	if r.Zone != 0 {
		flags |= recZone
	}
	switch r.Proto {
	case protoTCP:
		flags |= recProtoTCP
	case protoUDP:
		flags |= recProtoUDP
	case icmp:
		flags |= recProtoICMP
	}
	if flags&recDelete == 0 {
		sport, dport := inversePorts(&r.Key)
		if r.ReplySrc != r.Dst || r.ReplySrcPort != sport {
			flags |= recReplySrc
		}
		if r.ReplyDst != r.Src || r.ReplyDstPort != dport {
			flags |= recReplyDst
		}
	}
	b = append(b, flags)
	if flags&recProto == 0 {
		b = append(b, r.Proto)
	}
	b = append(append(b, r.Src[:size]...), r.Dst[:size]...)
	b = binary.BigEndian.AppendUint16(b, r.SrcPort)
	b = binary.BigEndian.AppendUint16(b, r.DstPort)
	if r.Zone != 0 {
		b = binary.BigEndian.AppendUint16(b, r.Zone)
	}
	if flags&recReplySrc != 0 {
		b = binary.BigEndian.AppendUint16(append(b, r.ReplySrc[:size]...), r.ReplySrcPort)
	}
	if flags&recReplyDst != 0 {
		b = binary.BigEndian.AppendUint16(append(b, r.ReplyDst[:size]...), r.ReplyDstPort)
	}
	return b
}

// ParseRecord decodes the bytes of a record, without the length in front. Of a
// deletion only the key and the ID are set.
func ParseRecord(b []byte, rec *Record) (Op, error) { return parseRecord(b, rec, nil, nil) }

// parseRecord also appends to expects what the flow expects, and sets how it stands, if they are
// not nil.
func parseRecord(b []byte, rec *Record, expects *[]Expect, stand *Stand) (Op, error) {
	*rec = Record{}
	if stand != nil {
		*stand = Stand{}
	}
	r := reader{b: b}
	flags := r.u8()
	if flags&recReserved != 0 {
		return 0, ErrCritical
	}
	size := 4
	rec.Family = 4
	if flags&recSix != 0 {
		size, rec.Family = 16, 6
	}
	switch flags & recProto {
	case 0:
		rec.Proto = r.u8()
	case recProtoTCP:
		rec.Proto = protoTCP
	case recProtoUDP:
		rec.Proto = protoUDP
	case recProtoICMP:
		if rec.Proto = protoICMP; rec.Family == 6 {
			rec.Proto = protoICMPv6
		}
	}
	copy(rec.Src[:], r.take(size))
	copy(rec.Dst[:], r.take(size))
	rec.SrcPort, rec.DstPort = r.u16(), r.u16()
	if flags&recZone != 0 {
		rec.Zone = r.u16()
	}
	if flags&recDelete != 0 {
		rec.ID = r.u32()
		return OpDelete, r.recordErr()
	}
	rec.ReplySrc, rec.ReplyDst = rec.Dst, rec.Src
	rec.ReplySrcPort, rec.ReplyDstPort = inversePorts(&rec.Key)
	if flags&recReplySrc != 0 {
		rec.ReplySrc = Addr{}
		copy(rec.ReplySrc[:], r.take(size))
		rec.ReplySrcPort = r.u16()
	}
	if flags&recReplyDst != 0 {
		rec.ReplyDst = Addr{}
		copy(rec.ReplyDst[:], r.take(size))
		rec.ReplyDstPort = r.u16()
	}
	rec.ID = r.u32()
	status := r.uvarint32()
	rec.Status = Status(status & 0xffff)
	rec.Timeout = r.uvarint32()
	for len(r.b) > 0 {
		typ := r.u8()
		v := reader{b: r.bytes()}
		if r.bad {
			break
		}
		if typ == attrExpect {
			x, err := v.expect(rec.Family, rec.Zone)
			if err != nil {
				return 0, err
			}
			if expects != nil && len(*expects) < MaxExpects {
				*expects = append(*expects, x)
			}
			continue
		}
		if typ == attrStand {
			st, err := v.stand()
			if err != nil {
				return 0, err
			}
			if stand != nil {
				*stand = st
			}
			continue
		}
		if err := v.attribute(typ, rec); err != nil {
			return 0, err
		}
	}
	return OpUpsert, r.recordErr()
}

func (r *reader) recordErr() error {
	if r.bad {
		return ErrRecord
	}
	return nil
}

func (r *reader) attribute(typ byte, rec *Record) error {
	switch typ {
	case attrTCP:
		rec.TCP.State = TCPState(r.u8())
		scale := r.u8()
		rec.TCP.WScaleOrig, rec.TCP.WScaleReply = scale>>4, scale&15
		rec.TCP.FlagsOrig, rec.TCP.FlagsReply = r.u8(), r.u8()
	case attrMark:
		rec.Mark = r.u32()
	case attrSCTP:
		rec.SCTP = SCTP{State: r.u8(), VTagOrig: r.u32(), VTagReply: r.u32()}
	case attrSeqAdj:
		dir := r.u8()
		if dir > 1 {
			return ErrRecord
		}
		rec.SeqAdj[dir] = SeqAdj{r.u32(), int32(r.u32()), int32(r.u32())}
	case attrLabels:
		copy(rec.Labels[:], r.take(len(rec.Labels)))
	case attrHelper:
		rec.Helper = NameFrom(string(r.b))
	case attrMaster:
		size := addrSize(rec.Family)
		m := Key{Proto: r.u8(), Family: rec.Family, Zone: rec.Zone}
		copy(m.Src[:], r.take(size))
		copy(m.Dst[:], r.take(size))
		m.SrcPort, m.DstPort = r.u16(), r.u16()
		if !r.bad {
			rec.Master = m
		}
	default:
		if typ&critical != 0 {
			return ErrCritical
		}
	}
	return r.recordErr()
}

// inversePorts returns the reply ports of an untranslated flow. For ICMP the
// identifier stays in place, and the type becomes that of the answer.
func inversePorts(k *Key) (src, dst uint16) {
	switch {
	case k.Proto == protoICMP && k.Family == 4:
		return k.SrcPort, answers4(uint8(k.DstPort>>8))<<8 | k.DstPort&0xff
	case k.Proto == protoICMPv6 && k.Family == 6:
		return k.SrcPort, answers6(uint8(k.DstPort>>8))<<8 | k.DstPort&0xff
	}
	return k.DstPort, k.SrcPort
}

// answers4 maps ICMP query types to answers and back: echo, timestamp,
// information, address mask (RFC 792, RFC 950).
func answers4(typ uint8) uint16 {
	switch typ {
	case 8:
		return 0
	case 0:
		return 8
	case 13, 15, 17:
		return uint16(typ) + 1
	case 14, 16, 18:
		return uint16(typ) - 1
	}
	return uint16(typ)
}

// answers6 does so for ICMPv6: echo and node information (RFC 4443, RFC 4620).
func answers6(typ uint8) uint16 {
	switch typ {
	case 128, 139:
		return uint16(typ) + 1
	case 129, 140:
		return uint16(typ) - 1
	}
	return uint16(typ)
}
