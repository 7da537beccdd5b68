package nat

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func pair(public, private, out string) Static {
	return Static{Public: netip.MustParsePrefix(public), Private: netip.MustParsePrefix(private), Out: out}
}

// mapped is a gateway that has one of everything.
func mapped() Config {
	return Config{
		Sources: []Source{{From: netip.MustParsePrefix("10.0.0.0/24"), Out: "wan0", To: netip.MustParseAddr("203.0.113.9"),
			Also: []netip.Addr{netip.MustParseAddr("203.0.113.8"), netip.MustParseAddr("203.0.113.7")}}},
		Statics: []Static{
			pair("203.0.113.20/32", "10.0.0.20/32", "wan0"), pair("203.0.113.20/32", "10.0.0.20/32", "us4-52-wan0"),
			pair("198.51.100.0/28", "10.1.0.16/28", "wan0"), pair("2001:db8:f::/64", "fd00::/64", "wan0"),
		},
		Forwards: []Forward{
			{Address: netip.MustParseAddr("203.0.113.1"), Proto: UDP, Port: 5000, Last: 5009, To: netip.MustParseAddrPort("10.0.0.5:6000"), ToLast: 6009},
			{Address: netip.MustParseAddr("203.0.113.1"), Proto: SCTP, Port: 80, Last: 89, To: netip.MustParseAddrPort("10.0.0.5:8080")},
			{Address: netip.MustParseAddr("203.0.113.20"), Proto: TCP, Port: 25, To: netip.MustParseAddrPort("10.0.0.25:25")},
		},
		Exceptions: []Exception{
			{From: netip.MustParsePrefix("10.0.0.0/24"), Out: "wan0", To: netip.MustParsePrefix("10.8.0.0/16")},
			{From: netip.MustParsePrefix("10.0.0.20/32"), Out: "wan0", To: netip.MustParsePrefix("10.8.1.0/24")}, // needless
		},
		Links: []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24"), netip.MustParsePrefix("10.0.0.0/25"), netip.MustParsePrefix("10.0.0.0/24")},
		Groups: []Group{{Name: "gateway", Addresses: []netip.Addr{
			netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("203.0.113.1"), netip.MustParseAddr("203.0.113.7"), netip.MustParseAddr("203.0.113.8"),
			netip.MustParseAddr("203.0.113.9"), netip.MustParseAddr("203.0.113.20")},
			Blocks: []netip.Prefix{netip.MustParsePrefix("2001:db8:f::/64"), netip.MustParsePrefix("198.51.100.0/28")}}},
	}
}

func TestPlanTextOfEveryKind(t *testing.T) {
	want := `source 10.0.0.0/24 out wan0 to 203.0.113.7,203.0.113.8,203.0.113.9:16384-65535
static 198.51.100.0/28 out wan0 to 10.1.0.16/28
static 203.0.113.20 out us4-52-wan0 to 10.0.0.20
static 203.0.113.20 out wan0 to 10.0.0.20
static 2001:db8:f::/64 out wan0 to fd00::/64
forward 203.0.113.1:5000-5009/udp to 10.0.0.5:6000-6009
forward 203.0.113.1:80-89/sctp to 10.0.0.5:8080
forward 203.0.113.20:25/tcp to 10.0.0.25:25
source 10.0.0.0/24 out wan0 except 10.8.0.0/16
link 10.0.0.0/24
link 203.0.113.0/24
gate 10.0.0.1 group gateway
gate 203.0.113.1 group gateway
gate 203.0.113.7 group gateway
gate 203.0.113.8 group gateway
gate 203.0.113.9 group gateway
gate 203.0.113.20 group gateway
gate block 198.51.100.0/28 group gateway
gate block 2001:db8:f::/64 group gateway
gate device ` + BlockGate("gateway") + ` group gateway
guard on
sessions off
`
	if diff := cmp.Diff(want, mustNew(t, mapped()).String()); diff != "" {
		t.Errorf("plan text (-want +got):\n%s", diff)
	}
	c := mapped()
	slices.Reverse(c.Statics)
	slices.Reverse(c.Exceptions)
	slices.Reverse(c.Links)
	slices.Reverse(c.Groups[0].Blocks)
	slices.Reverse(c.Sources[0].Also)
	c.Sources[0].To, c.Sources[0].Also[0] = c.Sources[0].Also[0], c.Sources[0].To
	if diff := cmp.Diff(want, mustNew(t, c).String()); diff != "" {
		t.Errorf("in another order (-want +got):\n%s", diff)
	}
}

// One gate stands for all blocks of a group, and can be no interface.
func TestBlockGate(t *testing.T) {
	p := mustNew(t, mapped())
	if got := p.GroupDevices("gateway"); !slices.Equal(got, []string{BlockGate("gateway")}) {
		t.Errorf("gates beside addresses: %v", got)
	}
	if g := BlockGate(strings.Repeat("x", 63)); len(g) > 15 || badInterface(g) == "" {
		t.Errorf("%q can be an interface, or has no room in a set of them", g)
	}
	c := mapped()
	c.Statics, c.Groups[0].Blocks = c.Statics[:2], nil
	if got := mustNew(t, c).GroupDevices("gateway"); len(got) > 0 {
		t.Errorf("without blocks: %v", got)
	}
}

func TestCheckOfMappings(t *testing.T) {
	addr, prefix := netip.MustParseAddr, netip.MustParsePrefix
	for _, row := range []struct {
		name   string
		change func(*Config)
		want   []string
	}{
		{"OK as it stands", func(*Config) {}, nil},
		{"OK a network inside that is translated in part one to one", func(c *Config) {
			c.Statics[0].Private, c.Statics[1].Private = prefix("10.0.0.99/32"), prefix("10.0.0.99/32")
		}, nil},
		{"bad host bits", func(c *Config) { c.Statics[2].Public = prefix("198.51.100.1/28") }, []string{"public: has host bits; write 198.51.100.0/28"}},
		{"bad everything", func(c *Config) { c.Statics[3].Public, c.Statics[3].Private = prefix("::/0"), prefix("::/0") }, []string{"every address there is", "every address there is"}},
		{"bad sizes", func(c *Config) { c.Statics[2].Private = prefix("10.1.0.0/27") }, []string{"private: 10.1.0.0/27 is not as large as 198.51.100.0/28"}},
		{"bad families", func(c *Config) { c.Statics[2].Private = prefix("fd01::/28") }, []string{"of another family"}},
		{"bad interface", func(c *Config) { c.Statics[2].Out = "" }, []string{"static 198.51.100.0/28 out : out: missing"}},
		{"bad address of no group", func(c *Config) {
			c.Statics[0].Public, c.Statics[1].Public = prefix("203.0.113.21/32"), prefix("203.0.113.21/32")
		},
			[]string{"203.0.113.21 belongs to no group", "203.0.113.21 belongs to no group"}},
		{"bad block of no group", func(c *Config) { c.Groups[0].Blocks = c.Groups[0].Blocks[:1] }, []string{"198.51.100.0/28 belongs to no group"}},
		{"OK each address of a network in a group", func(c *Config) {
			c.Groups[0].Blocks = c.Groups[0].Blocks[:1]
			for a := addr("198.51.100.0"); prefix("198.51.100.0/28").Contains(a); a = a.Next() {
				c.Groups[0].Addresses = append(c.Groups[0].Addresses, a)
			}
		}, nil},
		{"bad public twice", func(c *Config) { c.Statics[1].Private = prefix("10.0.0.21/32") }, []string{"public: overlaps 203.0.113.20, which is mapped to 10.0.0.20"}},
		{"bad public within another", func(c *Config) { c.Statics = append(c.Statics, pair("198.51.100.4/32", "10.9.0.1/32", "wan0")) },
			[]string{"static 198.51.100.4 out wan0: public: overlaps 198.51.100.0/28, which is mapped to 10.1.0.16/28"}},
		{"bad public within another, a third between", func(c *Config) {
			c.Groups[0].Blocks = append(c.Groups[0].Blocks, prefix("198.51.0.0/16"))
			c.Statics = append(c.Statics, pair("198.51.0.0/16", "10.9.0.0/16", "wan0"), pair("198.51.50.0/32", "10.10.0.1/32", "wan0"), pair("198.51.200.0/32", "10.10.0.2/32", "wan0"))
		}, []string{"static 198.51.100.0/28 out wan0: public: overlaps 198.51.0.0/16", "198.51.50.0 out wan0: public: overlaps 198.51.0.0/16", "198.51.200.0 out wan0: public: overlaps 198.51.0.0/16"}},
		{"bad private twice", func(c *Config) { c.Statics = append(c.Statics, pair("203.0.113.1/32", "10.1.0.17/32", "wan0")) },
			[]string{"private: overlaps 10.1.0.16/28, which is mapped to 198.51.100.0/28"}},
		{"OK private twice, on two interfaces", func(c *Config) {
			c.Statics = append(c.Statics, pair("203.0.113.1/32", "10.1.0.17/32", "wan1"))
			c.Forwards = nil
		}, nil},
		{"bad public that is private", func(c *Config) {
			c.Statics[2].Private = prefix("203.0.113.16/28")
		}, []string{"203.0.113.20 is a private address", "203.0.113.20 is a private address"}},
		{"bad gateway as a server", func(c *Config) {
			c.Statics[0].Private, c.Statics[1].Private = prefix("10.0.0.1/32"), prefix("10.0.0.1/32")
		},
			[]string{"10.0.0.1 is an address of the gateways", "10.0.0.1 is an address of the gateways"}},
		{"bad source to a static address", func(c *Config) { c.Sources[0].Also[0] = addr("203.0.113.20"); c.Forwards = nil },
			[]string{"source 10.0.0.0/24 out wan0: to: 203.0.113.20 is mapped one to one"}},
		{"bad source to an address of a static network", func(c *Config) { c.Sources[0].Also[0] = addr("198.51.100.3") },
			[]string{"to: 198.51.100.3 is mapped one to one"}},
		{"bad source twice to an address", func(c *Config) { c.Sources[0].Also[0] = c.Sources[0].To }, []string{"to: 203.0.113.9 is there twice"}},
		{"bad source to addresses of two families", func(c *Config) { c.Sources[0].Also[0] = addr("2001:db8:f::1"); c.Statics = c.Statics[:3] },
			[]string{"to: 2001:db8:f::1 is of another family"}},
		{"bad source that keeps ports on several addresses", func(c *Config) { c.Sources[0].Keeps = true }, []string{"several addresses, where flows are to keep their port"}},
		{"bad forward in the pool of the second address", func(c *Config) {
			c.Forwards[0].Address, c.Forwards[0].Last, c.Forwards[0].ToLast = addr("203.0.113.7"), 20000, 0
		},
			[]string{"port 16384 lies in the pool 16384-65535"}},
		{"bad range", func(c *Config) { c.Forwards[0].Last, c.Forwards[0].ToLast = 4999, 0 }, []string{"5000-4999 is no range"}},
		{"bad sizes of ranges", func(c *Config) { c.Forwards[0].ToLast = 6010 }, []string{"to: 6000-6010 is not as large as the range that is forwarded (10 ports)"}},
		{"bad range that another one has begun", func(c *Config) {
			c.Forwards = append(c.Forwards, Forward{Address: addr("203.0.113.1"), Proto: UDP, Port: 5009, Last: 5020, To: netip.MustParseAddrPort("10.0.0.6:1")})
		}, []string{"forward 203.0.113.1:5009-5020/udp: address: already forwarded to 10.0.0.5:6000"}},
		{"bad range in a range, a third between", func(c *Config) {
			c.Forwards = append(c.Forwards, Forward{Address: addr("203.0.113.1"), Proto: UDP, Port: 4000, Last: 5500, To: netip.MustParseAddrPort("10.0.0.6:1")},
				forward("203.0.113.1", UDP, 5400, "10.0.0.6:2"))
		}, []string{"4000-5500/udp: address: already forwarded", "5400/udp: address: already forwarded to 10.0.0.6:1"}},
		{"OK a port of an address that is mapped one to one", func(*Config) {}, nil},
		{"bad exception", func(c *Config) { c.Exceptions[0].To = prefix("0.0.0.0/0") }, []string{"every destination there is"}},
		{"bad exception of another family", func(c *Config) { c.Exceptions[0].To = prefix("fd00::/8") }, []string{"of another family"}},
		{"bad block of two groups", func(c *Config) {
			c.Groups = append(c.Groups, Group{Name: "x", Blocks: []netip.Prefix{prefix("198.51.100.8/32")}})
		}, []string{`group "x": blocks: 198.51.100.8/32 overlaps 198.51.100.0/28 of group "gateway"`}},
	} {
		t.Run(row.name, func(t *testing.T) {
			c := mapped()
			row.change(&c)
			got := Check(c)
			if len(got) != len(row.want) {
				t.Fatalf("want %d problems, got %q", len(row.want), got)
			}
			for i, part := range row.want {
				if !strings.Contains(got[i].Error(), part) {
					t.Errorf("problem %d: want %q in it, got %q", i, part, got[i].Error())
				}
			}
		})
	}
}

func TestForwardAt(t *testing.T) {
	f := mapped().Forwards
	for i := range f[0].Size() {
		port, to := f[0].At(i)
		if want := netip.MustParseAddrPort(fmt.Sprintf("10.0.0.5:%d", 6000+i)); port != uint16(5000+i) || to != want {
			t.Errorf("range to range: %d leads to %v, want %d to %v", port, to, 5000+i, want)
		}
		if port, to := f[1].At(i); port != uint16(80+i) || to != f[1].To {
			t.Errorf("range to a port: %d leads to %v", port, to)
		}
	}
	if f[0].Size() != 10 || f[2].Size() != 1 {
		t.Errorf("sizes %d and %d", f[0].Size(), f[2].Size())
	}
}

// A hundred thousand mappings are looked at in a time that grows with their number, not
// with its square: ten times as many take less than a hundred times as long.
func BenchmarkCheck(b *testing.B) {
	for _, n := range []int{10_000, 100_000} {
		c := Config{Groups: []Group{{Name: "gateway"}}}
		for i := range n {
			public := netip.PrefixFrom(netip.AddrFrom4([4]byte{198, 18 + byte(i>>16), byte(i >> 8), byte(i)}), 32)
			c.Groups[0].Blocks = append(c.Groups[0].Blocks, public)
			c.Statics = append(c.Statics, Static{Public: public, Private: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), 32), Out: "wan0"})
		}
		b.Run(fmt.Sprintf("statics=%d", n), func(b *testing.B) {
			for b.Loop() {
				if ps := Check(c); len(ps) > 0 {
					b.Fatal(ps[0])
				}
			}
		})
	}
}
