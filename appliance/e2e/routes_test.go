package e2e

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"understudy/appliance/lab/pair"
)

// routeMark is the protocol of our routes and rules.
const routeMark = 117

// beyond is a host behind the outside one, to which only the route that moves leads.
var beyond = netip.MustParseAddr("198.51.100.7")

// The last [[router]] of the file is the one that they move with.
const routesMove = `
[[router.routes]]
to = "198.51.100.0/24"
via = "203.0.113.254"
source = "203.0.113.1"
[[router.routes]]
to = "192.0.2.0/24"
via = "203.0.113.253"
table = 100
metric = 5
[[router.routes]]
to = "172.31.0.0/16"
dev = "far0"
[[router.routes]]
to = "2001:db8:9::/48"
type = "blackhole"
[[router.rules]]
priority = 1000
from = "10.0.0.0/24"
table = 100
[[router.rules]]
priority = 1000
to = "2001:db8:9::/48"
table = 100
`

// routeScene is a pair whose wan router has routes and rules, each gateway with one
// more interface, and a host beyond the one outside.
func routeScene(t *testing.T, opt pair.Options) *scene {
	t.Helper()
	opt.Extra = routesMove + opt.Extra
	s := newScene(t, opt)
	far, err := s.Net.Segment("far")
	s.must(err)
	for i, g := range s.Gateways {
		_, err := g.Join(far, "far0", fmt.Sprintf("172.30.0.%d/24", i+2))
		s.must(err)
	}
	s.must(s.Outside.Link("eth0").AddAddr(netip.PrefixFrom(beyond, 32)))
	return s
}

// our counts the routes and rules of a gateway that are ours.
func our(g *pair.Gateway) (routes, rules int, err error) {
	for _, family := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
		list, err := g.Netlink().RouteListFiltered(family, &netlink.Route{Protocol: routeMark}, netlink.RT_FILTER_PROTOCOL|netlink.RT_FILTER_TABLE)
		if err != nil {
			return 0, 0, err
		}
		routes += len(list)
		all, err := g.Netlink().RuleList(family)
		if err != nil {
			return 0, 0, err
		}
		for _, r := range all {
			if r.Protocol == routeMark {
				rules++
			}
		}
	}
	return routes, rules, nil
}

// routed is a condition: the gateway has so many routes and rules of ours.
func routed(g *pair.Gateway, routes, rules int) func(context.Context) error {
	return func(context.Context) error {
		r, u, err := our(g)
		if err == nil && (r != routes || u != rules) {
			err = fmt.Errorf("%s has %d routes and %d rules of ours, want %d and %d", g.Name, r, u, routes, rules)
		}
		return err
	}
}

// reach is a condition: the way from inside to the host beyond works.
func (s *scene) reach() func(context.Context) error {
	return func(ctx context.Context) error {
		return s.Inside.Do(func() error {
			c, err := net.Dial("ip4:icmp", beyond.String())
			if err != nil {
				return err
			}
			defer c.Close()
			if err := c.SetDeadline(time.Now().Add(300 * time.Millisecond)); err != nil {
				return err
			}
			// An echo request of id 1, sequence 1, with its checksum.
			if _, err := c.Write([]byte{8, 0, 0xf7, 0xfd, 0, 1, 0, 1}); err != nil {
				return err
			}
			b := make([]byte, 100)
			for {
				n, err := c.Read(b)
				if err != nil {
					return err
				}
				if n > 20 && b[20] == 0 {
					return nil
				}
			}
		})
	}
}

// Routes and rules are where the addresses are, through all that moves these: a
// crash, a return, a hand-over, the end.
func TestRoutesMoveWithTheRole(t *testing.T) {
	s := routeScene(t, pair.Options{})
	before := s.sysctls(s.gw1.Node)
	s.settle()
	s.wait("the routes on gw1 alone", all(routed(s.gw1, 4, 2), routed(s.gw2, 0, 0)))
	s.wait("the way beyond", s.reach())
	s.load(s.gw1, 20)

	cut := s.crash(s.gw1)
	s.wait("the routes on gw2", routed(s.gw2, 4, 2))
	s.wait("the way beyond", s.reach())
	s.intact(cut)

	back := time.Now()
	s.must(s.gw1.Reboot())
	s.must(s.gw1.Start())
	s.settled(s.gw1)
	s.wait("the routes on gw1 alone", all(routed(s.gw1, 4, 2), routed(s.gw2, 0, 0)))
	s.wait("the way beyond", s.reach())
	s.intact(back)

	asked := time.Now()
	s.ok(s.gw1, "failover")
	s.settled(s.gw2)
	s.wait("the routes on gw2 alone", all(routed(s.gw2, 4, 2), routed(s.gw1, 0, 0)))
	s.wait("the way beyond", s.reach())
	s.intact(asked)

	p := s.gw1.Process()
	s.must(p.Signal(syscall.SIGTERM))
	if a := s.ended(p); a.code != 0 {
		t.Errorf("exit code %d", a.code)
	}
	s.wait("the routes on gw2", routed(s.gw2, 4, 2))
	s.pristine(s.gw1, before)
	s.whole()
}

// What somebody deletes is put back and counted, and nobody changes its role; a
// link that goes takes its route along, which is an alarm, and brings it back.
func TestRemovedRoutesAreBack(t *testing.T) {
	s := routeScene(t, pair.Options{})
	s.settle()
	s.wait("the routes", routed(s.gw1, 4, 2))
	before := [2]uint64{s.transitions(s.gw1), s.transitions(s.gw2)}

	nl := s.gw1.Netlink()
	list, err := nl.RouteListFiltered(netlink.FAMILY_V4, &netlink.Route{Protocol: routeMark}, netlink.RT_FILTER_PROTOCOL|netlink.RT_FILTER_TABLE)
	s.must(err)
	for n, r := range list {
		s.must(nl.RouteDel(&r))
		s.wait("the route to be back", all(routed(s.gw1, 4, 2), restored(s.gw1, n+1)))
	}
	rules, err := nl.RuleList(netlink.FAMILY_V6)
	s.must(err)
	for _, r := range rules {
		if r.Protocol == routeMark {
			s.must(nl.RuleDel(&r))
		}
	}
	s.wait("the rule to be back", all(routed(s.gw1, 4, 2), restored(s.gw1, len(list)+1)))
	s.wait("the way beyond", s.reach())

	for range 2 {
		s.must(s.gw1.Link("far0").Down())
		s.wait("the alarm", all(alarmed(s.gw1, "route-waiting"), routed(s.gw1, 3, 2)))
		s.stays("gw1 active", 500*time.Millisecond, s.gw1.Is("active"))
		s.must(s.gw1.Link("far0").Up())
		s.wait("the route to be back", all(routed(s.gw1, 4, 2), calm(s.gw1)))
	}
	s.must(s.gw2.Link("far0").Down())
	s.ok(s.gw1, "failover") // to a box that lacks a link
	s.settledWith(s.gw2, "route-waiting")
	s.wait("what gw2 can have", routed(s.gw2, 3, 2))
	s.must(s.gw2.Link("far0").Up())
	s.wait("all of it", all(routed(s.gw2, 4, 2), calm(s.gw2)))
	s.wait("the way beyond", s.reach())
	if now := [2]uint64{s.transitions(s.gw1), s.transitions(s.gw2)}; now[0]-before[0] > 3 || now[1]-before[1] > 3 {
		t.Errorf("transitions were %d, are %d: more than one hand-over", before, now)
	}
}

// settledWith waits until active is Active though it has an alarm.
func (s *scene) settledWith(active *pair.Gateway, alarm string) {
	s.t.Helper()
	s.wait(active.Name+" active", all(active.Is("active"), s.Other(active).Is("backup"), alarmed(active, alarm)))
}

// restored is a condition: so much has been put back on the gateway.
func restored(g *pair.Gateway, n int) func(context.Context) error {
	return func(ctx context.Context) error {
		st, err := g.Status(ctx)
		if err == nil && (len(st.Groups) != 1 || st.Groups[0].Restored != n) {
			err = fmt.Errorf("%s says of its groups %+v, want %d restored", g.Name, st.Groups, n)
		}
		return err
	}
}

// A daemon that does not come back: the election takes the routes away too.
func TestFenceRemovesRoutes(t *testing.T) {
	s := routeScene(t, pair.Options{})
	s.settle()
	s.wait("the routes", routed(s.gw1, 4, 2))
	gone := routed(s.gw1, 0, 0)
	s.wait("the fence", func(ctx context.Context) error {
		for range 50 { // no daemon lives long enough to be of use
			if list, err := processes(s.gw1); err == nil && list["daemon"] != 0 {
				_ = unix.Kill(list["daemon"], unix.SIGKILL)
			}
			if gone(ctx) == nil {
				break
			}
			time.Sleep(10 * time.Millisecond)
		}
		return all(gone, holds(s.gw1, false))(ctx)
	})
	s.wait("gw2 active, with the routes", all(s.gw2.Is("active"), routed(s.gw2, 4, 2)))
	s.wait("gw1 back", s.Settled(s.gw1))
	s.wait("the routes on gw1 alone", all(routed(s.gw1, 4, 2), routed(s.gw2, 0, 0)))
	s.wait("the way beyond", s.reach())
}

// Both processes die: what they left is found by its marks, by `understudy clean`
// and by the next start.
func TestRoutesOfTheDeadAreCleaned(t *testing.T) {
	s := routeScene(t, pair.Options{RouterKeys: "preempt = false"})
	before := s.sysctls(s.gw1.Node)
	s.settle()
	s.wait("the routes", routed(s.gw1, 4, 2))
	s.must(s.gw1.Kill())
	s.wait("what the dead one left", routed(s.gw1, 4, 2))
	s.wait("gw2 active", s.gw2.Is("active"))
	s.must(s.gw1.Start())
	s.settled(s.gw2)
	s.wait("the routes on gw2 alone", all(routed(s.gw2, 4, 2), routed(s.gw1, 0, 0)))
	s.ok(s.gw2, "failover")
	s.settled(s.gw1)
	s.wait("the routes on gw1 alone", all(routed(s.gw1, 4, 2), routed(s.gw2, 0, 0)))
	s.must(s.gw1.Kill())
	for n := range 2 {
		t.Logf("clean %d: %s", n, s.ok(s.gw1, "clean"))
		s.pristine(s.gw1, before)
	}
}
