package conntrack

import (
	"encoding/binary"

	"understudy/nat/session"
)

// header is the netlink header of a message, in host byte order.
type header struct {
	len    uint32
	typ    uint16
	flags  uint16
	seq    uint32
	portID uint32
}

// parseHeader reads the header at the start of b; ok is false if b does not hold
// the whole message.
func parseHeader(b []byte) (h header, ok bool) {
	if len(b) < nlHeaderLen {
		return h, false
	}
	h = header{
		len:    binary.NativeEndian.Uint32(b),
		typ:    binary.NativeEndian.Uint16(b[4:]),
		flags:  binary.NativeEndian.Uint16(b[6:]),
		seq:    binary.NativeEndian.Uint32(b[8:]),
		portID: binary.NativeEndian.Uint32(b[12:]),
	}
	return h, h.len >= nlHeaderLen && uint64(h.len) <= uint64(len(b))
}

// ParseMessage decodes one netlink message, header included, into ev. Every field
// of ev is set. Unknown attributes are skipped: newer kernels send more. It
// allocates nothing and keeps no reference to nlmsg.
//
// The error is [ErrNotConntrack] for a message that is no conntrack entry and
// [ErrMalformed] for one that contradicts itself or lacks a tuple; ev is then
// undefined.
func ParseMessage(nlmsg []byte, ev *Event) error {
	h, ok := parseHeader(nlmsg)
	if !ok {
		return ErrMalformed
	}
	*ev = Event{}
	ev.PortID = h.portID
	kind, family, err := subject(nlmsg, h, msgNew, msgDelete)
	ev.Kind, ev.Rec.Family = kind, family
	if err != nil {
		return err
	}
	return ev.parse(nlmsg[headerLen:h.len])
}

// subject reads from the headers of a message, of the two types of its subsystem, what
// it tells and of which family.
func subject(nlmsg []byte, h header, created, deleted uint16) (kind EventKind, family uint8, err error) {
	switch {
	case h.typ == deleted:
		kind = Destroy
	case h.typ != created:
		return 0, 0, ErrNotConntrack
	case h.flags&flagMulti != 0:
		kind = Entry
	case h.flags&flagCreate != 0:
		kind = New
	default:
		kind = Update
	}
	if h.len < headerLen {
		return kind, 0, ErrMalformed
	}
	switch nlmsg[nlHeaderLen] {
	case afInet:
		return kind, 4, nil
	case afInet6:
		return kind, 6, nil
	}
	return kind, 0, ErrNotConntrack
}

// parse walks the attributes of an entry.
func (ev *Event) parse(b []byte) error {
	r := &ev.Rec
	var reply session.Key
	var orig, rep tupleParts
	for len(b) > 0 {
		typ, v, rest, ok := nextAttr(b)
		if !ok {
			return ErrMalformed
		}
		b = rest
		switch typ {
		case ctaTupleOrig:
			orig, ok = parseTuple(v, &r.Key)
		case ctaTupleReply:
			reply.Family = r.Family
			rep, ok = parseTuple(v, &reply)
		case ctaStatus:
			var s uint32
			s, ok = beUint32(v)
			r.Status = session.Status(s)
			ev.Has |= HasStatus
		case ctaTimeout:
			r.Timeout, ok = beUint32(v)
			ev.Has |= HasTimeout
		case ctaMark:
			r.Mark, ok = beUint32(v)
			ev.Has |= HasMark
		case ctaID:
			r.ID, ok = beUint32(v)
			ev.Has |= HasID
		case ctaZone:
			r.Zone, ok = beUint16(v)
		case ctaProtoInfo:
			ok = ev.parseProtoInfo(v)
		case ctaSeqAdjOrig:
			ok = parseSeqAdj(v, &r.SeqAdj[0])
			ev.Has |= HasSeqAdj
		case ctaSeqAdjReply:
			ok = parseSeqAdj(v, &r.SeqAdj[1])
			ev.Has |= HasSeqAdj
		case ctaHelp:
			ok = parseHelp(v, &r.Helper)
			ev.Has |= HasHelper
		case ctaTupleMaster:
			r.Master.Family = r.Family
			var parts tupleParts
			parts, ok = parseTuple(v, &r.Master)
			ok = ok && parts&(tupleSrc|tupleDst|tupleProto) == tupleSrc|tupleDst|tupleProto
			ev.Has |= HasMaster
		case ctaLabels:
			copy(r.Labels[:], v)
			ev.Has |= HasLabels
		}
		if !ok {
			return ErrMalformed
		}
	}
	const need = tupleSrc | tupleDst | tupleProto
	if orig&need != need || rep&need != need || r.Proto != reply.Proto {
		return ErrMalformed
	}
	if (orig|rep)&tupleZone != 0 {
		ev.Has |= HasTupleZone
	}
	if ev.Has&HasMaster != 0 {
		r.Master.Zone = r.Zone
	}
	r.ReplySrc, r.ReplyDst = reply.Src, reply.Dst
	r.ReplySrcPort, r.ReplyDstPort = reply.SrcPort, reply.DstPort
	return nil
}

func (ev *Event) parseProtoInfo(b []byte) bool {
	for len(b) > 0 {
		typ, v, rest, ok := nextAttr(b)
		if !ok {
			return false
		}
		b = rest
		switch typ {
		case ctaProtoInfoTCP:
			ok = ev.parseTCP(v)
		case ctaProtoInfoSCTP:
			ok = ev.parseSCTP(v)
		}
		if !ok {
			return false
		}
	}
	return true
}

func (ev *Event) parseTCP(b []byte) bool {
	t := &ev.Rec.TCP
	options := 0
	for len(b) > 0 {
		typ, v, rest, ok := nextAttr(b)
		if !ok || len(v) == 0 {
			return false
		}
		b = rest
		switch typ {
		case ctaTCPState:
			t.State = session.TCPState(v[0])
			ev.Has |= HasTCP
		case ctaTCPWScaleOrig:
			t.WScaleOrig = v[0]
			options++
		case ctaTCPWScaleReply:
			t.WScaleReply = v[0]
			options++
		case ctaTCPFlagsOrig: // value, mask
			t.FlagsOrig = v[0]
			options++
		case ctaTCPFlagsReply:
			t.FlagsReply = v[0]
			options++
		}
	}
	if options >= 4 {
		ev.Has |= HasTCPOptions
	}
	return true
}

func (ev *Event) parseSCTP(b []byte) bool {
	s := &ev.Rec.SCTP
	for len(b) > 0 {
		typ, v, rest, ok := nextAttr(b)
		if !ok {
			return false
		}
		b = rest
		switch typ {
		case ctaSCTPState:
			s.State, ok = firstByte(v)
			ev.Has |= HasSCTP
		case ctaSCTPVTagOrig:
			s.VTagOrig, ok = beUint32(v)
		case ctaSCTPVTagReply:
			s.VTagReply, ok = beUint32(v)
		}
		if !ok {
			return false
		}
	}
	return true
}

func parseSeqAdj(b []byte, s *session.SeqAdj) bool {
	for len(b) > 0 {
		typ, v, rest, ok := nextAttr(b)
		if !ok {
			return false
		}
		b = rest
		var n uint32
		switch typ {
		case ctaSeqAdjCorrectionPos:
			s.CorrectionPos, ok = beUint32(v)
		case ctaSeqAdjOffsetBefore:
			n, ok = beUint32(v)
			s.OffsetBefore = int32(n)
		case ctaSeqAdjOffsetAfter:
			n, ok = beUint32(v)
			s.OffsetAfter = int32(n)
		}
		if !ok {
			return false
		}
	}
	return true
}

// parseHelp reads the name of a helper; what else it says is the helper's own.
func parseHelp(b []byte, name *session.Name) bool {
	for len(b) > 0 {
		typ, v, rest, ok := nextAttr(b)
		if !ok {
			return false
		}
		b = rest
		if typ == ctaHelpName {
			*name = nameOf(v)
		}
	}
	return true
}

// nameOf is the word v, which may end with a zero.
func nameOf(v []byte) (name session.Name) {
	for i := 0; i < len(v) && i < len(name)-1 && v[i] != 0; i++ {
		name[i] = v[i]
	}
	return name
}

// nextAttr splits the first attribute off b: its type without flag bits, its
// value, and what follows its padding.
func nextAttr(b []byte) (typ uint16, v, rest []byte, ok bool) {
	if len(b) < attrHeader {
		return 0, nil, nil, false
	}
	n := int(binary.NativeEndian.Uint16(b))
	if n < attrHeader || n > len(b) { // the value may end without its padding
		return 0, nil, nil, false
	}
	typ = binary.NativeEndian.Uint16(b[2:]) & attrTypeMask
	v = b[attrHeader:n]
	if padded := (n + 3) &^ 3; padded < len(b) {
		rest = b[padded:]
	}
	return typ, v, rest, true
}

func firstByte(v []byte) (uint8, bool) {
	if len(v) < 1 {
		return 0, false
	}
	return v[0], true
}

func beUint16(v []byte) (uint16, bool) {
	if len(v) < 2 {
		return 0, false
	}
	return binary.BigEndian.Uint16(v), true
}

func beUint32(v []byte) (uint32, bool) {
	if len(v) < 4 {
		return 0, false
	}
	return binary.BigEndian.Uint32(v), true
}
