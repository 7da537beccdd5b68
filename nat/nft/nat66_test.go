package nft

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"understudy/nat"
)

// The lab by IPv6, beside what it is by IPv4:
//
//	client fd00:10::10 --- fd00:10::1 [gateway] 2001:db8::1, ::9 --- server 2001:db8::254
var (
	inside6    = netip.MustParseAddr("fd00:10::10")
	lanVIP6    = netip.MustParseAddr("fd00:10::1")
	public6    = netip.MustParseAddr("2001:db8::1")
	other6     = netip.MustParseAddr("2001:db8::9")
	outside6   = netip.MustParseAddr("2001:db8::254")
	all6       = append(slices.Clone(allOfGroup), lanVIP6, public6, other6)
	echo6      = uint16(128) << 8
	echoReply6 = uint16(129) << 8
)

func config6() nat.Config {
	c := config()
	c.Sources = append(c.Sources, nat.Source{From: netip.MustParsePrefix("fd00:10::/64"), Out: "wan0", To: public6})
	c.Forwards = append(c.Forwards,
		nat.Forward{Address: public6, Proto: nat.TCP, Port: 443, To: netip.AddrPortFrom(inside6, 8443)},
		nat.Forward{Address: other6, Proto: nat.UDP, Port: 53, To: netip.AddrPortFrom(inside6, 5353)})
	c.Groups = []nat.Group{{Name: "gateway", Addresses: all6}}
	return c
}

// active6 is a lab whose gateway translates both families, its gate open.
func active6(t testing.TB) *lab {
	t.Helper()
	l := newLab(t)
	for _, s := range []struct {
		space
		iface string
		addrs []netip.Addr
	}{
		{l.client, "eth0", []netip.Addr{inside6}}, {l.server, "eth0", []netip.Addr{outside6}},
		{l.gateway, "lan0", []netip.Addr{lanVIP6}}, {l.gateway, "wan0", []netip.Addr{public6, other6}},
	} {
		s.sysctl("ipv6/conf/"+s.iface+"/accept_dad", "0")
		for _, a := range s.addrs {
			s.address(s.iface, a.String()+"/64")
		}
	}
	l.gateway.sysctl("ipv6/conf/all/forwarding", "1")
	l.client.do(func() error {
		return netlink.RouteAdd(&netlink.Route{Dst: &net.IPNet{IP: net.IPv6zero, Mask: net.CIDRMask(0, 128)}, Gw: net.IP(lanVIP6.AsSlice())})
	})
	for _, way := range []struct {
		from  space
		iface string
		to    netip.Addr
	}{{l.client, "eth0", lanVIP6}, {l.server, "eth0", public6}, {l.gateway, "lan0", inside6}, {l.gateway, "wan0", outside6}} {
		way.from.finds(way.iface, way.to)
	}
	l.apply(config6())
	l.must(l.a.OpenGate(all6))
	return l
}

// finds asks for a neighbour until it is found. A link that has just come up takes no part
// in IPv6 for a while: what is sent then is lost.
func (s space) finds(iface string, a netip.Addr) {
	s.t.Helper()
	s.do(func() error {
		const found = netlink.NUD_REACHABLE | netlink.NUD_STALE | netlink.NUD_DELAY | netlink.NUD_PROBE
		l, err := netlink.LinkByName(iface)
		if err != nil {
			return err
		}
		for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
			if c, err := net.Dial("udp6", netip.AddrPortFrom(a, 9).String()); err == nil {
				_, _ = c.Write([]byte("?"))
				c.Close()
			}
			all, err := netlink.NeighList(l.Attrs().Index, netlink.FAMILY_V6)
			if err != nil {
				return err
			}
			if slices.ContainsFunc(all, func(n netlink.Neigh) bool { return n.IP.Equal(a.AsSlice()) && n.State&found != 0 }) {
				return nil
			}
		}
		return fmt.Errorf("%v is not found by %s", a, iface)
	})
}

// What is read back is what was written, and IPv4 is as it is without IPv6.
func TestNAT66IsReadBack(t *testing.T) {
	l := active6(t)
	l.unchanged("same plan", l.apply(config6()))
	l.apply(config())
	have := l.state()
	for _, name := range []string{"forward6", "source6", "inside6", "pool6", "source6_16384_65535"} {
		if have.sets[name] != nil {
			t.Errorf("%s is left behind", name)
		}
	}
}

// Each protocol as it leaves, and its answer as it comes back.
func TestNAT66OnTheWire(t *testing.T) {
	l := active6(t)
	for _, row := range []struct {
		name  string
		p     packet
		port  func(packet) uint16 // what is moved into the pool
		reply func(seen packet) packet
	}{
		{"udp", packet{proto: unix.IPPROTO_UDP, sport: 1000, dport: 7000}, func(p packet) uint16 { return p.sport },
			func(p packet) packet {
				return packet{src: p.dst, dst: p.src, proto: p.proto, sport: p.dport, dport: p.sport}
			}},
		{"tcp", packet{proto: unix.IPPROTO_TCP, sport: 1000, dport: 7000, flags: syn}, func(p packet) uint16 { return p.sport },
			func(p packet) packet {
				return packet{src: p.dst, dst: p.src, proto: p.proto, sport: p.dport, dport: p.sport, flags: syn | ack}
			}},
		{"echo", packet{proto: unix.IPPROTO_ICMPV6, sport: echo6, dport: 7}, func(p packet) uint16 { return p.dport },
			func(p packet) packet {
				return packet{src: p.dst, dst: p.src, proto: p.proto, sport: echoReply6, dport: p.dport}
			}},
	} {
		row.p.src, row.p.dst = inside6, outside6
		here, there := l.client.capture6(), l.server.capture6()
		l.client.send(row.p)
		_, seen := there.until(row.name, func(p packet) bool { return p.proto == row.p.proto })
		if seen.src != public6 || !nat.DefaultPorts().Contains(row.port(seen)) {
			t.Errorf("%s leaves as %v", row.name, seen)
		}
		l.server.send(row.reply(seen))
		_, back := here.until("answer to "+row.name, func(p packet) bool { return p.proto == row.p.proto })
		if back.src != outside6 || back.dst != inside6 {
			t.Errorf("%s comes back as %v", row.name, back)
		}
	}
}

func TestForward66(t *testing.T) {
	l := active6(t)
	there := l.client.capture6()
	l.server.send(packet{src: outside6, dst: other6, proto: unix.IPPROTO_UDP, sport: 4000, dport: 53})
	_, got := there.until("query", func(p packet) bool { return p.proto == unix.IPPROTO_UDP })
	if want := (packet{src: outside6, dst: inside6, proto: unix.IPPROTO_UDP, sport: 4000, dport: 5353}); got != want {
		t.Errorf("want %v, got %v", want, got)
	}
}

// The leak guard in IPv6: an untranslated source does not leave, what comes to the
// pool wakes nobody, the middle of an unknown connection passes neither way.
func TestGuard66(t *testing.T) {
	l := active6(t)
	there := l.server.capture6()
	l.client.send(packet{src: inside6, dst: outside6, proto: unix.IPPROTO_TCP, sport: 999, dport: 80, flags: syn | ack},
		packet{src: inside6, dst: outside6, proto: unix.IPPROTO_TCP, sport: 998, dport: 80, flags: ack},
		packet{src: inside6, dst: outside6, proto: unix.IPPROTO_UDP, sport: 9, dport: 9})
	before, last := there.until("mark", isMark)
	if len(before) > 0 || last.src != public6 {
		t.Errorf("leaked: %v, then %v", before, last)
	}
	if c := l.counters(); c.Untranslated != 1 || c.Unknown != 1 {
		t.Errorf("want one untranslated and one unknown, got %+v", c)
	}
	ping := packet{src: outside6, dst: other6, proto: unix.IPPROTO_ICMPV6, sport: echo6, dport: 3}
	for name, p := range map[string]packet{
		"tcp to the pool":             {proto: unix.IPPROTO_TCP, sport: 80, dport: 30000, flags: ack},
		"udp to the pool":             {proto: unix.IPPROTO_UDP, sport: 53, dport: 30000},
		"echo reply":                  {proto: unix.IPPROTO_ICMPV6, sport: echoReply6, dport: 30000},
		"invalid to a forwarded port": {proto: unix.IPPROTO_TCP, sport: 80, dport: 443, flags: syn | ack},
	} {
		p.src, p.dst = outside6, public6
		stray := l.counters().Stray
		l.server.send(p, ping)
		if before, _ := there.until("echo reply", func(p packet) bool { return p.src == other6 }); len(before) > 0 {
			t.Errorf("%s is answered by %v", name, before)
		}
		if n := l.counters().Stray; n != stray+1 {
			t.Errorf("%s: %d stray drops more, want 1", name, n-stray)
		}
	}
	l.must(l.a.SetUnknown(UnknownReset))
	l.server.send(packet{src: outside6, dst: public6, proto: unix.IPPROTO_TCP, sport: 999, dport: 443, flags: ack})
	if _, got := there.until("reset", isReset); got.src != public6 || got.sport != 443 {
		t.Errorf("reset by %v", got)
	}
}
