package nft

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/nftables"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"understudy/health"
	"understudy/nat"
	"understudy/nat/entry"
)

// Entry points in the lab: clients are outside, servers inside, several on one host.

// servers are the addresses of the servers of a family.
func servers(six bool) []netip.Addr {
	base := netip.MustParseAddr("10.0.0.20")
	if six {
		base = netip.MustParseAddr("fd00:10::20")
	}
	out := []netip.Addr{}
	for range 3 {
		base = base.Next()
		out = append(out, base)
	}
	return out
}

// entryLab is a lab of both families whose host inside has the servers' addresses.
type entryLab struct {
	*lab
	e *Entries
}

func newEntryLab(t testing.TB) *entryLab {
	t.Helper()
	l := &entryLab{lab: active6(t)}
	l.client.sysctl("ipv6/conf/eth0/accept_dad", "0")
	for _, six := range []bool{false, true} {
		for _, a := range servers(six) {
			l.client.address("eth0", netip.PrefixFrom(a, map[bool]int{false: 24, true: 64}[six]).String())
		}
	}
	for _, a := range servers(true) {
		l.gateway.finds("lan0", a)
	}
	l.e = l.entries()
	return l
}

// entries is one more program on the gateway.
func (l *entryLab) entries() *Entries {
	l.t.Helper()
	e, err := OpenEntries(Config{NetNS: int(l.gateway.handle)})
	l.must(err)
	l.t.Cleanup(func() { _ = e.Close() })
	l.must(e.SetUnknown(UnknownReset))
	return e
}

// web is an entry point with three servers; change, if not nil, makes another of it.
func web(six bool, steer entry.Steer, change func(*entry.Config)) *entry.Set {
	c := entry.Config{Name: "web", Steer: steer, OnFailure: entry.Reset,
		Match: entry.Match{Address: vip2, Proto: nat.TCP, Ports: nat.Ports{First: 8080, Last: 8080}}}
	if six {
		c.Match.Address = other6
	}
	for i, a := range servers(six) {
		c.Servers = append(c.Servers, entry.Server{Address: netip.AddrPortFrom(a, 80), Check: fmt.Sprint(i), Weight: 1})
	}
	if change != nil {
		change(&c)
	}
	return entry.New(time.Now(), c)
}

// is tells the set how a server is, and the kernel what comes of it.
func (l *entryLab) is(s *entry.Set, server int, state health.State) {
	l.t.Helper()
	if out := s.Step(time.Now(), entry.Input{Kind: entry.InHealth, Check: fmt.Sprint(server), State: state}); out.Changed {
		l.must(l.e.Steer(s.Point()))
	}
}

// serve has every server accept connections at a port; what it says to each is which
// server it is.
func (l *entryLab) serve(six bool, port uint16) {
	l.t.Helper()
	for i, a := range servers(six) {
		var ln net.Listener
		l.client.do(func() (err error) {
			for end := time.Now().Add(5 * time.Second); ; time.Sleep(time.Millisecond) { // a fresh address of IPv6 takes a moment
				if ln, err = net.Listen("tcp", netip.AddrPortFrom(a, port).String()); err == nil || time.Now().After(end) {
					return err
				}
			}
		})
		l.t.Cleanup(func() { ln.Close() })
		go func() {
			for {
				c, err := ln.Accept()
				if err != nil {
					return
				}
				go func() {
					defer c.Close()
					_ = c.SetDeadline(time.Now().Add(20 * time.Second))
					b := make([]byte, 1)
					for {
						if _, err := io.ReadFull(c, b); err != nil {
							return
						}
						if _, err := c.Write([]byte{byte('0' + i)}); err != nil {
							return
						}
					}
				}()
			}
		}()
	}
}

// call connects from an address outside (or any, if it is invalid) to the entry point.
func (l *entryLab) call(from netip.Addr, to netip.AddrPort) (net.Conn, error) {
	var conn net.Conn
	var failed error
	l.server.do(func() error {
		family, local, remote := unix.AF_INET, unix.Sockaddr(nil), unix.Sockaddr(nil)
		if to.Addr().Is6() {
			family, remote = unix.AF_INET6, &unix.SockaddrInet6{Addr: to.Addr().As16(), Port: int(to.Port())}
		} else {
			remote = &unix.SockaddrInet4{Addr: to.Addr().As4(), Port: int(to.Port())}
		}
		if from.Is6() {
			local = &unix.SockaddrInet6{Addr: from.As16()}
		} else if from.IsValid() {
			local = &unix.SockaddrInet4{Addr: from.As4()}
		}
		fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		f := os.NewFile(uintptr(fd), "tcp")
		defer f.Close()
		if local != nil {
			for end := time.Now().Add(5 * time.Second); ; time.Sleep(time.Millisecond) { // a fresh address of IPv6 takes a moment
				if err := unix.Bind(fd, local); err == nil {
					break
				} else if time.Now().After(end) {
					return err
				}
			}
		}
		if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &unix.Timeval{Sec: 5}); err != nil {
			return err
		}
		if failed = unix.Connect(fd, remote); failed != nil {
			return nil
		}
		conn, err = net.FileConn(f)
		return err
	})
	if conn != nil {
		l.t.Cleanup(func() { conn.Close() })
		_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	}
	return conn, failed
}

// ask returns which server answers on a connection: bytes go both ways.
func (l *entryLab) ask(c net.Conn) int {
	l.t.Helper()
	b := []byte{'?'}
	_, err := c.Write(b)
	l.must(err)
	_, err = io.ReadFull(c, b)
	l.must(err)
	return int(b[0] - '0')
}

// who connects, and returns which server answers.
func (l *entryLab) who(from netip.Addr, to netip.AddrPort) int {
	l.t.Helper()
	c, err := l.call(from, to)
	l.must(err)
	defer c.Close()
	return l.ask(c)
}

func at(s *entry.Set) netip.AddrPort {
	m := s.Config().Match
	return netip.AddrPortFrom(m.Address, m.Ports.First)
}

// both runs a test over both families.
func both(t *testing.T, f func(t *testing.T, six bool)) {
	for _, six := range []bool{false, true} {
		t.Run(map[bool]string{false: "IPv4", true: "IPv6"}[six], func(t *testing.T) { f(t, six) })
	}
}

// The first server has all; when it dies, the next one has; when it is back, it has again.
func TestEntryPrimary(t *testing.T) {
	both(t, func(t *testing.T, six bool) {
		l := newEntryLab(t)
		l.serve(six, 80)
		s := web(six, entry.Primary, nil)
		_, err := l.e.Apply([]entry.Point{s.Point()})
		l.must(err)
		for _, step := range []struct {
			server int
			state  health.State
			want   int
		}{{0, health.Up, 0}, {0, health.Down, 1}, {1, health.Down, 2}, {0, health.Up, 0}} {
			l.is(s, step.server, step.state)
			if got := l.who(netip.Addr{}, at(s)); got != step.want {
				t.Errorf("server %d %v: server %d answers, want %d", step.server, step.state, got, step.want)
			}
		}
	})
}

// Flows go to servers as the table says; whose client's, it says too.
func TestEntrySteering(t *testing.T) {
	const flows = 60
	both(t, func(t *testing.T, six bool) {
		l := newEntryLab(t)
		l.serve(six, 80)
		clients := make([]netip.Addr, 12)
		next := netip.MustParseAddr("203.0.113.100")
		if six {
			next = netip.MustParseAddr("2001:db8::100")
		}
		for i := range clients {
			clients[i] = next
			l.server.address("eth0", netip.PrefixFrom(next, map[bool]int{false: 24, true: 64}[six]).String())
			next = next.Next()
		}
		for _, steer := range entry.Steers() {
			t.Run(string(steer), func(t *testing.T) {
				s := web(six, steer, func(c *entry.Config) {
					if steer == entry.Weighted {
						c.Servers[0].Weight = 4
					}
				})
				_, err := l.e.Apply([]entry.Point{s.Point()})
				l.must(err)
				slots, count := make([]int, 3), make([]int, 3)
				for _, n := range s.Table().Slots {
					slots[n]++
				}
				home := map[netip.Addr]int{}
				for i := range flows {
					client := clients[i%len(clients)]
					got := l.who(client, at(s))
					if was, ok := home[client]; ok && was != got && steer.ByClient() {
						t.Errorf("%v was with server %d, is with %d", client, was, got)
					}
					if want := int(s.Table().Slots[entry.SlotOf(client, len(s.Table().Slots))]); steer.ByClient() && got != want {
						t.Errorf("%v is with server %d; any node would say %d", client, got, want)
					}
					home[client] = got
					count[got]++
				}
				for i := range count {
					want := flows * slots[i] / len(s.Table().Slots)
					if d := count[i] - want; !steer.ByClient() && (d < -1 || d > 1) || steer.ByClient() && count[i] == 0 {
						t.Errorf("of %d flows the servers have %v, their slots are %v", flows, count, slots)
					}
				}
				// Nobody gets to a server that is down.
				dead := home[clients[0]]
				l.is(s, dead, health.Down)
				for _, client := range clients {
					got := l.who(client, at(s))
					if got == dead {
						t.Errorf("%v: server %d is down, and answers", client, dead)
					}
				}
				c, err := l.e.Counters()
				l.must(err)
				if got := c.New["web"]; got < flows {
					t.Errorf("%d new flows counted, want at least %d", got, flows)
				}
				_, err = l.e.Apply(nil)
				l.must(err)
			})
		}
	})
}

// The table says after a change of a server exactly what it would say if it were made anew.
func TestEntrySteerIsApply(t *testing.T) {
	l := newEntryLab(t)
	for _, steer := range entry.Steers() {
		for _, persist := range []time.Duration{0, time.Minute} {
			s := web(false, steer, func(c *entry.Config) { c.Persist, c.Servers[1].Weight = persist, 1 })
			if _, err := l.e.Apply([]entry.Point{s.Point(), web(true, entry.Primary, func(c *entry.Config) { c.Name = "six" }).Point()}); err != nil {
				t.Fatal(err)
			}
			// Debian's nft has to be able to list it.
			l.gateway.do(func() error {
				out, err := exec.Command("nft", "list", "ruleset").CombinedOutput()
				if err != nil || strings.Contains(string(out), "Error") {
					t.Errorf("%s, persist %v: nft list ruleset: %v: %.2000s", steer, persist, err, out)
				}
				return nil
			})
			six := web(true, entry.Primary, func(c *entry.Config) { c.Name = "six" }).Point()
			for _, step := range []struct {
				server int
				state  health.State
			}{{0, health.Down}, {1, health.Down}, {2, health.Down}, {1, health.Up}, {0, health.Up}} {
				l.is(s, step.server, step.state)
				changed, err := l.entries().Apply([]entry.Point{s.Point(), six})
				if err != nil || changed {
					t.Errorf("%s, persist %v: after server %d %v another program finds something to do: %v, %v", steer, persist, step.server, step.state, changed, err)
				}
			}
			if changed, err := l.e.Apply([]entry.Point{s.Point(), six}); err != nil || changed {
				t.Errorf("%s: applied again: %v, %v", steer, changed, err)
			}
		}
	}
	l.must(l.e.Clean())
	l.must(l.e.Clean())
	l.gateway.do(func() error {
		c, err := nftables.New()
		if err != nil {
			return err
		}
		tables, err := c.ListTables()
		for _, table := range tables {
			if table.Name == EntryTable {
				t.Error("the table is left")
			}
		}
		return err
	})
}

// A client's flows go to its server for as long as it is there, then to another one for good.
func TestEntryPersist(t *testing.T) {
	both(t, func(t *testing.T, six bool) {
		l := newEntryLab(t)
		l.serve(six, 80)
		s := web(six, entry.RoundRobin, func(c *entry.Config) { c.Persist = time.Minute })
		_, err := l.e.Apply([]entry.Point{s.Point()})
		l.must(err)
		stays := func(when string) int {
			t.Helper()
			first := l.who(netip.Addr{}, at(s))
			for range 4 {
				if got := l.who(netip.Addr{}, at(s)); got != first {
					t.Errorf("%s: with server %d, then with %d", when, first, got)
				}
			}
			return first
		}
		first := stays("at first")
		l.is(s, first, health.Down)
		second := stays("after its server died")
		if second == first {
			t.Errorf("server %d is down, and answers", first)
		}
		l.is(s, first, health.Up)
		if third := stays("when it was back"); third != second {
			t.Errorf("back to server %d, though it was with %d meanwhile", third, second)
		}
		// What another program knows of it.
		l.must(l.e.Remember("web", []Remembered{{at(s).Addr(), 0}, {l.client0(six), first}, {l.client0(six), second}}))
		if got := stays("when it was told"); got != first {
			t.Errorf("server %d answers, was told %d", got, first)
		}
	})
}

// client0 is the host outside.
func (l *entryLab) client0(six bool) netip.Addr {
	if six {
		return outside6
	}
	return outside
}

// What nobody serves is refused, at once; when there is a server again it serves.
func TestEntryWithoutServers(t *testing.T) {
	both(t, func(t *testing.T, six bool) {
		l := newEntryLab(t)
		l.serve(six, 80)
		s := web(six, entry.RoundRobin, nil)
		_, err := l.e.Apply([]entry.Point{s.Point()})
		l.must(err)
		for i := range 3 {
			l.is(s, i, health.Down)
		}
		if _, err := l.call(netip.Addr{}, at(s)); !errors.Is(err, unix.ECONNREFUSED) {
			t.Errorf("nobody serves: %v", err)
		}
		if c, err := l.e.Counters(); err != nil || c.Unserved == 0 {
			t.Errorf("refused %d (%v)", c.Unserved, err)
		}
		l.is(s, 2, health.Up)
		if got := l.who(netip.Addr{}, at(s)); got != 2 {
			t.Errorf("server %d answers", got)
		}
	})
}

// An established flow has its server whatever becomes of the table.
func TestEntryKeepsFlows(t *testing.T) {
	l := newEntryLab(t)
	l.serve(false, 80)
	s := web(false, entry.Primary, nil)
	_, err := l.e.Apply([]entry.Point{s.Point()})
	l.must(err)
	c, err := l.call(netip.Addr{}, at(s))
	l.must(err)
	l.ask(c)
	s.Step(time.Now(), entry.Input{Kind: entry.InDrain, Server: s.Config().Servers[0].Address, On: true})
	l.must(l.e.Steer(s.Point()))
	if got, want := l.ask(c), 0; got != want {
		t.Errorf("the flow is with server %d, want %d", got, want)
	}
	if got := l.who(netip.Addr{}, at(s)); got != 1 {
		t.Errorf("a new flow is with server %d, want 1", got)
	}
}

// A flow that was cut is answered with a reset, whoever knows it; a new one is not.
func TestEntryCut(t *testing.T) {
	both(t, func(t *testing.T, six bool) {
		l := newEntryLab(t)
		l.serve(six, 80)
		s := web(six, entry.Primary, nil)
		_, err := l.e.Apply([]entry.Point{s.Point()})
		l.must(err)
		l.must(l.e.SetUnknown(UnknownDrop)) // as right after an activation
		c, err := l.call(netip.Addr{}, at(s))
		l.must(err)
		l.ask(c)
		l.must(l.e.Cut([]CutFlow{{Client: c.LocalAddr().(*net.TCPAddr).AddrPort(), To: at(s), Proto: unix.IPPROTO_TCP}}))
		l.ask(c) // while it is known it goes on
		l.forget()
		_, _ = c.Write([]byte("?"))
		if _, err := io.ReadFull(c, make([]byte, 1)); !errors.Is(err, unix.ECONNRESET) {
			t.Errorf("a flow that was cut: %v, want a reset", err)
		}
		if got := l.who(netip.Addr{}, at(s)); got != 0 {
			t.Errorf("a new flow is with server %d", got)
		}
		if v, err := l.e.Counters(); err != nil || v.Cut == 0 {
			t.Errorf("cut %d (%v)", v.Cut, err)
		}
	})
}

// The middle of a connection that is not known is dropped, or reset, and never given to a
// server or to the gateway's own TCP.
func TestEntryUnknownFlows(t *testing.T) {
	both(t, func(t *testing.T, six bool) {
		l := newEntryLab(t)
		s := web(six, entry.RoundRobin, nil)
		_, err := l.e.Apply([]entry.Point{s.Point()})
		l.must(err)
		middle := packet{src: l.client0(six), dst: at(s).Addr(), proto: unix.IPPROTO_TCP, sport: 4000, dport: 8080, flags: ack}
		seen, home := l.capture0(l.server, six), l.capture0(l.client, six)
		l.must(l.e.SetUnknown(UnknownDrop))
		l.server.send(middle)
		l.must(l.e.SetUnknown(UnknownReset))
		middle.sport++
		l.server.send(middle)
		before, got := seen.until("reset", func(p packet) bool { return p.proto == unix.IPPROTO_TCP })
		if got.flags&rst == 0 || got.dport != 4001 || got.src != at(s).Addr() {
			t.Errorf("%v after %v; want a reset of the second flow from the entry point", got, before)
		}
		last := packet{src: l.client0(six), dst: at(s).Addr(), proto: unix.IPPROTO_UDP, sport: 9, dport: 53} // forwarded
		l.server.send(last)
		if before, _ := home.until("datagram", func(p packet) bool { return p.proto == unix.IPPROTO_UDP && p.dport == 5353 }); slices.ContainsFunc(before, func(p packet) bool { return p.proto == unix.IPPROTO_TCP }) {
			t.Errorf("a server got %v", before)
		}
	})
}

func (l *entryLab) capture0(s space, six bool) capture {
	if six {
		return s.capture6()
	}
	return s.capture()
}

// forget empties the gateway's table of connections.
func (l *entryLab) forget() {
	l.t.Helper()
	l.gateway.do(func() error { return netlink.ConntrackTableFlush(netlink.ConntrackTable) })
}

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
				seen[l.who(netip.Addr{}, netip.AddrPortFrom(at(s).Addr(), port))] = true
			}
			if len(seen) != 3 {
				t.Errorf("port %d: servers %v have answered, want all", port, seen)
			}
		}
		if _, err := l.call(netip.Addr{}, netip.AddrPortFrom(at(s).Addr(), 8090)); !errors.Is(err, unix.ECONNREFUSED) {
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
			seen[l.who(netip.Addr{}, to)] = true
		}
		if len(seen) != 3 {
			t.Errorf("servers %v have answered, want all", seen)
		}
		for i := range 3 {
			l.is(s, i, health.Down)
		}
		if _, err := l.call(netip.Addr{}, to); !errors.Is(err, unix.ECONNREFUSED) {
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

// Who is in the servers' own network, or a server itself, reaches the entry point; who is
// elsewhere is seen as who he is.
func TestEntryHairpin(t *testing.T) {
	both(t, func(t *testing.T, six bool) {
		l := newEntryLab(t)
		l.serve(six, 80)
		links := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/24"), netip.MustParsePrefix("203.0.113.0/24")}
		from := []netip.Addr{inside, servers(six)[0]}
		if six {
			links = []netip.Prefix{netip.MustParsePrefix("fd00:10::/64"), netip.MustParsePrefix("2001:db8::/64")}
			from[0] = netip.MustParseAddr("fd00:10::10")
		}
		s := web(six, entry.RoundRobin, func(c *entry.Config) { c.Links = links })
		_, err := l.e.Apply([]entry.Point{s.Point()})
		l.must(err)
		outer := l.server
		for _, client := range from {
			l.server = l.client // calls come from inside
			seen := map[int]bool{}
			for range 3 {
				seen[l.who(client, at(s))] = true
			}
			l.server = outer
			if len(seen) != 3 {
				t.Errorf("%v: servers %v have answered, want all", client, seen)
			}
		}
		home := l.capture0(l.client, six)
		c, err := l.call(l.client0(six), at(s))
		l.must(err)
		l.ask(c)
		// The SYN: connections from inside may still be ending.
		_, first := home.until("a connection from outside", func(p packet) bool { return p.proto == unix.IPPROTO_TCP && p.dport == 80 && p.flags&syn != 0 })
		if first.src != l.client0(six) {
			t.Errorf("%v: seen as %v", l.client0(six), first.src)
		}
		if changed, err := l.entries().Apply([]entry.Point{s.Point()}); err != nil || changed {
			t.Errorf("another program finds something to do: %v, %v", changed, err)
		}
	})
}

// Somebody else's hand in the table is undone, and clients stay where they were.
func TestEntryRepair(t *testing.T) {
	l := newEntryLab(t)
	l.serve(false, 80)
	s := web(false, entry.RoundRobin, func(c *entry.Config) { c.Persist = time.Minute })
	points := []entry.Point{s.Point()}
	_, err := l.e.Apply(points)
	l.must(err)
	first := l.who(netip.Addr{}, at(s))
	breaks := map[string]func(c *nftables.Conn){
		"a chain without its rules": func(c *nftables.Conn) { c.FlushChain(&nftables.Chain{Table: entryTable(), Name: "to_web"}) },
		"a map without its elements": func(c *nftables.Conn) {
			c.FlushSet(&nftables.Set{Table: entryTable(), Name: "servers_web"})
		},
		"the way in without its elements": func(c *nftables.Conn) {
			c.FlushSet(&nftables.Set{Table: entryTable(), Name: "entries"})
		},
	}
	for name, breaks := range breaks {
		l.gateway.do(func() error {
			c, err := nftables.New()
			if err != nil {
				return err
			}
			breaks(c)
			return c.Flush()
		})
		if changed, err := l.e.Apply(points); err != nil || !changed {
			t.Errorf("%s: %v, %v", name, changed, err)
		}
		if got := l.who(netip.Addr{}, at(s)); got != first {
			t.Errorf("%s: with server %d, was with %d", name, got, first)
		}
	}
	// All of it gone, and a server dies before anybody looks.
	l.gateway.do(func() error {
		c, err := nftables.New()
		if err != nil {
			return err
		}
		c.DelTable(entryTable())
		return c.Flush()
	})
	l.is(s, 0, health.Down)
	for range 4 {
		if got := l.who(netip.Addr{}, at(s)); got == 0 {
			t.Error("server 0 is down, and answers")
		}
	}
}

// A reload that brings, changes and takes away entry points leaves the others' clients alone.
func TestEntryReload(t *testing.T) {
	l := newEntryLab(t)
	l.serve(false, 80)
	s := web(false, entry.RoundRobin, func(c *entry.Config) { c.Persist = time.Minute })
	other := func(name string, port uint16) entry.Point {
		return web(false, entry.ConsistentHash, func(c *entry.Config) {
			c.Name, c.Match.Ports = name, nat.Ports{First: port, Last: port}
		}).Point()
	}
	six := web(true, entry.Primary, func(c *entry.Config) { c.Name = "six" }).Point()
	_, err := l.e.Apply([]entry.Point{s.Point()})
	l.must(err)
	first := l.who(netip.Addr{}, at(s))
	for i, points := range [][]entry.Point{
		{s.Point(), other("a", 81), six},
		{s.Point(), other("a", 82), other("b", 81)},
		{other("b", 81), s.Point(), six},
		{s.Point()},
	} {
		changed, err := l.e.Apply(points)
		if err != nil || !changed {
			t.Fatalf("reload %d: %v, %v", i, changed, err)
		}
		if again, err := l.entries().Apply(points); err != nil || again {
			t.Errorf("reload %d: another program finds something to do: %v, %v", i, again, err)
		}
		if got := l.who(netip.Addr{}, at(s)); got != first {
			t.Errorf("reload %d: with server %d, was with %d", i, got, first)
		}
		for _, p := range points {
			if !p.Six && p.Name != "web" {
				l.who(netip.Addr{}, netip.AddrPortFrom(vip2, p.Match.Ports.First))
			}
		}
	}
	// Of those that went nothing is left.
	c, err := l.e.link.conn()
	l.must(err)
	have, err := readEntries(c, l.e.link.nl, entryTable())
	l.must(err)
	want := formOf([]entry.Point{s.Point()}, UnknownReset)
	if len(have.chains) != len(want.chains) || len(have.sets) != len(want.sets) || len(have.counters) != len(want.counters) {
		t.Errorf("%d chains, %d sets, %d counters; want %d, %d, %d", len(have.chains), len(have.sets), len(have.counters), len(want.chains), len(want.sets), len(want.counters))
	}
}
