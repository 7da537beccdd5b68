package vrrp

import (
	"encoding/binary"
	"net/netip"
)

// ChecksumForm says what the checksum of a VRRPv3 message over IPv4 covers. The other cases have one form:
// version 2 never has a pseudo-header, IPv6 always.
type ChecksumForm uint8

// The forms.
const (
	FormMessage ChecksumForm = iota // the message only (RFC 9568, 5.2.8)
	FormPseudo                      // pseudo-header and message (RFC 5798 as everybody read it; always for IPv6)
)

// String names the document that asks for the form.
func (f ChecksumForm) String() string {
	if f == FormPseudo {
		return "rfc5798"
	}
	return "rfc9568"
}

// sum adds b to s as words in network byte order (RFC 1071), without folding. Whatever is summed here is a multiple
// of 4 octets long.
func sum(s uint64, b []byte) uint64 {
	for len(b) >= 4 {
		s += uint64(binary.BigEndian.Uint32(b))
		b = b[4:]
	}
	return s
}

func fold(s uint64) uint16 {
	for s > 0xffff {
		s = s>>16 + s&0xffff
	}
	return uint16(s)
}

// pseudo sums the pseudo-header of a message of n octets (IPv4: RFC 5798, 5.2.8; IPv6: RFC 8200, 8.1).
func pseudo(src, dst netip.Addr, n int) uint64 {
	s := uint64(protocol) + uint64(n)
	if src.Is4() {
		a, b := src.As4(), dst.As4()
		return sum(sum(s, a[:]), b[:])
	}
	a, b := src.As16(), dst.As16()
	return sum(sum(s, a[:]), b[:])
}
