package vrrp

import (
	"encoding/binary"
	"net/netip"
	"time"
)

// AppendAdvert appends the VRRP message of a to b and returns it: the IP payload, checksum included. The
// addresses are addrs, or the list a was read with where addrs is nil. At most 255 are sent. src gives the family
// and, with the group, the pseudo-header. No allocation beyond b's growth.
func AppendAdvert(b []byte, a *Advert, addrs []netip.Addr, src netip.Addr) []byte {
	return AppendAdvertTo(b, a, addrs, src, groupOf(src))
}

// AppendAdvertTo is AppendAdvert to a router of its own instead of the group, which the pseudo-header knows.
func AppendAdvertTo(b []byte, a *Advert, addrs []netip.Addr, src, dst netip.Addr) []byte {
	start := len(b)
	count := a.Count
	if addrs != nil {
		count = uint8(min(len(addrs), 255))
	}
	b = append(b, a.Version<<4|typeAdvertisement, a.VRID, a.Priority, count)
	if a.Version == 2 {
		b = append(b, a.AuthType, uint8(min(a.Interval/time.Second, 255)), 0, 0)
	} else {
		b = binary.BigEndian.AppendUint16(b, uint16(CentisOf(a.Interval)))
		b = append(b, 0, 0)
	}
	if addrs == nil {
		b = append(b, a.list...)
	}
	for _, addr := range addrs[:min(len(addrs), 255)] {
		if addr.Is4() {
			v := addr.As4()
			b = append(b, v[:]...)
		} else {
			v := addr.As16()
			b = append(b, v[:]...)
		}
	}
	if a.Version == 2 {
		b = append(b, a.Auth[:]...)
	}
	message := b[start:]
	s := sum(0, message)
	if src.Is6() || (a.Version == 3 && a.Form == FormPseudo) {
		if a.ByGroup && src.Is4() {
			dst = Group4()
		}
		s += pseudo(src, dst, len(message))
	}
	binary.BigEndian.PutUint16(message[6:], ^fold(s))
	return b
}

// AppendPacket appends the whole IP packet of an advert: TTL 255, class CS6, from src to the family's group.
// Without options, and IPv4 with "don't fragment" and identification 0 (RFC 6864). With AuthHeader it is sealed.
func AppendPacket(b []byte, a *Advert, addrs []netip.Addr, src netip.Addr) []byte {
	return AppendPacketTo(b, a, addrs, src, groupOf(src))
}

// AppendPacketTo is AppendPacket to a router of its own instead of the group.
func AppendPacketTo(b []byte, a *Advert, addrs []netip.Addr, src, dst netip.Addr) []byte {
	return appendPacket(b, a, addrs, src, dst, ttl, !dst.IsMulticast())
}

func appendPacket(b []byte, a *Advert, addrs []netip.Addr, src, dst netip.Addr, ttl uint8, single bool) []byte {
	start := len(b)
	if src.Is4() {
		s, d := src.As4(), dst.As4()
		b = append(b, 0x45, tos, 0, 0, 0, 0, 0x40, 0, ttl, protocol, 0, 0)
		b = append(append(b, s[:]...), d[:]...)
		b = AppendAdvertTo(b, a, addrs, src, dst)
		header := b[start : start+ipv4Header]
		binary.BigEndian.PutUint16(header[2:], uint16(len(b)-start))
		binary.BigEndian.PutUint16(header[10:], ^fold(sum(0, header)))
		if a.Version == 2 && a.AuthType == AuthHeader {
			b = append(b[:start], seal(b[start:], a.Key, a.Sequence, single)...)
		}
		return b
	}
	s, d := src.As16(), dst.As16()
	b = append(b, 0x60|tos>>4, tos&0x0f<<4, 0, 0, 0, 0, protocol, ttl)
	b = append(append(b, s[:]...), d[:]...)
	b = AppendAdvertTo(b, a, addrs, src, dst)
	binary.BigEndian.PutUint16(b[start+4:], uint16(len(b)-start-ipv6Header))
	return b
}
