package session

// Replicable tells whether the flow is worth a standby's while: one that has
// been answered, and, for TCP and SCTP, is established and not yet over.
func (r *Record) Replicable() bool {
	switch {
	case r.Master.Family != 0 && r.Status&StatusSeenReply == 0:
		return false
	case r.Proto == protoTCP:
		return r.TCP.State >= TCPEstablished && r.TCP.State <= TCPLastAck
	case r.Proto == protoSCTP:
		return r.SCTP.State >= SCTPEstablished
	default:
		// A helper's flow may be answered by another one that it expects (TFTP).
		return r.Status&StatusSeenReply != 0 || r.Helper != (Name{})
	}
}

// Offloaded tells whether a flowtable forwards the flow, in software or hardware: its
// packets pass by connection tracking, so its state and timeout stand still.
func (r *Record) Offloaded() bool { return r.Status&(StatusOffload|StatusHWOffload) != 0 }

// Installable tells whether a kernel may be given the record: a TCP entry
// injected before it is established is dead on arrival.
func (r *Record) Installable() bool { return r.Replicable() }

// SameBinding tells whether two records of one flow translate it alike.
func (r *Record) SameBinding(o *Record) bool {
	return r.ReplySrc == o.ReplySrc && r.ReplyDst == o.ReplyDst &&
		r.ReplySrcPort == o.ReplySrcPort && r.ReplyDstPort == o.ReplyDstPort
}
