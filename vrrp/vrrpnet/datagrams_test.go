package vrrpnet

import (
	"bytes"
	"net/netip"
	"testing"
	"time"
)

func openDatagrams(t *testing.T, listen string) (*Datagrams, Destination) {
	t.Helper()
	a := netip.MustParseAddrPort(listen)
	d, err := OpenDatagrams(a)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	to, err := NewDestination(a)
	if err != nil {
		t.Fatal(err)
	}
	return d, to
}

func TestDatagrams(t *testing.T) {
	inNamespace(t)
	setUp(t, "lo", true)
	for _, tt := range []struct{ one, two string }{
		{"127.0.0.1:7788", "127.0.0.2:7788"},
		{"[::1]:7788", "[::1]:7789"},
	} {
		one, _ := openDatagrams(t, tt.one)
		two, to := openDatagrams(t, tt.two)
		if _, _, ok := two.Receive(time.Now()); ok {
			t.Fatal("something was there")
		}
		// The kernel begins to stamp a moment after the first socket has asked for it.
		stamped := false
		for n := 0; n < 50 && !stamped; n++ {
			before := time.Now()
			if err := one.Send(&to, []byte("hello")); err != nil {
				t.Fatal(err)
			}
			sent := time.Now()
			time.Sleep(20 * time.Millisecond) // it waits in the socket
			var got []byte
			var at time.Time
			eventually(t, two.FD(), "a datagram", func() bool {
				b, when, ok := two.Receive(time.Now())
				got, at = bytes.Clone(b), when
				return ok
			})
			if string(got) != "hello" {
				t.Errorf("got %q", got)
			}
			if at.Before(before.Add(-5 * time.Millisecond)) {
				t.Errorf("it came %v before it was sent", before.Sub(at))
			}
			stamped = at.Before(sent.Add(15 * time.Millisecond))
		}
		if !stamped {
			t.Error("the time is that of the reading, not of the kernel")
		}
	}
}

// The address may come later, and until then a send is an error that costs nothing.
func TestDatagramsBeforeTheAddress(t *testing.T) {
	inNamespace(t)
	d, to := openDatagrams(t, "192.0.2.1:7788")
	if err := d.Send(&to, []byte("x")); err == nil {
		t.Error("sent without a network")
	}
	veth(t, "a", "b", "192.0.2.1/24")
	setUp(t, "lo", true)
	if err := d.Send(&to, []byte("x")); err != nil {
		t.Error(err)
	}
	eventually(t, d.FD(), "a datagram", func() bool { _, _, ok := d.Receive(time.Now()); return ok })
	if _, err := OpenDatagrams(netip.MustParseAddrPort("192.0.2.1:7788")); err == nil {
		t.Error("opened twice")
	}
	if _, err := NewDestination(netip.MustParseAddrPort("[fe80::1%nothing]:1")); err == nil {
		t.Error("an interface that is not there")
	}
}

func TestDatagramsAllocateNothing(t *testing.T) {
	inNamespace(t)
	setUp(t, "lo", true)
	d, to := openDatagrams(t, "127.0.0.1:7788")
	b := make([]byte, 200)
	got := 0
	if n := testing.AllocsPerRun(100, func() {
		if err := d.Send(&to, b); err != nil {
			t.Fatal(err)
		}
		if _, _, ok := d.Receive(time.Now()); ok {
			got++
		}
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
	if got < 50 {
		t.Errorf("%d of 101 came", got)
	}
}
