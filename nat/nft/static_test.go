package nft

import (
	"fmt"
	"net"
	"net/netip"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/nftables"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"understudy/nat"
)

// The lab with mappings one to one: an address that the gateway has, a network that is
// routed to it, and one of IPv6.
//
//	client 10.0.0.20 --- 203.0.113.20
//	       10.1.0.21 --- 198.51.100.5   of 10.1.0.16/28, 198.51.100.0/28
//	       fd00:10::10 - 2001:db8:f::10 of /64
var (
	oneInside   = netip.MustParseAddr("10.0.0.20")
	oneOutside  = netip.MustParseAddr("203.0.113.20")
	netInside   = netip.MustParseAddr("10.1.0.21")
	netOutside  = netip.MustParseAddr("198.51.100.5")
	six6Outside = netip.MustParseAddr("2001:db8:f::10")
	blockOfFour = netip.MustParsePrefix("198.51.100.0/28")
	blockOfSix  = netip.MustParsePrefix("2001:db8:f::/64")
	lan1VIP     = netip.MustParseAddr("10.1.0.1")
)

func static(public, private string) nat.Static {
	return nat.Static{Public: netip.MustParsePrefix(public), Private: netip.MustParsePrefix(private), Out: "wan0"}
}

func configStatic() nat.Config {
	c := config6()
	c.Statics = []nat.Static{static("203.0.113.20/32", "10.0.0.20/32"), static("198.51.100.0/28", "10.1.0.16/28"), static("2001:db8:f::/64", "fd00:10::/64")}
	c.Groups[0].Addresses = append(slices.Clone(all6), oneOutside, lan1VIP)
	c.Groups[0].Blocks = []netip.Prefix{blockOfFour, blockOfSix}
	c.Links = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/24"), netip.MustParsePrefix("10.1.0.0/24"), netip.MustParsePrefix("fd00:10::/64"),
		netip.MustParsePrefix("203.0.113.0/24")}
	return c
}

func (l *lab) route(s space, dst, via string) {
	l.t.Helper()
	s.do(func() error {
		_, n, err := net.ParseCIDR(dst)
		if err != nil {
			return err
		}
		return netlink.RouteReplace(&netlink.Route{Dst: n, Gw: net.ParseIP(via)})
	})
}

// activeStatic is a lab that translates everything, its gate open.
func activeStatic(t testing.TB) *lab {
	t.Helper()
	l := active6(t)
	l.client.address("eth0", "10.0.0.20/24")
	l.client.address("eth0", "10.1.0.21/24")
	l.gateway.address("lan0", "10.1.0.1/24")
	l.gateway.address("wan0", "203.0.113.20/32")
	l.route(l.server, blockOfFour.String(), vip.String())
	l.route(l.server, blockOfSix.String(), public6.String())
	l.setup(configStatic())
	return l
}

// setup applies c, and opens the gate.
func (l *lab) setup(c nat.Config) {
	l.t.Helper()
	l.apply(c)
	l.open(c)
}

func (l *lab) open(c nat.Config) {
	l.t.Helper()
	p := plan(l.t, c)
	l.must(l.a.OpenGate(p.Group("gateway"), p.GroupDevices("gateway")...))
}

func (l *lab) shut(c nat.Config) {
	l.t.Helper()
	p := plan(l.t, c)
	l.must(l.a.CloseGate(p.Group("gateway"), p.GroupDevices("gateway")...))
}

// statics are the pairs that the lab's hosts have.
func statics() map[string][3]netip.Addr {
	return map[string][3]netip.Addr{
		"an address":                         {oneInside, oneOutside, outside},
		"an address of a network":            {netInside, netOutside, outside},
		"an address of a network, over IPv6": {inside6, six6Outside, outside6},
	}
}

func captureFor(s space, a netip.Addr) capture {
	if a.Is6() {
		return s.capture6()
	}
	return s.capture()
}

// kindsOfPackets are the first packets of flows, and how they are answered.
func kindsOfPackets(six bool) map[string]packet {
	out := map[string]packet{
		"tcp": {proto: unix.IPPROTO_TCP, sport: 1000, dport: 7000, flags: syn},
		"udp": {proto: unix.IPPROTO_UDP, sport: 1000, dport: 7001},
		"esp": {proto: unix.IPPROTO_ESP},
	}
	if six {
		out["echo"] = packet{proto: unix.IPPROTO_ICMPV6, sport: echo6, dport: 7}
	} else {
		out["echo"] = packet{proto: unix.IPPROTO_ICMP, sport: echo, dport: 7}
	}
	return out
}

func answer(p packet) packet {
	a := packet{src: p.dst, dst: p.src, proto: p.proto, sport: p.dport, dport: p.sport}
	switch p.proto {
	case unix.IPPROTO_TCP:
		a.flags = syn | ack
	case unix.IPPROTO_ICMP:
		a.sport, a.dport = echoReply, p.dport
	case unix.IPPROTO_ICMPV6:
		a.sport, a.dport = echoReply6, p.dport
	}
	return a
}

// answers tells whether a packet is the answer to p. A TCP that is asked for a port which
// nobody serves answers by itself.
func answers(p packet) func(packet) bool {
	want := answer(p)
	return func(got packet) bool {
		if got.proto == unix.IPPROTO_TCP {
			got.flags = want.flags
		}
		return got == want
	}
}

// reply is for what a host does not answer by itself.
func (s space) reply(p packet) {
	s.t.Helper()
	if p.proto != unix.IPPROTO_TCP {
		s.send(answer(p))
	}
}

// is tells whether a packet is that one.
func is(want packet) func(packet) bool { return func(p packet) bool { return p == want } }

// Each protocol in both directions, as it is on the wire: the address is exchanged, and
// nothing else. The hosts answer for themselves too (resets, echoes), and that does not
// matter.
func TestStaticOnTheWire(t *testing.T) {
	for name, a := range statics() {
		private, public, far := a[0], a[1], a[2]
		for kind, p := range kindsOfPackets(far.Is6()) {
			t.Run(name+", "+kind, func(t *testing.T) {
				l := activeStatic(t)
				here, there := captureFor(l.client, private), captureFor(l.server, far)

				// From inside: it gets its public address.
				out := p
				out.src, out.dst = private, far
				l.client.send(out)
				seen := out
				seen.src = public
				there.until("packet", is(seen))
				l.server.reply(seen)
				here.until("answer", answers(out))

				// From outside: it is reached by that.
				in := p
				in.src, in.dst, in.sport, in.dport = far, public, in.sport+5, in.dport+5
				if p.proto == unix.IPPROTO_ICMP || p.proto == unix.IPPROTO_ICMPV6 {
					in.sport = p.sport
				}
				if p.proto == unix.IPPROTO_ESP {
					in.sport, in.dport = 0, 0
				}
				l.server.send(in)
				seen = in
				seen.dst = private
				here.until("packet", is(seen))
				l.client.reply(seen)
				there.until("answer", answers(in))
			})
		}
	}
}

// A forward goes before the address that it is on.
func TestForwardOnAStaticAddress(t *testing.T) {
	l := activeStatic(t)
	c := configStatic()
	c.Forwards = append(c.Forwards, nat.Forward{Address: oneOutside, Proto: nat.UDP, Port: 53, To: netip.AddrPortFrom(inside, 5353)})
	l.apply(c)
	here := l.client.capture()
	for _, row := range []struct {
		to   uint16
		want packet
	}{
		{53, packet{src: outside, dst: inside, proto: unix.IPPROTO_UDP, sport: 4000, dport: 5353}},
		{54, packet{src: outside, dst: oneInside, proto: unix.IPPROTO_UDP, sport: 4000, dport: 54}},
	} {
		l.server.send(packet{src: outside, dst: oneOutside, proto: unix.IPPROTO_UDP, sport: 4000, dport: row.to})
		if _, got := here.until("datagram", func(p packet) bool { return p.sport == 4000 }); got != row.want {
			t.Errorf("want %v, got %v", row.want, got)
		}
	}
}

// Another host of the network keeps to its source mapping, and one that is mapped to a
// network has nothing of it on another interface.
func TestStaticLeavesOthersAlone(t *testing.T) {
	l := activeStatic(t)
	there := l.server.capture()
	l.client.send(packet{src: inside, dst: outside, proto: unix.IPPROTO_UDP, sport: 1000, dport: 7000})
	if _, got := there.until("datagram", func(p packet) bool { return p.dport == 7000 }); got.src != vip {
		t.Errorf("a host without a mapping of its own leaves as %v", got)
	}
	here := l.client.capture()
	l.client.send(packet{src: oneInside, dst: netInside, proto: unix.IPPROTO_UDP, sport: 1000, dport: 7000}) // by itself
	l.client.send(packet{src: oneInside, dst: lanVIP, proto: unix.IPPROTO_ICMP, sport: echo, dport: 9})
	if _, got := here.until("echo reply", func(p packet) bool { return p.proto == unix.IPPROTO_ICMP }); got.dst != oneInside {
		t.Errorf("the gateway answers %v", got)
	}
}

// What a new owner has never heard of goes on: the mapping makes of each packet what it
// was. And what is invalid does not get out, nor to the gateway's own TCP.
func TestStaticInTheMiddle(t *testing.T) {
	for name, a := range statics() {
		private, public, far := a[0], a[1], a[2]
		t.Run(name, func(t *testing.T) {
			l := activeStatic(t)
			here, there := captureFor(l.client, private), captureFor(l.server, far)
			out := packet{src: private, dst: far, proto: unix.IPPROTO_TCP, sport: 1000, dport: 80, flags: ack}
			seen := out
			seen.src = public
			l.client.send(out)
			there.until("segment from inside", is(seen))
			in := packet{src: far, dst: public, proto: unix.IPPROTO_TCP, sport: 1001, dport: 22, flags: ack}
			l.server.send(in)
			in.dst = private
			here.until("segment from outside", is(in))

			invalid := packet{src: private, dst: far, proto: unix.IPPROTO_TCP, sport: 1002, dport: 81, flags: syn | ack}
			stray := packet{src: far, dst: public, proto: unix.IPPROTO_TCP, sport: 1003, dport: 23, flags: syn | ack}
			l.client.send(invalid, mark(private, far))
			before, got := there.until("mark", isMark)
			if slices.ContainsFunc(before, func(p packet) bool { return p.src == private || p.sport == 1002 }) || got.src != public {
				t.Errorf("leaked: %v, then %v", before, got)
			}
			l.server.send(stray, mark(far, public))
			if before, _ := here.until("mark", isMark); slices.ContainsFunc(before, func(p packet) bool { return p.sport == 1003 }) {
				t.Errorf("let in: %v", before)
			}
			l.client.send(mark(private, far))
			if before, _ := there.until("mark", isMark); slices.ContainsFunc(before, func(p packet) bool { return isReset(p) && p.sport == 23 }) {
				t.Errorf("answered by the gateway: %v", before)
			}
			if c := l.counters(); c.Untranslated != 1 || c.Stray != 1 || c.Unknown != 0 {
				t.Errorf("want one untranslated, one stray, none unknown, got %+v", c)
			}
		})
	}
}

// A block is shut with its group, all of it by one element, and what nobody has in it
// does not go back to where it came from.
func TestBlocks(t *testing.T) {
	l := activeStatic(t)
	c := configStatic()
	c.Sources[0].To = netip.MustParseAddr("198.51.100.100") // a pool in a block of its own
	c.Groups[0].Blocks = append(c.Groups[0].Blocks, netip.PrefixFrom(c.Sources[0].To, 32))
	l.route(l.server, "198.51.100.96/28", vip.String())
	l.route(l.gateway, "198.51.100.0/24", outside.String()) // as a gateway has it: by default
	l.setup(c)
	here, there := l.client.capture(), l.server.capture()
	here6 := l.client.capture6()
	to := func(a netip.Addr) packet {
		src := outside
		if a.Is6() {
			src = outside6
		}
		return packet{src: src, dst: a, proto: unix.IPPROTO_UDP, sport: 4000, dport: 7000}
	}
	l.client.send(packet{src: inside, dst: outside, proto: unix.IPPROTO_UDP, sport: 1000, dport: 7000})
	if _, got := there.until("datagram", func(p packet) bool { return p.dport == 7000 }); got.src != c.Sources[0].To {
		t.Errorf("leaves as %v", got)
	}
	stray := l.counters().Stray
	l.server.send(to(c.Sources[0].To), ping(vip2))
	if before, _ := there.until("echo reply", func(p packet) bool { return p.src == vip2 }); len(before) > 0 {
		t.Errorf("a stray to the pool comes back: %v", before)
	}
	if n := l.counters().Stray; n != stray+1 {
		t.Errorf("stray drops: want %d, got %d", stray+1, n)
	}

	l.shut(c)
	if got := l.state().elements[setClosedDevices]; len(got) != 1 {
		t.Errorf("want one element for all blocks, got %v", got)
	}
	shut := l.counters().Gate
	l.server.send(to(netOutside), to(six6Outside), to(c.Sources[0].To), to(oneOutside))
	if n := l.counters().Gate - shut; n != 4 {
		t.Errorf("want 4 kept out by the gate, got %d", n)
	}
	l.unchanged("with the gate shut", l.apply(c))
	l.open(c)
	l.server.send(to(netOutside), to(six6Outside))
	here.until("datagram", func(p packet) bool { return p.dst == netInside && p.dport == 7000 })
	here6.until("datagram", func(p packet) bool { return p.dst == inside6 && p.dport == 7000 })

	// The fence, made beforehand, by whoever has a socket.
	p := plan(t, c)
	l.gateway.sendBatch(GateCloseMessage(p.Group("gateway"), p.GroupDevices("gateway")...))
	shut = l.counters().Gate
	l.server.send(to(netOutside), to(six6Outside))
	if n := l.counters().Gate - shut; n != 2 {
		t.Errorf("want 2 kept out by the fence, got %d", n)
	}
}

// The sets are read back as they were written, and are gone with what they are for.
func TestStaticIsReadBack(t *testing.T) {
	l := activeStatic(t)
	c := configStatic()
	c.Exceptions = []nat.Exception{{From: netip.MustParsePrefix("10.0.0.0/24"), Out: "wan0", To: netip.MustParsePrefix("10.8.0.0/16")},
		{From: netip.MustParsePrefix("fd00:10::/64"), Out: "wan0", To: netip.MustParsePrefix("fd00:8::/32")}}
	c.Sources[0].Also = []netip.Addr{vip2}
	c.Sources[1].Also = []netip.Addr{other6}
	l.apply(c)
	l.unchanged("same plan", l.apply(c))
	r, err := l.applier().Apply(plan(t, c))
	l.must(err)
	l.unchanged("same plan, new process", r)
	var names []string
	for name := range l.state().sets {
		if strings.HasPrefix(name, mapStaticIn) || strings.HasPrefix(name, mapStaticOut) || strings.HasPrefix(name, setBlocks) ||
			strings.HasPrefix(name, mapSpread) || strings.HasPrefix(name, setExceptions) || strings.HasPrefix(name, setLinks) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	want := []string{family{true, "6"}.blockSet("gateway", 64), family{}.blockSet("gateway", 28), "exceptions", "exceptions6", "links", "links6", "spread6_16384_65535_2", "spread6_2", "spread_16384_65535_2", "spread_2",
		"static_in6_64", "static_in_28", "static_in_32", "static_out6_64", "static_out_28", "static_out_32"}
	if diff := cmp.Diff(want, names); diff != "" {
		t.Errorf("sets (-want +got):\n%s", diff)
	}
	l.nftLists(names...)
	l.apply(config())
	for _, name := range names {
		if l.state().sets[name] != nil {
			t.Errorf("%s is left behind", name)
		}
	}
}

// nftLists has the nft program, if there is one, show the table: an operator looks at it
// so.
func (l *lab) nftLists(names ...string) {
	l.t.Helper()
	nft, err := exec.LookPath("nft")
	if err != nil {
		l.t.Fatal("this test looks at the table with nft (package nftables): ", err)
	}
	l.gateway.do(func() error {
		out, err := exec.Command(nft, "list", "table", "inet", Table).CombinedOutput()
		if err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		for _, name := range names {
			if !regexp.MustCompile("(set|map) " + name + ` \{`).Match(out) {
				l.t.Errorf("%s is not in nft's list:\n%s", name, out)
			}
		}
		return nil
	})
}

func TestStaticReloadTouchesOnlyWhatChanged(t *testing.T) {
	l := activeStatic(t)
	for _, row := range []struct {
		name   string
		change func(*nat.Config)
		want   Report
	}{
		// A mapping is an element for each direction.
		{"a mapping more", func(c *nat.Config) {
			c.Statics = append(c.Statics, static("203.0.113.9/32", "10.0.0.29/32"))
		}, Report{Added: 2}},
		{"another host", func(c *nat.Config) { c.Statics[0].Private = netip.MustParsePrefix("10.0.0.21/32") }, Report{Added: 2, Removed: 2}},
		{"another network", func(c *nat.Config) { c.Statics[2].Private = netip.MustParsePrefix("fd00:11::/64") }, Report{Added: 2, Removed: 2}},
		{"a block more", func(c *nat.Config) {
			c.Groups[0].Blocks = append(c.Groups[0].Blocks, netip.MustParsePrefix("198.51.100.16/28"))
		}, Report{Added: 1}},
		{"a range", func(c *nat.Config) { c.Forwards[0].Last = 452 }, Report{Added: 18}},
	} {
		t.Run(row.name, func(t *testing.T) {
			l.apply(configStatic())
			c := configStatic()
			row.change(&c)
			if diff := cmp.Diff(row.want, l.apply(c)); diff != "" {
				t.Errorf("report (-want +got):\n%s", diff)
			}
		})
	}
}

func TestStaticDriftIsRepaired(t *testing.T) {
	private := ifname("wan0") + string(oneInside.AsSlice())
	for name, spoil := range map[string]func(*nftables.Conn){
		"an element taken": func(c *nftables.Conn) {
			_ = c.SetDeleteElements(&nftables.Set{Table: ourTable(), Name: "static_out_32", KeyType: concat(nftables.TypeIFName, nftables.TypeIPAddr)},
				[]nftables.SetElement{{Key: []byte(private)}})
		},
		"a map emptied": func(c *nftables.Conn) { c.FlushSet(&nftables.Set{Table: ourTable(), Name: "static_in_28"}) },
		"blocks emptied": func(c *nftables.Conn) {
			c.FlushSet(&nftables.Set{Table: ourTable(), Name: family{}.blockSet("gateway", 28)})
		},
		"hairpin chain emptied": func(c *nftables.Conn) { c.FlushChain(&nftables.Chain{Table: ourTable(), Name: chainHairpin}) },
		"block gate emptied":    func(c *nftables.Conn) { c.FlushChain(&nftables.Chain{Table: ourTable(), Name: chainBlocks}) },
	} {
		t.Run(name, func(t *testing.T) {
			l := activeStatic(t)
			want := l.dump()
			l.on(spoil)
			if l.dump() == want {
				t.Fatal("nothing was spoilt")
			}
			l.apply(configStatic())
			if diff := cmp.Diff(want, l.dump()); diff != "" {
				t.Errorf("after the repair (-want +got):\n%s", diff)
			}
		})
	}
}

func manyStatics(n int) nat.Plan {
	p := nat.Plan{Gates: []nat.Gate{{Address: vip, Group: "gateway"}}}
	for i := range n {
		public := netip.AddrFrom4([4]byte{198, 18 + byte(i>>16), byte(i >> 8), byte(i)})
		private := netip.AddrFrom4([4]byte{10, 64 + byte(i>>16), byte(i >> 8), byte(i)})
		p.Statics = append(p.Statics, nat.Static{Public: netip.PrefixFrom(public, 32), Private: netip.PrefixFrom(private, 32), Out: "wan0"})
	}
	return p
}

// A hundred thousand in one transaction; one of them changed; and one that the kernel
// refuses, by its name.
func TestHundredThousandStaticsInOneTransaction(t *testing.T) {
	const n = 100_000
	l := newLab(t)
	generation := l.generation()
	p := manyStatics(n)
	r, err := l.a.Apply(p)
	l.must(err)
	if got := l.generation() - generation; got != 1 {
		t.Errorf("want one transaction, got %d", got)
	}
	if r.Added < 2*n {
		t.Errorf("added %+v", r)
	}
	l.filled(n, "static_in_32", "static_out_32")
	p.Statics = slices.Clone(p.Statics)
	p.Statics[77_777].Private = netip.MustParsePrefix("10.99.0.1/32")
	r, err = l.a.Apply(p)
	l.must(err)
	if diff := cmp.Diff(Report{Added: 2, Removed: 2}, r); diff != "" {
		t.Errorf("one changed (-want +got):\n%s", diff)
	}
	generation = l.generation()
	bad := p
	bad.Statics = slices.Clone(p.Statics)
	twice := netip.MustParsePrefix("10.98.0.1/32")
	bad.Statics[88_887].Private, bad.Statics[88_888].Private = twice, twice
	if _, err = l.a.Apply(bad); err == nil || !strings.Contains(err.Error(), bad.Statics[88_888].String()) {
		t.Errorf("want the mapping in it: %v", err)
	}
	if l.generation() != generation {
		t.Error("what failed has changed something")
	}
	r, err = l.a.Apply(p)
	l.must(err)
	l.unchanged("the plan before", r)
}
