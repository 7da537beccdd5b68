package lacpnet

import (
	"bytes"
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"understudy/appliance/lab"
	"understudy/lacp"
)

// cable makes a link between two nodes, both ends up.
func cable(t *testing.T, a *lab.Node, nameA string, b *lab.Node, nameB string) {
	t.Helper()
	if err := a.Wire(nameA, b, nameB); err != nil {
		t.Fatal(err)
	}
}

func up(t *testing.T, n *lab.Node, name string) {
	t.Helper()
	set(t, n, name, n.Netlink().LinkSetUp)
}

func down(t *testing.T, n *lab.Node, name string) {
	t.Helper()
	set(t, n, name, n.Netlink().LinkSetDown)
}

func set(t *testing.T, n *lab.Node, name string, change func(netlink.Link) error) {
	t.Helper()
	link, err := n.Netlink().LinkByName(name)
	if err == nil {
		err = change(link)
	}
	if err != nil {
		t.Fatalf("%s %s: %v", n.Name, name, err)
	}
}

func openPort(t *testing.T, n *lab.Node, name string) (p *Port) {
	t.Helper()
	if err := n.Do(func() (err error) { p, err = OpenPort(name); return err }); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

type received struct {
	outgoing bool
	data     []byte
}

// collect passes on copies of what a port sees.
func collect(t *testing.T, p *Port) <-chan received {
	t.Helper()
	c := make(chan received, 100)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			f, err := p.Receive()
			if err != nil {
				return
			}
			c <- received{f.Outgoing, bytes.Clone(f.Data)}
		}
	}()
	t.Cleanup(func() { p.Close(); <-done })
	return c
}

func next(t *testing.T, c <-chan received) received {
	t.Helper()
	select {
	case r := <-c:
		return r
	case <-time.After(30 * time.Second):
		t.Fatal("nothing came")
	}
	return received{}
}

func pdu(src lacp.MAC, port uint16) []byte {
	return lacp.Append(lacp.AppendHeader(nil, src), &lacp.PDU{Version: 1, Actor: lacp.Info{System: src, Port: port}})
}

// A port sees what comes in and what goes out, tells them apart, and sees nothing
// that has neither LACP's ethertype nor its group.
func TestPortSeesBothDirections(t *testing.T) {
	l := lab.NewT(t)
	a, b := l.Node("a"), l.Node("b")
	cable(t, a, "one", b, "two")
	here, there, other := openPort(t, a, "one"), openPort(t, b, "two"), openPort(t, a, "one")
	seen := collect(t, here)
	made := func(dst, etherType string) []byte {
		b := pdu(there.MAC, 9)
		copy(b, dst)
		copy(b[12:], etherType)
		return b
	}
	const group, otherGroup = "\x01\x80\xc2\x00\x00\x02", "\x01\x80\xc2\x00\x00\x0e"
	send := [][]byte{made(otherGroup, "\x88\xcc"), made("\xff\xff\xff\xff\xff\xff", "\x08\x06"),
		made(otherGroup, "\x88\x09"), made(group, "\x88\xcc"), pdu(there.MAC, 1)}
	for _, frame := range send {
		if err := there.Send(frame); err != nil {
			t.Fatal(err)
		}
	}
	for _, want := range send[2:] {
		if r := next(t, seen); r.outgoing || !bytes.Equal(r.data, want) {
			t.Errorf("outgoing %v, %x, want %x", r.outgoing, r.data, want)
		}
	}
	// Another socket of this machine sends, as a bonding driver would.
	if err := other.Send(pdu(here.MAC, 2)); err != nil {
		t.Fatal(err)
	}
	if r := next(t, seen); !r.outgoing || !bytes.Equal(r.data, pdu(here.MAC, 2)) {
		t.Errorf("outgoing %v, %x", r.outgoing, r.data)
	}
	// Not shown any more, and shown again.
	here.ShowOutgoing(false)
	if err := other.Send(pdu(here.MAC, 3)); err != nil {
		t.Fatal(err)
	}
	here.ShowOutgoing(true)
	if err := other.Send(pdu(here.MAC, 4)); err != nil {
		t.Fatal(err)
	}
	if r := next(t, seen); !r.outgoing || !bytes.Equal(r.data, pdu(here.MAC, 4)) {
		t.Errorf("outgoing %v, %x", r.outgoing, r.data)
	}
	// The membership is the only trace on the interface.
	link, err := a.Netlink().LinkByName("one")
	if err != nil || link.Attrs().Promisc != 0 {
		t.Errorf("promiscuous: %d, %v", link.Attrs().Promisc, err)
	}
}

// A port outlives an interface that is taken down, and ends with Close.
func TestPortOutlivesDown(t *testing.T) {
	l := lab.NewT(t)
	a, b := l.Node("a"), l.Node("b")
	cable(t, a, "one", b, "two")
	here, there := openPort(t, a, "one"), openPort(t, b, "two")
	seen := collect(t, here)
	down(t, a, "one")
	up(t, a, "one")
	deadline := time.Now().Add(30 * time.Second)
	for { // the carrier takes a moment
		if err := there.Send(pdu(there.MAC, 1)); err == nil {
			select {
			case <-seen:
				return
			case <-time.After(50 * time.Millisecond):
			}
		}
		if time.Now().After(deadline) {
			t.Fatal("deaf after the interface was down")
		}
	}
}

// Where there is no aggregate of the name, that is told, and what is something else
// is none.
func TestWatcherWithoutAggregate(t *testing.T) {
	l := lab.NewT(t)
	a, b := l.Node("a"), l.Node("b")
	cable(t, a, "one", b, "two")
	w := NewWatcher(slog.New(slog.DiscardHandler), "bond0", "one")
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	gone := map[string]bool{}
	woken := 0
	err := a.Do(func() error {
		return w.Run(ctx, func(e Event) time.Time {
			switch e.Kind {
			case Gone:
				gone[e.Bond] = true
			case Woken:
				if woken++; woken == 3 {
					cancel()
				}
			default:
				t.Errorf("%+v", e)
				cancel()
			}
			return time.Now().Add(10 * time.Millisecond)
		})
	})
	if err != nil || !gone["bond0"] || !gone["one"] || woken < 3 {
		t.Errorf("%v, gone %v, woken %d times", err, gone, woken)
	}
}
