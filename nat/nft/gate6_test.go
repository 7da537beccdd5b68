package nft

import (
	"errors"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/google/nftables"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"understudy/nat"
)

var (
	vip6    = netip.MustParseAddr("2001:db8::1")
	local   = netip.MustParseAddr("fe80::1")
	wanSide = []netip.Addr{vip, vip6, local.WithZone("wan0")}
	lanSide = []netip.Addr{local.WithZone("lan0")}
)

// lab6 is a lab whose gateway has a global address outside and one link-local
// address on both sides.
func lab6(t *testing.T) *lab {
	t.Helper()
	l := newLab(t)
	for _, at := range []struct {
		space
		iface, addr string
	}{
		{l.gateway, "wan0", "2001:db8::1/64"}, {l.gateway, "wan0", "fe80::1/64"}, {l.gateway, "lan0", "fe80::1/64"},
		{l.server, "eth0", "2001:db8::fe/64"}, {l.server, "eth0", "fe80::fe/64"}, {l.client, "eth0", "fe80::fe/64"},
	} {
		at.do(func() error {
			link, err := netlink.LinkByName(at.iface)
			if err != nil {
				return err
			}
			a, err := netlink.ParseAddr(at.addr)
			if err != nil {
				return err
			}
			a.Flags = unix.IFA_F_NODAD
			return netlink.AddrAdd(link, a)
		})
	}
	return l
}

func gated6() nat.Config {
	return nat.Config{Groups: []nat.Group{{Name: "wan", Addresses: wanSide}, {Name: "lan", Addresses: lanSide}}}
}

// wants6 checks that the gateway's TCP answers at an address, by a refusal: on that
// port nobody listens; or that it does not, and the packet or the question before it
// was counted.
func (l *lab) wants6(when string, from space, to netip.Addr, answer bool) {
	l.t.Helper()
	dial := func() (refused bool) {
		from.do(func() error {
			c, err := net.DialTimeout("tcp", netip.AddrPortFrom(to, 9).String(), 300*time.Millisecond)
			if err == nil {
				c.Close()
			}
			refused = errors.Is(err, unix.ECONNREFUSED)
			return nil
		})
		return refused
	}
	if answer { // a question from before may be asked again after a second only
		l.eventually(when+": answered by "+to.String(), dial)
		return
	}
	before := l.counters()
	if dial() {
		l.t.Errorf("%s: %v answers", when, to)
		return
	}
	l.eventually(when+": dropped by "+to.String(), func() bool {
		now := l.counters()
		return now.Gate > before.Gate || now.Refused > before.Refused
	})
}

// forget empties the neighbour table, so that a question goes before a packet.
func (s space) forget() {
	s.t.Helper()
	s.do(func() error {
		list, err := netlink.NeighList(0, netlink.FAMILY_V6)
		for _, n := range list {
			err = errors.Join(err, netlink.NeighDel(&n))
		}
		return err
	})
}

// knows tells whether the neighbour is known by its MAC.
func (s space) knows(addr netip.Addr) (known bool) {
	s.t.Helper()
	s.do(func() error {
		list, err := netlink.NeighList(0, netlink.FAMILY_V6)
		known = slices.ContainsFunc(list, func(n netlink.Neigh) bool {
			return n.IP.Equal(addr.AsSlice()) && len(n.HardwareAddr) == 6 && n.State&(unix.NUD_INCOMPLETE|unix.NUD_FAILED) == 0
		})
		return err
	})
	return known
}

// RFC 9568 6.4.2: a Backup neither accepts packets for the addresses nor says who
// has them, though they may be on its interface.
func TestGate6(t *testing.T) {
	l := lab6(t)
	l.apply(gated6())
	outside, inside := local.WithZone("eth0"), local.WithZone("eth0")
	expect := func(when string, wan, lan bool) {
		t.Helper()
		l.server.forget()
		l.client.forget()
		for _, row := range []struct {
			from space
			to   netip.Addr
			want bool
		}{{l.server, vip6, wan}, {l.server, outside, wan}, {l.client, inside, lan}} {
			l.wants6(when, row.from, row.to, row.want)
			if got := row.from.knows(row.to.WithZone("")); got != row.want {
				t.Errorf("%s: %v is known: %v", when, row.to, got)
			}
		}
	}
	expect("loaded", false, false)
	l.must(l.a.OpenGate(wanSide))
	expect("outside opened", true, false)
	l.must(l.a.OpenGate(lanSide))
	expect("both opened", true, true)
	l.unchanged("open", l.apply(gated6()))
	l.must(l.a.CloseGate(wanSide))
	expect("outside closed", false, true)
	l.must(l.a.OpenGate(wanSide))
	l.wants6("opened again", l.server, vip6, true)
	// Now the host knows where the address is, and asks nobody.
	for seq, errno := range l.gateway.sendBatch(GateCloseMessage(wanSide)) {
		if errno != 0 {
			t.Errorf("message %d: errno %d", seq, -errno)
		}
	}
	l.wants6("closed by the batch, known to the host", l.server, vip6, false)
	expect("closed by the batch", false, true)
	if got, err := l.a.Gates(); err != nil || !slices.Equal(got, []GateState{{"lan", true}, {"wan", false}}) {
		t.Errorf("gates: %v, error %v", got, err)
	}
}

// What is asked and answered about neighbours is never refused, RFC 9568 6.1: the
// address resolves, and the rest is dropped.
func TestRefusedAddress6(t *testing.T) {
	l := lab6(t)
	c := gated6()
	c.Refused = []netip.Addr{vip6, local.WithZone("wan0")}
	l.apply(c)
	l.must(l.a.OpenGate(slices.Concat(wanSide, lanSide)))
	for _, to := range []netip.Addr{vip6, local.WithZone("eth0")} {
		l.wants6("refused", l.server, to, false)
		l.eventually(to.String()+" is known", func() bool { return l.server.knows(to.WithZone("")) })
	}
	l.wants6("the same address on another link", l.client, local.WithZone("eth0"), true)
	// A host asks again whether a neighbour is there, by a packet to its very address.
	l.server.do(func() error {
		list, err := netlink.NeighList(0, netlink.FAMILY_V6)
		for _, n := range list {
			if n.IP.Equal(vip6.AsSlice()) {
				n.State = netlink.NUD_PROBE
				err = errors.Join(err, netlink.NeighSet(&n))
			}
		}
		return err
	})
	l.eventually("reachable again", func() (again bool) {
		l.server.do(func() error {
			list, err := netlink.NeighList(0, netlink.FAMILY_V6)
			again = slices.ContainsFunc(list, func(n netlink.Neigh) bool { return n.IP.Equal(vip6.AsSlice()) && n.State == netlink.NUD_REACHABLE })
			return err
		})
		return again
	})
	l.unchanged("same plan", l.apply(c))
	l.apply(gated6())
	l.wants6("accepted again", l.server, vip6, true)
}

// A daemon finds the table of one that knew IPv4 only: it is made whole, and what
// is open stays so. A table that somebody has taken half of it from is not trusted.
func TestGate6IsAddedToATableWithoutIt(t *testing.T) {
	remove := func(l *lab, names ...string) {
		l.t.Helper()
		c, err := nftables.New(nftables.WithNetNSFd(int(l.gateway.handle)))
		l.must(err)
		for _, name := range names {
			c.DelSet(&nftables.Set{Table: ourTable(), Name: name})
		}
		l.must(c.Flush())
	}
	before := nat.Config{Groups: []nat.Group{{Name: "wan", Addresses: []netip.Addr{vip}}}}
	for name, row := range map[string]struct {
		gone []string
		open bool
	}{
		"an earlier version": {[]string{setClosed6, setAddresses6, setClosedLocal, setAddressesLocal}, true},
		"half of it is gone": {[]string{setClosed6}, false},
	} {
		t.Run(name, func(t *testing.T) {
			l := lab6(t)
			l.apply(before)
			l.must(l.a.OpenGate([]netip.Addr{vip}))
			remove(l, row.gone...)
			if r := l.apply(gated6()); r.NewGate {
				t.Errorf("%+v", r)
			}
			_, closed := l.state().elements[setClosed][addressKey(vip)]
			if closed == row.open {
				t.Errorf("the IPv4 address is closed: %v", closed)
			}
			l.wants6("it joins the group as it is", l.server, vip6, row.open)
			l.wants6("a group that was not there before", l.client, local.WithZone("eth0"), false)
			l.unchanged("same plan", l.apply(gated6()))
		})
	}
}
