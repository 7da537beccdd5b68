package e2e

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"understudy/appliance/lab"
	"understudy/appliance/lab/pair"
	"understudy/appliance/lab/probe"
)

// directPoint is an entry point that hands packets to its servers.
func directPoint(name string, at netip.AddrPort, n int, more string) string {
	direct := entryPoint(name, at, n, "forward = \"direct\"\n"+more)
	direct = strings.Replace(direct, "kind = \"tcp\"\n", "kind = \"tcp\"\ntarget = \":443\"\n", 1) // of the servers, which have no port
	head, servers, _ := strings.Cut(direct, "servers = [")
	for i := 1; i <= n; i++ {
		host := pair.ServerHost(i)
		if at.Addr().Is6() {
			host = pair.ServerHost6(i)
		}
		servers = strings.Replace(servers, fmt.Sprintf("%q", netip.AddrPortFrom(host, 443)), fmt.Sprintf("%q", host), 1)
	}
	return head + "servers = [" + servers
}

// ownAnswer has servers take what is for the addresses of entry points, and answer by a way
// of their own that no gateway is on.
func (s *scene) ownAnswer(nodes []*lab.Node, points ...netip.AddrPort) {
	s.t.Helper()
	for i, node := range nodes {
		for _, v := range [][2]string{{"all/arp_ignore", "1"}, {"all/arp_announce", "2"}, {"all/rp_filter", "0"}, {"default/rp_filter", "0"}, {"eth0/rp_filter", "0"}} {
			s.must(node.Sysctl("ipv4/conf/"+v[0], v[1]))
		}
		_, err := node.Join(s.WAN, "eth1", fmt.Sprintf("203.0.113.12%d/24", i), fmt.Sprintf("2001:db8:2::12%d/64", i))
		s.must(err)
		lo, err := node.Netlink().LinkByName("lo")
		s.must(err)
		for _, at := range points {
			a := at.Addr()
			s.must(node.Netlink().AddrAdd(lo, &netlink.Addr{IPNet: &net.IPNet{IP: a.AsSlice(), Mask: net.CIDRMask(a.BitLen(), a.BitLen())}, Flags: unix.IFA_F_NODAD}))
			s.greet(node, at, i+1)
		}
	}
}

// Packets are handed to servers, which answer past the gateways: these do not see a byte of
// it. The gateway dies, and every connection goes on with its server; a server dies, and its
// clients are told, the silent ones as well, as far as the gateway has heard of them; one is
// drained, and keeps what it has.
func TestEntryDirect(t *testing.T) {
	const clients, idle = 40, 20
	s := newScene(t, pair.Options{IPv6: true, Extra: directPoint("web", entryAddress, 3, `steer = "round-robin"`) +
		directPoint("web6-", entryAddress6, 3, `steer = "source-hash"`)})
	s.lan6()
	nodes := s.servers(3)
	s.ownAnswer(nodes, entryAddress, entryAddress6)
	s.ready(3, "web", "web6-")
	c, c6 := s.clients(entryAddress, clients, 0), s.clients(entryAddress6, clients, 0)
	with, with6 := c.With(), c6.With()
	if len(with) != 3 || len(with6) != 1 {
		t.Fatalf("clients of one address are with %v and %v", readable(with), readable(with6))
	}
	flows, err := s.gw1.Conntrack()
	s.must(err)
	for _, f := range flows {
		if f.Forward.DstPort == entryAddress.Port() && f.Forward.DstIP.Equal(entryAddress.Addr().AsSlice()) {
			t.Errorf("tracked: %v", f)
		}
	}

	s.crash(s.gw1)
	s.stays("clients where they were", 2*time.Second, all(servedBy(c, with), servedBy(c6, with6)))
	if n := len(c.Moves()) + len(c6.Moves()); n > 0 {
		t.Fatalf("%d clients lost their connection: %v", n, append(c.Moves(), c6.Moves()...)[0])
	}

	// A server dies.
	d, d6 := s.clients(entryAddress, clients, idle), s.clients(entryAddress6, clients, idle)
	withD := d.With()
	dead := 1
	for server := range with6 {
		dead = int(server - '0')
	}
	s.must(nodes[dead-1].UnplugAll())
	s.wait("all clients at the others", func(context.Context) error {
		for _, c := range []*probe.Clients{c, c6, d, d6} {
			if have := c.With(); have[byte('0'+dead)]+have[0] > 0 {
				return fmt.Errorf("clients are with %v", readable(have))
			}
		}
		return nil
	})
	moves := append(append(c.Moves(), c6.Moves()...), append(d.Moves(), d6.Moves()...)...)
	if want := with[byte('0'+dead)] + withD[byte('0'+dead)] + 2*clients; len(moves) != want {
		t.Errorf("%d clients moved, want %d", len(moves), want)
	}
	for _, m := range moves {
		if !strings.Contains(m.HowItEnded, "connection reset") {
			t.Errorf("a connection ended with %s", m.HowItEnded)
		}
	}
	for _, e := range s.status(s.gw2).NAT.Entries {
		if v := e.Servers[dead-1]; v.State != "down" || v.Share != 0 || e.Forward != "direct" {
			t.Errorf("status shows %+v", e)
		}
	}

	// One of the others is drained.
	drained := dead%3 + 1
	before := c.With()
	s.ok(s.gw2, "server", "drain", "web", pair.ServerHost(drained).String())
	s.wait("new clients at the last one", s.newcomers(entryAddress, 5, map[byte]int{byte('0' + drained%3 + 1): 5}))
	if err := servedBy(c, before)(t.Context()); err != nil {
		t.Error(err)
	}
	p := s.gw2.Process()
	s.must(errors.Join(p.Stop(patience), p.Err()))
	if tables := s.ourTables(s.gw2); len(tables) > 0 {
		t.Errorf("tables %v are left", tables)
	}
}
