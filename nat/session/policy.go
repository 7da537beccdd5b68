package session

import "time"

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

// Begun tells whether a flow is one that a leader tells its followers of: it has been
// decided how it is translated, and it is not over.
func (r *Record) Begun() bool {
	switch r.Proto {
	case protoTCP:
		return r.TCP.State >= TCPSynSent && r.TCP.State <= TCPLastAck || r.TCP.State == TCPSynSent2
	case protoSCTP:
		return r.SCTP.State > SCTPClosed
	}
	return true
}

// Resumable tells whether the flow can go on in a kernel that has seen none of its
// packets and is about to see them: one of datagrams that nobody has answered can; a
// handshake in the middle begins anew.
func (r *Record) Resumable() bool {
	return r.Installable() || r.Proto != protoTCP && r.Proto != protoSCTP
}

// Outlived tells whether the flow of a record is over as far as a standby can know,
// whose owner has been silent for so long. While the owner is heard a flow is alive
// until it says otherwise, for no packet that renews a timeout is told of. From its
// last word on the flow has the timeout that it then had, but at least hold, which is
// what it would have in the kernel of a standby.
func (r *Record) Outlived(silent, hold time.Duration) bool {
	return silent > max(time.Duration(r.Timeout)*time.Second, hold)
}

// Beginning tells whether the flow is not Replicable yet, and not because it is over.
func (r *Record) Beginning() bool {
	if r.Replicable() {
		return false
	}
	return r.Proto != protoTCP || r.TCP.State != TCPTimeWait && r.TCP.State != TCPClose
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
