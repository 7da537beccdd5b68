package e2e

import (
	"context"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"understudy/appliance/lab/pair"
	"understudy/appliance/lab/probe"
)

// The same gateways with IPv6 beside IPv4: one name, one group, two virtual
// routers on each side. IPv6 is routed, so that its flows need nothing but the
// addresses.

// flows6 is traffic over IPv6, both ways through the gateways.
type flows6 struct {
	s        *scene
	out, in  *probe.Echo
	up, down *probe.Stream
}

func (s *scene) load6() *flows6 {
	s.t.Helper()
	f := &flows6{s: s}
	s.t.Cleanup(f.stop)
	start := func(client, server probe.Place, at netip.AddrPort) *probe.Echo {
		e, err := probe.StartUDP(probe.UDPOptions{Client: client, Server: server, Listen: at, Target: at})
		s.must(err)
		return e
	}
	f.out = start(s.Inside, s.Outside, netip.AddrPortFrom(pair.Outside6, 7))
	f.in = start(s.Outside, s.Inside, netip.AddrPortFrom(pair.InsideHost6, 7))
	transfer := func(port uint16, down bool) *probe.Stream {
		at := netip.AddrPortFrom(pair.Outside6, port)
		t, err := probe.StartStream(s.within(patience), probe.StreamOptions{Client: s.Inside, Server: s.Outside, Listen: at, Target: at, Down: down})
		s.must(err)
		return t
	}
	f.up, f.down = transfer(8001, false), transfer(8002, true)
	f.flow(time.Time{})
	return f
}

func (f *flows6) stop() {
	for _, e := range []*probe.Echo{f.out, f.in} {
		if e != nil {
			e.Stop()
		}
	}
	for _, t := range []*probe.Stream{f.up, f.down} {
		if t != nil {
			t.Stop()
		}
	}
}

// flow waits until everything has come through after since.
func (f *flows6) flow(since time.Time) {
	f.s.t.Helper()
	for name, m := range map[string]pair.Measure{"datagrams out": f.out, "datagrams in": f.in, "a transfer up": f.up, "a transfer down": f.down} {
		f.s.wait(name+" over IPv6", func(context.Context) error {
			if n := m.Since(since); n < 10 {
				return fmt.Errorf("%d arrivals", n)
			}
			return nil
		})
	}
	for name, t := range map[string]*probe.Stream{"up": f.up, "down": f.down} {
		if err := t.Err(); err != nil {
			f.s.t.Errorf("the transfer %s over IPv6: %v", name, err)
		}
	}
}

// holds6 is a condition: the gateway has the IPv6 addresses, all or none.
func holds6(g *pair.Gateway, want bool) func(context.Context) error {
	return func(context.Context) error {
		addrs, err := g.Netlink().AddrList(nil, netlink.FAMILY_V6)
		if err != nil {
			return err
		}
		have := map[netip.Addr]int{}
		for _, a := range addrs {
			ip, _ := netip.AddrFromSlice(a.IP)
			have[ip]++
		}
		for p, n := range map[netip.Prefix]int{pair.LANAddress6: 1, pair.WANAddress6: 1, pair.LinkLocal: 2} {
			if !want {
				n = 0
			}
			if have[p.Addr()] != n {
				return fmt.Errorf("%s has %v", g.Name, addrs)
			}
		}
		return nil
	}
}

func TestIPv6CrashAndReturn(t *testing.T) {
	for name, keys := range map[string]string{"interface MAC": "", "virtual MAC": virtual} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t, pair.Options{IPv6: true, RouterKeys: keys})
			s.settle()
			s.wait("addresses", all(holds6(s.gw1, true), holds6(s.gw2, false)))
			s.load(s.gw1, 10)
			six := s.load6()

			cut := s.crash(s.gw1)
			s.intact(cut)
			six.flow(cut)
			s.wait("addresses", holds6(s.gw2, true))

			s.must(s.gw1.Reboot())
			s.must(s.gw1.Start())
			s.settled(s.gw1)
			back := time.Now()
			s.wait("addresses", all(holds6(s.gw1, true), holds6(s.gw2, false)))
			s.intact(back)
			six.flow(back)
			s.whole()
		})
	}
}
