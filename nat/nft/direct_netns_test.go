package nft_test

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os/exec"
	"slices"
	"testing"
	"time"

	"github.com/google/nftables"
	"golang.org/x/sys/unix"

	"understudy/health"
	"understudy/nat/entry"
	"understudy/nat/nft"
)

const directServers = 3

var directVIPs = map[bool]netip.Addr{false: netip.MustParseAddr("192.0.2.10"), true: netip.MustParseAddr("2001:db8:9::10")}

// Every way to steer: flows are distributed, each whole flow is one server's, whatever
// becomes of the table; who dies has none.
func TestDirectSteering(t *testing.T) {
	n := newDirectLab(t)
	n.families(func(six bool) {
		clients := make([]netip.Addr, 12)
		next := map[bool]netip.Addr{false: netip.MustParseAddr("192.0.2.100"), true: netip.MustParseAddr("2001:db8:9::100")}[six]
		for i := range clients {
			clients[i] = next
			n.must(n.client.Link("eth0").AddAddr(netip.PrefixFrom(next, map[bool]int{false: 24, true: 64}[six])))
			next = next.Next()
		}
		for _, steer := range entry.Steers() {
			t.Run(fmt.Sprintf("%s six %v", steer, six), func(t *testing.T) {
				s := direct(six, steer, func(c *entry.Config) {
					if steer == entry.Weighted {
						c.Servers[0].Weight = 4
					}
				})
				n.apply(s)
				const flows = 48
				count, at, conns := make([]int, directServers), []int{}, []net.Conn{}
				for i := range flows {
					client := clients[i%len(clients)]
					c, err := n.Call(client, vipOf(s))
					n.must(err)
					got := n.Ask(c)
					if want := int(s.Table().Slots[entry.SlotOf(client, len(s.Table().Slots))]); steer.ByClient() && got != want {
						t.Errorf("%v is with server %d; any node would say %d", client, got, want)
					}
					conns, at = append(conns, c), append(at, got)
					count[got]++
				}
				switch {
				case steer == entry.Primary && count[0] != flows,
					steer != entry.Primary && slices.Contains(count, 0),
					steer == entry.Weighted && count[0] < flows/3: // two thirds are due
					t.Errorf("of %d flows the servers have %v", flows, count)
				}
				known, err := n.d.Flows("web")
				n.must(err)
				held := make([]int, directServers)
				for _, w := range known {
					if !w.Ended && slices.ContainsFunc(conns, func(c net.Conn) bool { return c.LocalAddr().(*net.TCPAddr).AddrPort() == w.Client }) {
						held[w.Server]++
					}
				}
				if !slices.Equal(held, count) {
					t.Errorf("flows known are %v of %v", held, count)
				}
				// Drained: flows stay, and new ones go elsewhere.
				first := n.Ask(conns[0])
				n.step(s, entry.Input{Kind: entry.InDrain, Server: s.Config().Servers[first].Address, On: true})
				for i, c := range conns {
					if got := n.Ask(c); i == 0 && got != first {
						t.Errorf("a flow of server %d, which is drained, is with %d", first, got)
					}
				}
				for _, client := range clients {
					if got := n.Who(client, vipOf(s)); got == first {
						t.Errorf("server %d is drained, and gets new flows", first)
					}
				}
				// Dead: its flows are reset when they say something, the others' go on.
				n.is(s, first, health.Down)
				for i, c := range conns {
					if cut := n.cut(c); cut != (at[i] == first) {
						t.Errorf("flow %d of server %d, server %d dead: cut %v", i, at[i], first, cut)
					}
				}
				c, err := n.d.Counters()
				n.must(err)
				if got := c.New["web"]; got < flows {
					t.Errorf("%d new flows counted, want at least %d", got, flows)
				}
				n.apply()
			})
		}
	})
}

// on_failure "keep" leaves flows with a server that is down; the end of a flow is noted,
// and its ports may begin another one.
func TestDirectKeepAndEnd(t *testing.T) {
	n := newDirectLab(t)
	n.families(func(six bool) {
		s := direct(six, entry.Primary, func(c *entry.Config) { c.OnFailure = entry.Keep })
		n.apply(s)
		c, err := n.Call(netip.Addr{}, vipOf(s))
		n.must(err)
		n.Ask(c)
		n.is(s, 0, health.Down)
		if got := n.Ask(c); got != 0 {
			t.Errorf("six %v: server %d answers", six, got)
		}
		if got := n.Who(netip.Addr{}, vipOf(s)); got != 1 {
			t.Errorf("six %v: a new flow is with server %d", six, got)
		}
		port := c.LocalAddr().(*net.TCPAddr).Port
		// Ended, with a reset, so that the client may use the port again.
		n.must(c.(*net.TCPConn).SetLinger(0))
		n.must(c.Close())
		for end := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
			known, err := n.d.Flows("web")
			n.must(err)
			if slices.ContainsFunc(known, func(w nft.DirectFlow) bool { return w.Client.Port() == uint16(port) && w.Ended && w.Server == 0 }) {
				break
			}
			if time.Now().After(end) {
				t.Fatalf("six %v: the end of port %d is not noted: %v", six, port, known)
			}
		}
		d := net.Dialer{LocalAddr: &net.TCPAddr{Port: port}, Timeout: 20 * time.Second}
		n.must(n.client.Do(func() (err error) { c, err = d.Dial("tcp", vipOf(s).String()); return err }))
		_ = c.SetDeadline(time.Now().Add(20 * time.Second))
		if got := n.Ask(c); got != 1 {
			t.Errorf("six %v: a new flow of the same ports is with server %d", six, got)
		}
		// All of the flows are forgotten, one that is not there as well: they go where new
		// ones would, which is where they are.
		known, err := n.d.Flows("web")
		n.must(err)
		if n.must(n.d.Forget("web", append(known, known[0]))); n.Ask(c) != 1 {
			t.Errorf("six %v: forgotten, and elsewhere", six)
		}
		c.Close()
		n.apply()
	})
}

// A node that has never heard of a flow hands it to the server that has it.
func TestDirectTakeover(t *testing.T) {
	n := newDirectLab(t)
	n.families(func(six bool) {
		for _, steer := range entry.Steers() {
			for _, persist := range []time.Duration{0, time.Minute} {
				s := direct(six, steer, func(c *entry.Config) { c.Persist = persist })
				n.apply(s)
				var conns []net.Conn
				var at []int
				for range 9 {
					c, err := n.Call(netip.Addr{}, vipOf(s))
					n.must(err)
					conns, at = append(conns, c), append(at, n.Ask(c))
				}
				// Nothing arrives between one node and the next.
				n.must(n.gateway.Link("wan0").Silence())
				n.must(n.d.Clean())
				n.apply(s)
				n.must(n.gateway.Link("wan0").Unsilence())
				for i, c := range slices.Backward(conns) { // not the one that was steered first
					if got := n.Ask(c); got != at[i] {
						t.Errorf("%s, persist %v: with server %d, was with %d", steer, persist, got, at[i])
					}
				}
				if persist > 0 && len(slices.Compact(at)) != 1 {
					t.Errorf("%s: one client is with servers %v", steer, at)
				}
				n.apply()
			}
		}
	})
}

// A client stays with its server, until that dies.
func TestDirectPersist(t *testing.T) {
	n := newDirectLab(t)
	n.families(func(six bool) {
		s := direct(six, entry.RoundRobin, func(c *entry.Config) { c.Persist = time.Minute })
		n.apply(s)
		first := n.Who(netip.Addr{}, vipOf(s))
		n.is(s, first, health.Down)
		second := n.Who(netip.Addr{}, vipOf(s))
		n.is(s, first, health.Up)
		for range 4 {
			if got := n.Who(netip.Addr{}, vipOf(s)); got != second || got == first {
				t.Errorf("with server %d, then %d, then %d", first, second, got)
			}
		}
		from := map[bool]netip.Addr{false: netip.MustParseAddr("192.0.2.9"), true: netip.MustParseAddr("2001:db8:9::9")}[six]
		n.must(n.d.Remember("web", []nft.Remembered{{Client: from, Server: first}}))
		if got := n.Who(netip.Addr{}, vipOf(s)); got != first {
			t.Errorf("with server %d, was told %d", got, first)
		}
		n.apply()
	})
}

// By port, the flows of one client go to several servers: to those that any node would say.
func TestDirectByPort(t *testing.T) {
	n := newDirectLab(t)
	n.families(func(six bool) {
		s := direct(six, entry.ConsistentHash, func(c *entry.Config) { c.ByPort = true })
		n.apply(s)
		slots, seen := s.Table().Slots, map[int]bool{}
		for range 30 {
			c, err := n.Call(netip.Addr{}, vipOf(s))
			n.must(err)
			from := c.LocalAddr().(*net.TCPAddr).AddrPort()
			got := n.Ask(c)
			if want := int(slots[entry.SlotOfFlow(netip.AddrPortFrom(from.Addr().Unmap(), from.Port()), len(slots))]); got != want {
				t.Errorf("%v is with server %d; any node would say %d", from, got, want)
			}
			seen[got] = true
			c.Close()
		}
		if len(seen) < 2 {
			t.Errorf("six %v: all flows are with one server", six)
		}
		n.apply()
	})
}

// Clients of one prefix stay with one server, and a node that has never heard of them hands
// them to the same one.
func TestDirectPersistPrefix(t *testing.T) {
	n := newDirectLab(t)
	n.families(func(six bool) {
		prefix, clients := 24, []string{"192.0.2.9", "192.0.2.77", "192.0.2.254"}
		if six {
			prefix, clients = 64, []string{"2001:db8:9::9", "2001:db8:9::77", "2001:db8:9:0:ffff::1"}
		}
		for _, c := range clients[1:] {
			n.must(n.client.Link("eth0").AddAddr(netip.PrefixFrom(netip.MustParseAddr(c), prefix)))
		}
		s := direct(six, entry.RoundRobin, func(c *entry.Config) { c.Persist, c.PersistPrefix = time.Minute, prefix })
		n.apply(s)
		var conns []net.Conn
		together := func(when string) int {
			t.Helper()
			first := -1
			for _, from := range clients {
				c, err := n.Call(netip.MustParseAddr(from), vipOf(s))
				n.must(err)
				conns = append(conns, c)
				switch got := n.Ask(c); {
				case first < 0:
					first = got
				case got != first:
					t.Errorf("six %v, %s: %s is with server %d, %s with %d", six, when, clients[0], first, from, got)
				}
			}
			return first
		}
		first := together("at first")
		if slots := s.Table().Slots; first != int(slots[entry.SlotOf(s.Point().Client(netip.MustParseAddr(clients[2])), len(slots))]) {
			t.Errorf("six %v: with server %d; another node would say another one", six, first)
		}
		n.is(s, first, health.Down)
		second := together("after their server died")
		n.is(s, first, health.Up)
		if third := together("when it was back"); second == first || third != second {
			t.Errorf("six %v: with server %d, then %d, then %d", six, first, second, third)
		}
		// A connection is known by the client's whole address.
		flows, err := n.d.Flows("web")
		n.must(err)
		known := map[netip.Addr]int{}
		for _, w := range flows {
			known[w.Client.Addr()]++
		}
		for _, c := range clients {
			if got := known[netip.MustParseAddr(c)]; got < 3 {
				t.Errorf("six %v: %d flows of %s are known, want 3 or more", six, got, c)
			}
		}
		for _, c := range conns[len(clients):] {
			if got := n.Ask(c); got != second {
				t.Errorf("six %v: a connection to server %d is with server %d", six, second, got)
			}
		}
		for server := range directServers {
			n.must(n.d.Remember("web", []nft.Remembered{{Client: netip.MustParseAddr(clients[1]), Server: server}}))
			if got := together("when it was told"); got != server {
				t.Errorf("six %v: with server %d, was told %d", six, got, server)
			}
		}
		n.apply()
	})
}

// What nobody serves is refused; by a mark; a range of ports.
func TestDirectOffers(t *testing.T) {
	n := newDirectLab(t)
	n.must(n.gateway.Do(func() error {
		c, err := nftables.New()
		if err != nil {
			return err
		}
		return nft.MarkPort(c, 9090, 16)
	}))
	n.families(func(six bool) {
		n.serve(six, 9090)
		n.serve(six, 85)
		mark := direct(six, entry.RoundRobin, func(c *entry.Config) { c.Name, c.Match = "marked", entry.Match{Mark: 16} })
		s := direct(six, entry.RoundRobin, func(c *entry.Config) { c.Match.Ports.Last = 89 })
		n.apply(s, mark)
		for _, port := range []uint16{80, 85, 9090} {
			seen := map[int]bool{}
			for range 40 {
				c, err := n.Call(netip.Addr{}, netip.AddrPortFrom(directVIPs[six], port))
				n.must(err)
				seen[n.Ask(c)] = true
				c.Close()
			}
			if len(seen) != directServers {
				t.Errorf("six %v, port %d: servers %v have answered", six, port, seen)
			}
		}
		for i := range directServers {
			n.is(s, i, health.Down)
			n.is(mark, i, health.Down)
		}
		for _, port := range []uint16{80, 9090} {
			if _, err := n.Call(netip.Addr{}, netip.AddrPortFrom(directVIPs[six], port)); !errors.Is(err, unix.ECONNREFUSED) {
				t.Errorf("six %v, port %d: nobody serves: %v", six, port, err)
			}
		}
		if c, err := n.d.Counters(); err != nil || c.Unserved < 2 {
			t.Errorf("six %v: %d refused (%v)", six, c.Unserved, err)
		}
		n.is(s, 2, health.Up)
		if got := n.Who(netip.Addr{}, vipOf(s)); got != 2 {
			t.Errorf("six %v: server %d answers", six, got)
		}
		n.apply()
	})
}

// nftLists has Debian's nft list the ruleset, which it has to be able to.
func nftLists(t testing.TB, in func(func() error) error) {
	t.Helper()
	var out []byte
	if err := in(func() (err error) { out, err = exec.Command("nft", "list", "ruleset").CombinedOutput(); return err }); err != nil || bytes.Contains(out, []byte("Error")) {
		t.Errorf("nft list ruleset: %v: %.2000s", err, out)
	}
}

// The tables say after a change of a server what they would say if they were made anew;
// somebody else's hand is undone; nothing is left.
func TestDirectTables(t *testing.T) {
	n := newDirectLab(t)
	n.serve(false, 80)
	if err := n.program().Can(); err != nil {
		t.Fatal(err)
	}
	six := direct(true, entry.Primary, func(c *entry.Config) { c.Name = "six" })
	for _, steer := range entry.Steers() {
		for _, persist := range []time.Duration{0, time.Minute, time.Hour} {
			s := direct(false, steer, func(c *entry.Config) {
				if c.Persist = persist; persist > time.Minute {
					c.PersistPrefix = 20
				}
			})
			n.apply(s, six)
			nftLists(t, n.gateway.Do)
			for _, step := range []struct {
				server int
				state  health.State
			}{{0, health.Down}, {1, health.Down}, {2, health.Down}, {1, health.Up}, {0, health.Up}} {
				n.is(s, step.server, step.state)
				if changed, err := n.program().Apply([]entry.Point{s.Point(), six.Point()}); err != nil || changed {
					t.Errorf("%s, persist %v: after server %d %v another program finds something to do: %v, %v", steer, persist, step.server, step.state, changed, err)
				}
			}
		}
	}
	s := direct(false, entry.RoundRobin, nil)
	n.apply(s, six)
	table := &nftables.Table{Name: nft.DirectTable, Family: nftables.TableFamilyIPv4}
	for name, breaks := range map[string]func(c *nftables.Conn){
		"a chain without its rules":       func(c *nftables.Conn) { c.FlushChain(&nftables.Chain{Table: table, Name: "to_web"}) },
		"a map without its elements":      func(c *nftables.Conn) { c.FlushSet(&nftables.Set{Table: table, Name: "hosts_web"}) },
		"the way in without its elements": func(c *nftables.Conn) { c.FlushSet(&nftables.Set{Table: table, Name: "entries"}) },
		"no table":                        func(c *nftables.Conn) { c.DelTable(table) },
	} {
		n.must(n.gateway.Do(func() error {
			c, err := nftables.New()
			if err != nil {
				return err
			}
			breaks(c)
			return c.Flush()
		}))
		if changed, err := n.d.Apply([]entry.Point{s.Point(), six.Point()}); err != nil || !changed {
			t.Errorf("%s: %v, %v", name, changed, err)
		}
		n.Who(netip.Addr{}, vipOf(s))
	}
	// Gone again, and a server dies before anybody looks.
	n.must(n.gateway.Do(func() error {
		c, err := nftables.New()
		if err != nil {
			return err
		}
		c.DelTable(table)
		return c.Flush()
	}))
	n.is(s, 0, health.Down)
	for range 4 {
		if got := n.Who(netip.Addr{}, vipOf(s)); got == 0 {
			t.Error("server 0 is down, and answers")
		}
	}
	n.must(n.d.Clean())
	n.must(n.d.Clean())
	n.must(n.gateway.Do(func() error {
		c, err := nftables.New()
		if err != nil {
			return err
		}
		tables, err := c.ListTables()
		for _, table := range tables {
			t.Errorf("table %s is left", table.Name)
		}
		return err
	}))
}
