package nft

import (
	"fmt"
	"net"
	"net/netip"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"understudy/nat"
)

// Ranges of ports: one each, or all to one; of each protocol.
func TestForwardOfARange(t *testing.T) {
	l := active6(t)
	c := config6()
	for _, p := range []nat.Proto{nat.UDP, nat.TCP, nat.SCTP} {
		c.Forwards = append(c.Forwards,
			nat.Forward{Address: vip2, Proto: p, Port: 5000, Last: 5099, To: netip.AddrPortFrom(inside, 6000), ToLast: 6099},
			nat.Forward{Address: vip2, Proto: p, Port: 5100, Last: 5199, To: netip.AddrPortFrom(inside, 7000)},
			nat.Forward{Address: other6, Proto: p, Port: 5000, Last: 5099, To: netip.AddrPortFrom(inside6, 6000), ToLast: 6099})
	}
	l.apply(c)
	l.unchanged("again", l.apply(c))
	for _, proto := range []byte{unix.IPPROTO_UDP, unix.IPPROTO_TCP, unix.IPPROTO_SCTP} {
		for _, row := range []struct {
			to    netip.Addr
			port  uint16
			lands uint16
		}{{vip2, 5000, 6000}, {vip2, 5042, 6042}, {vip2, 5099, 6099}, {vip2, 5100, 7000}, {vip2, 5199, 7000}, {other6, 5000, 6000}, {other6, 5099, 6099}} {
			src, dst := outside, inside
			if row.to.Is6() {
				src, dst = outside6, inside6
			}
			if proto == unix.IPPROTO_SCTP { // the lab makes no SCTP packets with a checksum: the table's word for it
				if !l.forwards(row.to, proto, row.port, netip.AddrPortFrom(dst, row.lands)) {
					t.Errorf("no element leads %v port %d of SCTP to port %d", row.to, row.port, row.lands)
				}
				continue
			}
			here := captureFor(l.client, dst)
			l.server.send(packet{src: src, dst: row.to, proto: proto, sport: row.port, dport: row.port, flags: syn})
			_, got := here.until("packet", func(p packet) bool { return p.sport == row.port })
			if got.dst != dst || got.dport != row.lands {
				t.Errorf("protocol %d to %v port %d arrives at %v, want port %d", proto, row.to, row.port, got, row.lands)
			}
		}
	}
	// The port behind the range is nobody's.
	there := l.server.capture()
	l.server.send(packet{src: outside, dst: vip2, proto: unix.IPPROTO_TCP, sport: 4001, dport: 5200, flags: syn})
	there.until("reset by the gateway's own TCP", isReset)
}

// forwards tells whether the map has it so.
func (l *lab) forwards(to netip.Addr, proto byte, p uint16, server netip.AddrPort) bool {
	l.t.Helper()
	name := mapForward
	if to.Is6() {
		name += "6"
	}
	e, ok := l.state().elements[name][addressKey(to)+octet(proto)+port(p)]
	return ok && e.val == addressKey(server.Addr())+port(server.Port())
}

// pooled is the lab's configuration with several addresses.
func pooled(n int) nat.Config {
	c := config()
	c.Forwards = nil
	for i := range n - 1 {
		c.Sources[0].Also = append(c.Sources[0].Also, netip.AddrFrom4([4]byte{203, 0, 113, byte(100 + i)}))
	}
	c.Groups[0].Addresses = append(slices.Clone(allOfGroup), c.Sources[0].Also...)
	return c
}

// shares has each of many hosts send a datagram and an echo, and tells which address
// each got.
func (l *lab) shares(c nat.Config) map[string]string {
	l.t.Helper()
	l.setup(c)
	l.unchanged("again", l.apply(c))
	var ps []packet
	for host := 2; host < 250; host++ {
		src := netip.AddrFrom4([4]byte{10, 0, 0, byte(host)})
		ps = append(ps, packet{src: src, dst: outside, proto: unix.IPPROTO_UDP, sport: 1000, dport: 5000},
			packet{src: src, dst: netip.MustParseAddr("203.0.113.253"), proto: unix.IPPROTO_UDP, sport: 30000, dport: 5001},
			packet{src: src, dst: outside, proto: unix.IPPROTO_ICMP, sport: echo, dport: 30000},
			packet{src: src, dst: outside, proto: unix.IPPROTO_ESP})
	}
	l.client.send(ps...)
	got := map[string]string{}
	l.gateway.do(func() error {
		all, err := netlink.ConntrackTableList(netlink.ConntrackTable, unix.AF_INET)
		for _, f := range all {
			host, address := f.Forward.SrcIP.String(), f.Reverse.DstIP.String()
			if !f.Forward.DstIP.Equal(net.IP(outside.AsSlice())) && f.Forward.DstPort != 5001 {
				continue
			}
			if was, ok := got[host]; ok && was != address {
				l.t.Errorf("%s has both %s and %s", host, was, address)
			}
			got[host] = address
		}
		return err
	})
	if len(got) != 248 {
		l.t.Fatalf("%d hosts of 248 got through", len(got))
	}
	return got
}

// Each host has one address of several for all it does, the same on another node and in
// whatever order the file has them, and the hosts are spread evenly enough.
func TestSourceNATToSeveralAddresses(t *testing.T) {
	for _, n := range []int{2, 3, 16} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			c := pooled(n)
			one := newLab(t).shares(c)
			slices.Reverse(c.Sources[0].Also)
			c.Sources[0].To, c.Sources[0].Also[0] = c.Sources[0].Also[0], c.Sources[0].To
			other := newLab(t).shares(c)
			count := map[string]int{}
			for host, a := range one {
				count[a]++
				if other[host] != a {
					t.Errorf("%s has %s here, and %s there", host, a, other[host])
				}
			}
			for a, k := range count {
				if k < 248/n/3 || k > 248/n*3 {
					t.Errorf("%d of 248 hosts have %s, with %d addresses", k, a, n)
				}
			}
			if len(count) != n {
				t.Errorf("%d of %d addresses are in use: %v", len(count), n, count)
			}
		})
	}
}

// Nodes that split the ports of several addresses.
func TestSeveralAddressesWithSplitPorts(t *testing.T) {
	whole := nat.DefaultPorts()
	c := pooled(3)
	var have [2]map[string]string
	for i := range 2 {
		c.Sources[0].Ports, c.Sources[0].Pool = whole.Part(i, 2), whole
		l := newLab(t)
		have[i] = l.shares(c)
		for _, f := range l.flows(unix.IPPROTO_UDP) {
			if f.Forward.SrcPort == 1000 && !whole.Part(i, 2).Contains(f.Reverse.DstPort) {
				t.Errorf("node %d of 2 gives port %d", i, f.Reverse.DstPort)
			}
		}
		there := l.server.capture()
		for _, a := range c.Sources[0].Addresses()[1:] {
			l.gateway.address("wan0", a.String()+"/32")
			l.server.send(ping(a)) // whose neighbour is looked for meanwhile
			there.until("echo reply", func(p packet) bool { return p.src == a })
		}
		before := l.counters().Stray
		for _, a := range c.Sources[0].Addresses() {
			l.server.send(packet{src: outside, dst: a, proto: unix.IPPROTO_UDP, sport: 9, dport: 16390}, packet{src: outside, dst: a, proto: unix.IPPROTO_UDP, sport: 9, dport: 65530})
		}
		if n := l.counters().Stray - before; n != 6 {
			t.Errorf("node %d of 2: %d strays of 6 to either part of three addresses", i, n)
		}
	}
	for host, a := range have[0] {
		if have[1][host] != a {
			t.Errorf("%s has %s on one node, and %s on the other", host, a, have[1][host])
		}
	}
}

// Destinations that are excepted see hosts as they are, and nothing is judged there:
// networks behind a tunnel.
func TestExceptions(t *testing.T) {
	vpn, vpn6 := netip.MustParseAddr("10.8.0.1"), netip.MustParseAddr("fd00:8::1")
	l := activeStatic(t)
	l.server.address("eth0", "10.8.0.1/32")
	l.server.address("eth0", "fd00:8::1/128")
	l.route(l.gateway, "10.8.0.0/16", outside.String())
	l.route(l.gateway, "fd00:8::/32", outside6.String())
	c := configStatic()
	for _, from := range []string{"10.0.0.0/24", "10.1.0.16/28"} {
		c.Exceptions = append(c.Exceptions, nat.Exception{From: netip.MustParsePrefix(from), Out: "wan0", To: netip.MustParsePrefix("10.8.0.0/16")})
	}
	c.Exceptions = append(c.Exceptions, nat.Exception{From: netip.MustParsePrefix("fd00:10::/64"), Out: "wan0", To: netip.MustParsePrefix("fd00:8::/32")})
	l.apply(c)
	for _, src := range []netip.Addr{inside, oneInside, netInside, inside6} {
		far, near := vpn, outside
		if src.Is6() {
			far, near = vpn6, outside6
		}
		there := captureFor(l.server, far)
		first := packet{src: src, dst: far, proto: unix.IPPROTO_UDP, sport: 1000, dport: 7000}
		middle := packet{src: src, dst: far, proto: unix.IPPROTO_TCP, sport: 1000, dport: 7000, flags: ack}
		l.client.send(first, middle)
		there.until("datagram as it was", is(first))
		there.until("segment as it was", is(middle))
		first.dst = near
		l.client.send(first)
		if _, got := there.until("datagram", func(p packet) bool { return p.dst == near && p.dport == 7000 }); got.src == src {
			t.Errorf("to another destination: %v", got)
		}
	}
	if c := l.counters(); c.Untranslated+c.Unknown != 0 {
		t.Errorf("judged: %+v", c)
	}
}

// A host calls a mapped address, and the server is in its own network.
func TestHairpin(t *testing.T) {
	l := activeStatic(t)
	c := configStatic()
	c.Forwards = append(c.Forwards,
		nat.Forward{Address: vip, Proto: nat.TCP, Port: 80, To: netip.AddrPortFrom(oneInside, 8080)},
		nat.Forward{Address: vip, Proto: nat.UDP, Port: 80, To: netip.AddrPortFrom(oneInside, 8080)},
		nat.Forward{Address: public6, Proto: nat.UDP, Port: 80, To: netip.AddrPortFrom(netip.MustParseAddr("fd00:10::20"), 8080)})
	l.client.address("eth0", "fd00:10::20/64")
	l.client.address("eth0", "10.1.0.22/24")
	l.apply(c)

	// With real sockets: the called address is who calls.
	ln := l.client.listen("10.0.0.20:8080")
	_, server := connect(t, l.client, netip.AddrPortFrom(vip, 80), ln)
	if got := peerOf(server); got.Addr() != vip || !nat.DefaultPorts().Contains(got.Port()) {
		t.Errorf("the server sees %v, want %v and a port of %v", got, vip, nat.DefaultPorts())
	}
	ln = l.client.listen("10.0.0.20:443")
	_, server = connect(t, l.client, netip.AddrPortFrom(oneOutside, 443), ln)
	if got := peerOf(server); got.Addr() != oneOutside {
		t.Errorf("the server that is mapped one to one sees %v, want %v", got, oneOutside)
	}

	for _, row := range []struct {
		name             string
		from, called, at netip.Addr
		lands            netip.AddrPort
		seen             netip.Addr
	}{
		{"a forward", inside, vip, vip, netip.AddrPortFrom(oneInside, 8080), vip},
		{"an address one to one", inside, oneOutside, oneOutside, netip.AddrPortFrom(oneInside, 80), oneOutside},
		{"one's own address", oneInside, oneOutside, oneOutside, netip.AddrPortFrom(oneInside, 80), oneOutside},
		{"an address of a network", netip.MustParseAddr("10.1.0.22"), netOutside, netOutside, netip.AddrPortFrom(netInside, 80), netOutside},
		{"a forward of IPv6", inside6, public6, public6, netip.AddrPortFrom(netip.MustParseAddr("fd00:10::20"), 8080), public6},
		// The lab has both networks in one namespace: the answer goes a shorter way.
		{"from another network: as it is", netInside, oneOutside, netip.Addr{}, netip.AddrPortFrom(oneInside, 80), netInside},
		{"from outside: as it is", netip.Addr{}, vip, outside, netip.AddrPortFrom(oneInside, 8080), outside},
	} {
		t.Run(row.name, func(t *testing.T) {
			from, at := l.client, row.from
			if !at.IsValid() {
				from, at = l.server, outside
			}
			here, caller := captureFor(l.client, row.called), captureFor(from, row.called)
			call := packet{src: at, dst: row.called, proto: unix.IPPROTO_UDP, sport: 1000, dport: 80}
			from.send(call)
			before, got := here.until("call", func(p packet) bool { return p.dst == row.lands.Addr() && p.dport == row.lands.Port() })
			if got.src != row.seen {
				t.Errorf("the server sees %v, want %v", got, row.seen)
			}
			if slices.ContainsFunc(before, func(p packet) bool { return p.proto == unix.IPPROTO_ICMP && p.sport>>8 == 5 }) {
				t.Errorf("redirected: %v", before)
			}
			if !row.at.IsValid() {
				return
			}
			l.client.send(answer(got))
			before, _ = caller.until("answer", is(answer(call)))
			if slices.ContainsFunc(before, func(p packet) bool { return p.proto == unix.IPPROTO_ICMP && p.sport>>8 == 5 }) {
				t.Errorf("redirected: %v", before)
			}
		})
	}
	// An echo request to the mapped address, by its identifier.
	here := l.client.capture()
	ask := packet{src: inside, dst: oneOutside, proto: unix.IPPROTO_ICMP, sport: echo, dport: 33}
	l.client.send(ask)
	here.until("echo reply", func(p packet) bool {
		return p.src == oneOutside && p.dst == inside && p.sport == echoReply && p.dport == 33
	})
}

// What somebody else's rules give a source keeps it, also where caller and server are
// neighbours.
func TestHairpinOfOthersIsLeftAlone(t *testing.T) {
	l := activeStatic(t)
	foreign := netip.MustParseAddr("192.0.2.7")
	l.gateway.do(func() error {
		cmd := exec.Command("nft", "-f", "-")
		cmd.Stdin = strings.NewReader("table ip other {\nchain in { type nat hook prerouting priority -101\nip daddr 192.0.2.7 dnat to 10.0.0.20\n}\n" +
			"chain out { type nat hook postrouting priority 100\nct original ip daddr 192.0.2.7 snat to 10.0.0.1\n}\n}\n")
		out, err := cmd.CombinedOutput()
		if err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		return nil
	})
	here := l.client.capture()
	l.client.send(packet{src: inside, dst: foreign, proto: unix.IPPROTO_UDP, sport: 1000, dport: 80})
	if _, got := here.until("datagram", func(p packet) bool { return p.dst == oneInside }); got.src != lanVIP {
		t.Errorf("the server sees %v", got)
	}
}
