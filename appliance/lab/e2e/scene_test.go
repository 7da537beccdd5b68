package e2e

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"understudy/appliance/lab/pair"
)

// binary is the program under test, built once.
var binary string

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	if os.Geteuid() != 0 {
		return m.Run() // each test skips, or fails where it must not
	}
	dir, err := os.MkdirTemp("", "understudy-e2e-")
	if err == nil {
		defer os.RemoveAll(dir)
		binary, err = pair.Build(dir)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// scene is a pair with gw1 active and gw2 standing by, both in sync, and traffic
// through them.
type scene struct {
	*pair.Pair
	*pair.Traffic
	t        *testing.T
	gw1, gw2 *pair.Gateway
	watch    *pair.Watch
}

func newScene(t *testing.T, opt pair.Options) *scene {
	t.Helper()
	opt.Binary = binary
	p := pair.NewT(t, opt)
	s := &scene{Pair: p, t: t, gw1: p.Gateways[0], gw2: p.Gateways[1]}
	for _, g := range p.Gateways {
		s.must(g.Start())
	}
	p.WaitT(t, "gw1 active, gw2 standing by, in sync", p.Settled(s.gw1))
	var err error
	s.watch, err = p.StartWatch()
	s.must(err)
	s.Traffic, err = p.StartTraffic(s.within(), pair.TrafficOptions{Connections: 20, Piece: 4096})
	s.must(err)
	t.Cleanup(s.Traffic.Stop)
	s.must(s.Traffic.Translated())
	s.must(s.Resumed(s.within(), time.Now()))
	s.replicated()
	return s
}

// known skips a test of something that is known to be wrong, unless the
// environment has UNDERSTUDY_E2E_KNOWN=1.
func known(t *testing.T, what string) {
	t.Helper()
	if os.Getenv("UNDERSTUDY_E2E_KNOWN") != "1" {
		t.Skip("known to fail: " + what)
	}
}

// within is a context for one step.
func (s *scene) within() context.Context {
	ctx, cancel := context.WithTimeout(s.t.Context(), 15*time.Second)
	s.t.Cleanup(cancel)
	return ctx
}

// replicated waits until the standby has every flow.
func (s *scene) replicated() {
	s.t.Helper()
	s.WaitT(s.t, "every flow on the standby", func(ctx context.Context) error {
		for _, g := range s.Gateways {
			st, err := g.Status(ctx)
			if err != nil {
				return err
			}
			if n := st.Sessions.Local + st.Sessions.Foreign; n < s.Total() || st.Sessions.Dirty > 0 {
				return fmt.Errorf("%s has %d sessions, %d still to send", g.Name, n, st.Sessions.Dirty)
			}
		}
		return nil
	})
}

// moves waits until the transfers are so much further on that a gateway that
// saw none of it would take what comes then for something else.
func (s *scene) moves() {
	s.t.Helper()
	const further = 1 << 20
	_, up := s.Up.Bytes()
	_, down := s.Down.Bytes()
	s.WaitT(s.t, "a megabyte more each way", func(context.Context) error {
		_, u := s.Up.Bytes()
		_, d := s.Down.Bytes()
		if u < up+further || d < down+further {
			return fmt.Errorf("%d bytes up, %d down", u-up, d-down)
		}
		return nil
	})
}

// alive fails the test for each flow that is gone, and for traffic that does not
// go on after since.
func (s *scene) alive(since time.Time) {
	s.t.Helper()
	if err := s.Resumed(s.within(), since); err != nil {
		s.t.Error(err)
	}
	for _, l := range s.Lost(s.within(), since) {
		s.t.Errorf("lost %s: %s", l.Flow, l.Cause)
	}
	for name, c := range map[string]interface {
		Fresh(context.Context) (time.Duration, error)
	}{"inwards": s.In, "outwards": s.Out} {
		if _, err := c.Fresh(s.within()); err != nil {
			s.t.Errorf("no new connection %s: %v", name, err)
		}
	}
}

// end finishes the transfers and looks at the captures.
func (s *scene) end() {
	s.t.Helper()
	for _, l := range s.Finish(s.within()) {
		s.t.Errorf("lost %s: %s", l.Flow, l.Cause)
	}
	s.quiet()
	found, err := s.watch.Result()
	s.must(err)
	if !found.Clean() {
		s.t.Errorf("the gateways sent %d frames with an inside source, %d resets, %d ICMP errors:\n  %s",
			found.Leaks, found.Resets, found.ICMPErrors, strings.Join(found.Examples, "\n  "))
	}
}

// crash cuts the power and waits for the other gateway and for the traffic.
func (s *scene) crash(g *pair.Gateway) {
	s.t.Helper()
	_, err := g.Crash()
	s.must(err)
	cut := time.Now()
	other := s.Other(g)
	s.WaitT(s.t, other.Name+" active", other.Is("active"))
	s.alive(cut)
	s.holds(other, true)
}

// reboot brings a crashed gateway back with an empty kernel.
func (s *scene) reboot(g *pair.Gateway) {
	s.t.Helper()
	s.must(g.Reboot())
	s.must(g.Start())
}

// holds checks in the kernel whether the gateway has the identity, all of it or
// nothing.
func (s *scene) holds(g *pair.Gateway, want bool) {
	s.t.Helper()
	s.WaitT(s.t, fmt.Sprintf("%s to hold the addresses: %v", g.Name, want), func(context.Context) error {
		for link, ours := range map[string]netip.Prefix{"lan0": pair.LANAddress, "wan0": pair.WANAddress} {
			addrs, err := g.Link(link).Addrs()
			if err != nil {
				return err
			}
			same := func(p netip.Prefix) bool { return p.Addr() == ours.Addr() }
			if got := slices.ContainsFunc(addrs, same); got != want {
				return fmt.Errorf("%s has %v", link, addrs)
			}
		}
		return nil
	})
}

// child is the gateway's process that the laboratory did not start: the daemon
// while the election is the first one. It is 0 if there is not exactly one.
func (s *scene) child(g *pair.Gateway) int {
	s.t.Helper()
	pids, err := g.Pids()
	s.must(err)
	pids = slices.DeleteFunc(pids, func(pid int) bool { return pid == g.Process().Pid() })
	if len(pids) != 1 {
		return 0
	}
	return pids[0]
}

// quiet fails the test if a program has written so much that it must be running
// in circles.
func (s *scene) quiet() {
	s.t.Helper()
	const much = 200
	for _, g := range s.Gateways {
		if n := strings.Count(g.Output(), "\n"); n > much {
			s.t.Errorf("%s wrote %d lines", g.Name, n)
		}
	}
}

func (s *scene) kill(pid int) {
	s.t.Helper()
	s.must(unix.Kill(pid, unix.SIGKILL))
	s.WaitT(s.t, "the process to be gone", func(context.Context) error {
		// A zombie of another parent than us is as good as gone.
		if _, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/net", pid)); err == nil {
			return errors.New("it is there")
		}
		return nil
	})
}

func (s *scene) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}
