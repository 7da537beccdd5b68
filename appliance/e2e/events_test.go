package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"understudy/appliance/history"
	"understudy/appliance/lab/pair"
)

// events asks a gateway what happened.
func (s *scene) events(g *pair.Gateway, args ...string) (out []history.Event) {
	s.t.Helper()
	for line := range strings.Lines(s.ok(g, append([]string{"events", "--json", "-n", "0"}, args...)...)) {
		var e history.Event
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			s.t.Fatalf("%v in %s", err, line)
		}
		out = append(out, e)
	}
	return out
}

// lastTo is the last change of state to one.
func lastTo(events []history.Event, state string) history.Event {
	for _, e := range slices.Backward(events) {
		if e.Kind == history.Transition && e.To == state && !e.Leaving {
			return e
		}
	}
	return history.Event{}
}

// whole is a condition: the last change to a state is there, with all of its phases.
func (s *scene) wholeEvent(g *pair.Gateway, state string, since time.Time) func(context.Context) error {
	return func(context.Context) error {
		if e := lastTo(s.events(g), state); e.At.Before(since) || e.Open {
			return fmt.Errorf("the last change to %s is %+v", state, e)
		}
		return nil
	}
}

func phaseOf(e history.Event, name string) (seconds float64, ok bool) {
	for _, p := range e.Phases {
		if p.Name == name {
			return p.Seconds, true
		}
	}
	return 0, false
}

// Why did we fail over at 03:12? Who asks is told the cause, what was known, and how long
// each part took; also by a daemon that was not there itself.
func TestEventsSayWhy(t *testing.T) {
	s := newScene(t, pair.Options{Interval: unhurried})
	s.settle()
	began := time.Now()
	s.ok(s.gw1, "failover")
	s.settled(s.gw2)
	s.wait("gw1 to have given up", s.wholeEvent(s.gw1, "backup", began))
	if e := lastTo(s.events(s.gw1), "backup"); e.Cause != "successor" && e.Cause != "better-active" || !slices.ContainsFunc(e.Evidence, func(l string) bool {
		return strings.HasPrefix(l, "an operator had asked for failover")
	}) {
		t.Errorf("gw1 has given up as %+v", e)
	}
	if _, ok := phaseOf(lastTo(s.events(s.gw1), "backup"), history.PhaseRemove); !ok {
		t.Error("it is not told how long it took to give up")
	}

	// A daemon that dies takes nothing of it with it.
	before := s.events(s.gw1, "--kind", "transition")
	pid := s.kill(s.gw1, "daemon")
	s.wait("another daemon", replaced(s.gw1, pid, "daemon"))
	s.settled(s.gw2)
	after := s.events(s.gw1, "--kind", "transition")
	if len(after) != len(before) || len(after) == 0 || after[len(after)-1].Text != before[len(before)-1].Text {
		t.Errorf("before the daemon died:\n%+v\nafter:\n%+v", before, after)
	}
	if all := s.events(s.gw1); !slices.ContainsFunc(all, func(e history.Event) bool { return e.Cause == "daemon-started" && e.ID > before[len(before)-1].ID }) {
		t.Errorf("nothing of the new daemon in %+v", all)
	}

	cutting := time.Now()
	s.crash(s.gw2)
	s.wait("the whole of the takeover", s.wholeEvent(s.gw1, "active", cutting))
	e := lastTo(s.events(s.gw1), "active")
	if e.Cause != "active-down" || !strings.Contains(e.Text, "was not heard any more") || e.Term == 0 {
		t.Errorf("the takeover is %+v", e)
	}
	for _, router := range []string{"lan: last advert of ", "wan: last advert of "} {
		if !slices.ContainsFunc(e.Evidence, func(l string) bool { return strings.HasPrefix(l, router) }) {
			t.Errorf("no evidence of %q in %q", router, e.Evidence)
		}
	}
	// The silence is of three adverts at least.
	if d, ok := phaseOf(e, history.PhaseDetect); !ok || d < 3*unhurried.Seconds() || d > e.DurationSeconds {
		t.Errorf("detection took %v of %v", d, e.DurationSeconds)
	}
	for _, name := range []string{history.PhaseTold, history.PhaseSessions, history.PhaseGate, history.PhaseAddresses, history.PhaseAnnounce} {
		if _, ok := phaseOf(e, name); !ok {
			t.Errorf("no phase %q in %+v", name, e.Phases)
		}
	}
	var text string
	s.wait("all of it to be told", func(context.Context) error {
		text = s.ok(s.gw1, "events", "--since", "10m")
		for _, want := range []string{"gateway is active, was backup", "took ", "detect ", "no-peer"} {
			if !strings.Contains(text, want) {
				return fmt.Errorf("no %q in\n%s", want, text)
			}
		}
		return nil
	})
	t.Logf("\n%s", text)
	if a := s.cli(s.gw1, "events", "--since", "yesterday"); a.code != 2 {
		t.Errorf("a time that is none: exit code %d\n%s", a.code, a.out)
	}
	if got := s.events(s.gw1, "--since", "0s"); len(got) != 0 {
		t.Errorf("what is to come: %+v", got)
	}
}
