package vrrp

import (
	"encoding/binary"
	"net/netip"
)

const (
	protocol   = 112  // IP protocol and IPv6 next header of VRRP
	ttl        = 255  // RFC 9568, 5.1.1.3 and 5.1.2.3
	tos        = 0xC0 // internetwork control, by custom
	ipv4Header = 20
	ipv6Header = 40
)

// Group4 and Group6 return the multicast groups adverts go to (RFC 9568, 5.1.1.2 and 5.1.2.2).
func Group4() netip.Addr { return netip.AddrFrom4([4]byte{224, 0, 0, 18}) }

// Group6 is ff02::12.
func Group6() netip.Addr {
	return netip.AddrFrom16([16]byte{0: 0xff, 1: 0x02, 15: 0x12})
}

func groupOf(a netip.Addr) netip.Addr {
	if a.Is4() {
		return Group4()
	}
	return Group6()
}

// Datagram is what an advert needs of its IP packet.
type Datagram struct {
	Src, Dst netip.Addr
	TTL      uint8  // or Hop Limit
	Protocol uint8  // or Next Header; 0 where a raw socket has vouched for it
	Payload  []byte // aliases the input
	Sealed   []byte // the packet, IP header and all, of a payload in an authentication header; nil: it is in none
}

// ParseDatagram reads an IPv4 or IPv6 packet. It honours the IPv4 header length and IPv6 options, and cuts Ethernet padding off by
// the packet's own length: the smallest frame pads a one-address advert by 14 octets. The only reason it gives is
// ReasonTruncated. A fragment counts as truncated: an advert is never longer than a link's smallest packet. An authentication
// header (RFC 4302) is taken off an IPv4 packet; whether it is genuine, Set.Parse and ParseExpected say.
func ParseDatagram(ip []byte) (Datagram, Reason) {
	if len(ip) == 0 {
		return Datagram{}, ReasonTruncated
	}
	switch ip[0] >> 4 {
	case 4:
		return parse4(ip)
	case 6:
		return parse6(ip)
	}
	return Datagram{}, ReasonTruncated
}

func parse4(ip []byte) (Datagram, Reason) {
	if len(ip) < ipv4Header {
		return Datagram{}, ReasonTruncated
	}
	header := int(ip[0]&0x0f) * 4
	total := int(binary.BigEndian.Uint16(ip[2:]))
	const moreFragmentsOrOffset = 0x3fff
	if header < ipv4Header || total < header || total > len(ip) ||
		binary.BigEndian.Uint16(ip[6:])&moreFragmentsOrOffset != 0 {
		return Datagram{}, ReasonTruncated
	}
	d := Datagram{
		Src:      netip.AddrFrom4([4]byte(ip[12:16])),
		Dst:      netip.AddrFrom4([4]byte(ip[16:20])),
		TTL:      ip[8],
		Protocol: ip[9],
		Payload:  ip[header:total],
	}
	if d.Protocol == protocolAH {
		next, at, ok := unseal(ip[:total], header)
		if !ok {
			return Datagram{}, ReasonTruncated
		}
		d.Sealed, d.Protocol, d.Payload = ip[:total], next, ip[at:total]
	}
	return d, ReasonNone
}

func parse6(ip []byte) (Datagram, Reason) {
	if len(ip) < ipv6Header {
		return Datagram{}, ReasonTruncated
	}
	total := ipv6Header + int(binary.BigEndian.Uint16(ip[4:]))
	if total > len(ip) {
		return Datagram{}, ReasonTruncated
	}
	protocol, at, ok := extensions(ip[:total])
	if !ok {
		return Datagram{}, ReasonTruncated
	}
	return Datagram{
		Src:      netip.AddrFrom16([16]byte(ip[8:24])),
		Dst:      netip.AddrFrom16([16]byte(ip[24:40])),
		TTL:      ip[7],
		Protocol: protocol,
		Payload:  ip[at:total],
	}, ReasonNone
}

// linkLocal6 is fe80::/10. netip also takes an IPv4 link-local address in IPv6 form for one.
func linkLocal6(a netip.Addr) bool { return a.IsLinkLocalUnicast() && !a.Is4In6() }
