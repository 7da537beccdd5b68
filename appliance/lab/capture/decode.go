package capture

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"strings"
)

// Kind is what a frame carries.
type Kind uint8

const (
	Other Kind = iota
	ARP
	TCP
	UDP
	ICMP // ICMPv6 as well
	VRRP
	IP // any other protocol over IP
)

func (k Kind) String() string {
	return [...]string{"other", "arp", "tcp", "udp", "icmp", "vrrp", "ip"}[k]
}

// TCP flags.
const (
	FIN = 1 << iota
	SYN
	RST
	PSH
	ACK
)

// Packet is a decoded frame. Fields that its Kind does not have are zero.
type Packet struct {
	Kind           Kind
	SrcMAC, DstMAC net.HardwareAddr
	Src, Dst       netip.Addr // of ARP: sender and target
	Proto, TTL     uint8
	Fragment       bool // not the first of a datagram: no ports

	SrcPort, DstPort uint16
	Flags            uint8 // TCP; of a neighbour advertisement [Router], [Solicited], [Override]

	Type, Code uint8 // ICMP

	Op       uint16           // ARP: 1 request, 2 reply
	Hardware net.HardwareAddr // ARP: the sender's; neighbour discovery: the option's, nil without

	Target netip.Addr // of a neighbour solicitation, advertisement, or redirect

	VRID, Priority uint8 // VRRP
}

// ICMPv6 types of neighbour discovery, and the flags of an advertisement (RFC 4861
// section 4).
const (
	RouterSolicitation    = 133
	RouterAdvertisement   = 134
	NeighborSolicitation  = 135
	NeighborAdvertisement = 136
	Redirect6             = 137

	Router, Solicited, Override = 0x80, 0x40, 0x20
)

// Neighbor reports whether p is neighbour discovery of that type.
func (p Packet) Neighbor(typ uint8) bool { return p.Kind == ICMP && p.Src.Is6() && p.Type == typ }

// Announces reports whether p is a gratuitous ARP of addr, or a neighbour
// advertisement of it that nobody has asked for.
func (p Packet) Announces(addr netip.Addr) bool {
	if p.Neighbor(NeighborAdvertisement) {
		return p.Target == addr && p.Flags&Solicited == 0
	}
	return p.Kind == ARP && p.Src == addr && p.Dst == addr
}

// ICMPError reports whether p is an error message: unreachable, source quench,
// redirect, time exceeded, parameter problem; in IPv6 any type below 128.
func (p Packet) ICMPError() bool {
	if p.Kind != ICMP {
		return false
	}
	if p.Src.Is6() {
		return p.Type < 128
	}
	switch p.Type {
	case 3, 4, 5, 11, 12:
		return true
	}
	return false
}

const (
	etherIPv4 = 0x0800
	etherARP  = 0x0806
	etherIPv6 = 0x86dd
)

// Decode says what a frame is. A frame that is cut off or malformed is decoded
// as far as it goes.
func Decode(b []byte) Packet {
	var p Packet
	if len(b) < 14 {
		return p
	}
	p.DstMAC, p.SrcMAC = net.HardwareAddr(b[:6]), net.HardwareAddr(b[6:12])
	body := b[14:]
	switch binary.BigEndian.Uint16(b[12:]) {
	case etherARP:
		p.arp(body)
	case etherIPv4:
		p.ipv4(body)
	case etherIPv6:
		p.ipv6(body)
	}
	return p
}

func (p *Packet) arp(b []byte) {
	if len(b) < 28 || b[4] != 6 || b[5] != 4 {
		return
	}
	p.Kind = ARP
	p.Op = binary.BigEndian.Uint16(b[6:])
	p.Hardware = net.HardwareAddr(b[8:14])
	p.Src, p.Dst = netip.AddrFrom4([4]byte(b[14:18])), netip.AddrFrom4([4]byte(b[24:28]))
}

func (p *Packet) ipv4(b []byte) {
	if len(b) < 20 || b[0]>>4 != 4 {
		return
	}
	p.Kind, p.TTL, p.Proto = IP, b[8], b[9]
	p.Src, p.Dst = netip.AddrFrom4([4]byte(b[12:16])), netip.AddrFrom4([4]byte(b[16:20]))
	header := int(b[0]&15) * 4
	if binary.BigEndian.Uint16(b[6:])&0x1fff != 0 {
		p.Fragment = true
		return
	}
	if header >= 20 && len(b) > header {
		p.transport(b[header:])
	}
}

func (p *Packet) ipv6(b []byte) {
	if len(b) < 40 || b[0]>>4 != 6 {
		return
	}
	p.Kind, p.Proto, p.TTL = IP, b[6], b[7]
	p.Src, p.Dst = netip.AddrFrom16([16]byte(b[8:24])), netip.AddrFrom16([16]byte(b[24:40]))
	p.transport(b[40:])
}

func (p *Packet) transport(b []byte) {
	if len(b) < 4 {
		return
	}
	switch p.Proto {
	case 1:
		p.Kind, p.Type, p.Code = ICMP, b[0], b[1]
	case 58:
		p.Kind, p.Type, p.Code = ICMP, b[0], b[1]
		p.discovery(b)
	case 6:
		p.Kind = TCP
		if len(b) >= 14 {
			p.Flags = b[13]
		}
	case 17:
		p.Kind = UDP
	case 51: // authentication header (RFC 4302) of an advert
		const seal = 24
		if len(b) > seal+2 && b[0] == 112 {
			p.Kind, p.VRID, p.Priority = VRRP, b[seal+1], b[seal+2]
		}
	case 112:
		p.Kind, p.VRID, p.Priority = VRRP, b[1], b[2]
	}
	if p.Kind == TCP || p.Kind == UDP {
		p.SrcPort, p.DstPort = binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:])
	}
}

// discovery reads an ICMPv6 message of neighbour discovery (RFC 4861 section 4).
func (p *Packet) discovery(b []byte) {
	options := 0
	switch p.Type {
	case RouterSolicitation:
		options = 8
	case RouterAdvertisement:
		options = 16
	case NeighborSolicitation, NeighborAdvertisement:
		options = 24
	case Redirect6:
		options = 40
	}
	if options == 0 || len(b) < options {
		return
	}
	if p.Type >= NeighborSolicitation {
		p.Target = netip.AddrFrom16([16]byte(b[8:24]))
	}
	if p.Type == NeighborAdvertisement {
		p.Flags = b[4]
	}
	for b = b[options:]; len(b) >= 8 && b[1] > 0 && len(b) >= int(b[1])*8; b = b[int(b[1])*8:] {
		if b[0] == 1 || b[0] == 2 { // source, target link-layer address
			p.Hardware = net.HardwareAddr(b[2:8])
		}
	}
}

// String is one line for a person, such as "tcp 10.0.0.10:3456 > 203.0.113.9:80 SYN".
func (p Packet) String() string {
	switch p.Kind {
	case ARP:
		if p.Src == p.Dst {
			return fmt.Sprintf("arp announce %s is at %s (op %d)", p.Src, p.Hardware, p.Op)
		}
		if p.Op == 1 {
			return fmt.Sprintf("arp who has %s, tell %s at %s", p.Dst, p.Src, p.Hardware)
		}
		return fmt.Sprintf("arp %s is at %s, to %s", p.Src, p.Hardware, p.Dst)
	case TCP:
		return fmt.Sprintf("tcp %s:%d > %s:%d %s", p.Src, p.SrcPort, p.Dst, p.DstPort, flags(p.Flags))
	case UDP:
		return fmt.Sprintf("udp %s:%d > %s:%d", p.Src, p.SrcPort, p.Dst, p.DstPort)
	case ICMP:
		switch {
		case p.Neighbor(NeighborSolicitation):
			return fmt.Sprintf("nd who has %s, tell %s at %s", p.Target, p.Src, p.Hardware)
		case p.Neighbor(NeighborAdvertisement):
			return fmt.Sprintf("nd %s is at %s, to %s, from %s (flags %#x)", p.Target, p.Hardware, p.Dst, p.Src, p.Flags)
		}
		return fmt.Sprintf("icmp %s > %s type %d code %d", p.Src, p.Dst, p.Type, p.Code)
	case VRRP:
		return fmt.Sprintf("vrrp %s > %s vrid %d priority %d", p.Src, p.Dst, p.VRID, p.Priority)
	case IP:
		return fmt.Sprintf("ip %s > %s protocol %d", p.Src, p.Dst, p.Proto)
	}
	return fmt.Sprintf("other %s > %s", p.SrcMAC, p.DstMAC)
}

func flags(f uint8) string {
	var names []string
	for i, n := range []string{"FIN", "SYN", "RST", "PSH", "ACK"} {
		if f&(1<<i) != 0 {
			names = append(names, n)
		}
	}
	return strings.Join(names, ",")
}

// String is the frame's sender and what it is.
func (f Frame) String() string {
	return fmt.Sprintf("%s from %s: %s", f.At.Format("15:04:05.000000"), f.From, Decode(f.Data))
}
