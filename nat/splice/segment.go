package splice

import (
	"encoding/binary"
	"net/netip"
)

// Flags are those of a TCP header (RFC 9293 section 3.1).
type Flags uint8

// The flags.
const (
	FIN Flags = 1 << iota
	SYN
	RST
	PSH
	ACK
	URG
)

// Segment is one of TCP.
type Segment struct {
	Seq, Ack uint32
	Flags    Flags
	Window   uint16
	Options  Options // of one with SYN
	Data     []byte
}

// Options are those of a segment with SYN.
type Options struct {
	MSS    uint16 // 0: none
	SACK   bool   // selective acknowledgements are permitted (RFC 2018)
	Scaled bool   // there is a window scale (RFC 7323), which is Scale
	Scale  uint8
	// Stamped: there are timestamps (RFC 7323). Nothing is ever sent with them.
	Stamped bool
}

// End is the sequence number behind the segment.
func (s *Segment) End() uint32 {
	n := uint32(len(s.Data))
	if s.Flags&SYN != 0 {
		n++
	}
	if s.Flags&FIN != 0 {
		n++
	}
	return s.Seq + n
}

const (
	protoTCP     = 6
	headerTCP    = 20
	hopLimit     = 64
	optionEnd    = 0
	optionNop    = 1
	optionMSS    = 2
	optionScale  = 3
	optionSACK   = 4
	optionStamps = 8
	lengthMSS    = 4
	lengthScale  = 3
	lengthSACK   = 2
	lengthStamps = 10
	dontFragment = 0x40
)

// AppendPacket appends an IP packet (RFC 791, RFC 8200) with the segment. The header's
// checksum of IPv4 is left to whoever sends it.
func AppendPacket(b []byte, from, to netip.AddrPort, s *Segment) []byte {
	var options []byte
	if s.Flags&SYN != 0 {
		options = appendOptions(make([]byte, 0, 12), s.Options)
	}
	size := headerTCP + len(options) + len(s.Data)
	if from.Addr().Is4() {
		b = append(b, 0x45, 0)
		b = binary.BigEndian.AppendUint16(b, uint16(20+size))
		b = append(b, 0, 0, dontFragment, 0, hopLimit, protoTCP, 0, 0)
	} else {
		b = append(b, 0x60, 0, 0, 0)
		b = binary.BigEndian.AppendUint16(b, uint16(size))
		b = append(b, protoTCP, hopLimit)
	}
	b = append(append(b, from.Addr().AsSlice()...), to.Addr().AsSlice()...)
	at := len(b)
	b = binary.BigEndian.AppendUint16(b, from.Port())
	b = binary.BigEndian.AppendUint16(b, to.Port())
	b = binary.BigEndian.AppendUint32(b, s.Seq)
	b = binary.BigEndian.AppendUint32(b, s.Ack)
	b = append(b, byte(headerTCP+len(options))/4<<4, byte(s.Flags))
	b = binary.BigEndian.AppendUint16(b, s.Window)
	b = append(append(append(b, 0, 0, 0, 0), options...), s.Data...)
	binary.BigEndian.PutUint16(b[at+16:], ^checksum(from.Addr(), to.Addr(), b[at:]))
	return b
}

func appendOptions(b []byte, o Options) []byte {
	if o.MSS != 0 {
		b = binary.BigEndian.AppendUint16(append(b, optionMSS, lengthMSS), o.MSS)
	}
	if o.SACK {
		b = append(b, optionNop, optionNop, optionSACK, lengthSACK)
	}
	if o.Scaled {
		b = append(b, optionNop, optionScale, lengthScale, o.Scale)
	}
	return b
}

// checksum is the sum over the pseudo header and the segment (RFC 9293 section 3.1), folded: of
// a sound segment it is all ones.
func checksum(from, to netip.Addr, segment []byte) uint16 {
	sum := uint64(protoTCP) + uint64(len(segment))
	for _, part := range [...][]byte{from.AsSlice(), to.AsSlice(), segment} {
		// Words of 32 bits: they are the same when folded (RFC 1071 section 2).
		for ; len(part) >= 8; part = part[8:] {
			sum += uint64(binary.BigEndian.Uint32(part)) + uint64(binary.BigEndian.Uint32(part[4:]))
		}
		for ; len(part) > 1; part = part[2:] {
			sum += uint64(binary.BigEndian.Uint16(part))
		}
		if len(part) == 1 {
			sum += uint64(part[0]) << 8
		}
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return uint16(sum)
}

// Packet is a segment and the way that it goes.
type Packet struct {
	From, To netip.AddrPort
	Segment  Segment
	// Sound: the checksum says so. Of a packet that never was on a wire it says nothing.
	Sound bool
}

// header reads the headers of an IP packet of TCP, of which b may be only the beginning: where
// the segment begins in b, where its data do, and where the packet ends.
func header(b []byte) (p Packet, segment, data, end int, ok bool) {
	var from, to netip.Addr
	switch {
	case len(b) >= 20 && b[0]>>4 == 4:
		segment, end = int(b[0]&15)*4, int(binary.BigEndian.Uint16(b[2:]))
		if b[9] != protoTCP || segment < 20 || binary.BigEndian.Uint16(b[6:])&0x3fff != 0 { // a fragment
			return p, 0, 0, 0, false
		}
		from, to = netip.AddrFrom4([4]byte(b[12:16])), netip.AddrFrom4([4]byte(b[16:20]))
	case len(b) >= 40 && b[0]>>4 == 6:
		segment, end = 40, 40+int(binary.BigEndian.Uint16(b[4:]))
		if b[6] != protoTCP {
			return p, 0, 0, 0, false
		}
		from, to = netip.AddrFrom16([16]byte(b[8:24])), netip.AddrFrom16([16]byte(b[24:40]))
	default:
		return p, 0, 0, 0, false
	}
	if len(b) < segment+headerTCP {
		return p, 0, 0, 0, false
	}
	s := b[segment:]
	data = segment + int(s[12]>>4)*4
	if data < segment+headerTCP || data > end || data > len(b) {
		return p, 0, 0, 0, false
	}
	p.From, p.To = netip.AddrPortFrom(from, binary.BigEndian.Uint16(s)), netip.AddrPortFrom(to, binary.BigEndian.Uint16(s[2:]))
	p.Segment = Segment{Seq: binary.BigEndian.Uint32(s[4:]), Ack: binary.BigEndian.Uint32(s[8:]), Flags: Flags(s[13] & 0x3f),
		Window: binary.BigEndian.Uint16(s[14:])}
	return p, segment, data, end, true
}

// ParsePacket reads an IP packet with a whole segment of TCP. Its data are those of b.
func ParsePacket(b []byte) (p Packet, ok bool) { return parse(b, false) }

// ParseUnsummed is ParsePacket for one whose checksum has still to be made, as the kernel says: it
// has never been on a wire, or was put together of sound ones here. It is taken for sound.
func ParseUnsummed(b []byte) (p Packet, ok bool) { return parse(b, true) }

func parse(b []byte, sound bool) (p Packet, ok bool) {
	p, segment, data, end, ok := header(b)
	if !ok || end > len(b) {
		return Packet{}, false
	}
	p.Sound = sound || checksum(p.From.Addr(), p.To.Addr(), b[segment:end]) == 0xffff
	p.Segment.Data = b[data:end]
	if p.Segment.Flags&SYN != 0 {
		p.Segment.Options = parseOptions(b[segment+headerTCP : data])
	}
	return p, true
}

func parseOptions(b []byte) (o Options) {
	for len(b) > 0 && b[0] != optionEnd {
		if b[0] == optionNop {
			b = b[1:]
			continue
		}
		if len(b) < 2 || b[1] < 2 || int(b[1]) > len(b) {
			break
		}
		switch kind, n := b[0], b[1]; {
		case kind == optionMSS && n == lengthMSS:
			o.MSS = binary.BigEndian.Uint16(b[2:])
		case kind == optionScale && n == lengthScale:
			o.Scaled, o.Scale = true, b[2]
		case kind == optionSACK && n == lengthSACK:
			o.SACK = true
		case kind == optionStamps && n == lengthStamps:
			o.Stamped = true
		}
		b = b[b[1]:]
	}
	return o
}
