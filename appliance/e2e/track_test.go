package e2e

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"understudy/appliance"
	"understudy/appliance/lab/pair"
	"understudy/appliance/lab/probe"
)

// A ping of the way out fails on the active gateway alone: its priority falls
// below its peer's, which takes over and has every flow. A daemon that is killed
// meanwhile does not bring it back; the way out does, after as many answers as
// rise says.
func TestCheckWithAWeightMovesTheRoleAndBack(t *testing.T) {
	s := newScene(t, pair.Options{RouterKeys: `track = ["uplink:-150"]`, Extra: `
[[check]]
name = "uplink"
kind = "icmp"
target = "203.0.113.254"
every = "100ms"
timeout = "500ms"
rise = 5`})
	s.settle()
	s.load(s.gw1, 20)
	s.wait("the check to be up", all(checkIs(s.gw1, "uplink", "up"), checkIs(s.gw2, "uplink", "up")))

	began := time.Now()
	s.unanswered(s.gw1, true)
	s.settled(s.gw2)
	s.intact(began)
	s.wait("the alarm", all(alarmed(s.gw1, "check-down"), calm(s.gw2)))
	lowered := func(context.Context) error {
		return effective(s.status(s.gw1), 50, "check uplink down (-150): icmp 203.0.113.254: ")
	}
	s.wait("the priority and its reason in the status", lowered)
	if out := s.ok(s.gw1, "status"); !strings.Contains(out, "50 (of 200)") || !strings.Contains(out, "icmp") {
		t.Errorf("status says:\n%s", out)
	}

	s.kill(s.gw1, "daemon")
	s.wait("another daemon", checkIs(s.gw1, "uplink", "down"))
	s.stays("gw2 active", time.Second, s.gw2.Is("active"))
	s.wait("the priority to be as before", lowered)
	s.settled(s.gw2)
	s.intact(began)

	back := time.Now()
	s.unanswered(s.gw1, false)
	s.settled(s.gw1)
	s.intact(back)
	s.wait("no alarm", all(calm(s.gw1), calm(s.gw2)))
	s.wait("the priority of the file", func(context.Context) error { return effective(s.status(s.gw1), 200, "") })
	s.whole()
}

// A connection that cannot be made is a fault, without a weight: the gateway
// leaves the election, says why, and comes back when it can be made. Where
// neither can make it, neither serves.
func TestCheckWithoutAWeightIsAFault(t *testing.T) {
	s := newScene(t, pair.Options{RouterKeys: `track = ["server"]`, Extra: `
[[check]]
name = "server"
kind = "tcp"
target = "203.0.113.254:8099"
every = "100ms"
timeout = "500ms"`})
	stop := s.listen(8099)
	s.settle()
	s.load(s.gw1, 20)

	began := time.Now()
	s.unanswered(s.gw1, true)
	s.wait("gw1 to be in fault", s.gw1.Is("fault"))
	s.wait("gw2 active", s.gw2.Is("active"))
	s.intact(began)
	s.wait("the addresses to be gone from gw1", holds(s.gw1, false))
	if r := s.status(s.gw1).Routers[0]; r.State != "fault" || !strings.HasPrefix(r.Reason, "check server down: tcp 203.0.113.254:8099: no answer") {
		t.Errorf("status says %s, %s", r.State, r.Reason)
	}
	back := time.Now()
	s.unanswered(s.gw1, false)
	s.settled(s.gw1)
	s.intact(back)

	stop()
	s.wait("both in fault", all(s.gw1.Is("fault"), s.gw2.Is("fault")))
	again := time.Now()
	s.listen(8099)
	s.settled(s.gw1)
	s.intact(again)
	s.wait("no alarm", all(calm(s.gw1), calm(s.gw2)))
	s.whole()
}

// A script that hangs is killed with all it has started, each time, and is down.
func TestScriptThatHangsIsKilled(t *testing.T) {
	s := newScene(t, pair.Options{RouterKeys: `track = ["check:own:-150"]`, Extra: `
[[check]]
name = "own"
kind = "script"
command = ["/run/lab/own", "/run/lab/hang"]
every = "200ms"
timeout = "400ms"
fall = 2`})
	for _, g := range s.Gateways {
		s.must(g.WriteFile("/run/lab/own", []byte("#!/bin/sh\nif [ -e \"$1\" ]; then sleep 1000; fi\n"), 0o755))
	}
	s.settle()
	s.load(s.gw1, 10)
	began := time.Now()
	s.must(s.gw1.WriteFile("/run/lab/hang", nil, 0o644))
	s.settled(s.gw2)
	s.intact(began)
	s.wait("the reason", func(context.Context) error { return effective(s.status(s.gw1), 50, "script own: no answer in 400ms") })
	s.stays("at most one left running", time.Second, func(context.Context) error {
		if n := s.running(s.gw1, "sleep"); n > 1 {
			return fmt.Errorf("%d are", n)
		}
		return nil
	})
	back := time.Now()
	s.unlink(s.gw1, "/run/lab/hang")
	s.settled(s.gw1)
	s.intact(back)
	s.wait("nothing to be left of it", func(context.Context) error {
		if n := s.running(s.gw1, "sleep"); n > 0 {
			return fmt.Errorf("%d run", n)
		}
		return nil
	})
	s.whole()
}

// A file is the switch of maintenance, another one a weight; both come with a
// reload, which moves nothing, and the second goes with another.
func TestFileChecksComeAndGoWithAReload(t *testing.T) {
	s := newScene(t, pair.Options{Interval: unhurried})
	s.settle()
	s.load(s.gw1, 10)
	before := [2]uint64{s.transitions(s.gw1), s.transitions(s.gw2)}
	reload := func(track, checks string) {
		t.Helper()
		for _, g := range s.Gateways {
			file := strings.ReplaceAll(g.Config(), "vrid = ", "track = "+track+"\nvrid = ") + checks
			s.must(g.WriteFile(configPath, []byte(file), 0o644))
			s.ok(g, "reload")
		}
	}
	const (
		maintenance = "\n[[check]]\nname = \"maintenance\"\nkind = \"file\"\npath = \"/run/lab/maintenance\"\nabsent = true\nevery = \"50ms\"\n"
		load        = "\n[[check]]\nname = \"load\"\nkind = \"file\"\npath = \"/run/lab/load\"\nvalue = true\nevery = \"50ms\"\n"
	)
	began := time.Now()
	reload(`["maintenance", "load:-2"]`, maintenance+load)
	s.wait("the checks to be up", all(checkIs(s.gw1, "maintenance", "up"), checkIs(s.gw1, "load", "up")))
	s.settled(s.gw1)
	s.intact(began)
	if now := [2]uint64{s.transitions(s.gw1), s.transitions(s.gw2)}; now != before {
		t.Errorf("transitions were %d, are %d", before, now)
	}

	began = time.Now()
	s.must(s.gw1.WriteFile("/run/lab/maintenance", nil, 0o644))
	s.wait("gw1 in fault, gw2 active", all(s.gw1.Is("fault"), s.gw2.Is("active")))
	s.intact(began)
	s.unlink(s.gw1, "/run/lab/maintenance")
	s.settled(s.gw1)

	s.must(s.gw1.WriteFile("/run/lab/load", []byte("75\n"), 0o644))
	s.settled(s.gw2)
	s.wait("the weight", func(context.Context) error { return effective(s.status(s.gw1), 50, "check load is 75 (-150)") })
	s.intact(began)
	reload(`["maintenance"]`, maintenance)
	s.settled(s.gw1)
	s.intact(began)
	if n := len(s.status(s.gw1).Checks); n != 1 {
		t.Errorf("status shows %d checks, want 1", n)
	}
	s.wait("no alarm", all(calm(s.gw1), calm(s.gw2)))
	s.whole()
}

// An interface that weighs.
func TestInterfaceWithAWeight(t *testing.T) {
	s := newScene(t, pair.Options{RouterKeys: `track = ["interface:spare0:-150"]`})
	for _, g := range s.Gateways {
		_, err := g.Join(s.Sync, "spare0")
		s.must(err)
	}
	s.settle()
	s.load(s.gw1, 10)
	began := time.Now()
	s.must(s.gw1.Link("spare0").Unplug())
	s.settled(s.gw2)
	s.intact(began)
	s.wait("the reason", func(context.Context) error { return effective(s.status(s.gw1), 50, "interface spare0 down (-150)") })
	back := time.Now()
	s.must(s.gw1.Link("spare0").Plug())
	s.settled(s.gw1)
	s.intact(back)
	s.whole()
}

// unanswered makes the outside host ignore what a gateway sends from its own
// address, but nothing else: adverts and flows pass as before.
func (s *scene) unanswered(g *pair.Gateway, on bool) {
	s.t.Helper()
	addrs, err := g.Link("wan0").Addrs()
	s.must(err)
	own := addrs[0].Addr()
	route := &netlink.Route{Type: unix.RTN_BLACKHOLE, Dst: &net.IPNet{IP: own.AsSlice(), Mask: net.CIDRMask(32, 32)}}
	if on {
		s.must(s.Outside.Netlink().RouteAdd(route))
	} else {
		s.must(s.Outside.Netlink().RouteDel(route))
	}
}

// listen accepts connections at the outside host until stop.
func (s *scene) listen(port int) (stop func()) {
	s.t.Helper()
	var l net.Listener
	s.must(s.Outside.Do(func() (err error) {
		l, err = net.Listen("tcp", fmt.Sprintf("%s:%d", pair.Outside, port))
		return err
	}))
	probe.Accept(l, func(net.Conn) {})
	stop = func() { l.Close() }
	s.t.Cleanup(stop)
	return stop
}

// running counts the processes of a gateway by their name.
func (s *scene) running(g *pair.Gateway, name string) (n int) {
	s.t.Helper()
	pids, err := g.Pids()
	s.must(err)
	for _, pid := range pids {
		comm, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
		if strings.TrimSpace(string(comm)) == name {
			n++
		}
	}
	return n
}

// unlink removes a file in a node.
func (s *scene) unlink(n interface{ Path(string) (string, error) }, path string) {
	s.t.Helper()
	outside, err := n.Path(path)
	s.must(err)
	s.must(os.Remove(outside))
}

// checkIs is a condition: the gateway says so of a check.
func checkIs(g *pair.Gateway, name, state string) func(context.Context) error {
	return func(ctx context.Context) error {
		st, err := g.Status(ctx)
		if err != nil {
			return err
		}
		for _, c := range st.Checks {
			if c.Name == name {
				if c.State != state {
					return fmt.Errorf("%s: check %s is %s (%s)", g.Name, name, c.State, c.LastError)
				}
				return nil
			}
		}
		return fmt.Errorf("%s has no check %s", g.Name, name)
	}
}

// effective compares what every router of a gateway advertises, and why.
func effective(st appliance.Status, priority uint8, why string) error {
	if len(st.Routers) == 0 {
		return errors.New("no routers")
	}
	for _, r := range st.Routers {
		if r.EffectivePriority != priority || !strings.Contains(r.Reason, why) {
			return fmt.Errorf("%s: priority %d of %d, %s", r.Name, r.EffectivePriority, r.Priority, r.Reason)
		}
	}
	return nil
}
