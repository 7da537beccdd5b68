package e2e

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"understudy/appliance/lab/pair"
)

// echoAt is where the outside host tells who it was called by.
var echoAt = netip.AddrPortFrom(pair.Outside, 9200)

// flow is a UDP flow of one inside host to the outside.
type flow struct{ conn *net.UDPConn }

// udp begins a flow from the given address and port. The outside host answers
// each datagram with the address that it came from.
func (s *scene) udp(from netip.Addr, port uint16) *flow {
	s.t.Helper()
	s.echo()
	f := &flow{}
	s.must(s.Inside.Do(func() (err error) {
		f.conn, err = net.DialUDP("udp4", net.UDPAddrFromAddrPort(netip.AddrPortFrom(from, port)), net.UDPAddrFromAddrPort(echoAt))
		return err
	}))
	s.t.Cleanup(func() { f.conn.Close() })
	s.ask(f)
	return f
}

func (s *scene) echo() {
	s.t.Helper()
	if s.echoes != nil {
		return
	}
	s.must(s.Outside.Do(func() (err error) {
		s.echoes, err = net.ListenUDP("udp4", net.UDPAddrFromAddrPort(echoAt))
		return err
	}))
	done := make(chan struct{})
	go func() {
		defer close(done)
		b := make([]byte, 64)
		for {
			_, from, err := s.echoes.ReadFromUDPAddrPort(b)
			if err != nil {
				return
			}
			_, _ = s.echoes.WriteToUDPAddrPort([]byte(from.String()), from) // lost ones are asked again
		}
	}()
	s.t.Cleanup(func() { s.echoes.Close(); <-done })
}

// ask sends until an answer comes, and returns the address that the outside host
// sees.
func (s *scene) ask(f *flow) string {
	s.t.Helper()
	b := make([]byte, 64)
	for end := time.Now().Add(patience); time.Now().Before(end); {
		if _, err := f.conn.Write([]byte("who am I")); err != nil {
			s.t.Fatalf("flow from %s: %v", f.conn.LocalAddr(), err)
		}
		s.must(f.conn.SetReadDeadline(time.Now().Add(200 * time.Millisecond)))
		n, err := f.conn.Read(b)
		if err == nil {
			return string(b[:n])
		}
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			s.t.Fatalf("flow from %s: %v", f.conn.LocalAddr(), err)
		}
	}
	s.t.Fatalf("no answer to the flow from %s", f.conn.LocalAddr())
	return ""
}

// seen checks what the outside host sees of a flow now.
func (s *scene) seen(f *flow, want string) {
	s.t.Helper()
	if got := s.ask(f); got != want {
		s.t.Errorf("the flow from %s is seen as %s, want %s", f.conn.LocalAddr(), got, want)
	}
}

// forget removes the UDP flow from a gateway's kernel, as its timeout would.
func (s *scene) forget(g *pair.Gateway, from netip.Addr, port uint16) {
	s.t.Helper()
	filter := &netlink.ConntrackFilter{}
	s.must(errors.Join(
		filter.AddProtocol(unix.IPPROTO_UDP),
		filter.AddIP(netlink.ConntrackOrigSrcIP, from.AsSlice()),
		filter.AddPort(netlink.ConntrackOrigSrcPort, port)))
	n, err := g.Netlink().ConntrackDeleteFilters(netlink.ConntrackTable, unix.AF_INET, filter)
	s.must(err)
	if n != 1 {
		s.t.Fatalf("%d flows from %s:%d removed from %s, want 1", n, from, port, g.Name)
	}
}
