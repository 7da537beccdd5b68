package garp

import (
	"encoding/binary"
	"net/netip"
)

// Op is the operation of an ARP packet (RFC 826).
type Op uint16

// The two operations of ARP; those of RARP and InARP are refused.
const (
	OpRequest Op = 1
	OpReply   Op = 2
)

const (
	arpLen           = 28
	hardwareEthernet = 1
	protocolIPv4     = 0x0800
)

// ARP is an ARP packet for IPv4 over Ethernet (RFC 826), without the Ethernet
// header.
type ARP struct {
	Op        Op
	SenderMAC MAC
	Sender    netip.Addr // IPv4
	TargetMAC MAC
	Target    netip.Addr // IPv4
}

// Gratuitous returns the announcement of an IPv4 address: a request for the
// address by the address itself.
//
// The request form, because every receiver takes it: Linux ignores a gratuitous
// reply for a neighbour younger than one second. The target hardware address
// repeats the sender's, as RFC 9568 6.4.2 words it; receivers do not look at it
// in a request.
func Gratuitous(mac MAC, addr netip.Addr) ARP {
	addr = addr.Unmap()
	return ARP{Op: OpRequest, SenderMAC: mac, Sender: addr, TargetMAC: mac, Target: addr}
}

// GratuitousReply is the other form in use (RFC 5944 4.6), for the rare device
// that honours replies only.
func GratuitousReply(mac MAC, addr netip.Addr) ARP {
	p := Gratuitous(mac, addr)
	p.Op = OpReply
	return p
}

// IsGratuitous reports whether the packet announces its own sender.
func (p ARP) IsGratuitous() bool { return p.Sender == p.Target && !p.Sender.IsUnspecified() }

// IsProbe reports whether the packet asks if an address is free (RFC 5227).
func (p ARP) IsProbe() bool { return p.Op == OpRequest && p.Sender.IsUnspecified() }

// AppendARP appends the packet to b. It does not allocate if b has room for 28
// octets. It panics if an address is not IPv4: that is a mistake of the caller,
// never of a peer.
func AppendARP(b []byte, p ARP) []byte {
	sender, target := p.Sender.As4(), p.Target.As4()
	b = binary.BigEndian.AppendUint16(b, hardwareEthernet)
	b = binary.BigEndian.AppendUint16(b, protocolIPv4)
	b = append(b, 6, 4)
	b = binary.BigEndian.AppendUint16(b, uint16(p.Op))
	b = append(b, p.SenderMAC[:]...)
	b = append(b, sender[:]...)
	b = append(b, p.TargetMAC[:]...)
	return append(b, target[:]...)
}

// ParseARP reads a packet; octets after the 28th are Ethernet padding and are
// ignored. The result does not alias b. On a refusal the fields read so far are
// returned, for the one who wants to show them.
func ParseARP(b []byte) (p ARP, r Reason) {
	if len(b) < 8 {
		return p, ReasonTruncated
	}
	p.Op = Op(binary.BigEndian.Uint16(b[6:]))
	if binary.BigEndian.Uint16(b) != hardwareEthernet || binary.BigEndian.Uint16(b[2:]) != protocolIPv4 {
		return p, ReasonType
	}
	if b[4] != 6 || b[5] != 4 {
		return p, ReasonLength
	}
	if len(b) < arpLen {
		return p, ReasonTruncated
	}
	p.SenderMAC = MAC(b[8:14])
	p.Sender = netip.AddrFrom4([4]byte(b[14:18]))
	p.TargetMAC = MAC(b[18:24])
	p.Target = netip.AddrFrom4([4]byte(b[24:28]))
	if p.Op != OpRequest && p.Op != OpReply {
		return p, ReasonOperation
	}
	if p.SenderMAC.isGroup() || p.SenderMAC.IsZero() || !canSend(p.Sender) {
		return p, ReasonSender
	}
	return p, ReasonNone
}

// canSend reports whether one station can have the address; unspecified is the
// sender of a probe.
func canSend(a netip.Addr) bool {
	return !a.IsMulticast() && !a.IsLoopback() && a != netip.AddrFrom4([4]byte{255, 255, 255, 255})
}
