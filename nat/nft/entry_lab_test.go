package nft

import (
	"fmt"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"understudy/health"
	"understudy/nat"
	"understudy/nat/entry"
)

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
	Caller // outside
	e      *Entries
}

func newEntryLab(t testing.TB) *entryLab {
	t.Helper()
	l := &entryLab{lab: active6(t)}
	l.Caller = NewCaller(t, func(f func() error) (err error) {
		l.server.do(func() error { err = f(); return nil })
		return err
	})
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

// serve has every server accept connections at a port.
func (l *entryLab) serve(six bool, port uint16) {
	l.t.Helper()
	for i, a := range servers(six) {
		var ln net.Listener
		l.client.do(func() (err error) {
			for end := time.Now().Add(20 * time.Second); ; time.Sleep(time.Millisecond) { // a fresh address of IPv6 takes a moment
				if ln, err = net.Listen("tcp", netip.AddrPortFrom(a, port).String()); err == nil || time.Now().After(end) {
					return err
				}
			}
		})
		Number(l.t, ln, i)
	}
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

// client0 is the host outside.
func (l *entryLab) client0(six bool) netip.Addr {
	if six {
		return outside6
	}
	return outside
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
