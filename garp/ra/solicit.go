package ra

import (
	"encoding/binary"
	"net/netip"
)

const (
	headerLen    = 40
	icmpv6       = 58
	solicitation = 133
	hopLimit     = 255
	sourceLink   = 1 // option: Source Link-Layer Address
)

// Solicitation reads an IPv6 packet, with or without padding behind it, and tells
// whether it is a valid Router Solicitation (RFC 4861, 6.1.1), and whose. No
// allocation.
func Solicitation(b []byte) (src netip.Addr, ok bool) {
	if len(b) < headerLen+8 || b[0]>>4 != 6 || b[6] != icmpv6 || b[7] != hopLimit {
		return src, false
	}
	n := int(binary.BigEndian.Uint16(b[4:]))
	if n < 8 || n > len(b)-headerLen {
		return src, false
	}
	m := b[headerLen : headerLen+n]
	if m[0] != solicitation || m[1] != 0 || !sums(b[8:40], m) {
		return src, false
	}
	src = netip.AddrFrom16([16]byte(b[8:24]))
	for o := m[8:]; len(o) > 0; {
		if len(o) < 8 || o[1] == 0 || int(o[1])*8 > len(o) {
			return netip.Addr{}, false
		}
		if o[0] == sourceLink && src.IsUnspecified() {
			return netip.Addr{}, false
		}
		o = o[int(o[1])*8:]
	}
	return src, true
}

// sums verifies the checksum of an ICMPv6 message (RFC 8200, 8.1); addresses is
// source and destination.
func sums(addresses, m []byte) bool {
	s := uint32(len(m)) + icmpv6
	for _, part := range [2][]byte{addresses, m} {
		for i := 0; i+1 < len(part); i += 2 {
			s += uint32(part[i])<<8 | uint32(part[i+1])
		}
		if len(part)%2 != 0 {
			s += uint32(part[len(part)-1]) << 8
		}
	}
	for s > 0xffff {
		s = s>>16 + s&0xffff
	}
	return s == 0xffff
}
