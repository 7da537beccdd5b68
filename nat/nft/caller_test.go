package nft

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"understudy/appliance/lab/probe"
)

// Number has whoever calls a server be told, for each byte, which server it is.
func Number(t testing.TB, l net.Listener, server int) {
	t.Cleanup(func() { l.Close() })
	probe.Accept(l, func(c net.Conn) {
		b := make([]byte, 1)
		for {
			if _, err := io.ReadFull(c, b); err != nil {
				return
			}
			if _, err := c.Write([]byte{byte('0' + server)}); err != nil {
				return
			}
		}
	})
}

// Caller is a host that calls servers which have numbers.
type Caller struct {
	test testing.TB
	on   func(func() error) error // runs something where it is
}

// NewCaller makes one of a place.
func NewCaller(t testing.TB, on func(func() error) error) Caller { return Caller{t, on} }

// Call connects from an address of the host's (any, if it is invalid).
func (k Caller) Call(from netip.Addr, to netip.AddrPort) (c net.Conn, err error) {
	k.test.Helper()
	d := net.Dialer{Timeout: 20 * time.Second, KeepAlive: -1}
	if from.IsValid() {
		d.LocalAddr = &net.TCPAddr{IP: from.AsSlice()}
	}
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(time.Millisecond) {
		err = k.on(func() (err error) { c, err = d.Dial("tcp", to.String()); return err })
		if err == nil {
			break
		}
		// A fresh address of IPv6 takes a moment, and who has it may not be found at once.
		if fresh := errors.Is(err, unix.EADDRNOTAVAIL) || errors.Is(err, unix.EHOSTUNREACH); !fresh || time.Now().After(end) {
			return nil, err
		}
	}
	k.test.Cleanup(func() { c.Close() })
	_ = c.SetDeadline(time.Now().Add(time.Minute))
	return c, nil
}

// Ask returns which server answers on a connection, several times: bytes go both ways.
func (k Caller) Ask(c net.Conn) int {
	k.test.Helper()
	who := -1
	for range 3 {
		b := []byte{'?'}
		_, err := c.Write(b)
		if err == nil {
			_, err = io.ReadFull(c, b)
		}
		if err != nil {
			k.test.Fatal(err)
		}
		if got := int(b[0] - '0'); who >= 0 && got != who {
			k.test.Fatalf("server %d answers, then server %d", who, got)
		} else {
			who = got
		}
	}
	return who
}

// Who connects, and returns which server answers.
func (k Caller) Who(from netip.Addr, to netip.AddrPort) int {
	k.test.Helper()
	c, err := k.Call(from, to)
	if err != nil {
		k.test.Fatal(err)
	}
	defer c.Close()
	return k.Ask(c)
}
