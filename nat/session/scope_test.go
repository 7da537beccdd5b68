package session

import (
	"net/netip"
	"testing"
	"time"
)

func prefixes(s ...string) (out []netip.Prefix) {
	for _, p := range s {
		out = append(out, netip.MustParsePrefix(p))
	}
	return out
}

// between is a UDP flow of which the kernel shows these four addresses.
func between(src, dst, replySrc, replyDst string) Record {
	a := func(s string) Addr { return AddrFrom(netip.MustParseAddr(s)) }
	r := Record{Key: Key{Src: a(src), Dst: a(dst), SrcPort: 1000, DstPort: 2000, Proto: protoUDP, Family: 4},
		ReplySrc: a(replySrc), ReplyDst: a(replyDst), ReplySrcPort: 2000, ReplyDstPort: 1000}
	if netip.MustParseAddr(src).Is6() {
		r.Family = 6
	}
	return r
}

// TestScope: groups 0 and 1 hold 203.0.113.1 and .2; 10.0.0.0/24 is a network of
// 0, 10.0.1.0/24 of 1, 192.168.0.0/16 of both. 10.0.0.2 is the node's own.
func TestScope(t *testing.T) {
	config := func(bound bool) ScopeConfig {
		return ScopeConfig{
			Groups: [][]netip.Addr{
				{netip.MustParseAddr("203.0.113.1"), netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("2001:db8::1")},
				{netip.MustParseAddr("203.0.113.2")}},
			Blocks: [][]netip.Prefix{nil, prefixes("203.0.113.64/28", "203.0.113.99/32", "2001:db8:f::/64")},
			Inside: prefixes("10.0.0.0/16", "fd00::/64"), Routed: true, Bound: bound,
			Networks: []Network{
				{prefixes("10.0.0.0/24")[0], 1}, {prefixes("10.0.1.0/24")[0], 2}, {prefixes("192.168.0.0/16")[0], 3},
				{prefixes("192.168.7.0/24")[0], 2}, {prefixes("fd00::/64")[0], 1}},
			Own: []netip.Addr{netip.MustParseAddr("10.0.0.2"), netip.MustParseAddr("203.0.113.1")},
		}
	}
	const none, first, second, both = GroupSet(0), GroupSet(1), GroupSet(2), GroupSet(3)
	plain := func(src, dst string) Record { return between(src, dst, dst, src) }
	for _, tt := range []struct {
		name  string
		r     Record
		want  GroupSet
		bound GroupSet // where only the networks count
	}{
		{"source translated to a group's address", between("10.0.9.9", "192.0.2.9", "192.0.2.9", "203.0.113.2"), second, second},
		{"so by IPv6", between("fd00::9", "2001:db8:2::9", "2001:db8:2::9", "2001:db8::1"), first, first},
		{"the source is not inside", between("172.16.0.9", "192.0.2.9", "192.0.2.9", "203.0.113.2"), none, none},
		{"nor inside, but of a network that counts", between("192.168.0.9", "192.0.2.9", "192.0.2.9", "203.0.113.2"), none, second},
		{"called at a group's address", between("192.0.2.9", "203.0.113.1", "10.0.9.9", "192.0.2.9"), first, first},
		{"the server is not inside", between("192.0.2.9", "203.0.113.1", "172.16.0.9", "192.0.2.9"), none, none},
		{"hairpin: the server is", between("172.16.0.9", "203.0.113.1", "10.0.9.9", "203.0.113.1"), first, first},
		{"translated to an address of a block", between("10.0.9.9", "192.0.2.9", "192.0.2.9", "203.0.113.70"), second, second},
		{"called at an address of a block", between("192.0.2.9", "203.0.113.79", "10.0.9.9", "192.0.2.9"), second, second},
		{"called at a block of one address", between("192.0.2.9", "203.0.113.99", "10.0.9.9", "192.0.2.9"), second, second},
		{"so by IPv6, a block", between("2001:db8:2::9", "2001:db8:f::7", "fd00::7", "2001:db8:2::9"), second, second},
		{"called at a block, the server is not inside", between("192.0.2.9", "203.0.113.70", "172.16.0.9", "192.0.2.9"), none, none},
		{"beside the block: nobody's here", between("10.0.1.9", "192.0.2.9", "192.0.2.9", "203.0.113.80"), second, second},
		{"routed, by its source", plain("10.0.0.9", "10.0.1.9"), first, first},
		{"routed, by its destination", plain("192.0.2.9", "10.0.1.9"), second, second},
		{"routed, from a network of both", plain("192.168.0.9", "192.0.2.9"), both, both},
		{"the longer prefix", plain("192.168.7.9", "192.0.2.9"), second, second},
		{"routed between strangers", plain("192.0.2.9", "198.51.100.9"), both, none},
		{"routed IPv6", plain("fd00::9", "2001:db8:2::9"), first, first},
		{"translated to somebody else's address", between("10.0.1.9", "192.0.2.9", "192.0.2.9", "198.51.100.1"), second, second},
		{"forwarded from somebody else's address", between("192.0.2.9", "198.51.100.1", "10.0.1.9", "192.0.2.9"), second, second},
		{"to the node itself", plain("10.0.0.9", "10.0.0.2"), none, none},
		{"from the node itself", plain("10.0.0.2", "192.0.2.9"), none, none},
		{"to a group's address", plain("10.0.0.9", "10.0.0.1"), none, none},
		{"masqueraded as the node itself", between("10.0.0.9", "192.0.2.9", "192.0.2.9", "10.0.0.2"), none, none},
		{"redirected to the node itself", between("10.0.0.9", "192.0.2.9", "10.0.0.2", "10.0.0.9"), none, none},
		{"multicast", plain("10.0.0.9", "224.0.0.18"), none, none},
		{"broadcast", plain("10.0.0.9", "255.255.255.255"), none, none},
		{"loopback", plain("127.0.0.1", "127.0.0.1"), none, none},
		{"link-local", plain("fe80::1", "fe80::2"), none, none},
	} {
		for _, bound := range []bool{false, true} {
			want := tt.want
			if bound {
				want = tt.bound
			}
			if got := NewScope(config(bound)).Groups(&tt.r); got != want {
				t.Errorf("%s, bound %v: groups %b, want %b", tt.name, bound, got, want)
			}
		}
	}
	s := NewScope(config(false))
	for what, change := range map[string]func(*Record){
		"VRRP":          func(r *Record) { r.Proto = protoVRRP },
		"BFD":           func(r *Record) { r.DstPort = 3784 },
		"BFD, multihop": func(r *Record) { r.DstPort = 4784 },
		"no family":     func(r *Record) { r.Family = 0 },
	} {
		r := plain("10.0.0.9", "192.0.2.9")
		if change(&r); s.Groups(&r) != 0 {
			t.Errorf("%s is in scope", what)
		}
	}
	c := config(false)
	c.Routed = false
	r := plain("10.0.0.9", "192.0.2.9")
	if s.Set(c); s.Groups(&r) != 0 {
		t.Error("routed flows are in scope though they are not to be")
	}
}

func TestPick(t *testing.T) {
	for _, tt := range []struct {
		of, active GroupSet
		g          int
		ok         bool
	}{{0, 7, 0, false}, {6, 4, 2, true}, {6, 0, 1, true}, {6, 9, 1, true}, {8, 7, 3, true}} {
		if g, ok := tt.of.Pick(tt.active); g != tt.g || ok != tt.ok {
			t.Errorf("of %b, active %b: %d %v", tt.of, tt.active, g, ok)
		}
	}
}

func TestClassOf(t *testing.T) {
	p := Policy{
		{Proto: protoUDP, Ports: []Ports{{53, 53}, {123, 130}}},
		{Proto: protoICMP},
		{Ports: []Ports{{443, 443}}},
		{Proto: protoUDP},
	}
	for _, tt := range []struct {
		name  string
		proto uint8
		port  uint16
		want  int
	}{
		{"DNS", protoUDP, 53, 0},
		{"the end of a range", protoUDP, 130, 0},
		{"beyond it", protoUDP, 131, 3},
		{"any protocol with ports", protoTCP, 443, 2},
		{"the first class counts", protoUDP, 443, 2},
		{"none", protoTCP, 80, -1},
		{"ICMP", protoICMP, 0x0800, 1},
		{"is ICMPv6 too", protoICMPv6, 0x8000, 1},
		{"a key is no port", protoGRE, 443, -1},
	} {
		if got := p.ClassOf(&Key{Proto: tt.proto, DstPort: tt.port}); got != tt.want {
			t.Errorf("%s: class %d, want %d", tt.name, got, tt.want)
		}
	}
}

// A young session is in no transfer and no tally; when it comes of age it is told.
// What ends before that is told to nobody.
func TestYoungSessions(t *testing.T) {
	p := newPair()
	p.ga.Activate(0, 1)
	n := NewNursery(Policy{{MinAge: time.Second}, {MinAge: 3 * time.Second}})
	add := func(i uint32, class int) Slot {
		r := snat(i)
		s, ch, err := p.ta.Upsert(&r, 0, 0)
		if err != nil || ch&ChangeNew == 0 {
			t.Fatal(ch, err)
		}
		n.Add(p.now, p.ta, s, class)
		return s
	}
	old := snat(9)
	p.upsert(&old)
	one, _, two := add(1, 0), add(2, 1), add(3, 0)
	p.connect()
	p.settle(t)
	if c, _ := p.ta.Tally(0); c != 1 || p.tb.Len() != 1 || p.ta.Len() != 4 {
		t.Fatalf("tally %d, the peer has %d, the owner %d", c, p.tb.Len(), p.ta.Len())
	}
	// One ends, and another flow gets its slot: it is not that one's time.
	p.ta.Delete(two, p.s.Sink(), p.now)
	if p.s.Dirty() != 0 {
		t.Fatal("the end of an untold session is told")
	}
	p.now = p.now.Add(900 * time.Millisecond)
	if s := add(4, 0); s != two {
		t.Fatal("the slot is not used again")
	}
	p.now = p.now.Add(200 * time.Millisecond)
	if m := n.Due(p.now, p.ta, p.s.Sink()); m != 1 || p.ta.Young(one) || n.Len() != 2 {
		t.Fatalf("%d of age, %d wait", m, n.Len())
	}
	p.settle(t)
	if p.tb.Len() != 2 {
		t.Fatalf("the peer has %d", p.tb.Len())
	}
	if m := n.All(p.now, p.ta, p.s.Sink()); m != 2 || n.Len() != 0 {
		t.Fatalf("%d of age, %d wait", m, n.Len())
	}
	p.settle(t)
	an, as := p.ta.Tally(0)
	bn, bs := p.tb.Tally(0)
	if an != 4 || an != bn || as != bs {
		t.Fatalf("tallies %d %x and %d %x", an, as, bn, bs)
	}
}

// TestScopeOfManyNetworks: what it costs to look an address up does not grow with the
// number of networks, and it allocates nothing.
func TestScopeOfManyNetworks(t *testing.T) {
	c := ScopeConfig{Groups: [][]netip.Addr{nil}, Blocks: [][]netip.Prefix{nil}}
	for i := range 100_000 {
		c.Blocks[0] = append(c.Blocks[0], netip.PrefixFrom(netip.AddrFrom4([4]byte{198, 18 + byte(i>>16), byte(i >> 8), byte(i)}), 32))
		c.Inside = append(c.Inside, netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), 32))
	}
	s := NewScope(c)
	if n := len(s.blocks.bits[0]) + len(s.inside.bits[0]) + len(s.blocks.bits[1]); n != 2 {
		t.Errorf("%d probes for two tables of one length each", n)
	}
	r := between("192.0.2.9", "198.19.0.7", "10.1.0.7", "192.0.2.9")
	if n := testing.AllocsPerRun(100, func() {
		if g := s.Groups(&r); g != 1 {
			t.Errorf("groups %b", g)
		}
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}
