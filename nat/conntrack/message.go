package conntrack

import "understudy/nat/session"

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
	b = appendProtoInfo(b, r, UpdateTCPState|UpdateTCPOptions|UpdateSCTP, o.Liberal, maskAll)
	b = appendTranslation(b, r)
	if r.Helper != (session.Name{}) {
		b = appendHelp(b, r.Helper)
	}
	if r.Master.Family != 0 {
		b = appendTuple(b, ctaTupleMaster, &r.Master)
	}
	if r.Labels != (session.Labels{}) {
		b = append(appendAttrHeader(b, ctaLabels, len(r.Labels)), r.Labels[:]...)
	}
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
	b = appendProtoInfo(b, r, fields, o.Liberal, carriedTCPFlags)
	if fields&UpdateMark != 0 {
		b = appendUint32(b, ctaMark, r.Mark)
	}
	if fields&UpdateSeqAdj != 0 {
		b = appendSeqAdjs(b, r)
	}
	if fields&UpdateLabels != 0 && r.Labels != (session.Labels{}) {
		b = append(appendAttrHeader(b, ctaLabels, len(r.Labels)), r.Labels[:]...)
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

// appendProtoInfo writes the protocol's state. mask says which TCP flags the
// kernel takes from us: that of a dumped entry is zero, so that a replay would set
// nothing. A new entry takes all; of a live one the kernel keeps its own.
func appendProtoInfo(b []byte, r *session.Record, fields UpdateFields, liberal bool, mask uint8) []byte {
	switch {
	case r.Proto == protoTCP && fields&(UpdateTCPState|UpdateTCPOptions|UpdateLiberal) != 0:
		b, info := nest(b, ctaProtoInfo)
		b, tcp := nest(b, ctaProtoInfoTCP)
		if fields&UpdateTCPState != 0 {
			b = appendUint8(b, ctaTCPState, uint8(r.TCP.State))
		}
		orig, reply := tcpFlags(&r.TCP, liberal)
		switch {
		case fields&UpdateTCPOptions != 0:
			// Scales count only with the scale flag of both directions beside them.
			b = appendUint8(b, ctaTCPWScaleOrig, r.TCP.WScaleOrig)
			b = appendUint8(b, ctaTCPWScaleReply, r.TCP.WScaleReply)
			b = appendFlagMask(b, ctaTCPFlagsOrig, orig, mask)
			b = appendFlagMask(b, ctaTCPFlagsReply, reply, mask)
		case fields&UpdateLiberal != 0:
			b = appendFlagMask(b, ctaTCPFlagsOrig, orig, session.TCPFlagLiberal)
			b = appendFlagMask(b, ctaTCPFlagsReply, reply, session.TCPFlagLiberal)
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

const maskAll = 0xff

// tcpFlags returns the flags to give to the kernel: strict or liberal as asked,
// but liberal if the scale is unknown.
func tcpFlags(t *session.TCP, liberal bool) (orig, reply uint8) {
	orig, reply = t.FlagsOrig&carriedTCPFlags, t.FlagsReply&carriedTCPFlags
	if liberal || !WindowScaleKnown(t) {
		return orig | session.TCPFlagLiberal, reply | session.TCPFlagLiberal
	}
	return orig &^ session.TCPFlagLiberal, reply &^ session.TCPFlagLiberal
}

func appendSeqAdjs(b []byte, r *session.Record) []byte {
	if r.SeqAdj[0] != (session.SeqAdj{}) {
		b = appendSeqAdj(b, ctaSeqAdjOrig, &r.SeqAdj[0])
	}
	if r.SeqAdj[1] != (session.SeqAdj{}) {
		b = appendSeqAdj(b, ctaSeqAdjReply, &r.SeqAdj[1])
	}
	return b
}
