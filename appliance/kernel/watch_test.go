package kernel

import (
	"context"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"understudy/appliance/identity"
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
	timeout := time.After(30 * time.Second)
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
	defer time.AfterFunc(30*time.Second, cancel).Stop()
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

// Losing a route or rule of ours is told, whoever's doing it is; what happens to
// others' routes is not, because there may be very many.
func TestWatchTellsOfRoutesAndRules(t *testing.T) {
	a := enterNetworks(t)
	events := watch(t, a)
	running(t, events, "lan0", true)
	id := routes(to("192.0.2.0/24", "10.0.0.254", "lan0"), to("198.51.100.0/24", "10.0.0.254", "lan0"), to("2001:db8:9::/48", "2001:db8:1::ffff", "lan0")).
		WithRules(identity.Rule{Family: 4, Priority: 1000, Table: 100}, identity.Rule{Family: 6, Priority: 1000, Table: 100})
	applied(t, a, id)
	applied(t, a, identity.Identity{}) // our own doing is no news
	applied(t, a, id)

	_, theirs, _ := net.ParseCIDR("10.66.0.0/16")
	lan := linkOf(t, "lan0").Attrs().Index
	r := &netlink.Route{Dst: theirs, LinkIndex: lan, Scope: unix.RT_SCOPE_LINK}
	for range 3 {
		if err := netlink.RouteAdd(r); err != nil {
			t.Fatal(err)
		}
		if err := netlink.RouteDel(r); err != nil {
			t.Fatal(err)
		}
	}
	rule := netlink.NewRule()
	rule.Priority, rule.Table, rule.Family = 7, 100, netlink.FAMILY_V4
	if err := netlink.RuleAdd(rule); err != nil {
		t.Fatal(err)
	}
	if err := netlink.RuleDel(rule); err != nil {
		t.Fatal(err)
	}
	steps := []struct {
		what string
		do   func() error
		want Event
	}{
		{"an IPv4 route", func() error { return netlink.RouteDel(&netlink.Route{Dst: ipNet("192.0.2.0/24")}) },
			Event{Kind: RouteLost, Route: identity.RouteKey{To: netip.MustParsePrefix("192.0.2.0/24"), Table: 254}}},
		{"one that was replaced", func() error {
			return netlink.RouteReplace(&netlink.Route{Dst: ipNet("198.51.100.0/24"), LinkIndex: lan, Scope: unix.RT_SCOPE_LINK})
		}, Event{Kind: RouteLost, Route: identity.RouteKey{To: netip.MustParsePrefix("198.51.100.0/24"), Table: 254}}},
		{"an IPv6 route", func() error { return netlink.RouteDel(&netlink.Route{Dst: ipNet("2001:db8:9::/48")}) },
			Event{Kind: RouteLost, Route: identity.RouteKey{To: netip.MustParsePrefix("2001:db8:9::/48"), Table: 254, Metric: 1024}}},
		{"an IPv4 rule", func() error { return netlink.RuleDel(ourRule(netlink.FAMILY_V4)) }, Event{Kind: RuleLost, Rule: id.Rules[0]}},
		{"an IPv6 rule", func() error { return netlink.RuleDel(ourRule(netlink.FAMILY_V6)) }, Event{Kind: RuleLost, Rule: id.Rules[1]}},
	}
	for _, s := range steps {
		if err := s.do(); err != nil {
			t.Fatalf("%s: %v", s.what, err)
		}
		got := next(t, events, s.what, func(e Event) bool { return e.Kind == RouteLost || e.Kind == RuleLost })
		if got != s.want {
			t.Errorf("%s: %+v, want %+v", s.what, got, s.want)
		}
	}
}

func ipNet(s string) *net.IPNet {
	_, n, err := net.ParseCIDR(s)
	if err != nil {
		panic(err)
	}
	return n
}

func ourRule(family int) *netlink.Rule {
	r := netlink.NewRule()
	r.Priority, r.Table, r.Family, r.Protocol = 1000, 100, family, RouteProtocol
	return r
}
