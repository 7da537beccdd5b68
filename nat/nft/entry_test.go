package nft

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/nftables"
	"golang.org/x/sys/unix"

	"understudy/health"
	"understudy/nat"
	"understudy/nat/entry"
)

// Entry points in the lab: clients are outside, servers inside, several on one host.

// The first server has all; when it dies, the next one has; when it is back, it has again.
func TestEntryPrimary(t *testing.T) {
	both(t, func(t *testing.T, six bool) {
		l := newEntryLab(t)
		l.serve(six, 80)
		s := web(six, entry.Primary, nil)
		_, err := l.e.Apply([]entry.Point{s.Point()})
		l.must(err)
		for _, step := range []struct {
			server int
			state  health.State
			want   int
		}{{0, health.Up, 0}, {0, health.Down, 1}, {1, health.Down, 2}, {0, health.Up, 0}} {
			l.is(s, step.server, step.state)
			if got := l.Who(netip.Addr{}, at(s)); got != step.want {
				t.Errorf("server %d %v: server %d answers, want %d", step.server, step.state, got, step.want)
			}
		}
	})
}

// Flows go to servers as the table says; whose client's, it says too.
func TestEntrySteering(t *testing.T) {
	const flows = 60
	both(t, func(t *testing.T, six bool) {
		l := newEntryLab(t)
		l.serve(six, 80)
		clients := make([]netip.Addr, 12)
		next := netip.MustParseAddr("203.0.113.100")
		if six {
			next = netip.MustParseAddr("2001:db8::100")
		}
		for i := range clients {
			clients[i] = next
			l.server.address("eth0", netip.PrefixFrom(next, map[bool]int{false: 24, true: 64}[six]).String())
			next = next.Next()
		}
		for _, steer := range entry.Steers() {
			t.Run(string(steer), func(t *testing.T) {
				s := web(six, steer, func(c *entry.Config) {
					if steer == entry.Weighted {
						c.Servers[0].Weight = 4
					}
				})
				_, err := l.e.Apply([]entry.Point{s.Point()})
				l.must(err)
				slots, count := make([]int, 3), make([]int, 3)
				for _, n := range s.Table().Slots {
					slots[n]++
				}
				home := map[netip.Addr]int{}
				for i := range flows {
					client := clients[i%len(clients)]
					got := l.Who(client, at(s))
					if was, ok := home[client]; ok && was != got && steer.ByClient() {
						t.Errorf("%v was with server %d, is with %d", client, was, got)
					}
					if want := int(s.Table().Slots[entry.SlotOf(client, len(s.Table().Slots))]); steer.ByClient() && got != want {
						t.Errorf("%v is with server %d; any node would say %d", client, got, want)
					}
					home[client] = got
					count[got]++
				}
				for i := range count {
					want := flows * slots[i] / len(s.Table().Slots)
					if d := count[i] - want; !steer.ByClient() && (d < -1 || d > 1) || steer.ByClient() && count[i] == 0 {
						t.Errorf("of %d flows the servers have %v, their slots are %v", flows, count, slots)
					}
				}
				// Nobody gets to a server that is down.
				dead := home[clients[0]]
				l.is(s, dead, health.Down)
				for _, client := range clients {
					got := l.Who(client, at(s))
					if got == dead {
						t.Errorf("%v: server %d is down, and answers", client, dead)
					}
				}
				c, err := l.e.Counters()
				l.must(err)
				if got := c.New["web"]; got < flows {
					t.Errorf("%d new flows counted, want at least %d", got, flows)
				}
				_, err = l.e.Apply(nil)
				l.must(err)
			})
		}
	})
}

// The table says after a change of a server exactly what it would say if it were made anew.
func TestEntrySteerIsApply(t *testing.T) {
	l := newEntryLab(t)
	for _, steer := range entry.Steers() {
		for _, persist := range []time.Duration{0, time.Minute, time.Hour} {
			s := web(false, steer, func(c *entry.Config) {
				if c.Persist, c.Servers[1].Weight = persist, 1; persist > time.Minute {
					c.PersistPrefix = 20
				} else {
					c.ByPort = steer.ByClient()
				}
			})
			if _, err := l.e.Apply([]entry.Point{s.Point(), web(true, entry.Primary, func(c *entry.Config) { c.Name = "six" }).Point()}); err != nil {
				t.Fatal(err)
			}
			// Debian's nft has to be able to list it.
			l.gateway.do(func() error {
				out, err := exec.Command("nft", "list", "ruleset").CombinedOutput()
				if err != nil || strings.Contains(string(out), "Error") {
					t.Errorf("%s, persist %v: nft list ruleset: %v: %.2000s", steer, persist, err, out)
				}
				return nil
			})
			six := web(true, entry.Primary, func(c *entry.Config) { c.Name = "six" }).Point()
			for _, step := range []struct {
				server int
				state  health.State
			}{{0, health.Down}, {1, health.Down}, {2, health.Down}, {1, health.Up}, {0, health.Up}} {
				l.is(s, step.server, step.state)
				changed, err := l.entries().Apply([]entry.Point{s.Point(), six})
				if err != nil || changed {
					t.Errorf("%s, persist %v: after server %d %v another program finds something to do: %v, %v", steer, persist, step.server, step.state, changed, err)
				}
			}
			if changed, err := l.e.Apply([]entry.Point{s.Point(), six}); err != nil || changed {
				t.Errorf("%s: applied again: %v, %v", steer, changed, err)
			}
		}
	}
	l.must(l.e.Clean())
	l.must(l.e.Clean())
	l.gateway.do(func() error {
		c, err := nftables.New()
		if err != nil {
			return err
		}
		tables, err := c.ListTables()
		for _, table := range tables {
			if table.Name == EntryTable {
				t.Error("the table is left")
			}
		}
		return err
	})
}

// A client's flows go to its server for as long as it is there, then to another one for good.
func TestEntryPersist(t *testing.T) {
	both(t, func(t *testing.T, six bool) {
		l := newEntryLab(t)
		l.serve(six, 80)
		s := web(six, entry.RoundRobin, func(c *entry.Config) { c.Persist = time.Minute })
		_, err := l.e.Apply([]entry.Point{s.Point()})
		l.must(err)
		stays := func(when string) int {
			t.Helper()
			first := l.Who(netip.Addr{}, at(s))
			for range 4 {
				if got := l.Who(netip.Addr{}, at(s)); got != first {
					t.Errorf("%s: with server %d, then with %d", when, first, got)
				}
			}
			return first
		}
		first := stays("at first")
		l.is(s, first, health.Down)
		second := stays("after its server died")
		if second == first {
			t.Errorf("server %d is down, and answers", first)
		}
		l.is(s, first, health.Up)
		if third := stays("when it was back"); third != second {
			t.Errorf("back to server %d, though it was with %d meanwhile", third, second)
		}
		// What another program knows of it.
		l.must(l.e.Remember("web", []Remembered{{at(s).Addr(), 0}, {l.client0(six), first}, {l.client0(six), second}}))
		if got := stays("when it was told"); got != first {
			t.Errorf("server %d answers, was told %d", got, first)
		}
	})
}

// By port, the flows of one client go to several servers: to those that any node would say.
func TestEntryByPort(t *testing.T) {
	both(t, func(t *testing.T, six bool) {
		l := newEntryLab(t)
		l.serve(six, 80)
		for _, steer := range []entry.Steer{entry.SourceHash, entry.ConsistentHash} {
			s := web(six, steer, func(c *entry.Config) { c.ByPort = true })
			_, err := l.e.Apply([]entry.Point{s.Point()})
			l.must(err)
			slots, seen := s.Table().Slots, map[int]bool{}
			for range 40 {
				c, err := l.Call(netip.Addr{}, at(s))
				l.must(err)
				from := c.LocalAddr().(*net.TCPAddr).AddrPort()
				got := l.Ask(c)
				if want := int(slots[entry.SlotOfFlow(netip.AddrPortFrom(from.Addr().Unmap(), from.Port()), len(slots))]); got != want {
					t.Errorf("%s: %v is with server %d; any node would say %d", steer, from, got, want)
				}
				seen[got] = true
				c.Close()
			}
			if len(seen) < 2 {
				t.Errorf("%s: all flows are with one server", steer)
			}
			_, err = l.e.Apply(nil)
			l.must(err)
		}
	})
}

// Clients of one prefix are one: they stay at one server, and go to another together.
func TestEntryPersistPrefix(t *testing.T) {
	both(t, func(t *testing.T, six bool) {
		l := newEntryLab(t)
		l.serve(six, 80)
		prefix, wide, near, far := 28, 24, []string{"203.0.113.112", "203.0.113.121", "203.0.113.127"}, []string{"203.0.113.128", "203.0.113.143"}
		if six {
			prefix, wide, near, far = 124, 64, []string{"2001:db8::110", "2001:db8::119", "2001:db8::11f"}, []string{"2001:db8::120", "2001:db8::12f"}
		}
		clients := func(list []string) (out []netip.Addr) {
			for _, c := range list {
				out = append(out, netip.MustParseAddr(c))
				l.server.address("eth0", netip.PrefixFrom(out[len(out)-1], wide).String())
			}
			return out
		}
		one, two := clients(near), clients(far)
		for _, steer := range []entry.Steer{entry.RoundRobin, entry.SourceHash} {
			s := web(six, steer, func(c *entry.Config) { c.Persist, c.PersistPrefix = time.Minute, prefix })
			_, err := l.e.Apply([]entry.Point{s.Point()})
			l.must(err)
			together := func(when string, clients []netip.Addr) int {
				t.Helper()
				first := l.Who(clients[0], at(s))
				for _, c := range clients[1:] {
					if got := l.Who(c, at(s)); got != first {
						t.Errorf("%s, %s: %v is with server %d, %v with %d", steer, when, clients[0], first, c, got)
					}
				}
				return first
			}
			first := together("at first", one)
			slots := s.Table().Slots
			if want := int(slots[entry.SlotOf(s.Point().Client(one[2]), len(slots))]); steer == entry.SourceHash && first != want {
				t.Errorf("they are with server %d; any node would say %d", first, want)
			}
			if got := together("another prefix", two); steer == entry.RoundRobin && got == first {
				t.Errorf("two prefixes are with server %d, and it was another one's turn", got)
			}
			l.is(s, first, health.Down)
			second := together("after their server died", one)
			if second == first {
				t.Errorf("%s: server %d is down, and answers", steer, first)
			}
			l.is(s, first, health.Up)
			if got := together("when it was back", one); got != second {
				t.Errorf("%s: back to server %d, though they were with %d meanwhile", steer, got, second)
			}
			// What another program knows of some of them: the first word counts.
			for _, server := range []int{2, 1, 0} {
				l.must(l.e.Remember("web", []Remembered{{one[1], server}, {one[2], (server + 1) % 3}}))
				if got := together("when it was told", one); got != server {
					t.Errorf("%s: server %d answers, was told %d", steer, got, server)
				}
			}
			_, err = l.e.Apply(nil)
			l.must(err)
		}
	})
}

// What nobody serves is refused, at once; when there is a server again it serves.
func TestEntryWithoutServers(t *testing.T) {
	both(t, func(t *testing.T, six bool) {
		l := newEntryLab(t)
		l.serve(six, 80)
		s := web(six, entry.RoundRobin, nil)
		_, err := l.e.Apply([]entry.Point{s.Point()})
		l.must(err)
		for i := range 3 {
			l.is(s, i, health.Down)
		}
		if _, err := l.Call(netip.Addr{}, at(s)); !errors.Is(err, unix.ECONNREFUSED) {
			t.Errorf("nobody serves: %v", err)
		}
		if c, err := l.e.Counters(); err != nil || c.Unserved == 0 {
			t.Errorf("refused %d (%v)", c.Unserved, err)
		}
		l.is(s, 2, health.Up)
		if got := l.Who(netip.Addr{}, at(s)); got != 2 {
			t.Errorf("server %d answers", got)
		}
	})
}

// An established flow has its server whatever becomes of the table.
func TestEntryKeepsFlows(t *testing.T) {
	l := newEntryLab(t)
	l.serve(false, 80)
	s := web(false, entry.Primary, nil)
	_, err := l.e.Apply([]entry.Point{s.Point()})
	l.must(err)
	c, err := l.Call(netip.Addr{}, at(s))
	l.must(err)
	l.Ask(c)
	s.Step(time.Now(), entry.Input{Kind: entry.InDrain, Server: s.Config().Servers[0].Address, On: true})
	l.must(l.e.Steer(s.Point()))
	if got, want := l.Ask(c), 0; got != want {
		t.Errorf("the flow is with server %d, want %d", got, want)
	}
	if got := l.Who(netip.Addr{}, at(s)); got != 1 {
		t.Errorf("a new flow is with server %d, want 1", got)
	}
}

// A flow that was cut is answered with a reset, whoever knows it; a new one is not.
func TestEntryCut(t *testing.T) {
	both(t, func(t *testing.T, six bool) {
		l := newEntryLab(t)
		l.serve(six, 80)
		s := web(six, entry.Primary, nil)
		_, err := l.e.Apply([]entry.Point{s.Point()})
		l.must(err)
		l.must(l.e.SetUnknown(UnknownDrop)) // as right after an activation
		c, err := l.Call(netip.Addr{}, at(s))
		l.must(err)
		l.Ask(c)
		l.must(l.e.Cut([]CutFlow{{Client: c.LocalAddr().(*net.TCPAddr).AddrPort(), To: at(s), Proto: unix.IPPROTO_TCP}}))
		l.Ask(c) // while it is known it goes on
		l.forget()
		// An acknowledgement that was late may have been answered so already.
		if _, err = c.Write([]byte("?")); err == nil {
			_, err = io.ReadFull(c, make([]byte, 1))
		}
		if !errors.Is(err, unix.ECONNRESET) {
			t.Errorf("a flow that was cut: %v, want a reset", err)
		}
		if got := l.Who(netip.Addr{}, at(s)); got != 0 {
			t.Errorf("a new flow is with server %d", got)
		}
		if v, err := l.e.Counters(); err != nil || v.Cut == 0 {
			t.Errorf("cut %d (%v)", v.Cut, err)
		}
	})
}

// The middle of a connection that is not known is dropped, or reset, and never given to a
// server or to the gateway's own TCP.
func TestEntryUnknownFlows(t *testing.T) {
	both(t, func(t *testing.T, six bool) {
		l := newEntryLab(t)
		s := web(six, entry.RoundRobin, nil)
		_, err := l.e.Apply([]entry.Point{s.Point()})
		l.must(err)
		middle := packet{src: l.client0(six), dst: at(s).Addr(), proto: unix.IPPROTO_TCP, sport: 4000, dport: 8080, flags: ack}
		seen, home := l.capture0(l.server, six), l.capture0(l.client, six)
		l.must(l.e.SetUnknown(UnknownDrop))
		l.server.send(middle)
		l.must(l.e.SetUnknown(UnknownReset))
		middle.sport++
		l.server.send(middle)
		before, got := seen.until("reset", func(p packet) bool { return p.proto == unix.IPPROTO_TCP })
		if got.flags&rst == 0 || got.dport != 4001 || got.src != at(s).Addr() {
			t.Errorf("%v after %v; want a reset of the second flow from the entry point", got, before)
		}
		last := packet{src: l.client0(six), dst: at(s).Addr(), proto: unix.IPPROTO_UDP, sport: 9, dport: 53} // forwarded
		l.server.send(last)
		if before, _ := home.until("datagram", func(p packet) bool { return p.proto == unix.IPPROTO_UDP && p.dport == 5353 }); slices.ContainsFunc(before, func(p packet) bool { return p.proto == unix.IPPROTO_TCP }) {
			t.Errorf("a server got %v", before)
		}
	})
}

// Who is in the servers' own network, or a server itself, reaches the entry point; who is
// elsewhere is seen as who he is.
func TestEntryHairpin(t *testing.T) {
	both(t, func(t *testing.T, six bool) {
		l := newEntryLab(t)
		l.serve(six, 80)
		links := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/24"), netip.MustParsePrefix("203.0.113.0/24")}
		from := []netip.Addr{inside, servers(six)[0]}
		if six {
			links = []netip.Prefix{netip.MustParsePrefix("fd00:10::/64"), netip.MustParsePrefix("2001:db8::/64")}
			from[0] = netip.MustParseAddr("fd00:10::10")
		}
		s := web(six, entry.RoundRobin, func(c *entry.Config) { c.Links = links })
		_, err := l.e.Apply([]entry.Point{s.Point()})
		l.must(err)
		outer := l.server
		for _, client := range from {
			l.server = l.client // calls come from inside
			seen := map[int]bool{}
			for range 3 {
				seen[l.Who(client, at(s))] = true
			}
			l.server = outer
			if len(seen) != 3 {
				t.Errorf("%v: servers %v have answered, want all", client, seen)
			}
		}
		home := l.capture0(l.client, six)
		c, err := l.Call(l.client0(six), at(s))
		l.must(err)
		l.Ask(c)
		// The SYN: connections from inside may still be ending.
		_, first := home.until("a connection from outside", func(p packet) bool { return p.proto == unix.IPPROTO_TCP && p.dport == 80 && p.flags&syn != 0 })
		if first.src != l.client0(six) {
			t.Errorf("%v: seen as %v", l.client0(six), first.src)
		}
		if changed, err := l.entries().Apply([]entry.Point{s.Point()}); err != nil || changed {
			t.Errorf("another program finds something to do: %v, %v", changed, err)
		}
	})
}

// Somebody else's hand in the table is undone, and clients stay where they were.
func TestEntryRepair(t *testing.T) {
	l := newEntryLab(t)
	l.serve(false, 80)
	s := web(false, entry.RoundRobin, func(c *entry.Config) { c.Persist = time.Minute })
	points := []entry.Point{s.Point()}
	_, err := l.e.Apply(points)
	l.must(err)
	first := l.Who(netip.Addr{}, at(s))
	breaks := map[string]func(c *nftables.Conn){
		"a chain without its rules": func(c *nftables.Conn) { c.FlushChain(&nftables.Chain{Table: entryTable(), Name: "to_web"}) },
		"a map without its elements": func(c *nftables.Conn) {
			c.FlushSet(&nftables.Set{Table: entryTable(), Name: "servers_web"})
		},
		"the way in without its elements": func(c *nftables.Conn) {
			c.FlushSet(&nftables.Set{Table: entryTable(), Name: "entries"})
		},
	}
	for name, breaks := range breaks {
		l.gateway.do(func() error {
			c, err := nftables.New()
			if err != nil {
				return err
			}
			breaks(c)
			return c.Flush()
		})
		if changed, err := l.e.Apply(points); err != nil || !changed {
			t.Errorf("%s: %v, %v", name, changed, err)
		}
		if got := l.Who(netip.Addr{}, at(s)); got != first {
			t.Errorf("%s: with server %d, was with %d", name, got, first)
		}
	}
	// All of it gone, and a server dies before anybody looks.
	l.gateway.do(func() error {
		c, err := nftables.New()
		if err != nil {
			return err
		}
		c.DelTable(entryTable())
		return c.Flush()
	})
	l.is(s, 0, health.Down)
	for range 4 {
		if got := l.Who(netip.Addr{}, at(s)); got == 0 {
			t.Error("server 0 is down, and answers")
		}
	}
}

// A reload that brings, changes and takes away entry points leaves the others' clients alone.
func TestEntryReload(t *testing.T) {
	l := newEntryLab(t)
	l.serve(false, 80)
	s := web(false, entry.RoundRobin, func(c *entry.Config) { c.Persist = time.Minute })
	other := func(name string, port uint16) entry.Point {
		return web(false, entry.ConsistentHash, func(c *entry.Config) {
			c.Name, c.Match.Ports = name, nat.Ports{First: port, Last: port}
		}).Point()
	}
	six := web(true, entry.Primary, func(c *entry.Config) { c.Name = "six" }).Point()
	_, err := l.e.Apply([]entry.Point{s.Point()})
	l.must(err)
	first := l.Who(netip.Addr{}, at(s))
	for i, points := range [][]entry.Point{
		{s.Point(), other("a", 81), six},
		{s.Point(), other("a", 82), other("b", 81)},
		{other("b", 81), s.Point(), six},
		{s.Point()},
	} {
		changed, err := l.e.Apply(points)
		if err != nil || !changed {
			t.Fatalf("reload %d: %v, %v", i, changed, err)
		}
		if again, err := l.entries().Apply(points); err != nil || again {
			t.Errorf("reload %d: another program finds something to do: %v, %v", i, again, err)
		}
		if got := l.Who(netip.Addr{}, at(s)); got != first {
			t.Errorf("reload %d: with server %d, was with %d", i, got, first)
		}
		for _, p := range points {
			if !p.Six && p.Name != "web" {
				l.Who(netip.Addr{}, netip.AddrPortFrom(vip2, p.Match.Ports.First))
			}
		}
	}
	// Of those that went nothing is left.
	c, err := l.e.link.conn()
	l.must(err)
	have, err := readEntries(c, l.e.link.nl, entryTable())
	l.must(err)
	want := formOf([]entry.Point{s.Point()}, UnknownReset)
	if len(have.chains) != len(want.chains) || len(have.sets) != len(want.sets) || len(have.counters) != len(want.counters) {
		t.Errorf("%d chains, %d sets, %d counters; want %d, %d, %d", len(have.chains), len(have.sets), len(have.counters), len(want.chains), len(want.sets), len(want.counters))
	}
}
