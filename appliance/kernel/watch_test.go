package kernel

import (
	"context"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// watch runs a watcher for the test and returns what it sees.
func watch(t *testing.T, a *Applier) <-chan Event {
	t.Helper()
	w, err := OpenWatcher(a.PortID())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	events, ended := make(chan Event, 4096), make(chan error, 1)
	go func() { ended <- w.Run(ctx, func(e Event) { events <- e }) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
		if err := w.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return events
}

// next returns the first event that is wanted, and fails if it does not come.
func next(t *testing.T, events <-chan Event, what string, wanted func(Event) bool) Event {
	t.Helper()
	var seen []Event
	timeout := time.After(5 * time.Second)
	for {
		select {
		case e := <-events:
			if wanted(e) {
				return e
			}
			seen = append(seen, e)
		case <-timeout:
			t.Fatalf("not reported: %s; seen %v", what, seen)
		}
	}
}

func is(kind EventKind, name string) func(Event) bool {
	return func(e Event) bool { return e.Kind == kind && e.Interface == name }
}

// running waits until the link is reported as able to pass frames.
func running(t *testing.T, events <-chan Event, name string, want bool) Event {
	t.Helper()
	return next(t, events, name+" running", func(e Event) bool {
		return (e.Kind == LinkNew || e.Kind == LinkChanged) && e.Interface == name && e.Link.Running == want
	})
}

func TestWatchTellsAndApplyPutsBack(t *testing.T) {
	enter(t)
	addVeth(t, "lan0", "peer0")
	addAddr(t, "lan0", "10.0.0.2/24")
	a := open(t)
	events := watch(t, a)
	running(t, events, "lan0", true)

	id := on("lan0", "10.0.0.1/24", "10.0.0.9/24", "2001:db8::1/64")
	apply(t, a, id)
	apply(t, a, on("lan0", "10.0.0.1/24", "2001:db8::1/64")) // our own removal is no news
	for _, lost := range []string{"10.0.0.1/32", "2001:db8::1/64"} {
		delAddr(t, "lan0", lost)
		e := next(t, events, "loss of "+lost, func(e Event) bool { return e.Kind == AddressLost })
		if e.Interface != "lan0" || e.Prefix.String() != lost {
			t.Errorf("reported %v of %s, removed %s", e.Prefix, e.Interface, lost)
		}
	}
	apply(t, a, id)
	wantShown(t, a, "lan0", "10.0.0.1/32 ours", "10.0.0.2/24", "10.0.0.9/32 ours", "2001:db8::1/64 ours")
}

func TestWatchLink(t *testing.T) {
	enter(t)
	a := open(t)
	events := watch(t, a)
	next(t, events, "loopback at the start", is(LinkNew, "lo"))

	addVeth(t, "lan0", "peer0")
	running(t, events, "lan0", true)

	addAddr(t, "lan0", "10.0.0.2/24")
	e := next(t, events, "primary address", is(LinkChanged, "lan0"))
	for !e.Link.Primary.IsValid() { // IPv6's link-local may come in between
		e = next(t, events, "primary address", is(LinkChanged, "lan0"))
	}
	if e.Link.Primary != netip.MustParseAddr("10.0.0.2") {
		t.Errorf("primary %v", e.Link.Primary)
	}

	if err := netlink.LinkSetDown(linkOf(t, "peer0")); err != nil {
		t.Fatal(err)
	}
	if e := running(t, events, "lan0", false); !e.Link.Up {
		t.Errorf("without carrier: %+v", e.Link)
	}
	setUp(t, "peer0")
	running(t, events, "lan0", true)

	mac := net.HardwareAddr{2, 0, 0, 0, 0, 7}
	if err := netlink.LinkSetHardwareAddr(linkOf(t, "lan0"), mac); err != nil {
		t.Fatal(err)
	}
	next(t, events, "new MAC", func(e Event) bool { return e.Kind == LinkChanged && e.Link.MAC == [6]byte(mac) })
}

func TestWatchRenamedAndMadeAgain(t *testing.T) {
	enter(t)
	addVeth(t, "lan0", "peer0")
	a := open(t)
	events := watch(t, a)
	first := running(t, events, "lan0", true)

	if err := netlink.LinkSetName(linkOf(t, "lan0"), "lan9"); err != nil {
		t.Fatal(err)
	}
	next(t, events, "old name", is(LinkGone, "lan0"))
	next(t, events, "new name", is(LinkNew, "lan9"))
	if err := netlink.LinkSetName(linkOf(t, "lan9"), "lan0"); err != nil {
		t.Fatal(err)
	}
	next(t, events, "name again", is(LinkNew, "lan0"))

	id := on("lan0", "10.0.0.1/24")
	apply(t, a, id)
	if err := netlink.LinkDel(linkOf(t, "lan0")); err != nil {
		t.Fatal(err)
	}
	addVeth(t, "lan0", "peer0")
	next(t, events, "the link goes", is(LinkGone, "lan0"))
	if e := next(t, events, "the link is made again", is(LinkNew, "lan0")); e.Link.Index == first.Link.Index {
		t.Errorf("index %d twice", e.Link.Index)
	}
	if added := apply(t, a, id); len(added) != 1 {
		t.Errorf("put back %v", added)
	}
}

// More notifications than the buffer holds must end in a correct picture.
func TestWatchOverrun(t *testing.T) {
	enter(t)
	setSysctl(t, "net/ipv6/conf/default/disable_ipv6", "1") // its late events would give hints
	addVeth(t, "lan0", "peer0")
	a := open(t)
	w, err := OpenWatcher(a.PortID())
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	raw, err := w.file.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	if err := raw.Control(func(fd uintptr) {
		err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, 1)
	}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	defer time.AfterFunc(5*time.Second, cancel).Stop()
	var overrun bool
	var last Link
	err = w.Run(ctx, func(e Event) {
		switch {
		case e.Kind == LinkNew && e.Interface == "lan0":
			// While Run waits for us nobody reads: what comes last is lost.
			apply(t, a, many("lan0", 1000))
			addAddr(t, "lan0", "10.0.0.2/24")
		case e.Kind == Overrun:
			overrun = true
		case e.Interface == "lan0" && e.Kind != AddressLost:
			last = e.Link
		}
		if last.Primary.IsValid() {
			cancel()
		}
	})
	if err != nil || !overrun || last.Primary != netip.MustParseAddr("10.0.0.2") {
		t.Errorf("overrun %v, after it: %+v, error %v", overrun, last, err)
	}
}
