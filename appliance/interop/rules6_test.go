package interop

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"understudy/appliance/lab/capture"
	"understudy/garp"
)

func own6() netip.Addr { return netip.MustParseAddr(dutAddress6) }

// virtual6 are the virtual addresses of the box in these tests.
func virtual6() []netip.Addr {
	v := row("v3 IPv6")
	return []netip.Addr{v.local.Addr(), v.address.Addr()}
}

// newDUT6 is newDUT with IPv6. The host has an address of the virtual subnet.
func newDUT6(s *scene, set settings, more string) *dut {
	s.t.Helper()
	d := joinDUT6(s, set)
	d.must(d.host.Link("lan0").AddAddr(netip.MustParsePrefix(hostGlobal6 + "/64")))
	d.begin(more)
	d.wait("us to listen", d.takesPart)
	return d
}

func (d *dut) takesPart() error {
	r, err := d.router("lan")
	if err == nil && r.State != "backup" && r.State != "active" {
		err = fmt.Errorf("we are in %s: %s", r.State, r.Reason)
	}
	return err
}

// newGateway6 is newDUT6 with a second segment to forward to.
func newGateway6(s *scene, set settings, more string) (*dut, *wire) {
	s.t.Helper()
	d := joinDUT6(s, set)
	d.must(d.host.Link("lan0").AddAddr(netip.MustParsePrefix(hostGlobal6 + "/64")))
	wan := s.Segment("wan")
	s.Join(d.Node, wan, "wan0", "2001:db8:2::2/64", "fe80::2/64")
	s.Join(s.Node("beyond"), wan, "wan0", farAddress6+"/64")
	w := s.record(wan)
	d.begin(more)
	d.wait("us to listen", d.takesPart)
	return d, w
}

// announced6 waits until each virtual address was announced.
func (d *dut) announced6() {
	d.t.Helper()
	for _, a := range virtual6() {
		d.announcement(a.String())
	}
}

// mac6 is where we are to answer from.
func (d *dut) mac6(virtual bool) string {
	if virtual {
		return virtualMAC6
	}
	return d.Link("lan0").MAC.String()
}

// RFC 9568, 5 and 7.2: every octet of an advert over IPv6. The interface has more
// addresses that it must not come from: a global one, and one made of the virtual MAC.
func TestAdvertOnTheWireIPv6(t *testing.T) {
	for _, mac := range macs {
		t.Run(mac.name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t)
			d := joinDUT6(s, settings{priority: 123, interval: 150 * time.Millisecond})
			must := func(err error) { t.Helper(); s.must(err) }
			must(d.Link("lan0").DelAddr(netip.MustParsePrefix(dutAddress6 + "/64")))
			for _, a := range []string{dutAddress6 + "/64", "fe80::200:5eff:fe00:233/64", "2001:db8:1::2/64"} { // the kernel lists the latest first
				must(d.Link("lan0").AddAddr(netip.MustParsePrefix(a)))
			}
			d.begin(mac.keys)
			s.wait("us to be Active", d.is("lan", "active"))
			s.wait("adverts", func() error {
				if len(d.adverts()) < 3 {
					return errNotYet
				}
				return nil
			})
			d.end()
			list := d.adverts()
			for i, a := range list {
				if zero := i == len(list)-1; zero != (a.Data[14+40+2] == 0) {
					t.Errorf("advert %d of %d has priority %d", i+1, len(list), a.Data[14+40+2])
				}
				checkAdvert6(t, a.Frame, d.mac6(mac.virtual && i > 0)) // the first one leaves before the MAC is served here
			}
		})
	}
}

// checkAdvert6 looks at the octets themselves, with nothing of the codec.
func checkAdvert6(t *testing.T, f capture.Frame, mac string) {
	t.Helper()
	b := f.Data
	is := func(what string, got, want any) {
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%v: %s is %v, want %v\n%x", f, what, got, want, b)
		}
	}
	const n = 8 + 2*16
	if len(b) != 14+40+n {
		t.Fatalf("%v: %d octets", f, len(b))
	}
	eth, ip, msg := b[:14], b[14:54], b[54:]
	is("Ethernet destination", net.HardwareAddr(eth[:6]), "33:33:00:00:00:12")
	is("Ethernet source", net.HardwareAddr(eth[6:12]), mac)
	is("ethertype", binary.BigEndian.Uint16(eth[12:]), 0x86dd)
	is("IP version", ip[0]>>4, 6)
	is("payload length", binary.BigEndian.Uint16(ip[4:]), n)
	is("next header", ip[6], 112)
	is("hop limit", ip[7], 255)
	is("source", netip.AddrFrom16([16]byte(ip[8:])), dutAddress6)
	is("destination", netip.AddrFrom16([16]byte(ip[24:])), "ff02::12")
	is("version and type", msg[0], 0x31)
	is("VRID", msg[1], 51)
	if msg[2] != 0 {
		is("priority", msg[2], 123)
	}
	is("count", msg[3], 2)
	is("reserve and interval", binary.BigEndian.Uint16(msg[4:]), 15)
	is("checksum", internetSum(bytes.Join([][]byte{ip[8:40], {0, 0, 0, n, 0, 0, 0, 112}, msg}, nil)), 0)
	for i, a := range virtual6() { // link-local first
		is("address", netip.AddrFrom16([16]byte(msg[8+16*i:])), a)
	}
}

// 5.1.2.2: a datagram to ff02::12 stays on its segment whatever its Hop Limit.
func TestGroupIsNotForwardedIPv6(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	d, beyond := newGateway6(s, settings{priority: 100, interval: 40950 * time.Millisecond}, "")
	a := d.asker6()
	group, host := netip.MustParseAddr("ff02::12"), netip.MustParseAddr(hostGlobal6)
	datagram := []byte{0x30, 0x39, 0x30, 0x39, 0, 8, 0, 0}
	for _, to := range []string{"33:33:00:00:00:12", d.Link("lan0").MAC.String()} {
		for _, hops := range []byte{64, 255} {
			a.send(to, host, group, hops, 112, advert6(t)[40:], 6)
			a.send(to, host, group, hops, 17, datagram, 6)
		}
	}
	d.passes6(a, beyond, d.Link("lan0").MAC.String()) // which comes after them
	for _, f := range beyond.c.Frames() {
		if p := capture.Decode(f.Data); p.Dst == group && f.From == d.Name && p.Src == host {
			t.Errorf("forwarded: %v", f)
		}
	}
}

// passes6 sends a packet to go through, to that MAC, until one has.
func (d *dut) passes6(a *asker6, beyond *wire, mac string) capture.Packet {
	d.t.Helper()
	var got capture.Packet
	d.wait("a packet to pass", func() error {
		a.udp(mac, netip.MustParseAddr(farAddress6))
		_, list := beyond.packets(d.Name, capture.UDP)
		if len(list) == 0 {
			return errNotYet
		}
		got = list[0]
		return nil
	})
	return got
}

// 6.4.2: a Backup answers nobody for the virtual addresses: no solicitation, to
// whatever MAC, and no packet. It is awake: it answers for its own.
func TestBackupIsNotThereIPv6(t *testing.T) {
	for _, mac := range macs {
		t.Run(mac.name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t)
			d := newDUT6(s, settings{priority: 100, interval: 40950 * time.Millisecond}, mac.keys)
			a, start := d.asker6(), time.Now()
			phys := d.Link("lan0").MAC.String()
			for range 3 {
				at := time.Now()
				for _, vip := range virtual6() {
					a.solicits(vip)
					for _, m := range []string{phys, virtualMAC6} {
						a.solicits(vip, m)
						a.ping(m, vip)
						a.udp(m, vip)
						a.syn(m, vip)
					}
				}
				a.solicits(own6())
				a.ping(phys, own6())
				d.answered6("an advertisement of our own address", own6(), at, isAdvertisement)
				d.answered6("an echo of our own address", own6(), at, isEcho)
			}
			for _, vip := range virtual6() {
				if got := d.wire.answers6(d.Name, vip, start); len(got) > 0 {
					t.Errorf("%v answered: %v", vip, got)
				}
			}
			d.silent6(start, "Backup", phys)
			s.must(d.is("lan", "backup")())
		})
	}
}

// silent6 fails for router advertisements, for frames from the virtual MAC, and for
// what is about the virtual addresses at all, since t.
func (d *dut) silent6(t time.Time, when, phys string) {
	d.t.Helper()
	for _, f := range d.wire.c.Frames() {
		p := capture.Decode(f.Data)
		if f.From != d.Name || f.At.Before(t) {
			continue
		}
		if p.SrcMAC.String() != phys || slices.Contains(virtual6(), p.Src) || slices.Contains(virtual6(), p.Target) ||
			p.Neighbor(capture.RouterAdvertisement) {
			d.t.Errorf("%s: sent %v from %v", when, f, p.SrcMAC)
		}
	}
}

// 6.4.2: a Backup does not forward what is for the virtual MAC.
func TestBackupDoesNotForwardForTheVirtualMACIPv6(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	d, beyond := newGateway6(s, settings{priority: 100, interval: 40950 * time.Millisecond}, `mac = "virtual"`)
	a := d.asker6()
	far, host := netip.MustParseAddr(farAddress6), netip.MustParseAddr(hostGlobal6)
	d.passes6(a, beyond, d.Link("lan0").MAC.String())
	_, before := beyond.packets(d.Name, capture.UDP)
	for range 20 {
		a.send(virtualMAC6, host, far, 99, 17, []byte{0x30, 0x39, 0x30, 0x39, 0, 8, 0, 0}, 6)
	}
	a.udp(d.Link("lan0").MAC.String(), far)
	s.wait("one more to pass", func() error {
		if _, now := beyond.packets(d.Name, capture.UDP); len(now) == len(before) {
			return errNotYet
		}
		return nil
	})
	_, now := beyond.packets(d.Name, capture.UDP)
	for _, p := range now {
		if p.TTL == 98 {
			t.Fatalf("forwarded: %v", p)
		}
	}
}

// 6.4.3 and 8.2.2: an Active answers solicitations with its MAC, once, as a router, to
// all and to one, whatever Accept_Mode says (6.1); and what is for the virtual
// addresses if it accepts that.
func TestActiveAnswersIPv6(t *testing.T) {
	for _, mac := range macs {
		for _, accept := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, accept %t", mac.name, accept), func(t *testing.T) {
				t.Parallel()
				s := newScene(t)
				d := newDUT6(s, settings{priority: 250, interval: 100 * time.Millisecond}, fmt.Sprintf("%s\naccept = %t", mac.keys, accept))
				d.announced6()
				want, a := d.mac6(mac.virtual), d.asker6()
				for _, vip := range virtual6() {
					for _, to := range [][]string{nil, {want}} {
						at := a.solicits(vip, to...)
						na := d.answered6("an advertisement", vip, at, isAdvertisement)
						hardware, flags := want, uint8(capture.Router|capture.Solicited|capture.Override)
						if to != nil { // who asks one MAC has it: the kernel does not repeat it (RFC 4861 7.2.4)
							hardware, flags = "", capture.Router|capture.Solicited
						}
						if na.Hardware.String() != hardware || na.SrcMAC.String() != want || na.Flags != flags || na.TTL != 255 {
							t.Errorf("%v from %v, hop limit %d; want %v", na, na.SrcMAC, na.TTL, want)
						}
						a.solicits(own6()) // ends the wait for a second one
						d.answered6("an advertisement of our own address", own6(), at, isAdvertisement)
						if got := d.wire.answers6(d.Name, vip, at); len(got) != 1 {
							t.Errorf("%v: %d answers to one solicitation: %v", vip, len(got), got)
						}
					}
					at := time.Now()
					a.ping(want, vip)
					a.udp(want, vip)
					a.syn(want, vip)
					if accept {
						d.answered6("an echo", vip, at, isEcho)
						d.answered6("an unreachable", vip, at, isUnreachable)
						d.answered6("a reset", vip, at, isReset)
						continue
					}
					a.ping(d.Link("lan0").MAC.String(), own6())
					d.answered6("an echo of our own address", own6(), at, isEcho)
					if got := d.wire.answers6(d.Name, vip, at); len(got) > 0 {
						t.Errorf("%v answered: %v", vip, got)
					}
				}
				// A question from an address of ours is answered to that address: without
				// the answer there is no neighbour.
				if err := d.connects(hostGlobal6); !errors.Is(err, unix.ECONNREFUSED) && accept {
					t.Errorf("a connection of our own: %v, want a refusal", err)
				}
			})
		}
	}
}

// connects has our kernel connect to a port where nobody listens.
func (d *dut) connects(to string) (err error) {
	d.t.Helper()
	d.must(d.Do(func() error {
		c, dialErr := net.DialTimeout("tcp", net.JoinHostPort(to, "9"), 5*time.Second)
		if err = dialErr; err == nil {
			c.Close()
		}
		return nil
	}))
	return err
}

// 6.4.3: an Active is in the group of solicitations for each address, on the interface
// that the address is on, and a Backup is not.
func TestActiveIsInTheGroupsOfItsAddresses(t *testing.T) {
	for _, mac := range macs {
		t.Run(mac.name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t)
			d := newDUT6(s, settings{priority: 250, interval: 100 * time.Millisecond}, mac.keys)
			d.announced6()
			iface := "lan0"
			if mac.virtual {
				iface = "us6-51-lan0"
			}
			joined := func(want bool) func() error {
				return func() error {
					groups, err := d.groups(iface)
					for _, g := range []string{"ff0200000000000000000001ff0000fe"} { // of both
						if slices.Contains(groups, g) != want && err == nil {
							err = fmt.Errorf("%s is in %v", iface, groups)
						}
					}
					return err
				}
			}
			s.wait("the groups", joined(true))
			d.injector6("fe80::3").says6(255, time.Second)
			s.wait("us to be Backup", d.is("lan", "backup"))
			s.wait("no such group", joined(false))
		})
	}
}

// 6.4.3: an Active forwards what is for its MAC.
func TestActiveForwardsIPv6(t *testing.T) {
	for _, mac := range macs {
		t.Run(mac.name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t)
			d, beyond := newGateway6(s, settings{priority: 250, interval: 100 * time.Millisecond}, mac.keys)
			d.announced6()
			if p := d.passes6(d.asker6(), beyond, d.mac6(mac.virtual)); p.TTL != 63 || p.Src.String() != hostGlobal6 {
				t.Errorf("%v came through with hop limit %d", p, p.TTL)
			}
		})
	}
}

// 6.4.2 and 8.2.2: silence for an Active_Down_Interval, then an advert, then an
// advertisement of each address that nobody has asked for, by the MAC that hosts are
// to use. Before the advert nothing is said about the addresses: none is looked for
// duplicates of, and nothing is announced that is not there yet.
func TestStartIsSilentThenAdvertThenAnnouncementsIPv6(t *testing.T) {
	for _, mac := range macs {
		t.Run(mac.name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t)
			d := joinDUT6(s, settings{priority: 100, interval: 300 * time.Millisecond})
			start := time.Now()
			d.begin(mac.keys)
			first := d.firstAfter(start)
			s.between("the first advert", first.At.Sub(start), activeDown(100, d.set.interval), patience)
			want := d.mac6(mac.virtual)
			for _, a := range virtual6() {
				f := d.announcement(a.String())
				if f.At.Before(first.At) {
					t.Errorf("%v is before the advert at %v", f, first.At)
				}
				na, reason := garp.ParseNA(f.Data[14:])
				p := capture.Decode(f.Data)
				if reason != garp.ReasonNone || !na.Router || na.Solicited || !na.Override || na.Source != a || na.Destination != garp.AllNodes || p.TTL != 255 {
					t.Errorf("%v: %+v, %v", f, na, reason)
				}
				if p.Hardware.String() != want || p.SrcMAC.String() != want || p.DstMAC.String() != "33:33:00:00:00:01" {
					t.Errorf("%v: from %v, target at %v, want %v", f, p.SrcMAC, p.Hardware, want)
				}
			}
			// RFC 4861 7.2.6: three at most, and a second at least between two.
			s.wait("all announcements", func() error {
				if len(d.announcements(virtual6()[0])) < 3 {
					return errNotYet
				}
				return nil
			})
			s.stays("three of them", 1500*time.Millisecond, func() error {
				for _, a := range virtual6() {
					list := d.announcements(a)
					if len(list) > 3 {
						return fmt.Errorf("%d announcements of %v", len(list), a)
					}
					for i := 1; i < len(list); i++ {
						if gap := list[i].Sub(list[i-1]); gap < time.Second-early {
							return fmt.Errorf("%v between two announcements of %v", gap, a)
						}
					}
				}
				return nil
			})
			for _, f := range d.wire.c.Frames() {
				p := capture.Decode(f.Data)
				about := slices.Contains(virtual6(), p.Src) || slices.Contains(virtual6(), p.Target)
				switch {
				case f.From != d.Name:
				case about && f.At.Before(first.At):
					t.Errorf("%v before the first advert", f)
				case about && mac.virtual && p.SrcMAC.String() != want:
					t.Errorf("%v from %v", f, p.SrcMAC)
				case p.Neighbor(capture.NeighborSolicitation) && slices.Contains(virtual6(), p.Target):
					t.Errorf("a duplicate is looked for: %v", f)
				case p.Neighbor(capture.RouterSolicitation) && f.At.After(first.At):
					t.Errorf("a router asks for routers: %v", f)
				}
			}
		})
	}
}

// announcements are when an address was announced.
func (d *dut) announcements(a netip.Addr) (at []time.Time) {
	for _, f := range d.wire.c.Frames() {
		if f.From == d.Name && capture.Decode(f.Data).Announces(a) {
			at = append(at, f.At)
		}
	}
	return at
}

// 8.2.2: what an Active asks itself, in the name of a virtual address, names the
// virtual MAC; and comes from it. So does what it sends to the subnet that only the
// virtual router has an address of.
func TestOwnSolicitationsNameTheVirtualMAC(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	d := newDUT6(s, settings{priority: 250, interval: 100 * time.Millisecond}, `mac = "virtual"`)
	d.announced6()
	if err := d.connects(hostGlobal6); !errors.Is(err, unix.ECONNREFUSED) {
		t.Errorf("connecting: %v, want a refusal", err)
	}
	for _, p := range d.asked6(hostGlobal6) {
		if !slices.Contains(virtual6(), p.Src) || p.Hardware.String() != virtualMAC6 || p.SrcMAC.String() != virtualMAC6 {
			t.Errorf("%v from %v", p, p.SrcMAC)
		}
	}
	if _, list := d.wire.packets(d.Name, capture.TCP); len(list) == 0 || list[0].SrcMAC.String() != virtualMAC6 {
		t.Errorf("connecting: %v", list)
	}
}

// asked6 waits for a question of ours after an address, and returns all there were.
func (d *dut) asked6(target string) (list []capture.Packet) {
	d.t.Helper()
	d.wait("a question", func() error {
		list = nil
		for _, f := range d.wire.c.Frames() {
			if p := capture.Decode(f.Data); f.From == d.Name && p.Neighbor(capture.NeighborSolicitation) && p.Target.String() == target {
				list = append(list, p)
			}
		}
		if len(list) == 0 {
			return errNotYet
		}
		return nil
	})
	return list
}

// The other way: where the interface has an address of the subnet itself, we ask in
// our own name and with our own MAC, and never in the name of a virtual address.
func TestOwnSolicitationsInOurOwnName(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	d := joinDUT6(s, settings{priority: 250, interval: 100 * time.Millisecond})
	d.must(d.host.Link("lan0").AddAddr(netip.MustParsePrefix(hostGlobal6 + "/64")))
	d.must(d.Link("lan0").AddAddr(netip.MustParsePrefix("2001:db8:1::2/64")))
	d.begin(`mac = "virtual"`)
	d.announced6()
	// Also where the packet that waits for the answer has a virtual source.
	a, at := d.asker6(), time.Now()
	a.ping(virtualMAC6, virtual6()[1])
	d.answered6("an echo", virtual6()[1], at, isEcho)
	phys := d.Link("lan0").MAC.String()
	for _, p := range d.asked6(hostGlobal6) {
		if slices.Contains(virtual6(), p.Src) || p.Hardware.String() != phys || p.SrcMAC.String() != phys {
			t.Errorf("%v from %v", p, p.SrcMAC)
		}
	}
}

// 8.2.1: who sends a host to a better router does so from the address that the host
// has used: its gateway's, which is the virtual router's link-local one.
func TestRedirectIPv6(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	d := newDUT6(s, settings{priority: 250, interval: 100 * time.Millisecond}, `mac = "virtual"`)
	better := s.Node("better")
	s.Join(better, s.lan, "lan0", "2001:db8:1::77/64")
	d.announced6()
	a := d.asker6()
	redirect := func() (p capture.Packet, seen bool) {
		for _, f := range d.wire.c.Frames() {
			if p := capture.Decode(f.Data); f.From == d.Name && p.Neighbor(capture.Redirect6) {
				return p, true
			}
		}
		return p, false
	}
	s.wait("a redirect", func() error {
		a.udp(virtualMAC6, netip.MustParseAddr("2001:db8:1::77"))
		if _, seen := redirect(); !seen {
			return errNotYet
		}
		return nil
	})
	if p, _ := redirect(); p.Src != virtual6()[0] || p.SrcMAC.String() != virtualMAC6 || p.Target.String() != "2001:db8:1::77" {
		t.Errorf("%v from %v, target %v", p, p.SrcMAC, p.Target)
	}
}

// 8.2.4: an advertisement that nobody has asked for changes what a Backup and an
// Active have of a neighbour.
func TestUnsolicitedAdvertisementsAreTaken(t *testing.T) {
	for state, set := range map[string]settings{
		"backup": {priority: 100, interval: 40950 * time.Millisecond},
		"active": {priority: 250, interval: 100 * time.Millisecond},
	} {
		t.Run(state, func(t *testing.T) {
			t.Parallel()
			s := newScene(t)
			d := newDUT6(s, set, "")
			s.wait("the state", d.is("lan", state))
			a, at := d.asker6(), time.Now()
			a.ping(d.Link("lan0").MAC.String(), own6())
			d.answered6("an echo", own6(), at, isEcho) // so it knows the host
			moved := garp.MAC{2, 0, 0, 0, 9, 9}
			host := netip.MustParseAddr(hostAddress6)
			if got := d.neighbour6(host); got != a.mac.String() {
				t.Fatalf("the host is at %s", got)
			}
			a.frame(moved.String(), "33:33:00:00:00:01", unix.ETH_P_IPV6, garp.AppendNA(nil,
				garp.NA{Source: host, Destination: garp.AllNodes, Target: host, LinkAddr: moved, Override: true}))
			s.wait("the neighbour's new MAC", func() error {
				if got := d.neighbour6(host); got != moved.String() {
					return fmt.Errorf("the host is at %s", got)
				}
				return nil
			})
		})
	}
}

// neighbour6 is the MAC that our kernel has for a neighbour on lan0.
func (d *dut) neighbour6(a netip.Addr) string {
	d.t.Helper()
	l, err := d.Netlink().LinkByName("lan0")
	d.must(err)
	list, err := d.Netlink().NeighList(l.Attrs().Index, netlink.FAMILY_V6)
	d.must(err)
	for _, n := range list {
		if n.IP.Equal(a.AsSlice()) {
			return n.HardwareAddr.String()
		}
	}
	return "none"
}
