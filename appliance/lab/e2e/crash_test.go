package e2e

import (
	"context"
	"errors"
	"testing"
	"time"

	"understudy/appliance/lab/pair"
)

// The probes can tell: without replication the flows are lost.
func TestWithoutSessionsFlowsAreLost(t *testing.T) {
	p := pair.NewT(t, pair.Options{Binary: binary, NoSessions: true})
	s := &scene{Pair: p, t: t, gw1: p.Gateways[0], gw2: p.Gateways[1]}
	for _, g := range p.Gateways {
		s.must(g.Start())
	}
	p.WaitT(t, "gw1 active", p.Settled(s.gw1))
	var err error
	s.Traffic, err = p.StartTraffic(s.within(), pair.TrafficOptions{Connections: 20})
	s.must(err)
	defer s.Traffic.Stop()
	_, err = s.gw1.Crash()
	s.must(err)
	cut := time.Now()
	p.WaitT(t, "gw2 active", s.gw2.Is("active"))
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	if lost := s.Lost(ctx, cut); len(lost) < 22 {
		t.Errorf("lost %v, want every connection and transfer", lost)
	}
}

func TestCrash(t *testing.T) {
	s := newScene(t, pair.Options{})
	s.crash(s.gw1)
	s.end()
}

// The one that came back is the standby of the one that took over, and takes
// over from it before it has been quiet for a moment.
func TestSecondCrashRightAfterTheFirst(t *testing.T) {
	s := newScene(t, pair.Options{RouterKeys: "preempt = false"})
	s.crash(s.gw1)
	s.reboot(s.gw1)
	s.WaitT(t, "gw1 standing by, in sync", s.Settled(s.gw2))
	s.crash(s.gw2)
	s.end()
}

func TestReturnAfterReboot(t *testing.T) {
	s := newScene(t, pair.Options{})
	s.crash(s.gw1)
	back := time.Now()
	s.reboot(s.gw1)
	s.WaitT(t, "gw1 active again", s.Settled(s.gw1))
	s.alive(back)
	s.holds(s.gw1, true)
	s.holds(s.gw2, false)
	s.crash(s.gw1) // and again
	s.end()
}

// gw1 comes back with the connections, addresses and rules of before. Some of
// its connections have ended meanwhile, others have begun.
func TestReturnWithStaleTable(t *testing.T) {
	s := newScene(t, pair.Options{})
	s.crash(s.gw1)
	stale, err := s.gw1.Conntrack()
	s.must(err)
	if len(stale) < s.Total() {
		t.Fatalf("%d connections in the stale table, want %d or more", len(stale), s.Total())
	}
	s.moves()
	back := time.Now()
	s.must(s.gw1.Start())
	// Plugged in when the program has been there: before that, two would have
	// the addresses, as with any machine that is out of control.
	s.holds(s.gw1, false)
	s.must(s.gw1.PlugAll())
	s.WaitT(t, "gw1 active again", s.Settled(s.gw1))
	s.alive(back)
	s.crash(s.gw1)
	s.end()
}

func TestHandOver(t *testing.T) {
	s := newScene(t, pair.Options{})
	asked := time.Now()
	s.must(s.gw1.Failover(s.within()))
	s.WaitT(t, "gw2 active", s.Settled(s.gw2))
	s.alive(asked)
	s.holds(s.gw1, false)
	s.holds(s.gw2, true)
	// It stays where it was put, and can be put back.
	s.moves()
	asked = time.Now()
	s.must(s.gw2.Failover(s.within()))
	s.WaitT(t, "gw1 active", s.Settled(s.gw1))
	s.alive(asked)
	s.end()
}

// gw1 boots, hears nobody, and becomes active with an empty table, as a gateway
// does that starts beside one too busy to advertise in time. When they hear each
// other gw1 wins; the sessions, which gw2 alone has, must not be the price.
func TestReturnWithoutHearingTheOther(t *testing.T) {
	s := newScene(t, pair.Options{})
	s.crash(s.gw1)
	back := time.Now()
	s.must(s.gw1.Reboot())
	for _, name := range []string{"lan0", "wan0"} {
		s.must(s.gw1.Link(name).Silence())
	}
	s.must(s.gw1.Start())
	s.WaitT(t, "gw1 active on its own", s.gw1.Is("active"))
	s.WaitT(t, "the session link", s.gw1.InSync)
	s.WaitT(t, "gw2 active still", s.gw2.Is("active"))
	for _, name := range []string{"lan0", "wan0"} {
		s.must(s.gw1.Link(name).Unsilence())
	}
	s.WaitT(t, "one active gateway", s.Settled(s.gw1))
	s.alive(back)
	s.end()
}

// As before, but gw1 has won before it heard of a single session: what it does
// not know is no reason for gw2 to forget it.
func TestReturnBeforeAnySessionArrived(t *testing.T) {
	known(t, "the one that yields sweeps what the winner never had")
	s := newScene(t, pair.Options{})
	s.crash(s.gw1)
	back := time.Now()
	s.must(s.gw1.Reboot())
	s.must(s.gw1.Link("sync0").Unplug())
	for _, name := range []string{"lan0", "wan0"} {
		s.must(s.gw1.Link(name).Silence())
	}
	s.must(s.gw1.Start())
	s.WaitT(t, "gw1 active on its own", s.gw1.Is("active"))
	for _, name := range []string{"lan0", "wan0"} {
		s.must(s.gw1.Link(name).Unsilence())
	}
	s.WaitT(t, "gw2 standing by", s.gw2.Is("backup"))
	s.must(s.gw1.Link("sync0").Plug())
	s.WaitT(t, "one active gateway", s.Settled(s.gw1))
	s.alive(back)
	s.end()
}

// Without the sync link the roles stay; what happened meanwhile is made up for.
func TestSyncLinkCutAndHealed(t *testing.T) {
	s := newScene(t, pair.Options{})
	cut := time.Now()
	link := s.gw1.Link("sync0")
	s.must(link.Unplug())
	s.WaitT(t, "the gateways to notice", func(ctx context.Context) error {
		st, err := s.gw1.Status(ctx)
		if err != nil {
			return err
		}
		if st.Sessions.Peers[0].Connected {
			return errors.New("connected")
		}
		return nil
	})
	s.WaitT(t, "gw1 active still", s.gw1.Is("active"))
	s.WaitT(t, "gw2 standing by still", s.gw2.Is("backup"))
	more, err := s.StartMore(s.within(), 10)
	s.must(err)
	defer more.Stop()
	s.alive(cut)
	s.must(link.Plug())
	s.WaitT(t, "in sync again", s.Settled(s.gw1))
	s.crash(s.gw1)
	if dead := more.Check(s.within()); len(dead) > 0 {
		t.Errorf("connections that began during the cut are dead: %v", dead)
	}
	s.end()
}
