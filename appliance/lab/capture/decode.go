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
	Flags            uint8 // TCP

	Type, Code uint8 // ICMP

	Op       uint16           // ARP: 1 request, 2 reply
	Hardware net.HardwareAddr // ARP: the sender's

	VRID, Priority uint8 // VRRP
}

// Announces reports whether p is a gratuitous ARP of addr.
func (p Packet) Announces(addr netip.Addr) bool {
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
	case 1, 58:
		p.Kind, p.Type, p.Code = ICMP, b[0], b[1]
	case 6:
		p.Kind = TCP
		if len(b) >= 14 {
			p.Flags = b[13]
		}
	case 17:
		p.Kind = UDP
	case 112:
		p.Kind, p.VRID, p.Priority = VRRP, b[1], b[2]
	}
	if p.Kind == TCP || p.Kind == UDP {
		p.SrcPort, p.DstPort = binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:])
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
