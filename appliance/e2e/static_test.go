package e2e

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"understudy/appliance/lab/pair"
)

// What does not move: on both gateways, with both families.
const doesNotMove = `
[static]
addresses = ["10.0.9.5/24 dev lan0", "10.0.0.77/24 dev lan0", "2001:db8:9::5/64 dev lan0"]
routes = [
  { to = "198.51.100.0/24", via = "10.0.9.254" },
  { to = "192.0.2.0/24", via = "10.0.9.253", table = 100, metric = 5 },
  { to = "10.77.0.0/16", type = "prohibit" },
]
rules = [
  { priority = 900, from = "10.77.0.0/16", table = 100 },
  { priority = 901, from = "2001:db8:77::/48", table = 100 },
]
`

// standing is a condition: the gateway has all that does not move, with these prefixes on
// lan0, and so many routes and rules. 10.0.0.77 is alone: the interface has its network.
func standing(g *pair.Gateway, routes, rules int, prefixes ...string) func(context.Context) error {
	return func(ctx context.Context) error {
		have, err := standingAddresses(g)
		if err != nil {
			return err
		}
		if !slices.Equal(have, prefixes) {
			return fmt.Errorf("%s has the addresses %v, want %v", g.Name, have, prefixes)
		}
		return routed(g, routes, rules)(ctx)
	}
}

var allStand = []string{"10.0.0.77/32", "10.0.9.5/24", "2001:db8:9::5/64"}

// standingAddresses are those on lan0 that can only be there for [static], sorted.
func standingAddresses(g *pair.Gateway) (out []string, err error) {
	link, err := g.Netlink().LinkByName("lan0")
	if err != nil {
		return nil, err
	}
	list, err := g.Netlink().AddrList(link, netlink.FAMILY_ALL)
	if err != nil {
		return nil, err
	}
	for _, a := range list {
		if ip := a.IP.String(); ip == "10.0.0.77" || strings.HasPrefix(ip, "10.0.9.") || strings.HasPrefix(ip, "2001:db8:9::") {
			out = append(out, a.IPNet.String())
		}
	}
	slices.Sort(out)
	return out, nil
}

// Addresses, routes and rules that do not move are on either node from the start, whoever
// is active; they are put back in place; a reload touches what it changes; no death takes
// them away; the end does.
func TestWhatDoesNotMove(t *testing.T) {
	s := newScene(t, pair.Options{Extra: doesNotMove})
	before := s.sysctls(s.gw2.Node)
	s.must(s.gw2.Start())
	s.wait("what does not move, on a node that is alone", standing(s.gw2, 3, 2, allStand...))
	s.must(s.gw1.Start())
	s.wait("gw1 active", s.Settled(s.gw1))
	everywhere := all(standing(s.gw1, 3, 2, allStand...), standing(s.gw2, 3, 2, allStand...))
	s.wait("what does not move", everywhere)
	s.ok(s.gw1, "failover")
	// Whoever is active then: on a machine that is too busy it does not stay.
	s.wait("what does not move, after a hand-over", everywhere)

	// A standby puts it back as an active node does.
	for _, g := range s.Gateways {
		nl := g.Netlink()
		link, err := nl.LinkByName("lan0")
		s.must(err)
		for _, p := range allStand {
			a, err := netlink.ParseAddr(p)
			s.must(err)
			s.must(nl.AddrDel(link, a))
		}
		s.wait(g.Name+"'s addresses and their routes to be back", everywhere)
		for _, family := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
			rules, err := nl.RuleList(family)
			s.must(err)
			for _, r := range rules {
				if r.Protocol == routeMark {
					s.must(nl.RuleDel(&r))
				}
			}
		}
		routes, err := nl.RouteListFiltered(netlink.FAMILY_V4, &netlink.Route{Protocol: routeMark}, netlink.RT_FILTER_PROTOCOL|netlink.RT_FILTER_TABLE)
		s.must(err)
		for _, r := range routes {
			s.must(nl.RouteDel(&r))
		}
		s.wait(g.Name+"'s routes and rules to be back", everywhere)
	}

	// A reload that changes an address, a route and a rule changes those.
	seen := s.changes(s.gw1)
	file := strings.NewReplacer("10.0.9.5/24 dev lan0", "10.0.9.6/24 dev lan0", "via = \"10.0.9.253\"", "via = \"10.0.9.252\"",
		"priority = 900", "priority = 902").Replace(s.gw1.Config())
	s.must(s.gw1.WriteFile(configPath, []byte(file), 0o644))
	s.ok(s.gw1, "reload")
	s.wait("the new address and all else", standing(s.gw1, 3, 2, "10.0.0.77/32", "10.0.9.6/24", "2001:db8:9::5/64"))
	touched := seen("added 10.0.9.6", "removed 10.0.9.5")
	for _, what := range []string{"10.0.0.77", "2001:db8:9::5", "10.77.0.0/16"} {
		if i := slices.IndexFunc(touched, func(l string) bool { return strings.Contains(l, what) }); i >= 0 {
			t.Errorf("the reload has touched what it did not change: %s", touched[i])
		}
	}

	// A daemon that dies, again and again, until the election lets go of the group.
	s.wait("the fence", func(ctx context.Context) error {
		if list, err := processes(s.gw2); err == nil && list["daemon"] != 0 {
			_ = unix.Kill(list["daemon"], unix.SIGKILL)
		}
		return holds(s.gw2, false)(ctx)
	})
	s.wait("what does not move, while nothing is served", standing(s.gw2, 3, 2, allStand...))
	s.wait("gw1 active", s.Settled(s.gw1))
	s.must(s.gw2.Kill())
	s.stays("what the dead left", 300*time.Millisecond, standing(s.gw2, 3, 2, allStand...))
	lost := s.changes(s.gw2)
	s.must(s.gw2.Start())
	s.wait("both in their places", s.Settled(s.gw1))
	s.wait("what does not move, in other hands", standing(s.gw2, 3, 2, allStand...))
	for _, l := range lost() {
		if word, what, _ := strings.Cut(l, " "); word == "removed" && slices.ContainsFunc(allStand, func(p string) bool { return netip.MustParsePrefix(p).Addr().String() == what }) {
			t.Errorf("the new start took away what it was to keep: %s", l)
		}
	}

	p := s.gw2.Process()
	s.must(p.Signal(unix.SIGTERM))
	if a := s.ended(p); a.code != 0 {
		t.Errorf("exit code %d", a.code)
	}
	s.wait("nothing of it on gw2", standing(s.gw2, 0, 0))
	s.pristine(s.gw2, before)
	s.wait("all of it on gw1", standing(s.gw1, 3, 2, "10.0.0.77/32", "10.0.9.6/24", "2001:db8:9::5/64"))
}

// changes notes what becomes of addresses and routes of a gateway until it is asked.
func (s *scene) changes(g *pair.Gateway) func(last ...string) []string {
	s.t.Helper()
	done := make(chan struct{})
	addrs, routes := make(chan netlink.AddrUpdate, 256), make(chan netlink.RouteUpdate, 256)
	s.must(g.Do(func() error {
		if err := netlink.AddrSubscribe(addrs, done); err != nil {
			return err
		}
		return netlink.RouteSubscribe(routes, done)
	}))
	return func(last ...string) (list []string) {
		take := func(a netlink.AddrUpdate, r netlink.RouteUpdate) {
			word := func(new bool) string { return map[bool]string{true: "added ", false: "removed "}[new] }
			switch {
			case a.LinkAddress.IP != nil:
				list = append(list, word(a.NewAddr)+a.LinkAddress.IP.String())
			case r.Protocol == routeMark && r.Dst != nil:
				list = append(list, word(r.Type == unix.RTM_NEWROUTE)+r.Dst.String())
			}
		}
		// They are told after they are done.
		for late := time.After(patience); slices.ContainsFunc(last, func(l string) bool { return !slices.Contains(list, l) }); {
			select {
			case a := <-addrs:
				take(a, netlink.RouteUpdate{})
			case r := <-routes:
				take(netlink.AddrUpdate{}, r)
			case <-late:
				s.t.Errorf("nobody saw all of %q: %q", last, list)
				last = nil
			}
		}
		close(done)
		for a := range addrs {
			take(a, netlink.RouteUpdate{})
		}
		for r := range routes {
			take(netlink.AddrUpdate{}, r)
		}
		return list
	}
}
