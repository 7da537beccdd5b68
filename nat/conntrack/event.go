package conntrack

import "understudy/nat/session"

// EventKind tells what a message reports.
type EventKind uint8

const (
	New     EventKind = iota + 1 // a flow was confirmed
	Update                       // something of a flow changed (a refreshed timeout alone is never reported by packets)
	Destroy                      // a flow ended: expired, closed, deleted, evicted
	Entry                        // not an event: an answer to Get or Dump
)

// String returns the word that logs and metrics use.
func (k EventKind) String() string {
	switch k {
	case New:
		return "new"
	case Update:
		return "update"
	case Destroy:
		return "destroy"
	case Entry:
		return "entry"
	}
	return "unknown"
}

// HasBits tells which parts of a Record a message carried. The kernel leaves
// parts out: an event has a mark only if it is not zero or changed, a destroy
// event has no status of the protocol beyond the TCP state. What is not there
// is zero in the Record and must not overwrite what is known.
type HasBits uint16

const (
	HasStatus HasBits = 1 << iota
	HasTimeout
	HasMark
	HasID
	HasTCP        // TCP state
	HasTCPOptions // window scales and flags of both directions
	HasSCTP
	HasSeqAdj

	HasHelper // a protocol helper (FTP, SIP, ...) is attached
	HasMaster // the flow was expected by another one (RELATED)
	HasLabels

	// HasTupleZone: a zone of one direction only, for which a Record has no room. The
	// flow must not be replicated.
	HasTupleZone
)

// An Event is one decoded message. It holds no reference to the message.
type Event struct {
	Kind EventKind
	Has  HasBits
	// PortID is the netlink port of the process that caused the change; 0 is
	// the packet path or a timer.
	PortID uint32
	Rec    session.Record
}
