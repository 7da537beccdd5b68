package e2e

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"understudy/appliance/lab/capture"
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

// macs6 are the two ways to have a MAC.
func macs6() map[string]string { return map[string]string{"interface MAC": "", "virtual MAC": virtual} }

func TestIPv6CrashAndReturn(t *testing.T) {
	for name, keys := range macs6() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
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

// An operator moves the role there and back. Both families move as one.
func TestIPv6HandOver(t *testing.T) {
	for name, keys := range macs6() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t, pair.Options{IPv6: true, RouterKeys: keys})
			s.settle()
			s.load(s.gw1, 10)
			six := s.load6()
			from := s.gw1
			for range 2 {
				asked := time.Now()
				s.ok(from, "failover")
				from = s.Other(from)
				s.settled(from)
				s.wait("addresses", all(holds6(from, true), holds6(s.Other(from), false)))
				s.intact(asked)
				six.flow(asked)
			}
			s.whole()
		})
	}
}

// without6 is the gateway's configuration without IPv6.
func without6(g *pair.Gateway) string {
	c := g.Config()
	for _, p := range []netip.Prefix{pair.LANAddress6, pair.WANAddress6, pair.LinkLocal} {
		c = strings.ReplaceAll(c, fmt.Sprintf(", %q", p), "")
	}
	return c
}

// told6 records what announces the virtual address of the LAN.
func (s *scene) told6() *capture.Capture {
	s.t.Helper()
	c, err := capture.Start(s.LAN, capture.Options{Keep: func(f capture.Frame) bool {
		return capture.Decode(f.Data).Announces(pair.LANAddress6.Addr())
	}})
	s.must(err)
	s.t.Cleanup(func() { _ = c.Stop() })
	return c
}

// announced is a condition: the gateway has announced it after since.
func announced(c *capture.Capture, g *pair.Gateway, since time.Time) func(context.Context) error {
	return func(context.Context) error {
		for _, f := range c.Frames() {
			if f.From == g.Name && f.At.After(since) {
				return nil
			}
		}
		return fmt.Errorf("no announcement of %s", g.Name)
	}
}

// IPv6 is taken from running gateways, and given to them: IPv4 does not notice, the
// kernel is as if there had never been any, and what is added is announced (RFC 9568
// 8.2.2).
func TestReloadAddsIPv6(t *testing.T) {
	for name, keys := range macs6() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t, pair.Options{Interval: unhurried, IPv6: true, RouterKeys: keys})
			s.settle()
			s.load(s.gw1, 10)
			four := func() (n [2]uint64) {
				for i, g := range s.Gateways {
					for _, r := range s.status(g).Routers {
						if r.Family == "ipv4" {
							n[i] += r.Transitions
						}
					}
				}
				return n
			}
			before, began := four(), time.Now()
			reload := func(file func(*pair.Gateway) string) {
				t.Helper()
				for _, g := range []*pair.Gateway{s.gw2, s.gw1} {
					s.must(g.WriteFile(configPath, []byte(file(g)), 0o644))
					s.ok(g, "reload")
				}
			}
			forwarding := func(want string) {
				t.Helper()
				for _, g := range s.Gateways {
					if got := s.sysctls(g.Node)["ipv6/conf/all/forwarding"]; got != want {
						t.Errorf("%s: forwarding of IPv6 is %s", g.Name, got)
					}
				}
			}
			forwarding("1")
			reload(without6)
			s.wait("no IPv6", all(holds6(s.gw1, false), holds6(s.gw2, false), device6(s.gw1, false), device6(s.gw2, false)))
			forwarding("0")
			s.intact(began)

			told, asked := s.told6(), time.Now()
			reload((*pair.Gateway).Config)
			s.wait("IPv6", all(holds6(s.gw1, true), holds6(s.gw2, false), announced(told, s.gw1, asked)))
			forwarding("1")
			if keys != "" {
				s.wait("devices", all(device6(s.gw1, true), device6(s.gw2, true)))
			}
			six := s.load6()
			if now := four(); now != before {
				t.Errorf("transitions of IPv4 were %d, are %d", before, now)
			}
			s.wait("no alarm", all(calm(s.gw1), calm(s.gw2)))
			s.settled(s.gw1)
			cut := s.crash(s.gw1)
			s.intact(cut)
			six.flow(cut)
			s.whole()
		})
	}
}

// device6 is a condition: the gateway has a device for IPv6 on the LAN, or none.
func device6(g *pair.Gateway, want bool) func(context.Context) error {
	return func(context.Context) error {
		_, err := g.Netlink().LinkByName("us6-51-lan0")
		if (err == nil) != want {
			return fmt.Errorf("%s: the device of IPv6 is there: %t", g.Name, err == nil)
		}
		return nil
	}
}

// Somebody removes the addresses. They are put back and announced, and nobody changes
// its role for it.
func TestIPv6RemovedAddressIsPutBack(t *testing.T) {
	for name, keys := range macs6() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t, pair.Options{Interval: unhurried, IPv6: true, RouterKeys: keys})
			s.settle()
			six := s.load6()
			told := s.told6()
			before := [2]uint64{s.transitions(s.gw1), s.transitions(s.gw2)}
			removed := time.Now()
			addrs, err := s.gw1.Netlink().AddrList(nil, netlink.FAMILY_V6)
			s.must(err)
			gone := 0
			for _, a := range addrs {
				ip, _ := netip.AddrFromSlice(a.IP)
				if ip == pair.LANAddress6.Addr() || ip == pair.WANAddress6.Addr() || ip == pair.LinkLocal.Addr() {
					l, err := s.gw1.Netlink().LinkByIndex(a.LinkIndex)
					s.must(err)
					s.must(s.gw1.Netlink().AddrDel(l, &netlink.Addr{IPNet: a.IPNet}))
					gone++
				}
			}
			if gone != 4 {
				t.Fatalf("%d addresses removed of %v", gone, addrs)
			}
			s.wait("the addresses to be back", all(holds6(s.gw1, true), announced(told, s.gw1, removed)))
			six.flow(removed)
			if now := [2]uint64{s.transitions(s.gw1), s.transitions(s.gw2)}; now != before {
				t.Errorf("transitions were %d, are %d", before, now)
			}
		})
	}
}

// A gateway dies without a word, and its kernel goes on with the addresses. Clean knows
// them by their marks, and so does the next start.
func TestIPv6BothKilledAndCleaned(t *testing.T) {
	for name, keys := range macs6() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t, pair.Options{IPv6: true, RouterKeys: keys})
			s.must(s.gw1.Sysctl("ipv6/conf/wan0/forwarding", "1"))
			before := s.sysctls(s.gw1.Node)
			s.settle()
			six := s.load6()
			for _, next := range []func(){
				func() { t.Log(s.ok(s.gw1, "clean")); s.pristine(s.gw1, before); s.must(s.gw1.Start()) },
				func() { s.must(s.gw1.Start()) },
			} {
				s.wait("gw1 to hold it all", holds6(s.gw1, true))
				s.must(s.gw1.Kill())
				s.wait("gw2 active", s.gw2.Is("active"))
				s.wait("both to hold it all", all(holds6(s.gw1, true), holds6(s.gw2, true)))
				next()
				s.settled(s.gw1)
				s.wait("the addresses", all(holds6(s.gw1, true), holds6(s.gw2, false)))
				six.flow(time.Now())
			}
			// An orderly stop leaves nothing either.
			s.must(s.gw1.Process().Signal(syscall.SIGTERM))
			if a := s.ended(s.gw1.Process()); a.code != 0 {
				t.Errorf("exit code %d", a.code)
			}
			s.wait("gw2 active", s.gw2.Is("active"))
			s.pristine(s.gw1, before)
			six.flow(time.Now())
		})
	}
}

// The daemon dies and the kernel forwards; the election dies and another resumes; both
// families do as one.
func TestIPv6Deaths(t *testing.T) {
	// Of two intervals a new election has to be there, on whatever machine this is.
	s := newScene(t, pair.Options{IPv6: true, RouterKeys: virtual, Interval: time.Second})
	s.settle()
	six := s.load6()
	before := [2]uint64{s.transitions(s.gw1), s.transitions(s.gw2)}
	killed := time.Now()
	pid := s.kill(s.gw1, "daemon")
	s.wait("another daemon", replaced(s.gw1, pid, "daemon"))
	s.settled(s.gw1)
	six.flow(killed)
	if now := [2]uint64{s.transitions(s.gw1), s.transitions(s.gw2)}; now != before {
		t.Errorf("transitions were %d, are %d", before, now)
	}
	adverts := s.adverts()
	s.wait("an advert", adverts.more(s.gw1, 1))
	killed = time.Now()
	pid = s.kill(s.gw1, "run")
	s.wait("another election", replaced(s.gw1, pid, "election"))
	s.settled(s.gw1)
	s.wait("the addresses", all(holds6(s.gw1, true), holds6(s.gw2, false)))
	six.flow(killed)
	if now := s.transitions(s.gw2); now != before[1] {
		t.Errorf("gw2 had %d transitions", now-before[1])
	}
}

// One of the two families has no source address any more: the group is in fault, all of
// it, until it has one again.
func TestIPv6WithoutALinkLocalAddress(t *testing.T) {
	s := newScene(t, pair.Options{IPv6: true})
	s.settle()
	six := s.load6()
	lan := s.gw1.Link("lan0")
	addrs, err := lan.Addrs()
	s.must(err)
	i := slices.IndexFunc(addrs, func(p netip.Prefix) bool {
		return p.Addr().IsLinkLocalUnicast() && p != netip.PrefixFrom(pair.LinkLocal.Addr(), 128)
	})
	if i < 0 {
		t.Fatalf("gw1 has no link-local address of its own: %v", addrs)
	}
	taken := time.Now()
	s.must(lan.DelAddr(addrs[i]))
	s.wait("gw1 in fault, gw2 active", all(s.gw1.Is("fault"), s.gw2.Is("active")))
	for _, r := range s.status(s.gw1).Routers {
		if r.State != "fault" || !strings.Contains(r.Reason, "link-local address on lan0") {
			t.Errorf("%s %s is %s: %s", r.Name, r.Family, r.State, r.Reason)
		}
	}
	six.flow(taken)
	back := time.Now()
	s.must(lan.AddAddr(addrs[i]))
	s.settled(s.gw1)
	six.flow(back)
}

// A router of both families is two objects of one name.
func TestStatusOfBothFamilies(t *testing.T) {
	s := newScene(t, pair.Options{IPv6: true, RouterKeys: virtual})
	s.settle()
	st := s.status(s.gw1)
	var got []string
	for _, r := range st.Routers {
		if r.State != "active" || r.Adverts.Sent == 0 || r.ActiveAddress == "" {
			t.Errorf("%+v", r)
		}
		a, err := netip.ParseAddr(r.ActiveAddress)
		if err != nil || a.Is6() != (r.Family == "ipv6") || a.Is6() && !a.IsLinkLocalUnicast() {
			t.Errorf("%s %s: the active one is %s", r.Name, r.Family, r.ActiveAddress)
		}
		got = append(got, fmt.Sprint(r.Name, " ", r.Family, " ", r.VRID, " ", r.Device, " ", r.Addresses))
	}
	want := []string{
		"lan ipv4 51 us4-51-lan0 [10.0.0.1/24]", "lan ipv6 51 us6-51-lan0 [fe80::1/64 2001:db8:1::1/64]",
		"wan ipv4 52 us4-52-wan0 [203.0.113.1/24]", "wan ipv6 52 us6-52-wan0 [fe80::1/64 2001:db8:2::1/64]",
	}
	if !slices.Equal(got, want) {
		t.Errorf("want %q, got %q", want, got)
	}
	if g := st.Groups; len(g) != 1 || !slices.Equal(g[0].Members, []string{"lan", "wan"}) {
		t.Errorf("groups %+v", g)
	}
}
