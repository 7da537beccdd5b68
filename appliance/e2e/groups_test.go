package e2e

import (
	"context"
	"fmt"
	"regexp"
	"testing"
	"time"

	"understudy/appliance/lab/pair"
)

// groupsAre is a condition: the gateway has these groups in these states.
func groupsAre(g *pair.Gateway, lan, wan string) func(context.Context) error {
	return func(ctx context.Context) error {
		st, err := g.Status(ctx)
		if err != nil {
			return err
		}
		got := map[string]string{}
		for _, x := range st.Groups {
			got[x.Name] = x.State
		}
		if len(got) != 2 || got["lan"] != lan || got["wan"] != wan {
			return fmt.Errorf("%s has %v, want lan %s, wan %s", g.Name, got, lan, wan)
		}
		return nil
	}
}

// Two groups of a pair are each on the node that is better for it, and one moves
// without the other noticing.
func TestTwoGroupsOnDifferentNodes(t *testing.T) {
	s := newScene(t, pair.Options{Interval: unhurried, NoNAT: true, NoSessions: true})
	s.settle()
	group := regexp.MustCompile(`(?s)\[\[group\]\].*?\]\n`)
	wan := regexp.MustCompile(`(?s)(interface = "wan0"\nvrid = 52\npriority = )\d+`)
	for i, g := range s.Gateways {
		c := group.ReplaceAllString(g.Config(), "")
		c = wan.ReplaceAllString(c, fmt.Sprintf("${1}%d", []int{100, 200}[i]))
		s.must(g.WriteFile(configPath, []byte(c), 0o644))
	}
	s.ok(s.gw1, "reload")
	s.ok(s.gw2, "reload")
	s.wait("a group each", all(groupsAre(s.gw1, "active", "backup"), groupsAre(s.gw2, "backup", "active")))
	s.stays("so", time.Second, all(groupsAre(s.gw1, "active", "backup"), groupsAre(s.gw2, "backup", "active")))

	lan := func(g *pair.Gateway) uint64 {
		for _, r := range s.status(g).Routers {
			if r.Name == "lan" {
				return r.Transitions
			}
		}
		return 0
	}
	before := [2]uint64{lan(s.gw1), lan(s.gw2)}
	s.ok(s.gw2, "failover", "wan")
	s.wait("both on gw1", all(groupsAre(s.gw1, "active", "active"), groupsAre(s.gw2, "backup", "backup")))
	s.ok(s.gw1, "failover", "wan")
	s.wait("a group each", all(groupsAre(s.gw1, "active", "backup"), groupsAre(s.gw2, "backup", "active")))
	if now := [2]uint64{lan(s.gw1), lan(s.gw2)}; now != before {
		t.Errorf("the other group had transitions: %d, then %d", before, now)
	}
	_, err := s.gw1.Crash()
	s.must(err)
	s.wait("both on gw2", groupsAre(s.gw2, "active", "active"))
}

// The cable of one member that comes and goes moves its whole group, once each way
// each time, and no more.
func TestFlappingMemberMovesItsGroupOnceEachWay(t *testing.T) {
	s := newScene(t, pair.Options{RouterKeys: "preempt = false"})
	s.settle()
	// Until then a silence means nothing to it, for as long as its links are new.
	s.wait("gw2 hears gw1", hears(s.gw2))
	s.load(s.gw1, 10)
	before := [2]uint64{s.transitions(s.gw1), s.transitions(s.gw2)}
	began := time.Now()
	const flaps = 5
	for range flaps {
		s.must(s.gw1.Link("wan0").Unplug())
		time.Sleep(100 * time.Millisecond)
		s.must(s.gw1.Link("wan0").Plug())
		time.Sleep(100 * time.Millisecond)
	}
	s.settled(s.gw2)
	s.stays("gw2 active", time.Second, s.Settled(s.gw2))
	s.intact(began)
	// Two routers: gw1 leaves and comes back for each flap, gw2 becomes active once.
	n1, n2 := s.transitions(s.gw1)-before[0], s.transitions(s.gw2)-before[1]
	if n1 > 2*2*flaps || n2 != 2 {
		t.Errorf("gw1 had %d transitions, gw2 %d", n1, n2)
	}
	s.whole()
}
