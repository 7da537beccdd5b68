package nat

import (
	"fmt"
	"net/netip"
	"strconv"
)

// Config is what the configuration file asks for. It may be wrong: see [Check].
type Config struct {
	Sources    []Source
	Statics    []Static
	Forwards   []Forward
	Exceptions []Exception
	Groups     []Group

	// Links are the networks that the gateways have interfaces in. Where a host of one
	// calls a mapped address and the server is in the same one, its answers would go
	// past the gateway; so to the server it is the address that has called.
	Links []netip.Prefix

	// Devices are the interfaces that have a group's own MAC. What enters by one
	// is shut out while the group is not Active, whatever it is addressed to.
	Devices []DeviceGate
	// Refused are addresses of groups that nobody may talk to, though they may
	// be translated (RFC 9568 6.1, Accept_Mode false).
	Refused []netip.Addr

	// Sessions says that flows are replicated. A kernel translates a flow that
	// was installed from outside only if a NAT chain of its family exists, so
	// the applier then keeps empty ones even where nothing is mapped here.
	Sessions bool

	// Events: of which flows the kernel makes connection events. Nil: of all, all.
	Events *Events

	// Mirror: packets are copied to the other node. Nil: they are not.
	Mirror *Mirror
}

// Source translates the source of flows that come from an inside network and
// leave by an outside interface.
type Source struct {
	From  netip.Prefix // inside network, without host bits
	Out   string       // outside interface, by name
	To    netip.Addr   // address of the pair that the flows get
	Ports Ports        // TCP, UDP and SCTP ports and ICMP identifiers that new flows get; zero: Pool
	Keeps bool         // flows keep their port, or identifier; it is one that is free if From is one host
	Pool  Ports        // those that flows have, on whichever node they began; zero: Ports, else DefaultPorts

	// Also are more addresses beside To, in any order. Each host inside has one of
	// them all, for all its flows, and the same on every node.
	Also []netip.Addr
}

// MostAddresses is how many addresses a source can have.
const MostAddresses = 1024

// Addresses are all that flows get one of.
func (s Source) Addresses() []netip.Addr { return append([]netip.Addr{s.To}, s.Also...) }

// Exception: flows from an inside network that leave by an outside interface for
// another network keep their source, whatever is mapped.
type Exception struct {
	From netip.Prefix
	Out  string
	To   netip.Prefix
}

// Forward gives a port of an address of the pair to a server, or a range of ports.
type Forward struct {
	Address netip.Addr
	Proto   Proto
	Port    uint16 // host byte order
	To      netip.AddrPort

	Last   uint16 // the last port of a range that begins with Port; 0: Port alone
	ToLast uint16 // the last of as many ports that it leads to, one each; 0: all lead to To
}

// Size is how many ports are forwarded.
func (f Forward) Size() int {
	if f.Last == 0 {
		return 1
	}
	return int(f.Last) - int(f.Port) + 1
}

// At is the i-th port that is forwarded, and where it leads to.
func (f Forward) At(i int) (port uint16, to netip.AddrPort) {
	if f.ToLast == 0 {
		return f.Port + uint16(i), f.To
	}
	return f.Port + uint16(i), netip.AddrPortFrom(f.To.Addr(), f.To.Port()+uint16(i))
}

// Group is what moves together from one node to the other.
type Group struct {
	Name      string
	Addresses []netip.Addr // virtual addresses and the NAT addresses that follow them; link-local ones with their interface as zone

	// Blocks are public networks and addresses that others route to the gateways, and
	// that no interface of theirs has.
	Blocks []netip.Prefix
}

// DeviceGate is an interface that is shut while its group is not Active here.
type DeviceGate struct{ Device, Group string }

// Ports is a closed range of ports, or of ICMP identifiers, in host byte order.
type Ports struct{ First, Last uint16 }

// DefaultPorts is the pool of a source that names none. It leaves the ports
// below to services on the same address.
func DefaultPorts() Ports { return Ports{16384, 65535} }

// Contains tells whether port lies in the range.
func (p Ports) Contains(port uint16) bool { return p.First <= port && port <= p.Last }

// Part is the i-th of n parts of p, which are as equal as can be, do not overlap and
// are all of p: where each node takes new ports of a part of its own, what one
// has given is not given again by another that has never heard of it.
func (p Ports) Part(i, n int) Ports {
	size := int(p.Last) - int(p.First) + 1
	return Ports{p.First + uint16(i*size/n), p.First + uint16((i+1)*size/n-1)}
}

func (p Ports) String() string {
	return strconv.Itoa(int(p.First)) + "-" + strconv.Itoa(int(p.Last))
}

// Proto is an IP protocol that has ports.
type Proto uint8

// The protocols a forward can name (IANA protocol numbers).
const (
	TCP  Proto = 6
	UDP  Proto = 17
	SCTP Proto = 132
)

func (p Proto) String() string {
	switch p {
	case TCP:
		return "tcp"
	case UDP:
		return "udp"
	case SCTP:
		return "sctp"
	}
	return strconv.Itoa(int(p))
}

// ParseProto is the inverse of [Proto.String] for the protocols that have a name.
func ParseProto(s string) (Proto, error) {
	for _, p := range [...]Proto{TCP, UDP, SCTP} {
		if s == p.String() {
			return p, nil
		}
	}
	return 0, fmt.Errorf("protocol %q: want tcp, udp or sctp", s)
}

// String is the mapping as messages name it: "source 10.0.0.0/24 out wan0".
func (s Source) String() string { return "source " + s.From.String() + " out " + s.Out }

// String is the mapping as messages name it: "forward 203.0.113.1:443/tcp".
func (f Forward) String() string {
	return "forward " + netip.AddrPortFrom(f.Address, f.Port).String() + upTo(f.Last) + "/" + f.Proto.String()
}

// upTo is the rest of a range of ports behind its first.
func upTo(last uint16) string {
	if last == 0 {
		return ""
	}
	return "-" + strconv.Itoa(int(last))
}

// String is the exception as messages name it: "source 10.0.0.0/24 out wan0 except
// 10.8.0.0/16".
func (e Exception) String() string {
	return "source " + e.From.String() + " out " + e.Out + " except " + e.To.String()
}
