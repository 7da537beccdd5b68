package lacp

// ActorConfig describes a system that speaks LACP: one key for all of its ports, or
// one each.
type ActorConfig struct {
	System         MAC
	SystemPriority uint16
	Passive        bool   // speak only when spoken to
	Fast           bool   // ask partners for a PDU each second
	Independent    bool   // collect before distributing (independent control of the mux)
	Single         bool   // one aggregate only, as a bonding driver: links with other partners stand by
	Fallback       bool   // a port whose partner does not speak LACP is used alone
	MaxLinks       int    // of an aggregate; the other ones stand by. 0: no limit
	Version        uint8  // of the PDUs; 0 is 1
	Extensions     []byte // of PDUs of version 2 and later, see PDU
	Ports          []PortConfig
}

// PortConfig is one port.
type PortConfig struct {
	MAC        MAC    // source of its frames
	Number     uint16 // 1 and up
	Priority   uint16 // the lower goes first into an aggregate
	Key        uint16 // ports of one key may be aggregated
	Individual bool   // the port cannot be aggregated
	Disabled   bool   // the port does not speak LACP
}

// ActorInputKind is the kind of an [ActorInput].
type ActorInputKind uint8

// The kinds, each with the fields of ActorInput that it reads.
const (
	ActTick  ActorInputKind = iota // the time of Deadline has come. Hand in the frames that wait first
	ActLink                        // Port, Up: a port has got or lost its carrier
	ActFrame                       // Port, Frame: a frame of the Slow Protocols came in
)

// ActorInput is one event for an [Actor]. Nothing in it is kept.
type ActorInput struct {
	Kind  ActorInputKind
	Port  int // index in the configuration's Ports
	Up    bool
	Frame []byte // from the destination address on
	Lost  uint32 // how many frames could not be handed in before this one
}

// Sending is a frame to be put on a port.
type Sending struct {
	Port  int
	Frame []byte
}
