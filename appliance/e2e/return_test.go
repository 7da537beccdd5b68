package e2e

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"understudy/appliance/lab/pair"
	"understudy/appliance/lab/probe"
)

// A gateway comes back with an empty kernel, learns every session, and only then
// takes its role back.
func TestReturnAfterReboot(t *testing.T) {
	s := newScene(t, pair.Options{})
	s.settle()
	s.load(s.gw1, 20)
	cut := s.crash(s.gw1)
	s.intact(cut)

	back := time.Now()
	s.must(s.gw1.Reboot())
	if n := len(natted(s.table(s.gw1))); n != 0 {
		t.Fatalf("%d translated flows after a reboot", n)
	}
	s.must(s.gw1.Start())
	s.settled(s.gw1)
	s.intact(back)
	s.wait("gw2 to let the addresses go", holds(s.gw2, false))
	s.wait("equal tables", s.tablesEqual(s.gw1))
	s.order(s.gw1, `"sessions in sync"`, `"state":"active"`)
	s.wait("no alarm", all(calm(s.gw1), calm(s.gw2)))

	cut = s.crash(s.gw1) // and once more
	s.intact(cut)
	s.whole()
}

// order checks that in the gateway's log since its last start a line with first
// comes before one with second.
func (s *scene) order(g *pair.Gateway, first, second string) {
	s.t.Helper()
	log := g.Output()
	a, b := strings.Index(log, first), strings.Index(log, second)
	if a < 0 || b < 0 || a > b {
		s.t.Errorf("in the log of %s, want %s (at %d) before %s (at %d)", g.Name, first, a, second, b)
	}
}

// A gateway comes back with the kernel of before its crash: connections that
// have ended meanwhile, one that began again with another translation, and one
// whose translation has gone to somebody else. Afterwards its table is what the
// other gateway says, and what lived goes on.
func TestReturnWithAStaleTable(t *testing.T) {
	s := newScene(t, pair.Options{})
	s.settle()
	s.load(s.gw1, 20)
	leavers := s.conns(9100, 10)
	rebound := s.udp(pair.InsideHost, 40000)
	s.seen(rebound, "203.0.113.1:40000")
	s.wait("the standby to have every flow", s.tablesEqual(s.gw1))

	cut := s.crash(s.gw1)
	s.intact(cut)
	stale := natted(s.table(s.gw1))

	// What happens while it is away.
	leavers.Stop()
	s.wait("gw2 to know that they have ended", func(context.Context) error {
		for f := range natted(s.table(s.gw2)) {
			if strings.Contains(f, ":9100,") {
				return errors.New(f)
			}
		}
		return nil
	})
	newcomers := s.conns(9101, 10)
	rebound.conn.Close()
	s.forget(s.gw2, pair.InsideHost, 40000)
	thief := s.udp(pair.Server, 40000) // the same port from another host
	s.seen(thief, "203.0.113.1:40000")
	rebound = s.udp(pair.InsideHost, 40000)
	elsewhere := s.ask(rebound)
	if elsewhere == "203.0.113.1:40000" {
		t.Fatal("the flow has its old translation")
	}

	// It starts before its cables are in: until then two would have the
	// addresses, as with any machine that is out of control.
	if now := natted(s.table(s.gw1)); len(now) != len(stale) {
		t.Fatalf("the stale table has %d flows, had %d", len(now), len(stale))
	}
	back := time.Now()
	s.must(s.gw1.Start())
	s.wait("gw1 to be without the addresses of before", holds(s.gw1, false))
	s.must(s.gw1.PlugAll())
	s.settled(s.gw1)
	s.intact(back)
	s.wait("equal tables", s.tablesEqual(s.gw1))
	s.seen(thief, "203.0.113.1:40000")
	s.seen(rebound, elsewhere)
	if dead := newcomers.Check(s.within(patience)); len(dead) > 0 {
		t.Errorf("connections that began meanwhile are dead: %v", dead)
	}
	for f := range natted(s.table(s.gw1)) {
		if strings.Contains(f, ":9100,") {
			t.Errorf("gw1 still has %s, which has ended", f)
		}
	}

	cut = s.crash(s.gw1) // what came back from there goes there again
	s.intact(cut)
	s.seen(thief, "203.0.113.1:40000")
	s.seen(rebound, elsewhere)
	s.whole()
}

// conns opens connections outwards, beside the traffic.
func (s *scene) conns(port uint16, count int) *probe.Conns {
	s.t.Helper()
	at := netip.AddrPortFrom(pair.Outside, port)
	c, err := probe.StartConns(s.within(patience), probe.ConnsOptions{Client: s.Inside, Server: s.Outside, Listen: at, Target: at, Count: count})
	s.must(err)
	s.t.Cleanup(c.Stop)
	return c
}

// Without the session link a gateway cannot be in sync, so it leaves a live
// Active alone, and says why; as soon as the link is there it takes its role.
func TestReturnWithoutTheSessionLinkWaits(t *testing.T) {
	s := newScene(t, pair.Options{})
	s.settle()
	s.load(s.gw1, 10)
	cut := s.crash(s.gw1)
	s.intact(cut)
	s.must(s.gw1.Reboot())
	s.must(s.gw1.Link("sync0").Unplug())
	s.must(s.gw1.Start())
	s.wait("gw1 standing by, with an alarm", all(s.gw1.Is("backup"), alarmed(s.gw1, "no-peer")))
	s.stays("gw1 standing by", 2*time.Second, s.gw1.Is("backup"))
	s.wait("the alarm", alarmed(s.gw1, "no-peer"))
	healed := time.Now()
	s.must(s.gw1.Link("sync0").Plug())
	s.settled(s.gw1)
	s.intact(healed)
	s.wait("equal tables", s.tablesEqual(s.gw1))
	s.order(s.gw1, `"sessions in sync"`, `"state":"active"`)
	s.whole()
}
