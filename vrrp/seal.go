package vrrp

import (
	"crypto/hmac"
	"crypto/md5"
	"encoding/binary"
	"net/netip"
)

// The IP Authentication Header (RFC 4302, 2) with HMAC-MD5-96 (RFC 2403), as RFC 2338 had it for version 2 and keepalived
// sends it:
//
//	 0                   1                   2                   3
//	+---------------+---------------+-------------------------------+
//	| next: 112     | length: 4     | reserved                      |
//	+---------------+---------------+-------------------------------+
//	| security parameters index: the sender's address               |
//	+---------------------------------------------------------------+
//	| sequence number: above all others of the virtual router       |
//	+---------------------------------------------------------------+
//	| integrity check value, 12 octets                              |
//	+---------------------------------------------------------------+
const (
	protocolAH = 51
	sealHeader = 24
	sealLength = 4 // in words of 32 bits, less 2
	sealICV    = 12
	sealKey    = 8
	// maxSealed is the longest packet there is: 255 addresses behind a header with all options.
	maxSealed = 60 + sealHeader + messageHeader + 255*4 + authData
)

// unseal finds what is behind the authentication header of ip, whose own header has that length. Not ok: it is cut, or of
// another length than that of HMAC-MD5-96.
func unseal(ip []byte, header int) (next uint8, at int, ok bool) {
	at = header + sealHeader
	if at > len(ip) || ip[header+1] != sealLength {
		return 0, 0, false
	}
	return ip[header], at, true
}

// sequence is the number in the authentication header.
func (d *Datagram) sequence() uint32 {
	if d.Sealed == nil {
		return 0
	}
	return binary.BigEndian.Uint32(d.Sealed[int(d.Sealed[0]&0x0f)*4+8:])
}

// seal puts an authentication header into ip, a packet of an IPv4 header without options and an advert. single: it goes to a
// single router.
func seal(ip []byte, key [sealKey]byte, sequence uint32, single bool) []byte {
	var room [sealHeader]byte
	ip = append(ip, room[:]...)
	copy(ip[ipv4Header+sealHeader:], ip[ipv4Header:len(ip)-sealHeader])
	h := ip[ipv4Header:]
	clear(h[:sealHeader])
	h[0], h[1] = ip[9], sealLength
	copy(h[4:8], ip[12:16])
	binary.BigEndian.PutUint32(h[8:], sequence)
	ip[9] = protocolAH
	binary.BigEndian.PutUint16(ip[2:], uint16(len(ip)))
	clear(ip[10:12])
	binary.BigEndian.PutUint16(ip[10:], ^fold(sum(0, ip[:ipv4Header])))
	icv := checkValue(ip, ipv4Header, key, single)
	copy(h[12:], icv[:])
	return ip
}

// sealedBy tells whether the check value of a sealed packet is that of the key, and its index its source.
func sealedBy(d Datagram, key [sealKey]byte, single bool) bool {
	if len(d.Sealed) > maxSealed {
		return false
	}
	at := int(d.Sealed[0]&0x0f) * 4
	h := d.Sealed[at:]
	icv := checkValue(d.Sealed, at, key, single)
	return hmac.Equal(h[12:sealHeader], icv[:]) && netip.AddrFrom4([4]byte(h[4:8])) == d.Src
}

// checkValue is HMAC-MD5-96 over a packet with what may change on the way, and the value itself, as 0. keepalived takes the
// TTL for something that changes only if there are peers; options of the IPv4 header stay as they are. An hmac.Hash
// would be three allocations an advert, which nobody collects in an election; so this is RFC 2104, section 2, written out.
func checkValue(ip []byte, header int, key [sealKey]byte, single bool) (icv [sealICV]byte) {
	var inner [md5.BlockSize + maxSealed]byte
	var outer [md5.BlockSize + md5.Size]byte
	copy(inner[:], key[:])
	copy(outer[:], key[:])
	for i := range md5.BlockSize {
		inner[i] ^= 0x36
		outer[i] ^= 0x5c
	}
	n := copy(inner[md5.BlockSize:], ip)
	p := inner[md5.BlockSize:][:n]
	p[1] = 0        // class of service
	clear(p[6:8])   // flags and fragment offset
	clear(p[10:12]) // header checksum
	if single {
		p[8] = 0 // TTL
	}
	clear(p[header+12 : header+sealHeader])
	digest := md5.Sum(inner[:md5.BlockSize+n])
	copy(outer[md5.BlockSize:], digest[:])
	digest = md5.Sum(outer[:])
	copy(icv[:], digest[:])
	return icv
}

// sealed is what is wrong with how an advert of the expected version is sealed, or is not.
func (e *Expect) sealed(d Datagram, a *Advert) Reason {
	switch {
	case a.Version != e.Version: // Check has a word for that
		return ReasonNone
	case (d.Sealed != nil) != (e.AuthType == AuthHeader):
		return ReasonAuth
	case d.Sealed != nil && !sealedBy(d, e.Auth, e.Unicast.on()):
		return ReasonICV
	}
	return ReasonNone
}

// sequence is where a router that seals its adverts stands. As with keepalived all routers of a virtual router count on from one
// another, so one that takes over is believed: a number is above all that were heard and sent.
type sequence struct {
	heard uint32 // the highest accepted since it listens; 0: none
	sent  uint32
}

// next is the number of the next advert. It is not below the clock's (seconds since 1970): a process that does not know what
// the one before it has sent is believed all the same.
func (s *sequence) next(unix int64) uint32 {
	s.sent = max(s.sent+1, s.heard+1, uint32(max(unix, 0)))
	return s.sent
}

// replayed tells whether an advert of that number was heard before; else it has been now.
func (s *sequence) replayed(number uint32) bool {
	if number <= s.heard {
		return true
	}
	s.heard = number
	return false
}
