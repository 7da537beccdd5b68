package e2e

import (
	"context"
	"syscall"
	"testing"
	"time"

	"understudy/appliance/lab/pair"
	"understudy/appliance/lab/probe"
)

// An operator moves the role. Nothing established is lost; the node that gave it
// away has the higher priority and is ready, and still does not take it back,
// until the other one is gone.
func TestHandOverByAnOperator(t *testing.T) {
	s := newScene(t, pair.Options{Interval: unhurried})
	s.settle()
	s.load(s.gw1, 20)
	watch, err := s.StartWatch()
	s.must(err)
	before := s.transitions(s.gw1)

	asked := time.Now()
	s.ok(s.gw1, "failover")
	s.settled(s.gw2)
	s.intact(asked)
	s.wait("the addresses to be gone from gw1", holds(s.gw1, false))
	s.stays("gw2 active, gw1 standing by", 2*time.Second, s.Settled(s.gw2))
	s.mild(asked)
	if n := s.transitions(s.gw1) - before; n != 2 { // one of each router
		t.Errorf("gw1 had %d transitions, want that of each router to backup", n)
	}
	if a := s.cli(s.gw1, "failover"); a.code != 1 {
		t.Errorf("a hand-over by the node that is not active: exit code %d, want 1: %s", a.code, a.out)
	}
	found, err := watch.Result()
	s.must(err)
	if !found.Clean() {
		t.Errorf("the gateways sent what they must not: %+v", found)
	}

	cut := s.crash(s.gw2)
	s.intact(cut)
	s.whole()
}

// Handed back and forth, each time at once.
func TestHandOverThereAndBack(t *testing.T) {
	s := newScene(t, pair.Options{})
	s.settle()
	s.load(s.gw1, 20)
	from := s.gw1
	for range 4 {
		asked := time.Now()
		s.ok(from, "failover", pair.Group)
		from = s.Other(from)
		s.settled(from)
		s.intact(asked)
	}
	s.wait("equal tables", s.tablesEqual(from))
	s.whole()
}

// An orderly stop is a hand-over, and leaves the machine as it was.
func TestStopHandsOverAndLeavesNothing(t *testing.T) {
	s := newScene(t, pair.Options{Interval: unhurried})
	// A machine that was no router before, so that there is something to restore.
	for _, kv := range [][2]string{
		{"ipv4/ip_forward", "0"},
		{"ipv4/conf/lan0/arp_announce", "1"},
		{"ipv4/conf/lan0/accept_redirects", "1"},
		{"ipv4/conf/wan0/promote_secondaries", "0"},
	} {
		s.must(s.gw1.Sysctl(kv[0], kv[1]))
	}
	before := s.sysctls(s.gw1.Node)
	s.settle()
	s.load(s.gw1, 20)
	if after := s.sysctls(s.gw1.Node); after["ipv4/ip_forward"] != "1" || after["ipv4/conf/lan0/arp_announce"] == "1" {
		t.Fatal("the program did not set what it needs")
	}

	asked := time.Now()
	s.must(s.gw1.Process().Signal(syscall.SIGTERM))
	if a := s.ended(s.gw1.Process()); a.code != 0 {
		t.Errorf("exit code %d, want 0", a.code)
	}
	s.wait("gw2 active", s.gw2.Is("active"))
	s.intact(asked)
	s.mild(asked)
	s.pristine(s.gw1, before)
	s.alone(s.gw1)

	// And it comes back as if it had never been there.
	s.must(s.gw1.Start())
	s.settled(s.gw1)
	s.intact(time.Now())
	s.whole()
}

// The one that stands by leaves as quietly.
func TestStopOfTheStandby(t *testing.T) {
	s := newScene(t, pair.Options{})
	before := s.sysctls(s.gw2.Node)
	s.settle()
	s.load(s.gw1, 10)
	asked := time.Now()
	s.must(s.gw2.Process().Signal(syscall.SIGTERM))
	if a := s.ended(s.gw2.Process()); a.code != 0 {
		t.Errorf("exit code %d, want 0", a.code)
	}
	s.pristine(s.gw2, before)
	s.alone(s.gw2)
	s.wait("gw1 to miss it", alarmed(s.gw1, "no-peer"))
	s.wait("gw1 to be active all the same", s.gw1.Is("active"))
	s.intact(asked)
	s.whole()
}

// mild checks that a planned move was nothing like a crash.
func (s *scene) mild(since time.Time) {
	s.t.Helper()
	now := time.Now()
	for name, echo := range map[string]*probe.Echo{"out": s.traffic.UDPOut, "in": s.traffic.UDPIn} {
		gap := echo.Gap(since, now)
		lost, sent := echo.Lost(since, now.Add(-500*time.Millisecond))
		s.t.Logf("datagrams %s: %d of %d lost, longest silence %v", name, lost, sent, gap)
		if gap.Duration() > s.Bound(s.gw2) {
			s.t.Errorf("datagrams %s: silence of %v, as in a crash", name, gap)
		}
	}
}

// alone fails the test if a process of the gateway is left.
func (s *scene) alone(g *pair.Gateway) {
	s.t.Helper()
	s.wait("no process left on "+g.Name, func(context.Context) error {
		list, err := processes(g)
		if err == nil && len(list) > 0 {
			err = errLeft(list)
		}
		return err
	})
}
