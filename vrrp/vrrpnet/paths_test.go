package vrrpnet

import (
	"bytes"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestPaths(t *testing.T) {
	inNamespace(t)
	setUp(t, "lo", true)
	addr := netip.MustParseAddrPort
	here := []netip.AddrPort{addr("127.0.0.1:7788"), addr("[::1]:7788"), addr("127.0.0.2:7788"), addr("192.0.2.1:7788")} // the last is not there
	p, err := OpenPaths(here...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	other, to := openDatagrams(t, "127.0.0.9:7788")
	other6, to6 := openDatagrams(t, "[::1]:7799")
	heard := map[string]bool{}
	read := func() {
		t.Helper()
		eventually(t, p.FD(), "a datagram", func() bool {
			b, _, ok := p.Receive(time.Now())
			heard[string(b)] = true
			return ok
		})
	}
	for i, a := range here[:3] {
		d, err := NewDestination(a)
		if err != nil {
			t.Fatal(err)
		}
		from := other
		if a.Addr().Is6() {
			from = other6
		}
		if err := from.Send(&d, fmt.Appendf(nil, "to %d", i)); err != nil {
			t.Fatal(err)
		}
	}
	for range 3 {
		read()
	}
	if !heard["to 0"] || !heard["to 1"] || !heard["to 2"] {
		t.Errorf("heard %v", heard)
	}
	if _, _, ok := p.Receive(time.Now()); ok {
		t.Error("something more")
	}
	for _, tt := range []struct {
		by   int
		to   *Destination
		at   *Datagrams
		from string
	}{{0, &to, other, "127.0.0.1"}, {2, &to, other, "127.0.0.2"}, {1, &to, other, "127.0.0.1"}, {7, &to, other, "127.0.0.1"}, {0, &to6, other6, "::1"}} {
		if err := p.Send(tt.by, tt.to, []byte("hello")); err != nil {
			t.Fatal(err)
		}
		var got []byte
		var from unix.Sockaddr
		eventually(t, tt.at.FD(), "a datagram", func() bool {
			buf := make([]byte, 64)
			n, sa, err := unix.Recvfrom(tt.at.FD(), buf, unix.MSG_DONTWAIT)
			got, from = buf[:max(n, 0)], sa
			return err == nil
		})
		var a netip.Addr
		switch sa := from.(type) {
		case *unix.SockaddrInet4:
			a = netip.AddrFrom4(sa.Addr)
		case *unix.SockaddrInet6:
			a = netip.AddrFrom16(sa.Addr)
		}
		if !bytes.Equal(got, []byte("hello")) || a.String() != tt.from {
			t.Errorf("by %d: %q from %v, want from %s", tt.by, got, a, tt.from)
		}
	}
	if n := testing.AllocsPerRun(100, func() { p.Send(2, &to, []byte("x")); p.Receive(time.Time{}) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
	single, err := OpenPaths(addr("127.0.0.5:7788"))
	if err != nil || single.FD() != single.sockets[0].FD() {
		t.Errorf("one socket is polled as it is: %v", err)
	}
	single.Close()
	single.Close()
	if _, err := OpenPaths(addr("127.0.0.6:7788"), addr("127.0.0.9:7788")); err == nil {
		t.Error("an address that is taken was opened")
	}
}
