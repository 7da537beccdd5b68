package nft

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"net/netip"
	"testing"

	"github.com/google/nftables"
	"golang.org/x/sys/unix"

	"understudy/health"
	"understudy/nat"
	"understudy/nat/entry"
)

// A range of ports, to servers that are called at the port that the client called.
func TestEntryPortRange(t *testing.T) {
	both(t, func(t *testing.T, six bool) {
		l := newEntryLab(t)
		l.serve(six, 8085)
		l.serve(six, 8080)
		s := web(six, entry.RoundRobin, func(c *entry.Config) {
			c.Match.Ports = nat.Ports{First: 8080, Last: 8089}
			for i := range c.Servers {
				c.Servers[i].Address = netip.AddrPortFrom(c.Servers[i].Address.Addr(), 0)
			}
		})
		_, err := l.e.Apply([]entry.Point{s.Point()})
		l.must(err)
		for _, port := range []uint16{8080, 8085} {
			seen := map[int]bool{}
			for range 3 {
				seen[l.Who(netip.Addr{}, netip.AddrPortFrom(at(s).Addr(), port))] = true
			}
			if len(seen) != 3 {
				t.Errorf("port %d: servers %v have answered, want all", port, seen)
			}
		}
		if _, err := l.Call(netip.Addr{}, netip.AddrPortFrom(at(s).Addr(), 8090)); !errors.Is(err, unix.ECONNREFUSED) {
			t.Errorf("a port beside the range: %v", err)
		}
	})
}

// By a mark that rules of the operator's give.
func TestEntryByMark(t *testing.T) {
	both(t, func(t *testing.T, six bool) {
		l := newEntryLab(t)
		l.serve(six, 80)
		l.gateway.do(func() error {
			c, err := nftables.New()
			if err != nil {
				return err
			}
			return MarkPort(c, 9090, 16)
		})
		s := web(six, entry.RoundRobin, func(c *entry.Config) { c.Match = entry.Match{Mark: 16} })
		_, err := l.e.Apply([]entry.Point{s.Point()})
		l.must(err)
		to := netip.AddrPortFrom(vip2, 9090)
		if six {
			to = netip.AddrPortFrom(other6, 9090)
		}
		seen := map[int]bool{}
		for range 3 {
			seen[l.Who(netip.Addr{}, to)] = true
		}
		if len(seen) != 3 {
			t.Errorf("servers %v have answered, want all", seen)
		}
		for i := range 3 {
			l.is(s, i, health.Down)
		}
		if _, err := l.Call(netip.Addr{}, to); !errors.Is(err, unix.ECONNREFUSED) {
			t.Errorf("nobody serves: %v", err)
		}
	})
}

// Datagrams and chunks of SCTP, both ways.
func TestEntryUDPAndSCTP(t *testing.T) {
	both(t, func(t *testing.T, six bool) {
		for _, proto := range []nat.Proto{nat.UDP, nat.SCTP} {
			t.Run(proto.String(), func(t *testing.T) {
				l := newEntryLab(t)
				s := web(six, entry.Primary, func(c *entry.Config) { c.Match.Proto = proto })
				_, err := l.e.Apply([]entry.Point{s.Point()})
				l.must(err)
				home, seen := l.capture0(l.client, six), l.capture0(l.server, six)
				client, server := netip.AddrPortFrom(l.client0(six), 4000), s.Config().Servers[0].Address
				l.server.chunk(byte(proto), client, at(s), 1)
				home.chunk(byte(proto), client, server)
				l.client.chunk(byte(proto), server, client, 2)
				seen.chunk(byte(proto), at(s), client)
				// The server has died, the flow is forgotten: the next one is steered anew.
				l.is(s, 0, health.Down)
				l.forget()
				l.server.chunk(byte(proto), client, at(s), 1)
				home.chunk(byte(proto), client, s.Config().Servers[1].Address)
			})
		}
	})
}

// chunk sends a datagram, or an INIT (kind 1) or INIT ACK (2) of SCTP (RFC 9260 section 3.3.2).
func (s space) chunk(proto byte, from, to netip.AddrPort, kind byte) {
	s.t.Helper()
	if proto == byte(nat.UDP) {
		s.send(packet{src: from.Addr(), dst: to.Addr(), proto: proto, sport: from.Port(), dport: to.Port()})
		return
	}
	b := make([]byte, 12+20)
	binary.BigEndian.PutUint16(b, from.Port())
	binary.BigEndian.PutUint16(b[2:], to.Port())
	if kind == 2 {
		binary.BigEndian.PutUint32(b[4:], 77) // the tag that INIT asked for
	}
	b[12], b[15] = kind, 20
	binary.BigEndian.PutUint32(b[16:], 77)
	binary.BigEndian.PutUint32(b[20:], 1500)
	binary.BigEndian.PutUint16(b[24:], 1)
	binary.BigEndian.PutUint16(b[26:], 1)
	binary.LittleEndian.PutUint32(b[8:], crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)))
	s.do(func() error {
		family, addr, local := unix.AF_INET, unix.Sockaddr(nil), unix.Sockaddr(nil)
		if to.Addr().Is6() {
			family, addr, local = unix.AF_INET6, &unix.SockaddrInet6{Addr: to.Addr().As16()}, &unix.SockaddrInet6{Addr: from.Addr().As16()}
		} else {
			addr, local = &unix.SockaddrInet4{Addr: to.Addr().As4()}, &unix.SockaddrInet4{Addr: from.Addr().As4()}
		}
		fd, err := unix.Socket(family, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_SCTP)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		if err := unix.Bind(fd, local); err != nil {
			return err
		}
		return unix.Sendto(fd, b, 0, addr)
	})
}

// chunk waits for a packet of the protocol, and wants it from and to these.
func (c capture) chunk(proto byte, from, to netip.AddrPort) {
	c.t.Helper()
	_, got := c.until("packet", func(p packet) bool { return p.proto == proto })
	if got.src != from.Addr() || got.dst != to.Addr() || proto == byte(nat.UDP) && (got.sport != from.Port() || got.dport != to.Port()) {
		c.t.Errorf("%v, want %v to %v", got, from, to)
	}
}
