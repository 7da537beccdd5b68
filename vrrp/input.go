package vrrp

import (
	"net/netip"
	"time"
)

// InputKind is the kind of a SetInput.
type InputKind uint8

// The kinds, each with the fields of SetInput that it reads. Where Group is read, "" means every group.
const (
	InStart    InputKind = iota // Begin: the daemon is ready and every link was told: Initialize -> Backup (or owner -> Active)
	InTick                      // the time of Deadline has come. Drain the sockets first, if late
	InAdvert                    // Router, Src, Advert, Rx: ParseAdvert accepted it and it is for that router's interface, VRID and family
	InRefused                   // Router or -1, Interface, Src, Refused, Times: a packet that is no InAdvert, and why. Counted, and no more
	InLink                      // Interface, Up, Gone, Primary, LinkLocal, Sources: the whole truth about an interface
	InEligible                  // Group, OK, Reason: not OK does not preempt a live lower Active; it still takes over from nobody
	InFault                     // Group, On, Reason, Fence: out of service until cleared
	InWeight                    // Group, Weight: to be added to the priority of every member, in place of the one before
	InOverlap                   // Group, OK: serve on for a moment beside a better Active; until the group's state changes
	InHandOver                  // Group: graceful; see Set
	InReclaim                   // Group: a group that was handed over may preempt again
	InTerm                      // Group, Term, Raise: a term heard of from elsewhere; the highest is kept
	InResume                    // Group, Term: a respawned election goes on as Active under that term (the caller checked the age)
	InVouch                     // Group, Peer, On, Claims, Rx, Interval, Known: a peer says, by heartbeat, that it is Active (or, not On, that it is not)
	InStop                      // Fence: shut everything down
)

// SetInput is one event for a Set. A plain struct, so that passing one allocates nothing.
type SetInput struct {
	Kind   InputKind
	Router int // index in the configuration's Routers
	Src    netip.Addr
	Advert *Advert   // not kept, but a local one would be allocated: read into the same one again
	Rx     time.Time // when the packet came in, monotonic; zero: now

	Begin time.Time // InStart: until then nobody is listened to, and nobody elected; zero: now. See delay.go

	Refused Reason // InRefused
	Times   uint32 // InRefused: so many packets; 0 is 1

	Interface string
	Up        bool         // administratively up and carrier
	Gone      bool         // not Up: there is no such interface, or none that can be used; not waited for, see debounce.go
	Primary   netip.Addr   // IPv4 source address (an IPv6 one is taken for LinkLocal)
	LinkLocal netip.Addr   // IPv6 source address
	Sources   []netip.Addr // of the routers' own Sources, those that the interface has; not kept

	Group  string
	OK     bool
	On     bool
	Reason string
	Term   uint64
	Weight int
	Peer   int  // InVouch: 0 to 63
	Raise  bool // InTerm: an Active group whose term is not above Term takes a new one (after a healed split)
	Fence  bool // InFault, InStop: the daemon cannot be relied on, so OpFence instead of OpGateClose

	Claims   []Claim       // InVouch, not kept: the routers of the group that the peer names
	Interval time.Duration // InVouch: of the peer's heartbeats
	Known    bool          // InVouch: the peer knew that the group is Active here when it said so
}

// OpKind is the kind of an Op.
type OpKind uint8

// The kinds. The order of the Ops of one step is part of the contract: see Set.
const (
	OpSend       OpKind = iota // Router, Priority: send an advert now; Set.AppendMessage builds it
	OpGateClose                // Group: execute the prepared gate-close
	OpFence                    // Group: execute the whole prepared fence (gate, addresses, links)
	OpTransition               // Group, From, To, Term, Cause, Leaving: tell the daemon
	OpDrop                     // Router, Reason: the packet just given was dropped (and is counted)
)

// Op is one thing to do.
type Op struct {
	Kind     OpKind
	Router   int
	Old      bool // OpSend: Router counts in the configuration before the Reconfigure that returned this
	Priority uint8
	Sequence uint32 // OpSend: of the packet, if it is sealed
	Group    string
	From, To State
	Leaving  bool // OpTransition: still Active and serving, but priority 0 is out
	Term     uint64
	Cause    string
	Reason   Reason
}

// SetOutput is what a step asks for. Both lists are reused by the next Step.
type SetOutput struct {
	Ops     []Op     // to be done in order
	Notices []Notice // to be told, whenever
}
