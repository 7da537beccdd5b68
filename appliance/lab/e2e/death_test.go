package e2e

import (
	"context"
	"fmt"
	"os/exec"
	"testing"
	"time"

	"understudy/appliance/lab/pair"
)

// transitions is how often the gateway's routers changed their state since the start
// of its election.
func (s *scene) transitions(g *pair.Gateway) (n uint64) {
	s.t.Helper()
	st, err := g.Status(s.within())
	s.must(err)
	for _, r := range st.Routers {
		n += r.Transitions
	}
	return n
}

func TestDaemonKilled(t *testing.T) {
	s := newScene(t, pair.Options{})
	daemon, before := s.child(s.gw1), s.transitions(s.gw1)
	if daemon == 0 {
		t.Fatal("gw1 does not consist of two processes")
	}
	killed := time.Now()
	s.kill(daemon)
	s.WaitT(t, "another daemon", func(ctx context.Context) error {
		if now := s.child(s.gw1); now == daemon || now == 0 {
			return fmt.Errorf("it is %d", now)
		}
		return s.Settled(s.gw1)(ctx)
	})
	if now := s.transitions(s.gw1); now != before {
		t.Errorf("%d transitions, want %d as before: the kernel forwards without the daemon", now, before)
	}
	s.alive(killed)
	s.holds(s.gw1, true)
	s.replicated()
	s.crash(s.gw1)
	s.end()
}

func TestElectionKilled(t *testing.T) {
	// Slow adverts: a new election resumes within two intervals, and this
	// machine may be slow to start it.
	s := newScene(t, pair.Options{Interval: 400 * time.Millisecond})
	election, before := s.gw1.Process().Pid(), s.transitions(s.gw2)
	killed := time.Now()
	s.kill(election)
	s.WaitT(t, "gw1 active with another election", func(ctx context.Context) error {
		pids, err := s.gw1.Pids()
		if err != nil {
			return err
		}
		if len(pids) != 2 {
			return fmt.Errorf("processes %v", pids)
		}
		return s.Settled(s.gw1)(ctx)
	})
	s.WaitT(t, "gw2 standing by still", s.gw2.Is("backup"))
	if now := s.transitions(s.gw2); now != before {
		t.Errorf("gw2 had %d transitions, want %d as before: gw1 resumes in time", now, before)
	}
	s.alive(killed)
	s.holds(s.gw1, true)
	s.crash(s.gw1)
	s.end()
}

// With nobody left to resign, the kernel of gw1 goes on answering for the
// addresses until they are cleaned away, as systemd does.
func TestBothKilledAndCleaned(t *testing.T) {
	s := newScene(t, pair.Options{})
	killed := time.Now()
	s.must(s.gw1.Kill())
	s.clean(s.gw1)
	s.holds(s.gw1, false)
	s.WaitT(t, "gw2 active", s.gw2.Is("active"))
	s.alive(killed)
	s.holds(s.gw2, true)
	s.must(s.gw1.Start())
	s.WaitT(t, "gw1 active again", s.Settled(s.gw1))
	s.alive(killed)
	s.end()
}

// Without systemd the next start cleans.
func TestBothKilledAndStarted(t *testing.T) {
	s := newScene(t, pair.Options{})
	s.must(s.gw1.Kill())
	s.WaitT(t, "gw2 active", s.gw2.Is("active"))
	back := time.Now()
	s.must(s.gw1.Start())
	s.WaitT(t, "gw1 active again", s.Settled(s.gw1))
	s.alive(back)
	s.holds(s.gw2, false)
	s.crash(s.gw1)
	s.end()
}

func (s *scene) clean(g *pair.Gateway) {
	s.t.Helper()
	p, err := g.StartWith(exec.Command(binary, "clean"))
	s.must(err)
	<-p.Done()
	if p.Err() != nil {
		s.t.Fatalf("understudy clean: %v\n%s", p.Err(), p.Output())
	}
}
