package conntrack

import (
	"encoding/binary"

	"understudy/nat/session"
)

// tupleParts tells what a tuple attribute contained.
type tupleParts uint8

const (
	tupleSrc tupleParts = 1 << iota
	tupleDst
	tupleProto
	tupleZone
)

// parseTuple decodes a tuple of k.Family into k. The zone of a direction is only
// reported: a Record has one zone for both.
func parseTuple(b []byte, k *session.Key) (parts tupleParts, ok bool) {
	if parseUsualTuple(b, k) {
		return tupleSrc | tupleDst | tupleProto, true
	}
	for len(b) > 0 {
		typ, v, rest, ok := nextAttr(b)
		if !ok {
			return 0, false
		}
		b = rest
		switch typ {
		case ctaTupleIP:
			var p tupleParts
			p, ok = parseTupleIP(v, k)
			parts |= p
		case ctaTupleProto:
			ok = parseTupleProto(v, k)
			parts |= tupleProto
		case ctaTupleZone:
			parts |= tupleZone
		}
		if !ok {
			return 0, false
		}
	}
	return parts, true
}

func parseTupleIP(b []byte, k *session.Key) (parts tupleParts, ok bool) {
	size, src, dst := 4, uint16(ctaIPv4Src), uint16(ctaIPv4Dst)
	if k.Family == 6 {
		size, src, dst = 16, ctaIPv6Src, ctaIPv6Dst
	}
	for len(b) > 0 {
		typ, v, rest, ok := nextAttr(b)
		if !ok {
			return 0, false
		}
		b = rest
		switch typ {
		case src:
			if len(v) < size {
				return 0, false
			}
			copy(k.Src[:], v[:size])
			parts |= tupleSrc
		case dst:
			if len(v) < size {
				return 0, false
			}
			copy(k.Dst[:], v[:size])
			parts |= tupleDst
		}
	}
	return parts, true
}

// parseTupleProto decodes the part of a tuple above IP. For ICMP the identifier
// goes to SrcPort and type<<8|code to DstPort, as [session.Key] says.
func parseTupleProto(b []byte, k *session.Key) bool {
	proto := false
	for len(b) > 0 {
		typ, v, rest, ok := nextAttr(b)
		if !ok {
			return false
		}
		b = rest
		switch typ {
		case ctaProtoNum:
			k.Proto, ok = firstByte(v)
			proto = ok
		case ctaProtoSrcPort, ctaProtoICMPID, ctaProtoICMPv6ID:
			k.SrcPort, ok = beUint16(v)
		case ctaProtoDstPort:
			k.DstPort, ok = beUint16(v)
		case ctaProtoICMPType, ctaProtoICMPv6Type:
			var t uint8
			t, ok = firstByte(v)
			k.DstPort = uint16(t)<<8 | k.DstPort&0xff
		case ctaProtoICMPCode, ctaProtoICMPv6Code:
			var c uint8
			c, ok = firstByte(v)
			k.DstPort = k.DstPort&0xff00 | uint16(c)
		}
		if !ok {
			return false
		}
	}
	return proto
}

// parseUsualTuple decodes a tuple with ports exactly as the kernel writes it
// today, at fixed offsets: half of the decoder's time is tuples. Whatever looks
// different in any header is left to parseTuple, and so is all of it on a
// big-endian machine.
func parseUsualTuple(b []byte, k *session.Key) bool {
	size := 4
	if k.Family == 6 {
		size = 16
	}
	le := binary.LittleEndian
	// IP{source, destination} protocol{number, source port, destination port}
	src := 2 * attrHeader
	dst := src + size + attrHeader
	num := dst + size + 2*attrHeader
	if len(b) != num+20 {
		return false
	}
	ip := uint32(3*attrHeader+2*size) | (ctaTupleIP|attrNested)<<16
	addr := uint32(attrHeader + size)
	first := uint32(ctaIPv4Src)
	if size == 16 {
		first = ctaIPv6Src
	}
	if le.Uint32(b)^ip|
		le.Uint32(b[src-4:])^(addr|first<<16)|
		le.Uint32(b[dst-4:])^(addr|(first+1)<<16)|
		le.Uint32(b[num-8:])^(28|(ctaTupleProto|attrNested)<<16)|
		le.Uint32(b[num-4:])^(5|ctaProtoNum<<16)|
		le.Uint32(b[num+4:])^(6|ctaProtoSrcPort<<16)|
		le.Uint32(b[num+12:])^(6|ctaProtoDstPort<<16) != 0 {
		return false
	}
	copy(k.Src[:size], b[src:])
	copy(k.Dst[:size], b[dst:])
	k.Proto = b[num]
	k.SrcPort = binary.BigEndian.Uint16(b[num+8:])
	k.DstPort = binary.BigEndian.Uint16(b[num+16:])
	return true
}
