package e2e

import (
	"testing"
	"time"

	"understudy/appliance/lab/pair"
)

// The main job: the active gateway loses its power under load, and nobody
// notices more than a pause. The captures of both segments show that it was one:
// no gateway sent a packet with an inside source to the outside, a reset, or an
// ICMP error.
func TestCrashUnderLoad(t *testing.T) {
	s := newScene(t, pair.Options{})
	s.settle()
	s.load(s.gw1, 40)
	watch, err := s.StartWatch()
	s.must(err)

	cut := s.crash(s.gw1)
	s.intact(cut)
	s.wait("gw2 to hold the addresses", holds(s.gw2, true))
	s.wait("an alarm: there is no peer now", alarmed(s.gw2, "no-peer"))
	if took := s.status(s.gw2).Sessions.LastTakeover; took == nil || took.Installed != 0 {
		t.Errorf("the last takeover was %+v, want one with nothing left to install", took)
	}

	found, err := watch.Result()
	s.must(err)
	if !found.Clean() {
		t.Errorf("the gateways sent %d packets with an inside source, %d resets, %d ICMP errors: %q",
			found.Leaks, found.Resets, found.ICMPErrors, found.Examples)
	}
	s.whole()
}

// The probes can tell: without replication the same crash loses flows.
func TestCrashWithoutSessionsLosesFlows(t *testing.T) {
	s := newScene(t, pair.Options{NoSessions: true})
	s.settle()
	var err error
	s.traffic, err = s.StartTraffic(s.within(patience), pair.TrafficOptions{Connections: 10})
	s.must(err)
	cut := s.crash(s.gw1)
	if lost := s.traffic.Lost(s.within(3*time.Second), cut); len(lost) < 10 {
		t.Errorf("lost %v, want every connection", lost)
	}
}

// A gateway that came back and has just been told the sessions is as good as the
// one that told them.
func TestSecondCrashRightAfterTheFirst(t *testing.T) {
	for _, row := range []struct{ name, keys string }{
		{"the returned one stands by", "preempt = false"},
		{"the returned one is about to preempt", "preempt = true"},
	} {
		t.Run(row.name, func(t *testing.T) {
			s := newScene(t, pair.Options{RouterKeys: row.keys})
			s.settle()
			s.load(s.gw1, 20)
			cut := s.crash(s.gw1)
			s.intact(cut)

			s.must(s.gw1.Reboot())
			s.must(s.gw1.Start())
			s.wait("gw1 in sync", s.gw1.InSync)
			cut = s.crash(s.gw2)
			s.intact(cut)
			s.wait("gw1 to hold the addresses", holds(s.gw1, true))
			s.whole()
		})
	}
}
