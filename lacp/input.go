package lacp

// InputKind is the kind of an [Input].
type InputKind uint8

// The kinds, each with the fields of Input that it reads.
const (
	InTick  InputKind = iota // the time of Deadline has come. Hand in the frames that wait first
	InFrame                  // Member, Frame, Outgoing: a frame of the Slow Protocols was seen on a member
	InBond                   // Bond: the whole truth about the bond and its members
	InGone                   // there is no such bond
)

// Input is one event for a [Monitor]. Nothing in it is kept.
type Input struct {
	Kind     InputKind
	Member   string // interface
	Frame    []byte // from the destination address on
	Outgoing bool   // the frame was sent by this machine
	Lost     uint32 // how many frames of the member could not be handed in before this one
	Bond     *Bond
}

// Output is what an event led to. The lists are reused by the next Step. A finding
// whose evidence changes is not told again: see [Monitor.Status].
type Output struct {
	Raised   []Finding
	Cleared  []Finding
	From, To BondState
}

// MonitorConfig is what a [Monitor] is to hold a bond against.
type MonitorConfig struct {
	// MinLinks is how many members have to carry; 0 is 1. The driver's own
	// min_links counts if it is more.
	MinLinks int
	// Margin is how many members more than that there should be: with fewer, and
	// members lost, there is a finding. 0 is 1.
	Margin int
}
