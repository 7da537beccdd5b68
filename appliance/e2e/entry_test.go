package e2e

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"understudy/appliance"
	"understudy/appliance/lab"
	"understudy/appliance/lab/pair"
	"understudy/appliance/lab/probe"
)

// Entry points: clients are outside, servers are machines of their own inside.

// Of the checks below.
const (
	entryEvery = 100 * time.Millisecond
	entryFall  = 3
	entryBound = entryFall*entryEvery + entryEvery + time.Second // a server's death to the last client's next server
	entrySlack = 20 * time.Second                                // of a machine that does other things as well
)

var (
	entryAddress  = netip.MustParseAddrPort("203.0.113.10:8443")
	entryAddress6 = netip.MustParseAddrPort("[2001:db8:2::10]:8443")
)

// entryPoint is the configuration of one entry point at the address, and of a check that
// each of its n servers has one of.
func entryPoint(name string, at netip.AddrPort, n int, more string) string {
	var b, servers strings.Builder
	host := pair.ServerHost
	if at.Addr().Is6() {
		host = pair.ServerHost6
	}
	for i := 1; i <= n; i++ {
		to := netip.AddrPortFrom(host(i), 443)
		fmt.Fprintf(&servers, "  { address = %q, check = %q },\n", to, name)
	}
	fmt.Fprintf(&b, "[[check]]\nname = %q\nkind = \"tcp\"\nevery = %q\nfall = %d\n", name, entryEvery, entryFall)
	fmt.Fprintf(&b, "[[nat.entry]]\nname = %q\naddress = \"%s/tcp\"\n%s\nservers = [\n%s]\n", name, at, more, &servers)
	return b.String()
}

// servers are the machines, each with a greeter at both of its addresses. The n-th says
// "1", "2", ….
func (s *scene) servers(n int) []*lab.Node {
	s.t.Helper()
	nodes, err := s.Servers(n)
	s.must(err)
	for i, node := range nodes {
		hosts := []netip.Addr{pair.ServerHost(i + 1)}
		if s.opt.IPv6 {
			hosts = append(hosts, pair.ServerHost6(i+1))
		}
		for _, a := range hosts {
			s.greet(node, netip.AddrPortFrom(a, 443), i+1)
		}
	}
	return nodes
}

// greet starts a server; a fresh address may need a moment.
func (s *scene) greet(node *lab.Node, at netip.AddrPort, n int) (g *probe.Greeter) {
	s.t.Helper()
	s.wait("an address to listen at", func(ctx context.Context) (err error) {
		g, err = probe.StartGreeter(ctx, node, at, byte('0'+n))
		return err
	})
	s.t.Cleanup(g.Stop)
	return g
}

// clients connects them, once somebody serves them: what is known of servers is in the
// status before it is in the kernel.
func (s *scene) clients(at netip.AddrPort, count, idle int) (c *probe.Clients) {
	s.t.Helper()
	err := s.Pair.Wait(s.within(4*patience), "clients to be greeted", func(ctx context.Context) (err error) {
		c, err = probe.StartClients(ctx, probe.ClientsOptions{Client: s.Outside, Target: at, Count: count, Idle: idle, First: patience})
		return err
	})
	s.must(err)
	s.t.Cleanup(c.Stop)
	return c
}

// together connects clients that are all to be with one server, whichever. They are not if
// another one comes up in the kernel meanwhile; then others have to be.
func (s *scene) together(at netip.AddrPort, count, idle int) (c *probe.Clients) {
	s.t.Helper()
	s.wait("clients of one address to be with one server", func(ctx context.Context) (err error) {
		c, err = probe.StartClients(ctx, probe.ClientsOptions{Client: s.Outside, Target: at, Count: count, Idle: idle})
		if err == nil && len(c.With()) != 1 {
			err = fmt.Errorf("they are with %v", readable(c.With()))
			c.Stop()
		}
		return err
	})
	s.t.Cleanup(c.Stop)
	return c
}

// newcomers is a condition: so many new clients are with these servers.
func (s *scene) newcomers(at netip.AddrPort, count int, want map[byte]int) func(context.Context) error {
	return func(ctx context.Context) error {
		c, err := probe.StartClients(ctx, probe.ClientsOptions{Client: s.Outside, Target: at, Count: count})
		if err != nil {
			return err
		}
		defer c.Stop()
		return servedBy(c, want)(ctx)
	}
}

// servedBy is a condition: the clients are with these servers, and so many at least.
func servedBy(c *probe.Clients, want map[byte]int) func(context.Context) error {
	return func(context.Context) error {
		have := c.With()
		for server, n := range want {
			if have[server] < n {
				return fmt.Errorf("clients are with %v, want %v", readable(have), readable(want))
			}
		}
		for server := range have {
			if _, ok := want[server]; !ok {
				return fmt.Errorf("clients are with %v, want %v", readable(have), readable(want))
			}
		}
		return nil
	}
}

func readable(m map[byte]int) map[string]int {
	out := map[string]int{}
	for server, n := range m {
		if server == 0 {
			out["none"] = n
		} else {
			out[string(rune(server))] = n
		}
	}
	return out
}

// serverIs is a condition: the gateway shows the server so.
func serverIs(g *pair.Gateway, entry string, server int, want string) func(context.Context) error {
	return func(ctx context.Context) error {
		st, err := g.Status(ctx)
		if err != nil {
			return err
		}
		for _, e := range st.NAT.Entries {
			if e.Name == entry {
				v := e.Servers[server-1]
				if got := serverState(v); got != want {
					return fmt.Errorf("%s: server %d of %s is %s, want %s", g.Name, server, entry, got, want)
				}
				return nil
			}
		}
		return fmt.Errorf("%s has no entry point %s", g.Name, entry)
	}
}

func serverState(v appliance.ServerStatus) string {
	if v.Drained {
		return v.State + " drained"
	}
	return v.State
}

// ready starts both gateways and waits until each knows that all servers are up.
func (s *scene) ready(servers int, entries ...string) {
	s.t.Helper()
	s.settle()
	for _, g := range s.Gateways {
		for _, e := range entries {
			for i := 1; i <= servers; i++ {
				s.wait("the servers to be up", serverIs(g, e, i, "up"))
			}
		}
	}
}

// A server dies with 2,000 connections. With "reset" every client is served by another
// one soon after, those too that were saying nothing: none hangs.
func TestEntryServerDiesUnderItsConnections(t *testing.T) {
	const clients, idle = 2000, 1000
	s := newScene(t, pair.Options{Extra: entryPoint("web", entryAddress, 2, "")})
	nodes := s.servers(2)
	s.ready(2, "web")
	c := s.clients(entryAddress, clients, idle)
	s.wait("all at the first server", servedBy(c, map[byte]int{'1': clients}))

	died := time.Now()
	s.must(nodes[0].UnplugAll())
	s.wait("all at the second server", servedBy(c, map[byte]int{'2': clients}))
	moves := c.Moves()
	if len(moves) != clients {
		t.Errorf("%d moves of %d clients", len(moves), clients)
	}
	var last time.Time
	kinds, how := map[bool]int{}, map[string]int{}
	for _, m := range moves {
		kinds[m.Idle]++
		how[m.HowItEnded]++
		if m.Greeted.After(last) {
			last = m.Greeted
		}
	}
	t.Logf("the last client was served %v after the death; bound %v; refused in between %d", last.Sub(died).Round(time.Millisecond), entryBound, c.Refused())
	if got := last.Sub(died); got > entryBound+entrySlack {
		t.Errorf("the last client was served after %v, want at most %v and some", got, entryBound)
	}
	for text, n := range how {
		if !strings.Contains(text, "connection reset") {
			t.Errorf("%d connections ended with %s", n, text)
		}
	}
	if kinds[true] != idle {
		t.Errorf("%d of %d idle clients moved", kinds[true], idle)
	}

	// It comes back: new clients go there, those that are elsewhere stay.
	s.must(nodes[0].PlugAll())
	s.wait("the first server to be up", serverIs(s.gw1, "web", 1, "up"))
	s.wait("a new client at the first server", s.newcomers(entryAddress, 1, map[byte]int{'1': 1}))
	if err := servedBy(c, map[byte]int{'2': clients})(t.Context()); err != nil {
		t.Error(err)
	}
}

// With "keep" nothing happens to connections; they go on when the server does.
func TestEntryKeep(t *testing.T) {
	s := newScene(t, pair.Options{Extra: entryPoint("web", entryAddress, 2, `on_failure = "keep"`)})
	nodes := s.servers(2)
	s.ready(2, "web")
	c := s.clients(entryAddress, 20, 10)
	s.must(nodes[0].UnplugAll())
	s.wait("the server to be down", serverIs(s.gw1, "web", 1, "down"))
	s.stays("clients where they were", time.Second, servedBy(c, map[byte]int{'1': 20}))
	s.wait("new clients at the second server", s.newcomers(entryAddress, 5, map[byte]int{'2': 5}))
	s.must(nodes[0].PlugAll())
	s.wait("the server to be up", serverIs(s.gw1, "web", 1, "up"))
	s.stays("clients where they were", time.Second, servedBy(c, map[byte]int{'1': 20}))
	if n := len(c.Moves()); n > 0 {
		t.Errorf("%d clients moved", n)
	}
}

// The gateway dies: connections of both families, through every way to steer, go on. A
// server that dies while nobody is active is cut off by the next one.
func TestEntrySurvivesAGatewayCrash(t *testing.T) {
	for _, steer := range []string{"primary", "round-robin", "weighted", "least-connections", "source-hash", "consistent-hash"} {
		t.Run(steer, func(t *testing.T) {
			how := fmt.Sprintf("steer = %q\npersist = \"1m\"", steer)
			s := newScene(t, pair.Options{IPv6: true, Extra: entryPoint("web", entryAddress, 2, how) + entryPoint("web6-", entryAddress6, 2, how)})
			s.lan6()
			nodes := s.servers(2)
			s.ready(2, "web", "web6-")
			// One address, so persist has them all at one server, whichever.
			c, c6 := s.together(entryAddress, 20, 10), s.together(entryAddress6, 20, 10)
			with, with6 := c.With(), c6.With()
			s.wait("the standby to have every flow", s.Equal(s.gw1)) // of both families

			s.crash(s.gw1)
			s.stays("clients where they were", time.Second, all(servedBy(c, with), servedBy(c6, with6)))
			if n := len(c.Moves()) + len(c6.Moves()); n > 0 {
				t.Errorf("%d clients lost their connection: %v", n, append(c.Moves(), c6.Moves()...)[0])
			}
			// Who had a connection keeps its server with the next one.
			s.wait("a new client at the server of the old ones", s.newcomers(entryAddress, 3, scale(with, 3)))
			// And the next one notices when that dies.
			dead := 1
			if with['2'] > 0 {
				dead = 2
			}
			s.must(nodes[dead-1].UnplugAll())
			want := map[byte]int{byte('0' + 3 - dead): 20}
			s.wait("clients at the other server", servedBy(c, want))
		})
	}
}

// scale is for so many clients what m is for its own.
func scale(m map[byte]int, n int) map[byte]int {
	out := map[byte]int{}
	for server := range m {
		out[server] = n
	}
	return out
}

// Gateway and server die together: the next gateway cuts what the first had no time for.
func TestEntryServerDiesWithTheGateway(t *testing.T) {
	s := newScene(t, pair.Options{Extra: entryPoint("web", entryAddress, 2, "")})
	nodes := s.servers(2)
	s.ready(2, "web")
	c := s.clients(entryAddress, 100, 50)
	s.wait("the standby to have every flow", s.tablesEqual(s.gw1))
	s.must(nodes[0].UnplugAll())
	s.crash(s.gw1)
	s.wait("all at the second server", servedBy(c, map[byte]int{'2': 100}))
}

// A server is drained: no new flows, the old ones stay; over a reload, a dead daemon and
// a restart. What is in its place in the file does not matter.
func TestEntryDrain(t *testing.T) {
	s := newScene(t, pair.Options{Extra: entryPoint("web", entryAddress, 2, "")})
	s.servers(2)
	s.ready(2, "web")
	c := s.clients(entryAddress, 10, 5)
	server := netip.AddrPortFrom(pair.ServerHost(1), 443).String()
	if a := s.cli(s.gw1, "server", "drain", "web", "10.0.0.99:443"); a.code != 1 || !strings.Contains(a.out, server) {
		t.Errorf("a server that there is not: exit code %d\n%s", a.code, a.out)
	}
	if a := s.cli(s.gw1, "server", "drain", "web"); a.code != 2 {
		t.Errorf("no server named: exit code %d\n%s", a.code, a.out)
	}
	s.ok(s.gw1, "server", "drain", "web", server)
	drained := func(when string) {
		t.Helper()
		s.wait("the server to be drained "+when, serverIs(s.gw1, "web", 1, "up drained"))
		s.wait("a new client at the other server "+when, s.newcomers(entryAddress, 3, map[byte]int{'2': 3}))
		if err := servedBy(c, map[byte]int{'1': 10})(t.Context()); err != nil {
			t.Errorf("%s: %v", when, err)
		}
	}
	drained("at once")
	s.ok(s.gw1, "reload")
	drained("after a reload")
	s.kill(s.gw1, "daemon")
	drained("after the daemon died")
	if out := s.ok(s.gw1, "status"); !strings.Contains(out, "drained") || !strings.Contains(out, "primary") {
		t.Errorf("status says:\n%s", out)
	}
	s.ok(s.gw1, "server", "undrain", "web", server)
	s.wait("the server to be back", serverIs(s.gw1, "web", 1, "up"))
	s.wait("new clients there", s.newcomers(entryAddress, 3, map[byte]int{'1': 3}))
}

// No server: clients are refused at once, an alarm tells; with a spare it serves.
func TestEntryWithoutServers(t *testing.T) {
	s := newScene(t, pair.Options{Extra: entryPoint("web", entryAddress, 1, "") +
		entryPoint("spared", netip.AddrPortFrom(entryAddress.Addr(), 8444), 1, fmt.Sprintf("spare = \"%s:443\"", pair.ServerHost(2)))})
	nodes := s.servers(2)
	s.ready(1, "web", "spared")
	s.must(nodes[0].UnplugAll())
	s.wait("the alarm", alarmed(s.gw1, "entry-servers"))
	s.wait("a client to be refused", func(ctx context.Context) error {
		if err := s.newcomers(entryAddress, 1, nil)(ctx); !errors.Is(err, unix.ECONNREFUSED) {
			return fmt.Errorf("nobody serves: %v", err)
		}
		return nil
	})
	s.wait("new clients at the spare", s.newcomers(netip.AddrPortFrom(entryAddress.Addr(), 8444), 3, map[byte]int{'2': 3}))
	s.must(nodes[0].PlugAll())
	s.wait("a new client at the server", s.newcomers(entryAddress, 1, map[byte]int{'1': 1}))
	s.wait("no alarm", calm(s.gw1))
}

// Connections are counted, and new ones go to who has less.
func TestEntryLeastConnections(t *testing.T) {
	s := newScene(t, pair.Options{Extra: entryPoint("web", entryAddress, 2, `steer = "least-connections"`)})
	nodes := s.servers(2)
	s.ready(2, "web")
	s.must(nodes[1].UnplugAll())
	s.wait("the second server to be down", serverIs(s.gw1, "web", 2, "down"))
	s.wait("clients at the first one", s.newcomers(entryAddress, 3, map[byte]int{'1': 3}))
	c := s.clients(entryAddress, 40, 40)
	if err := servedBy(c, map[byte]int{'1': 40})(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.must(nodes[1].PlugAll())
	s.wait("the second server to be up", serverIs(s.gw1, "web", 2, "up"))
	s.wait("all new flows to go there", func(ctx context.Context) error {
		st, err := s.gw1.Status(ctx)
		if err != nil {
			return err
		}
		v := st.NAT.Entries[0].Servers
		if v[0].Connections == nil || *v[0].Connections < 40 || v[1].Share != 1 {
			return fmt.Errorf("servers are %+v", v)
		}
		return nil
	})
	s.wait("new clients there", s.newcomers(entryAddress, 3, map[byte]int{'2': 3}))
}

// Whatever is left in the kernel when it ends is nothing.
func TestEntryLeavesNothing(t *testing.T) {
	s := newScene(t, pair.Options{Extra: entryPoint("web", entryAddress, 1, "")})
	s.servers(1)
	s.ready(1, "web")
	p := s.gw1.Process()
	s.must(errors.Join(p.Stop(patience), p.Err()))
	if tables := s.ourTables(s.gw1); len(tables) > 0 {
		t.Errorf("tables %v are left", tables)
	}
}

// lan6 gives each gateway an IPv6 address of its own in the servers' network: a standby
// checks servers too.
func (s *scene) lan6() {
	s.t.Helper()
	for i, g := range s.Gateways {
		s.must(g.Link("lan0").AddStatic(netip.MustParsePrefix(fmt.Sprintf("2001:db8:1::%d/64", i+2))))
	}
}
