package conntrack

import (
	"net/netip"

	"understudy/nat/session"
)

// AppendCreate appends a request that creates r's entry and fails with EEXIST if
// its key or translated tuple is taken. The record must be [Installable].
//
// The form is the one that survives: the reply tuple is the plain inverse of the
// original one and the translation stands in CTA_NAT_*, bounds equal, always with
// a port. If one side is translated, both attributes are sent: for a missing one
// the kernel invents a null binding, and that changes the port, silently, when
// the untranslated tuple is taken.
func AppendCreate(b []byte, seq uint32, r *session.Record, o *InstallOptions) []byte {
	start := len(b)
	b = appendHeader(b, msgNew, flagRequest|flagCreate|flagExcl, seq, r.Family)
	reply := inverse(&r.Key)
	b = appendTuple(b, ctaTupleOrig, &r.Key)
	b = appendTuple(b, ctaTupleReply, &reply)
	b = appendUint32(b, ctaStatus, uint32(createStatus(r)))
	b = appendUint32(b, ctaTimeout, entryTimeout(r, o.Hold))
	b = appendProtoInfo(b, r, UpdateTCPState|UpdateTCPOptions|UpdateSCTP, o.Liberal)
	b = appendTranslation(b, r)
	if r.Mark != 0 {
		b = appendUint32(b, ctaMark, r.Mark)
	}
	b = appendSeqAdjs(b, r)
	b = appendZone(b, r.Zone)
	return finish(b, start)
}

// AppendUpdate appends a request that changes the given fields of r's entry and
// fails with ENOENT if there is none. It never carries a translation (the kernel
// answers EOPNOTSUPP).
func AppendUpdate(b []byte, seq uint32, r *session.Record, o *UpdateOptions) []byte {
	start := len(b)
	fields := o.fields()
	b = appendHeader(b, msgNew, flagRequest|flagReplace, seq, r.Family)
	b = appendTuple(b, ctaTupleOrig, &r.Key)
	if fields&UpdateStatus != 0 {
		b = appendUint32(b, ctaStatus, uint32(createStatus(r)))
	}
	if fields&UpdateTimeout != 0 && r.Proto != protoGRE { // fixed: EPERM
		b = appendUint32(b, ctaTimeout, entryTimeout(r, o.Hold))
	}
	b = appendProtoInfo(b, r, fields, o.Liberal)
	if fields&UpdateMark != 0 {
		b = appendUint32(b, ctaMark, r.Mark)
	}
	if fields&UpdateSeqAdj != 0 {
		b = appendSeqAdjs(b, r)
	}
	b = appendZone(b, r.Zone)
	return finish(b, start)
}

// AppendDelete appends a request that deletes the entry with this key, if its
// CTA_ID is id or id is 0. The kernel also finds an entry whose reply tuple is
// the key.
func AppendDelete(b []byte, seq uint32, k *session.Key, id uint32) []byte {
	start := len(b)
	b = appendHeader(b, msgDelete, flagRequest, seq, k.Family)
	b = appendTuple(b, ctaTupleOrig, k)
	if id != 0 {
		b = appendUint32(b, ctaID, id)
	}
	b = appendZone(b, k.Zone)
	return finish(b, start)
}

// AppendGet appends a request for the entry that holds the tuple k in either
// direction.
func AppendGet(b []byte, seq uint32, k *session.Key) []byte {
	start := len(b)
	b = appendHeader(b, msgGet, flagRequest, seq, k.Family)
	b = appendTuple(b, ctaTupleOrig, k)
	b = appendZone(b, k.Zone)
	return finish(b, start)
}

// Filter selects entries of a dump in the kernel, which costs less than to read
// and drop them here. The zero value selects everything.
type Filter struct {
	Family             uint8          // 4, 6 or 0 for both; needed with addresses
	Zone               uint16         // 0 for all (Linux 6.8)
	Status, StatusMask session.Status // status & mask == status (Linux 5.15)
	Mark, MarkMask     uint32         // mark & mask == mark
	// Addresses of the two tuples; the zero Addr selects all (Linux 5.8).
	OrigSrc, OrigDst, ReplySrc, ReplyDst netip.Addr
}

// AppendDump appends a request for all entries that match f.
func AppendDump(b []byte, seq uint32, f *Filter) []byte {
	start := len(b)
	b = appendHeader(b, msgGet, flagRequest|flagDump, seq, f.Family)
	if f.StatusMask != 0 {
		b = appendUint32(b, ctaStatus, uint32(f.Status))
		b = appendUint32(b, ctaStatusMask, uint32(f.StatusMask))
	}
	if f.MarkMask != 0 {
		b = appendUint32(b, ctaMark, f.Mark)
		b = appendUint32(b, ctaMarkMask, f.MarkMask)
	}
	b = appendZone(b, f.Zone)
	b, orig := f.appendAddrs(b, ctaTupleOrig, f.OrigSrc, f.OrigDst)
	b, reply := f.appendAddrs(b, ctaTupleReply, f.ReplySrc, f.ReplyDst)
	if orig|reply != 0 {
		var n int
		b, n = nest(b, ctaFilter)
		b = appendUint32Host(b, ctaFilterOrigFlags, orig)
		b = appendUint32Host(b, ctaFilterReplyFlags, reply)
		b = endNest(b, n)
	}
	return finish(b, start)
}

// appendAddrs writes the given addresses of one tuple and returns which there
// were.
func (f *Filter) appendAddrs(b []byte, typ uint16, src, dst netip.Addr) ([]byte, uint32) {
	if !src.IsValid() && !dst.IsValid() {
		return b, 0
	}
	srcType, dstType := uint16(ctaIPv4Src), uint16(ctaIPv4Dst)
	if f.Family == 6 {
		srcType, dstType = ctaIPv6Src, ctaIPv6Dst
	}
	var flags uint32
	b, tuple := nest(b, typ)
	b, ip := nest(b, ctaTupleIP)
	if src.IsValid() {
		a := session.AddrFrom(src)
		b = appendAddr(b, srcType, &a, f.Family)
		flags |= filterIPSrc
	}
	if dst.IsValid() {
		a := session.AddrFrom(dst)
		b = appendAddr(b, dstType, &a, f.Family)
		flags |= filterIPDst
	}
	b = endNest(b, ip)
	return endNest(b, tuple), flags
}

func appendZone(b []byte, zone uint16) []byte {
	if zone == 0 {
		return b
	}
	return appendUint16(b, ctaZone, zone)
}

// appendTranslation writes CTA_NAT_SRC and CTA_NAT_DST. The kernel applies the
// destination first. ICMP has one identifier for both directions, which is the
// source's to change: the destination keeps the original one.
func appendTranslation(b []byte, r *session.Record) []byte {
	src, srcPort, snat := r.SNAT()
	dst, dstPort, dnat := r.DNAT()
	if !snat && !dnat {
		return b
	}
	if isICMP(r.Proto) {
		dstPort = r.SrcPort
	}
	withPort := hasPorts(r.Proto) || isICMP(r.Proto)
	b = appendNAT(b, ctaNATSrc, &src, r.Family, srcPort, withPort)
	return appendNAT(b, ctaNATDst, &dst, r.Family, dstPort, withPort)
}

// appendProtoInfo writes the protocol's state. The kernel takes window scales
// only with the scale flag of both directions in the same message.
func appendProtoInfo(b []byte, r *session.Record, fields UpdateFields, liberal bool) []byte {
	switch {
	case r.Proto == protoTCP && fields&(UpdateTCPState|UpdateTCPOptions) != 0:
		b, info := nest(b, ctaProtoInfo)
		b, tcp := nest(b, ctaProtoInfoTCP)
		if fields&UpdateTCPState != 0 {
			b = appendUint8(b, ctaTCPState, uint8(r.TCP.State))
		}
		if fields&UpdateTCPOptions != 0 {
			b = appendTCPOptions(b, &r.TCP, liberal)
		}
		b = endNest(b, tcp)
		return endNest(b, info)
	case r.Proto == protoSCTP && r.SCTP.State != 0 && fields&UpdateSCTP != 0:
		b, info := nest(b, ctaProtoInfo)
		b, sctp := nest(b, ctaProtoInfoSCTP)
		b = appendUint8(b, ctaSCTPState, r.SCTP.State)
		b = appendUint32(b, ctaSCTPVTagOrig, r.SCTP.VTagOrig)
		b = appendUint32(b, ctaSCTPVTagReply, r.SCTP.VTagReply)
		b = endNest(b, sctp)
		return endNest(b, info)
	}
	return b
}

func appendTCPOptions(b []byte, t *session.TCP, liberal bool) []byte {
	orig, reply := t.FlagsOrig&carriedTCPFlags, t.FlagsReply&carriedTCPFlags
	if liberal || !WindowScaleKnown(t) {
		orig |= session.TCPFlagLiberal
		reply |= session.TCPFlagLiberal
	} else {
		orig &^= session.TCPFlagLiberal
		reply &^= session.TCPFlagLiberal
	}
	b = appendUint8(b, ctaTCPWScaleOrig, t.WScaleOrig)
	b = appendUint8(b, ctaTCPWScaleReply, t.WScaleReply)
	b = appendFlagMask(b, ctaTCPFlagsOrig, orig, tcpFlagsMask)
	return appendFlagMask(b, ctaTCPFlagsReply, reply, tcpFlagsMask)
}

// tcpFlagsMask makes the kernel take every flag of ours; the mask of a dumped
// entry is zero, so that a replay would set nothing.
const tcpFlagsMask = 0xff

func appendSeqAdjs(b []byte, r *session.Record) []byte {
	if r.SeqAdj[0] != (session.SeqAdj{}) {
		b = appendSeqAdj(b, ctaSeqAdjOrig, &r.SeqAdj[0])
	}
	if r.SeqAdj[1] != (session.SeqAdj{}) {
		b = appendSeqAdj(b, ctaSeqAdjReply, &r.SeqAdj[1])
	}
	return b
}
