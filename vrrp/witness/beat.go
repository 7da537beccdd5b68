package witness

import (
	"encoding/binary"
	"hash/fnv"
	"net/netip"
	"slices"
	"time"

	"understudy/vrrp"
)

// MaxSize is the most that a heartbeat takes: it fits into an Ethernet frame, tunnels included, without fragments.
const MaxSize = 1400

const (
	magic      = "uhb\x01"
	headerSize = 44
	minSize    = headerSize + 2 + 2 + codeSize
	recordSize = 3 // type and length
	groupSize  = 10
	routerSize = 16 // without address and interface
	maxName    = 63
	maxIfName  = 15

	offIncarnation, offSequence, offEcho, offInterval = 8, 16, 24, 40

	critical    = 0x80
	recordGroup = 1
	recordRoute = 2

	flagKnown, flagUp   = 1, 2 // of the header
	flagLeaving         = 1    // of a group
	flagHears, flagIPv6 = 1, 2 // of a router
)

// Neighbour is what a node knows of the neighbour that it has in common with its peers: the check of guard_check.
type Neighbour uint8

// The states of a neighbour.
const (
	NeighbourUnknown Neighbour = iota
	NeighbourDown
	NeighbourUp
)

var neighbourNames = [...]string{"unknown", "down", "up"}

// String is one lower-case word.
func (n Neighbour) String() string {
	if int(n) < len(neighbourNames) {
		return neighbourNames[n]
	}
	return "unknown"
}

// Beat is a heartbeat as it was read. One value is read into again and again; what it holds aliases the packet.
type Beat struct {
	From, To              []byte // names
	Incarnation, Sequence uint64
	EchoOf, Echo          uint64 // incarnation and sequence of the receiver's that the sender has
	Interval              time.Duration
	Neighbour             Neighbour
	Groups                []Group
	routers               []Router
	sealed                []byte // all of the packet
	records               []byte
}

// Group is what a heartbeat says of a group, of all or some of its routers.
type Group struct {
	Name    []byte
	State   vrrp.State
	Leaving bool
	Term    uint64
	first   int
	count   int
}

// Router is what a heartbeat says of one router.
type Router struct {
	ID        uint64
	VRID      uint8
	Version   uint8
	Hears     bool // adverts of the receiver's
	Priority  uint8
	Form      vrrp.ChecksumForm
	Refuses   vrrp.Reason // the receiver's adverts; ReasonNone: it does not
	Interval  time.Duration
	Source    netip.Addr // the zero value: none yet
	Interface []byte
}

// Routers returns those of the group.
func (b *Beat) Routers(g *Group) []Router { return b.routers[g.first : g.first+g.count] }

// RouterID names a router alike on all nodes, whatever each calls it and its interface: family, VRID and the lowest of
// the addresses.
func RouterID(family, vrid uint8, addresses []netip.Addr) uint64 {
	h := fnv.New64a()
	h.Write([]byte{family, vrid})
	if len(addresses) > 0 {
		lowest := slices.MinFunc(addresses, netip.Addr.Compare)
		h.Write(lowest.AsSlice())
	}
	return h.Sum64()
}

// appendHeader begins a heartbeat; the names follow. Length and code come at the end, with seal.
func appendHeader(b []byte, h *Beat) []byte {
	b = append(b, magic...)
	flags := byte(0)
	if h.Neighbour != NeighbourUnknown {
		flags |= flagKnown
	}
	if h.Neighbour == NeighbourUp {
		flags |= flagUp
	}
	b = append(b, 0, 0, flags, 0)
	b = binary.BigEndian.AppendUint64(b, h.Incarnation)
	b = binary.BigEndian.AppendUint64(b, h.Sequence)
	b = binary.BigEndian.AppendUint64(b, h.EchoOf)
	b = binary.BigEndian.AppendUint64(b, h.Echo)
	return binary.BigEndian.AppendUint32(b, uint32(min(h.Interval.Microseconds(), 1<<32-1)))
}
