package e2e

import (
	"context"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"understudy/appliance"
	"understudy/appliance/lab/pair"
	"understudy/nat/session"
)

// Everything between the gateways is cut for some seconds, the session link as well.
// Both serve, and flows begin on both; some at gw2 get a public port that gw1 has given
// away. When they meet again gw1 goes on, with the flows of both but for those whose port
// it uses itself.
func TestCase49SplitBrainWithoutTheSessionLink(t *testing.T) {
	s := newScene(t, pair.Options{})
	s.settle()
	s.load(s.gw1, 10)
	cut := time.Now()
	links := []string{"lan0", "wan0", "sync0"}
	for _, name := range links {
		s.must(s.gw2.Link(name).Silence())
	}
	s.wait("two active ones", all(s.gw1.Is("active"), s.gw2.Is("active")))
	s.wait("both to miss the other", all(alarmed(s.gw1, "no-peer"), alarmed(s.gw2, "no-peer")))

	// The hosts are on gw1's side.
	newcomers := s.conns(9100, 10)
	server := netip.AddrPortFrom(pair.Outside, 9100)
	here, err := s.gw1.Entries()
	s.must(err)
	var theirs, thieves []session.Record
	taken := map[uint16]bool{}
	for k, r := range here {
		if taken[r.ReplyDstPort] = true; k.DstPort == server.Port() && len(thieves) < 3 {
			src := netip.AddrPortFrom(pair.InsideHost, uint16(700+len(thieves)))
			thieves = append(thieves, outward(src, server, r.ReplyDstPort))
		}
	}
	for port := uint16(50000); len(theirs) < 20; port++ {
		if !taken[port] {
			theirs = append(theirs, outward(netip.AddrPortFrom(pair.InsideHost, uint16(800+len(theirs))), server, port))
		}
	}
	s.plant(s.gw2, append(theirs, thieves...)...)
	s.wait("gw2 to know what began there", func(ctx context.Context) error {
		found := 0
		for _, f := range objects[appliance.Flow](t, s.ok(s.gw2, "sessions", "--json", "--protocol", "tcp")) {
			if f.Own && f.Source.Addr() == pair.InsideHost && f.Source.Port() >= 700 && f.Source.Port() < 820 {
				found++
			}
		}
		if found != len(theirs)+len(thieves) {
			return fmt.Errorf("%d", found)
		}
		return nil
	})
	s.intact(cut)

	healed := time.Now()
	for _, name := range links {
		s.must(s.gw2.Link(name).Unsilence())
	}
	s.settled(s.gw1)
	s.intact(healed)
	s.wait("equal tables", s.Alike(s.gw1))
	t.Logf("two were active for %v", healed.Sub(cut))
	now, err := s.gw1.Entries()
	s.must(err)
	for _, r := range theirs {
		if have, ok := now[r.Key]; !ok || !have.SameBinding(&r) {
			t.Errorf("gw1 lacks %s", r.String())
		}
	}
	for _, r := range thieves {
		if have, ok := now[r.Key]; ok {
			t.Errorf("gw1 has %s", have.String())
		}
	}
	s.wait("no alarm", all(calm(s.gw1), calm(s.gw2)))

	crashed := s.crash(s.gw1)
	s.intact(crashed)
	if dead := newcomers.Check(s.within(patience)); len(dead) > 0 {
		t.Errorf("connections that began at gw1 are dead: %v", dead)
	}
	s.whole()
}
