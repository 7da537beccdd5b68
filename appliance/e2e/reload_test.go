package e2e

import (
	"context"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"understudy/appliance/lab/pair"
	"understudy/appliance/lab/probe"
)

// more is the gateway's configuration with an address and two forwards added.
func more(g *pair.Gateway) string { return g.MoreConfig() }

// An address and a forward are added to running gateways. They work, they are
// replicated, and what was there before did not notice.
func TestReloadAddsAnAddressAndForwards(t *testing.T) {
	s := newScene(t, pair.Options{Interval: unhurried})
	s.settle()
	s.load(s.gw1, 20)
	before := [2]uint64{s.transitions(s.gw1), s.transitions(s.gw2)}

	began := time.Now()
	for _, g := range []*pair.Gateway{s.gw2, s.gw1} {
		s.must(g.WriteFile(configPath, []byte(more(g)), 0o644))
		if out := s.ok(g, "check", "--config", configPath); out == "" {
			t.Error("check has nothing to say")
		}
		s.ok(g, "reload")
	}
	s.wait("the new address", all(hasNew(s.gw1, true), hasNew(s.gw2, false)))
	s.settled(s.gw1)
	a := s.through(pair.MoreForward)
	b := s.through(pair.MoreHost)
	s.intact(began)
	if now := [2]uint64{s.transitions(s.gw1), s.transitions(s.gw2)}; now != before {
		t.Errorf("transitions were %d, are %d", before, now)
	}
	s.wait("equal tables", s.tablesEqual(s.gw1))
	s.wait("no alarm", all(calm(s.gw1), calm(s.gw2)))
	if n := s.status(s.gw1).NAT.Forwards; n != 4 {
		t.Errorf("status shows %d forwards, want 4", n)
	}

	cut := s.crash(s.gw1)
	s.intact(cut)
	s.wait("the new address on gw2", hasNew(s.gw2, true))
	for name, c := range map[string]*probe.Conns{"to the new address": a, "to the new server": b} {
		if dead := c.Check(s.within(patience)); len(dead) > 0 {
			t.Errorf("connections %s did not survive: %v", name, dead)
		}
	}
	s.whole()
}

// The same by SIGHUP, and taken back again.
func TestReloadBySignalThereAndBack(t *testing.T) {
	s := newScene(t, pair.Options{Interval: unhurried})
	s.settle()
	s.load(s.gw1, 10)
	before := [2]uint64{s.transitions(s.gw1), s.transitions(s.gw2)}
	began := time.Now()
	reload := func(file func(*pair.Gateway) string, want bool) {
		t.Helper()
		for _, g := range s.Gateways {
			s.must(g.WriteFile(configPath, []byte(file(g)), 0o644))
			s.must(g.Process().Signal(syscall.SIGHUP))
		}
		s.wait(fmt.Sprintf("the new address: %v", want), all(hasNew(s.gw1, want), hasNew(s.gw2, false)))
		s.settled(s.gw1)
		s.intact(began)
	}
	reload(more, true)
	a := s.through(pair.MoreForward)
	a.Stop()
	reload((*pair.Gateway).Config, false)
	if now := [2]uint64{s.transitions(s.gw1), s.transitions(s.gw2)}; now != before {
		t.Errorf("transitions were %d, are %d", before, now)
	}
	s.wait("equal tables", s.tablesEqual(s.gw1))
	s.wait("no alarm", all(calm(s.gw1), calm(s.gw2)))
	s.whole()
}

// A file with a mistake changes nothing, whoever asks for the reload, and the
// answer names file, line and key.
func TestReloadRefusedChangesNothing(t *testing.T) {
	s := newScene(t, pair.Options{Interval: unhurried})
	s.settle()
	s.load(s.gw1, 10)
	before := [2]uint64{s.transitions(s.gw1), s.transitions(s.gw2)}
	began := time.Now()
	// With the new address and forwards, so that half a reload would show.
	broken := strings.Replace(more(s.gw1), "vrid = 52", "vrid = 51\ninterfaec = \"wan0\"", 1)
	line := 1 + strings.Count(broken[:strings.Index(broken, "interfaec")], "\n")
	where := fmt.Sprintf("%s:%d: ", configPath, line)
	s.must(s.gw1.WriteFile(configPath, []byte(broken), 0o644))

	if a := s.cli(s.gw1, "reload"); a.code == 0 || !strings.Contains(a.out, where) || !strings.Contains(a.out, "interfaec") {
		t.Errorf("reload: exit code %d, want a refusal that names %q\n%s", a.code, where, a.out)
	}
	if got := s.status(s.gw1).ReloadError; !strings.Contains(got, where) {
		t.Errorf("status says of the reload: %q, want %q in it", got, where)
	}
	n := len(s.journal.of(s.gw1, where))
	s.must(s.gw1.Process().Signal(syscall.SIGHUP))
	s.wait("a refusal in the log", func(context.Context) error {
		if len(s.journal.of(s.gw1, where)) <= n {
			return fmt.Errorf("no line with %q", where)
		}
		return nil
	})
	s.wait("the addresses as they were", all(holds(s.gw1, true), hasNew(s.gw1, false)))
	s.settled(s.gw1)
	s.intact(began)
	if f := s.status(s.gw1).NAT.Forwards; f != 2 {
		t.Errorf("status shows %d forwards, want the 2 from before", f)
	}

	// What cannot change under traffic is refused too, with a reason.
	s.must(s.gw1.WriteFile(configPath, []byte(strings.Replace(s.gw1.Config(), "10.255.0.1:7788", "10.255.0.1:7789", 1)), 0o644))
	if a := s.cli(s.gw1, "reload"); a.code == 0 || !strings.Contains(a.out, "restart") || !strings.Contains(a.out, "listen") {
		t.Errorf("reload with another listener: exit code %d\n%s", a.code, a.out)
	}

	// The right file again ends the matter.
	s.must(s.gw1.WriteFile(configPath, []byte(s.gw1.Config()), 0o644))
	s.ok(s.gw1, "reload")
	if got := s.status(s.gw1).ReloadError; got != "" {
		t.Errorf("status still says of the reload: %q", got)
	}
	s.settled(s.gw1)
	s.intact(began)
	if now := [2]uint64{s.transitions(s.gw1), s.transitions(s.gw2)}; now != before {
		t.Errorf("transitions were %d, are %d", before, now)
	}
	s.whole()
}

// through opens connections from the outside through a forward.
func (s *scene) through(f pair.Forward) *probe.Conns {
	s.t.Helper()
	c, err := s.Through(s.within(patience), f, 6)
	s.must(err)
	s.t.Cleanup(c.Stop)
	return c
}

// hasNew is a condition: the gateway has the new address, or not.
func hasNew(g *pair.Gateway, want bool) func(context.Context) error {
	return func(context.Context) error {
		addrs, err := g.Link("wan0").Addrs()
		if err != nil {
			return err
		}
		for _, a := range addrs {
			if a.Addr() == pair.MoreAddress.Addr() {
				if want {
					return nil
				}
				return fmt.Errorf("%s has it", g.Name)
			}
		}
		if want {
			return fmt.Errorf("%s does not have it", g.Name)
		}
		return nil
	}
}
