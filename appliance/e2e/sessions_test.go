package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"understudy/appliance"
	"understudy/appliance/lab/pair"
)

// objects decodes JSON, an object a line.
func objects[T any](t *testing.T, text string) (out []T) {
	t.Helper()
	in := json.NewDecoder(strings.NewReader(text))
	for in.More() {
		var v T
		if err := in.Decode(&v); err != nil {
			t.Fatalf("%v in %s", err, text)
		}
		out = append(out, v)
	}
	return out
}

// An operator sees the sessions, is told on either node that they are the same, and,
// when they are not, which flows a crash would lose and why; after it, which it has lost.
func TestSessionsCommand(t *testing.T) {
	s := newScene(t, pair.Options{SessionKeys: "[[sessions.class]]\nprotocol = \"tcp\"\nports = [\"7777\"]\nmin_age = \"1h\""})
	if a := s.cli(s.gw1, "sessions"); a.code != 1 || !strings.Contains(a.out, socketPath) {
		t.Errorf("sessions of nobody: exit code %d\n%s", a.code, a.out)
	}
	s.settle()
	s.load(s.gw1, 10)
	all := objects[appliance.Flow](t, s.ok(s.gw1, "sessions", "--json"))
	udp := objects[appliance.Flow](t, s.ok(s.gw2, "sessions", "--json", "--protocol", "udp"))
	if len(all) < s.traffic.Total() || len(udp) == 0 || len(udp) >= len(all) {
		t.Errorf("gw1 lists %d sessions of %d, gw2 %d of UDP", len(all), s.traffic.Total(), len(udp))
	}
	for _, f := range all {
		if f.Group != pair.Group || !f.Own || !f.Source.IsValid() || !f.ReplyDestination.IsValid() {
			t.Errorf("gw1 lists %+v", f)
		}
	}
	for _, f := range udp {
		if f.Protocol != "udp" || f.Own || !f.Installed {
			t.Errorf("gw2 lists %+v", f)
		}
	}
	s.wait("no difference", s.noDifference)
	if out := s.ok(s.gw1, "status"); !strings.Contains(out, "if it died now") {
		t.Errorf("status says nothing of a crash:\n%s", out)
	}

	young := s.conns(7777, 3)
	s.wait("three young flows", func(context.Context) error {
		if u := s.status(s.gw1).Sessions.Unprotected; u.Young != 3 || u.Peer != "gw2" || len(u.Classes) != 1 || u.Classes[0].Class != "tcp 7777" {
			return fmt.Errorf("%+v", u)
		}
		return nil
	})
	s.wait("just these in the difference", func(context.Context) error {
		a := s.cli(s.gw1, "sessions", "--diff", "--json")
		if n := strings.Count(a.out, `"why":"young"`); a.code != 1 || n != 3 || strings.Count(a.out, "\n") != 4 || !strings.Contains(a.out, `"lacks young":3`) {
			return fmt.Errorf("exit code %d, %d young: %s", a.code, n, a.out)
		}
		return nil
	})
	if out := s.ok(s.gw2, "sessions", "--takeovers"); !strings.Contains(out, "no takeover yet") {
		t.Errorf("takeovers of a standby: %s", out)
	}

	time.Sleep(3 * time.Second) // gw1 tells of them with its next sign of life, each 250 ms if it is let

	cut := s.crash(s.gw1)
	s.intact(cut)
	if n := len(young.Check(s.within(8 * time.Second))); n != 3 {
		t.Errorf("%d of them are lost, want 3", n)
	}
	s.wait("the report to name those that are lost", func(context.Context) error {
		took := objects[appliance.TakeoverStatus](t, s.ok(s.gw2, "sessions", "--takeovers", "--json"))
		if len(took) != 1 || took[0].From != "gw1" || took[0].Hot < s.traffic.Total() || took[0].Installed != 0 || took[0].LostEstimate == nil || *took[0].LostEstimate < 3 {
			return fmt.Errorf("%+v", took)
		}
		named := map[string]bool{}
		for _, l := range took[0].Lost {
			if l.Flow.Destination.Port() == 7777 {
				named[l.Flow.Source.String()] = true
			}
		}
		if len(named) != 3 {
			return fmt.Errorf("%d named: %+v", len(named), took[0].Lost)
		}
		return nil
	})
	for _, args := range [][]string{{"sessions", "--diff", "--takeovers"}, {"sessions", "--peer", "gw1"}} {
		if a := s.cli(s.gw1, args...); a.code != 2 {
			t.Errorf("%v: exit code %d, want 2\n%s", args, a.code, a.out)
		}
	}
	s.whole()
}
