//go:build guest

package nft_test

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"understudy/appliance/lab/guest"
	"understudy/health"
	"understudy/nat/entry"
	"understudy/nat/ipvs"
)

// What nftables does in every kernel that has dup, IPVS does where it has not: distributes
// flows, lets those of a drained server be, and ends those of a dead one.
func TestGuestDirectByIPVS(t *testing.T) {
	guest.Load(t, guest.Bonding, guest.IPVS)
	n := newDirectLab(t)
	var table *ipvs.Table
	n.must(n.gateway.Do(func() (err error) { table, err = ipvs.Open(); return err }))
	t.Cleanup(func() { n.must(table.Close()) })
	n.d = table
	n.families(func(six bool) {
		clients := n.clients(six, 12)
		for _, steer := range entry.Steers() {
			t.Run(fmt.Sprintf("%s six %v", steer, six), func(t *testing.T) {
				s := direct(six, steer, nil)
				n.apply(s)
				n.life(t, s, clients)
				n.apply()
			})
		}
	})
	n.must(n.d.Clean())
}

// clients gives the client's host that many addresses.
func (n *directLab) clients(six bool, count int) []netip.Addr {
	n.t.Helper()
	clients := make([]netip.Addr, count)
	next := map[bool]netip.Addr{false: netip.MustParseAddr("192.0.2.100"), true: netip.MustParseAddr("2001:db8:9::100")}[six]
	for i := range clients {
		clients[i] = next
		n.must(n.client.Link("eth0").AddAddr(netip.PrefixFrom(next, map[bool]int{false: 24, true: 64}[six])))
		next = next.Next()
	}
	return clients
}

// life has servers of an entry point get flows, be drained, and die.
func (n *directLab) life(t *testing.T, s *entry.Set, clients []netip.Addr) {
	t.Helper()
	steer := s.Config().Steer
	const flows = 24
	count, at, conns := make([]int, directServers), []int{}, []net.Conn{}
	for i := range flows {
		c, err := n.Call(clients[i%len(clients)], vipOf(s))
		n.must(err)
		got := n.Ask(c)
		if i >= len(clients) && steer.ByClient() && got != at[i-len(clients)] {
			t.Errorf("%v is with server %d, was with %d", clients[i%len(clients)], got, at[i-len(clients)])
		}
		conns, at = append(conns, c), append(at, got)
		count[got]++
	}
	if primary := steer == entry.Primary; primary && count[0] != flows || !primary && slices.Max(count) == flows {
		t.Errorf("of %d flows the servers have %v", flows, count)
	}
	known, err := n.d.Flows("web")
	n.must(err)
	held := make([]int, directServers)
	for _, w := range known {
		if !w.Ended {
			held[w.Server]++
		}
	}
	if !slices.Equal(held, count) {
		t.Errorf("flows known are %v of %v", held, count)
	}
	first := n.Ask(conns[0])
	n.step(s, entry.Input{Kind: entry.InDrain, Server: s.Config().Servers[first].Address, On: true})
	if got := n.Ask(conns[0]); got != first {
		t.Errorf("a flow of server %d, which is drained, is with %d", first, got)
	}
	for _, client := range clients {
		if got := n.Who(client, vipOf(s)); got == first {
			t.Errorf("server %d is drained, and gets new flows", first)
		}
	}
	n.is(s, first, health.Down)
	for i, c := range conns {
		n.must(c.SetDeadline(time.Now().Add(30 * time.Second)))
		if cut := n.cut(c); cut != (at[i] == first) {
			t.Errorf("flow %d of server %d, server %d dead: cut %v", i, at[i], first, cut)
		}
	}
	if changed, err := n.d.Apply([]entry.Point{s.Point()}); err != nil || changed {
		t.Errorf("applied again: %v, %v", changed, err)
	}
	for i := range directServers {
		n.is(s, i, health.Down)
	}
	if c, err := n.Call(netip.Addr{}, vipOf(s)); err == nil {
		c.Close()
		t.Error("nobody serves, and somebody answers")
	} else if !errors.Is(err, unix.ECONNREFUSED) && !errors.Is(err, unix.EHOSTUNREACH) && !errors.Is(err, unix.EACCES) {
		t.Logf("nobody serves: %v", err)
	}
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(100 * time.Millisecond) { // IPVS adds them up every other second
		if c, err := n.d.Counters(); err == nil && c.New["web"] >= flows {
			break
		} else if err != nil || time.Now().After(end) {
			t.Fatalf("%d new flows counted (%v)", c.New["web"], err)
		}
	}
}
