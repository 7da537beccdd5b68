package garp

import (
	"encoding/binary"
	"net/netip"
)

const (
	ipv6Len       = 40
	naLen         = 24 // ICMPv6 header, flags, target
	protoICMPv6   = 58
	typeNA        = 136
	optTargetLink = 2

	flagRouter    = 0x80
	flagSolicited = 0x40
	flagOverride  = 0x20
)

// AllNodes is ff02::1, where unsolicited advertisements go.
var AllNodes = netip.AddrFrom16([16]byte{0: 0xff, 1: 0x02, 15: 1})

// AllNodesMAC is the Ethernet group of [AllNodes] (RFC 2464 7).
var AllNodesMAC = MAC{0x33, 0x33, 0, 0, 0, 1}

// NA is a Neighbor Advertisement (RFC 4861 4.4) with its IPv6 header.
type NA struct {
	Source, Destination, Target netip.Addr // IPv6, without zone
	// LinkAddr is the target link-layer address option; zero if there is none.
	LinkAddr                    MAC
	Router, Solicited, Override bool
}

// Unsolicited returns the announcement of an IPv6 address, from that address
// to all nodes.
//
// The router flag is always set: an advertisement without it makes a host
// delete its default route through us (RFC 4861 7.2.5). Override makes the host
// replace the link-layer address that it has.
func Unsolicited(mac MAC, addr netip.Addr) NA {
	addr = addr.WithZone("")
	return NA{Source: addr, Destination: AllNodes, Target: addr, LinkAddr: mac, Router: true, Override: true}
}

// AppendNA appends the IPv6 packet to b: 72 octets, or 64 without LinkAddr. It
// does not allocate if b has the room.
func AppendNA(b []byte, p NA) []byte {
	payload := naLen
	if !p.LinkAddr.IsZero() {
		payload += 8
	}
	src, dst, target := p.Source.As16(), p.Destination.As16(), p.Target.As16()
	start := len(b)
	b = append(b, 0x60, 0, 0, 0)
	b = binary.BigEndian.AppendUint16(b, uint16(payload))
	b = append(b, protoICMPv6, 255)
	b = append(b, src[:]...)
	b = append(b, dst[:]...)
	icmp := len(b)
	var flags byte
	if p.Router {
		flags |= flagRouter
	}
	if p.Solicited {
		flags |= flagSolicited
	}
	if p.Override {
		flags |= flagOverride
	}
	b = append(b, typeNA, 0, 0, 0, flags, 0, 0, 0)
	b = append(b, target[:]...)
	if !p.LinkAddr.IsZero() {
		b = append(b, optTargetLink, 1)
		b = append(b, p.LinkAddr[:]...)
	}
	binary.BigEndian.PutUint16(b[icmp+2:], ^icmpSum(b[start:]))
	return b
}

// ParseNA reads an IPv6 packet and judges it as RFC 4861 7.1.2 tells a receiver
// to. Unknown options are skipped; octets beyond the payload length are padding.
// The result does not alias b.
func ParseNA(b []byte) (p NA, r Reason) {
	if len(b) < ipv6Len {
		return p, ReasonTruncated
	}
	if b[0]>>4 != 6 || b[6] != protoICMPv6 {
		return p, ReasonType
	}
	p.Source = netip.AddrFrom16([16]byte(b[8:24]))
	p.Destination = netip.AddrFrom16([16]byte(b[24:40]))
	payload := int(binary.BigEndian.Uint16(b[4:]))
	if ipv6Len+payload > len(b) {
		return p, ReasonTruncated
	}
	b = b[:ipv6Len+payload]
	if b[7] != 255 {
		return p, ReasonHopLimit
	}
	if payload < naLen {
		return p, ReasonLength
	}
	if icmpSum(b) != 0xffff {
		return p, ReasonChecksum
	}
	m := b[ipv6Len:]
	if m[0] != typeNA || m[1] != 0 {
		return p, ReasonType
	}
	p.Router = m[4]&flagRouter != 0
	p.Solicited = m[4]&flagSolicited != 0
	p.Override = m[4]&flagOverride != 0
	p.Target = netip.AddrFrom16([16]byte(m[8:24]))
	if p.Target.IsMulticast() || p.Destination.IsMulticast() && p.Solicited {
		return p, ReasonDestination
	}
	for opt := m[naLen:]; len(opt) > 0; {
		if len(opt) < 2 || opt[1] == 0 || int(opt[1])*8 > len(opt) {
			return p, ReasonOption
		}
		if opt[0] == optTargetLink && opt[1] == 1 {
			p.LinkAddr = MAC(opt[2:8])
		}
		opt = opt[int(opt[1])*8:]
	}
	return p, ReasonNone
}

// icmpSum is the one's complement sum over pseudo-header and payload of a whole
// IPv6 packet without extension headers: 0xffff if its checksum is right.
func icmpSum(b []byte) uint16 {
	sum := uint32(len(b)-ipv6Len) + protoICMPv6
	for b = b[8:]; len(b) >= 2; b = b[2:] {
		sum += uint32(binary.BigEndian.Uint16(b))
	}
	if len(b) == 1 {
		sum += uint32(b[0]) << 8
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return uint16(sum)
}
