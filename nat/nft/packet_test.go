package nft

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// packet is an IPv4 or IPv6 packet; what it means depends on proto.
type packet struct {
	src, dst     netip.Addr
	proto        byte
	sport, dport uint16 // ICMP: type<<8 | code, identifier
	flags        byte   // TCP
}

const (
	fin, syn, rst, ack = 1, 2, 4, 16
	echo, echoReply    = 8 << 8, 0
)

func (p packet) String() string {
	return fmt.Sprintf("%v:%d > %v:%d proto %d flags %#x", p.src, p.sport, p.dst, p.dport, p.proto, p.flags)
}

// bytes writes the packet with a valid transport checksum; the kernel fills in
// the one of the IP header.
func (p packet) bytes() []byte {
	n := map[byte]int{unix.IPPROTO_TCP: 20, unix.IPPROTO_UDP: 8, unix.IPPROTO_ICMP: 8}[p.proto]
	var b, th, pseudo []byte
	if p.src.Is6() {
		b = make([]byte, 40+max(n, 8))
		b[0], b[6], b[7] = 0x60, p.proto, 64
		copy(b[8:], p.src.AsSlice())
		copy(b[24:], p.dst.AsSlice())
		th = b[40:]
		b[5] = byte(len(th))
		pseudo = append(append([]byte{}, b[8:40]...), 0, 0, 0, byte(len(th)), 0, 0, 0, p.proto)
	} else {
		b = make([]byte, 20+max(n, 8))
		b[0], b[8], b[9] = 0x45, 64, p.proto
		copy(b[12:], p.src.AsSlice())
		copy(b[16:], p.dst.AsSlice())
		th = b[20:]
		pseudo = append(append([]byte{}, b[12:20]...), 0, p.proto, 0, byte(len(th)))
	}
	switch p.proto {
	case unix.IPPROTO_ICMPV6:
		binary.BigEndian.PutUint16(th, p.sport)
		binary.BigEndian.PutUint16(th[4:], p.dport)
		binary.BigEndian.PutUint16(th[2:], checksum(append(pseudo, th...)))
	case unix.IPPROTO_ICMP:
		binary.BigEndian.PutUint16(th, p.sport)
		binary.BigEndian.PutUint16(th[4:], p.dport)
		binary.BigEndian.PutUint16(th[2:], checksum(th))
	case unix.IPPROTO_UDP:
		binary.BigEndian.PutUint16(th, p.sport)
		binary.BigEndian.PutUint16(th[2:], p.dport)
		binary.BigEndian.PutUint16(th[4:], uint16(len(th)))
		binary.BigEndian.PutUint16(th[6:], checksum(append(pseudo, th...)))
	case unix.IPPROTO_TCP:
		binary.BigEndian.PutUint16(th, p.sport)
		binary.BigEndian.PutUint16(th[2:], p.dport)
		binary.BigEndian.PutUint32(th[4:], 1000)
		binary.BigEndian.PutUint32(th[8:], 2000)
		th[12], th[13] = 5<<4, p.flags
		binary.BigEndian.PutUint16(th[14:], 1024)
		binary.BigEndian.PutUint16(th[16:], checksum(append(pseudo, th...)))
	}
	return b
}

func checksum(b []byte) uint16 {
	var sum uint32
	for i := 0; i+1 < len(b); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}

func parse(b []byte) (p packet, ok bool) {
	var th []byte
	switch {
	case len(b) >= 48 && b[0]>>4 == 6:
		p.src, p.dst, p.proto = netip.AddrFrom16([16]byte(b[8:])), netip.AddrFrom16([16]byte(b[24:])), b[6]
		th = b[40:]
		if t := th[0]; p.proto == 0 || p.proto == unix.IPPROTO_ICMPV6 && t >= 130 && t != 139 && t != 140 {
			return p, false // what a link says to itself: discovery, groups
		}
	case len(b) >= 28 && b[0] == 0x45:
		p.src, p.dst, p.proto = netip.AddrFrom4([4]byte(b[12:])), netip.AddrFrom4([4]byte(b[16:])), b[9]
		th = b[20:]
	default:
		return p, false
	}
	switch p.proto {
	case unix.IPPROTO_ICMP, unix.IPPROTO_ICMPV6:
		p.sport, p.dport = binary.BigEndian.Uint16(th), binary.BigEndian.Uint16(th[4:])
	case unix.IPPROTO_TCP, unix.IPPROTO_UDP:
		p.sport, p.dport = binary.BigEndian.Uint16(th), binary.BigEndian.Uint16(th[2:])
	}
	if p.proto == unix.IPPROTO_TCP {
		p.flags = th[13]
	}
	return p, true
}

// send puts packets on the wire as they are, in order.
func (s space) send(ps ...packet) {
	s.t.Helper()
	s.do(func() error {
		for _, p := range ps {
			family, to := unix.AF_INET, unix.Sockaddr(nil)
			if p.src.Is6() {
				family, to = unix.AF_INET6, &unix.SockaddrInet6{Addr: p.dst.As16()}
			} else {
				to = &unix.SockaddrInet4{Addr: p.dst.As4()}
			}
			fd, err := unix.Socket(family, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_RAW)
			if err != nil {
				return err
			}
			err = unix.Sendto(fd, p.bytes(), 0, to)
			unix.Close(fd)
			if err != nil {
				return fmt.Errorf("send %v: %w", p, err)
			}
		}
		return nil
	})
}

// capture sees what arrives on eth0 of a namespace.
type capture struct {
	t  testing.TB
	fd int
}

func (s space) capture() capture {
	s.t.Helper()
	return s.captureOf(unix.ETH_P_IP)
}

func (s space) capture6() capture {
	s.t.Helper()
	return s.captureOf(unix.ETH_P_IPV6)
}

func (s space) captureOf(ethertype uint16) capture {
	s.t.Helper()
	c := capture{t: s.t}
	s.do(func() (err error) {
		c.fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, int(htons(ethertype)))
		if err != nil {
			return err
		}
		return unix.SetsockoptTimeval(c.fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 20})
	})
	s.t.Cleanup(func() { unix.Close(c.fd) })
	return c
}

func htons(v uint16) uint16 { return v<<8 | v>>8 }

// until returns what arrives up to and including the first packet that is wanted.
// That it comes at all proves that what is not among those before it was not sent.
func (c capture) until(what string, wanted func(packet) bool) (before []packet, last packet) {
	c.t.Helper()
	b := make([]byte, 2048)
	for deadline := time.Now().Add(20 * time.Second); ; {
		n, from, err := unix.Recvfrom(c.fd, b, 0)
		if err == unix.EINTR {
			continue
		}
		if err != nil || time.Now().After(deadline) {
			c.t.Fatalf("no %s arrived (%v), only %v", what, err, before)
		}
		if ll, ok := from.(*unix.SockaddrLinklayer); !ok || ll.Pkttype == unix.PACKET_OUTGOING {
			continue
		}
		p, ok := parse(b[:n])
		if !ok {
			continue
		}
		if wanted(p) {
			return before, p
		}
		before = append(before, p)
	}
}

// hearICMP opens a raw socket, as ping does, and returns a function that reads
// the first packet it got.
func (s space) hearICMP() func() packet {
	s.t.Helper()
	var fd int
	s.do(func() (err error) {
		fd, err = unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_ICMP)
		if err != nil {
			return err
		}
		return unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 20})
	})
	s.t.Cleanup(func() { unix.Close(fd) })
	return func() packet {
		s.t.Helper()
		b := make([]byte, 2048)
		n, _, err := unix.Recvfrom(fd, b, 0)
		if err != nil {
			s.t.Fatal("no ICMP packet: ", err)
		}
		p, _ := parse(b[:n])
		return p
	}
}

// mark is a packet that every rule lets through, sent after those under test.
func mark(src, dst netip.Addr) packet {
	return packet{src: src, dst: dst, proto: unix.IPPROTO_UDP, sport: 9, dport: 9}
}

func isMark(p packet) bool { return p.proto == unix.IPPROTO_UDP && p.dport == 9 }
