package e2e

import (
	"context"
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"

	"understudy/appliance/lab/pair"
)

// The session link is cut while flows come and go, and healed. Nobody changes
// its role; afterwards the two kernels are equal again, entry by entry.
func TestSessionLinkCutAndHealed(t *testing.T) {
	s := newScene(t, pair.Options{Interval: unhurried})
	s.settle()
	s.load(s.gw1, 20)
	leavers := s.conns(9100, 10)
	rebound := s.udp(pair.InsideHost, 40000)
	s.wait("equal tables", s.tablesEqual(s.gw1))
	before := [2]uint64{s.transitions(s.gw1), s.transitions(s.gw2)}
	resync := lastResync(s, s.gw1)

	cut := time.Now()
	s.must(s.gw2.Link("sync0").Unplug())
	s.wait("both to notice", all(alarmed(s.gw1, "no-peer"), alarmed(s.gw2, "no-peer")))
	leavers.Stop()
	newcomers := s.conns(9101, 10)
	rebound.conn.Close()
	s.forget(s.gw1, pair.InsideHost, 40000)
	thief := s.udp(pair.Server, 40000)
	s.seen(thief, "203.0.113.1:40000")
	rebound = s.udp(pair.InsideHost, 40000)
	elsewhere := s.ask(rebound)
	for n := range 5 {
		if _, err := s.traffic.In.Fresh(s.within(patience)); err != nil {
			t.Fatalf("new connection %d during the cut: %v", n, err)
		}
	}
	s.intact(cut)
	if err := s.Alike(s.gw1)(s.within(patience)); err == nil {
		t.Fatal("the tables are equal without a link: the test shows nothing")
	} else {
		t.Logf("without a link: %v", err)
	}

	s.must(s.gw2.Link("sync0").Plug())
	s.settled(s.gw1)
	s.wait("equal tables", s.Alike(s.gw1))
	s.wait("no alarm", all(calm(s.gw1), calm(s.gw2)))
	if now := lastResync(s, s.gw1); !now.After(resync) {
		t.Errorf("the last resync was at %v, want one after %v", now, resync)
	}
	if now := [2]uint64{s.transitions(s.gw1), s.transitions(s.gw2)}; now != before {
		t.Errorf("transitions were %d, are %d: the session link decides nothing", before, now)
	}

	crashed := s.crash(s.gw1)
	s.intact(crashed)
	if dead := newcomers.Check(s.within(patience)); len(dead) > 0 {
		t.Errorf("connections that began during the cut are dead: %v", dead)
	}
	s.seen(thief, "203.0.113.1:40000")
	s.seen(rebound, elsewhere)
	s.whole()
}

func lastResync(s *scene, g *pair.Gateway) time.Time {
	s.t.Helper()
	for _, p := range s.status(g).Sessions.Peers {
		if p.LastResync != nil {
			return *p.LastResync
		}
	}
	s.t.Fatalf("%s has not been through a resync", g.Name)
	return time.Time{}
}

// The link goes again and again, while flows come and go all the time.
func TestSessionLinkFlaps(t *testing.T) {
	s := newScene(t, pair.Options{})
	s.settle()
	s.load(s.gw1, 10)
	began := time.Now()
	for n := range 6 {
		link := s.gw1.Link("sync0")
		s.must(link.Unplug())
		c := s.conns(uint16(9300+n), 5)
		time.Sleep(time.Duration(100*n) * time.Millisecond) // each cut at another moment of the resync
		s.must(link.Plug())
		if n%2 == 0 {
			c.Stop()
		}
		time.Sleep(30 * time.Millisecond)
	}
	s.settled(s.gw1)
	s.wait("equal tables", s.Alike(s.gw1))
	s.intact(began)
	s.whole()
}

// The peer is told nothing for a while although its link stands: a switch that
// passes nothing. Both notice, and heal by themselves.
func TestSessionLinkSilent(t *testing.T) {
	s := newScene(t, pair.Options{})
	s.settle()
	s.load(s.gw1, 10)
	began := time.Now()
	s.must(s.gw1.Link("sync0").Silence())
	s.wait("both to notice", all(alarmed(s.gw1, "no-peer"), alarmed(s.gw2, "no-peer")))
	more := s.conns(9100, 5)
	s.must(s.gw1.Link("sync0").Unsilence())
	s.settled(s.gw1)
	s.wait("equal tables", s.tablesEqual(s.gw1))
	crashed := s.crash(s.gw1)
	s.intact(began)
	s.intact(crashed)
	if dead := more.Check(s.within(patience)); len(dead) > 0 {
		t.Errorf("connections that began during the silence are dead: %v", dead)
	}
}

// With one segment cut, neither takes the group apart; with both, each serves
// what it reaches, and after the heal one of them has all.
func TestSplitOfBothSegmentsHeals(t *testing.T) {
	s := newScene(t, pair.Options{Interval: unhurried})
	s.settle()
	s.load(s.gw1, 10)
	before := s.transitions(s.gw2)
	s.must(s.gw2.Link("wan0").Silence())
	s.stays("gw2 standing by while it hears one of two segments", time.Second, s.gw2.Is("backup"))
	if now := s.transitions(s.gw2); now != before {
		t.Errorf("gw2 had %d transitions with one segment silent", now-before)
	}
	s.must(s.gw2.Link("lan0").Silence())
	s.wait("two active ones", all(s.gw1.Is("active"), s.gw2.Is("active")))
	healed := time.Now()
	for _, name := range []string{"lan0", "wan0"} {
		s.must(s.gw2.Link(name).Unsilence())
	}
	s.settled(s.gw1)
	s.intact(healed)
	s.wait("equal tables", s.Alike(s.gw1))
	s.wait("no alarm", all(calm(s.gw1), calm(s.gw2)))
	s.whole()
}

// Boxes that do not share a secret, or do not know each other, still elect, but
// never get to see a session of the other; and they say so.
func TestStrangersDoNotConnect(t *testing.T) {
	other := func(s *scene) (config, secret string) {
		return s.gw2.Config(), s.ok(s.gw1, "keygen")
	}
	sameName := func(s *scene) (config, secret string) {
		c := strings.Replace(s.gw2.Config(), `node = "gw2"`, `node = "gw1"`, 1)
		return strings.Replace(c, `peers = [{ name = "gw1"`, `peers = [{ name = "gw2"`, 1), ""
	}
	stranger := func(s *scene) (config, secret string) {
		return strings.Replace(s.gw2.Config(), `node = "gw2"`, `node = "gw3"`, 1), ""
	}
	for _, row := range []struct {
		name string
		file func(*scene) (config, secret string)
		why  string // in the log of gw1
	}{
		{"another secret", other, "cluster secret"},
		{"the same name", sameName, "own name"},
		{"a name that is not expected", stranger, "no configured peer"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t, pair.Options{})
			s.must(s.gw1.Start())
			s.startWith(s.gw2, row.file)
			s.wait("gw1 active, gw2 standing by", all(s.gw1.Is("active"), s.gw2.Is("backup")))
			s.stays("apart", 1500*time.Millisecond, func(context.Context) error {
				for _, g := range s.Gateways {
					for _, p := range s.status(g).Sessions.Peers {
						if p.Connected {
							return fmt.Errorf("%s is connected to %s", g.Name, p.Name)
						}
					}
				}
				return nil
			})
			s.wait("alarms", all(alarmed(s.gw1, "no-peer"), alarmed(s.gw2, "no-peer")))
			s.wait("the log of gw1 to tell why", func(context.Context) error {
				if len(s.journal.of(s.gw1, row.why)) == 0 {
					return fmt.Errorf("no %q", row.why)
				}
				return nil
			})
			if a := s.cli(s.gw1, "failover"); a.code != 1 || !strings.Contains(a.out, "not ready") {
				t.Errorf("a hand-over to nobody: exit code %d: %s", a.code, a.out)
			}
		})
	}
}

// startWith starts the gateway with other files than pair gives it; an empty
// secret is that of the pair.
func (s *scene) startWith(g *pair.Gateway, file func(*scene) (config, secret string)) {
	s.t.Helper()
	// Once as usual, for the files and the control client; it is over before it
	// has begun.
	s.must(g.Start())
	s.must(g.Kill())
	config, secret := file(s)
	s.must(g.WriteFile(configPath, []byte(config), 0o644))
	if secret != "" {
		s.must(g.WriteFile(secretPath, []byte(secret), 0o600))
	}
	cmd := exec.Command(binary, "run", "--config", configPath)
	cmd.Stdout = lines{s.journal, g.Name + " | "}
	_, err := g.StartWith(cmd)
	s.must(err)
}
