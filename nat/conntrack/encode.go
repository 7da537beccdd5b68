package conntrack

import (
	"encoding/binary"

	"understudy/nat/session"
)

// appendHeader begins a message; finish completes it.
func appendHeader(b []byte, typ, flags uint16, seq uint32, family uint8) []byte {
	af := uint8(0)
	switch family {
	case 4:
		af = afInet
	case 6:
		af = afInet6
	}
	b = append(b, 0, 0, 0, 0) // length: finish
	b = binary.NativeEndian.AppendUint16(b, typ)
	b = binary.NativeEndian.AppendUint16(b, flags)
	b = binary.NativeEndian.AppendUint32(b, seq)
	b = append(b, 0, 0, 0, 0) // port id: the kernel knows it
	return append(b, af, 0, 0, 0)
}

// finish writes the length of the message that starts at index start. Attributes
// are padded as they are written, so the message is too.
func finish(b []byte, start int) []byte {
	binary.NativeEndian.PutUint32(b[start:], uint32(len(b)-start))
	return b
}

// addFlags sets flags in the header of the message that starts at index start.
func addFlags(b []byte, start int, flags uint16) {
	f := b[start+6:]
	binary.NativeEndian.PutUint16(f, binary.NativeEndian.Uint16(f)|flags)
}

func appendAttrHeader(b []byte, typ uint16, size int) []byte {
	b = binary.NativeEndian.AppendUint16(b, uint16(attrHeader+size))
	return binary.NativeEndian.AppendUint16(b, typ)
}

// nest begins a nested attribute and returns where; endNest completes it.
func nest(b []byte, typ uint16) ([]byte, int) {
	return appendAttrHeader(b, typ|attrNested, 0), len(b)
}

func endNest(b []byte, start int) []byte {
	binary.NativeEndian.PutUint16(b[start:], uint16(len(b)-start))
	return b
}

func appendUint8(b []byte, typ uint16, v uint8) []byte {
	b = appendAttrHeader(b, typ, 1)
	return append(b, v, 0, 0, 0)
}

func appendUint16(b []byte, typ uint16, v uint16) []byte {
	b = appendAttrHeader(b, typ, 2)
	return append(binary.BigEndian.AppendUint16(b, v), 0, 0)
}

func appendUint32(b []byte, typ uint16, v uint32) []byte {
	return binary.BigEndian.AppendUint32(appendAttrHeader(b, typ, 4), v)
}

// appendUint32Host is for the few values that the kernel reads in host order.
func appendUint32Host(b []byte, typ uint16, v uint32) []byte {
	return binary.NativeEndian.AppendUint32(appendAttrHeader(b, typ, 4), v)
}

// appendFlagMask writes struct nf_ct_tcp_flags: value and the bits that it sets.
func appendFlagMask(b []byte, typ uint16, v, mask uint8) []byte {
	return append(appendAttrHeader(b, typ, 2), v, mask, 0, 0)
}

func appendAddr(b []byte, typ uint16, a *session.Addr, family uint8) []byte {
	size := 4
	if family == 6 {
		size = 16
	}
	return append(appendAttrHeader(b, typ, size), a[:size]...)
}

// appendTuple writes the tuple k as attribute typ.
func appendTuple(b []byte, typ uint16, k *session.Key) []byte {
	src, dst := uint16(ctaIPv4Src), uint16(ctaIPv4Dst)
	if k.Family == 6 {
		src, dst = ctaIPv6Src, ctaIPv6Dst
	}
	b, tuple := nest(b, typ)
	b, part := nest(b, ctaTupleIP)
	b = appendAddr(b, src, &k.Src, k.Family)
	b = appendAddr(b, dst, &k.Dst, k.Family)
	b = endNest(b, part)
	b, part = nest(b, ctaTupleProto)
	b = appendUint8(b, ctaProtoNum, k.Proto)
	switch {
	case k.Proto == protoICMP:
		b = appendUint16(b, ctaProtoICMPID, k.SrcPort)
		b = appendUint8(b, ctaProtoICMPType, uint8(k.DstPort>>8))
		b = appendUint8(b, ctaProtoICMPCode, uint8(k.DstPort))
	case k.Proto == protoICMPv6:
		b = appendUint16(b, ctaProtoICMPv6ID, k.SrcPort)
		b = appendUint8(b, ctaProtoICMPv6Type, uint8(k.DstPort>>8))
		b = appendUint8(b, ctaProtoICMPv6Code, uint8(k.DstPort))
	case hasPorts(k.Proto):
		b = appendUint16(b, ctaProtoSrcPort, k.SrcPort)
		b = appendUint16(b, ctaProtoDstPort, k.DstPort)
	}
	b = endNest(b, part)
	return endNest(b, tuple)
}

// appendNAT writes a translation to exactly one address, and to exactly one port
// if withPort.
func appendNAT(b []byte, typ uint16, a *session.Addr, family uint8, port uint16, withPort bool) []byte {
	minIP, maxIP := uint16(ctaNATv4MinIP), uint16(ctaNATv4MaxIP)
	if family == 6 {
		minIP, maxIP = ctaNATv6MinIP, ctaNATv6MaxIP
	}
	b, nat := nest(b, typ)
	b = appendAddr(b, minIP, a, family)
	b = appendAddr(b, maxIP, a, family)
	if withPort {
		var proto int
		b, proto = nest(b, ctaNATProto)
		b = appendUint16(b, ctaProtoNATPortMin, port)
		b = appendUint16(b, ctaProtoNATPortMax, port)
		b = endNest(b, proto)
	}
	return endNest(b, nat)
}

// appendHelp names the helper. Its kernel reads the name to the zero that ends it.
func appendHelp(b []byte, name session.Name) []byte {
	b, help := nest(b, ctaHelp)
	b = appendString(b, ctaHelpName, name.String())
	return endNest(b, help)
}

// appendString writes s with a zero behind it.
func appendString(b []byte, typ uint16, s string) []byte {
	b = append(append(appendAttrHeader(b, typ, len(s)+1), s...), 0)
	for len(b)%4 != 0 {
		b = append(b, 0)
	}
	return b
}

func appendSeqAdj(b []byte, typ uint16, s *session.SeqAdj) []byte {
	b, n := nest(b, typ)
	b = appendUint32(b, ctaSeqAdjCorrectionPos, s.CorrectionPos)
	b = appendUint32(b, ctaSeqAdjOffsetBefore, uint32(s.OffsetBefore))
	b = appendUint32(b, ctaSeqAdjOffsetAfter, uint32(s.OffsetAfter))
	return endNest(b, n)
}
