package identity

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func pfx(s string) netip.Prefix { return netip.MustParsePrefix(s) }

func ip(s string) netip.Addr { return netip.MustParseAddr(s) }

func TestRoutesReadLikeTheirCommands(t *testing.T) {
	got := Identity{}.WithRoutes(
		Route{To: pfx("0.0.0.0/0"), Hops: []Hop{{Via: ip("10.0.0.254"), Interface: "lan0"}}},
		Route{To: pfx("192.0.2.1/24"), Table: 100, Metric: 10, Source: ip("10.0.0.1"), MTU: 1400,
			Hops: []Hop{{Via: ip("10.0.0.254"), Interface: "lan0", Onlink: true}}},
		Route{To: pfx("198.51.100.0/24"), Kind: Blackhole},
		Route{To: pfx("2001:db8::/32"), Hops: []Hop{
			{Via: ip("fe80::2"), Interface: "wan0", Weight: 2}, {Via: ip("fe80::1"), Interface: "lan0"}}},
		Route{To: pfx("10.9.9.9/32"), Scope: ScopeLink, Hops: []Hop{{Interface: "wan0"}}},
	).String()
	// Those without a gateway come first, then the longer prefixes: each may be
	// the way to the gateway of the next.
	want := `route 10.9.9.9/32 dev wan0 scope link
route blackhole 198.51.100.0/24
route 2001:db8::/32 metric 1024 nexthop via fe80::1 dev lan0 weight 1 nexthop via fe80::2 dev wan0 weight 2
route 192.0.2.0/24 via 10.0.0.254 dev lan0 onlink table 100 src 10.0.0.1 metric 10 mtu 1400
route 0.0.0.0/0 via 10.0.0.254 dev lan0
`
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestRulesReadLikeTheirCommands(t *testing.T) {
	got := Identity{}.WithRules(
		Rule{Family: 4, Priority: 2000, From: pfx("0.0.0.0/0"), Mark: 7, In: "lan0"},
		Rule{Family: 6, Priority: 1000, To: pfx("2001:db8::1/64"), Out: "wan0", Mark: 1, Mask: 0xff, Table: 9},
		Rule{Family: 4, Priority: 1000, From: pfx("10.0.0.0/24"), Table: 100},
	).String()
	want := `rule 1000: ipv4 from 10.0.0.0/24 lookup 100
rule 1000: ipv6 from all to 2001:db8::/64 fwmark 0x1/0xff oif wan0 lookup 9
rule 2000: ipv4 from all fwmark 0x7/0xffffffff iif lan0 lookup 254
`
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// Routes and rules are compared as what they say, whatever was left out and in
// which order it was written.
func TestRoutesAndRulesAreCanonical(t *testing.T) {
	hops := []Hop{{Via: ip("10.0.0.2"), Interface: "b"}, {Via: ip("10.0.0.1"), Interface: "a"}}
	a := Identity{}.WithRoutes(Route{To: pfx("2001:db8::/32"), Hops: hops}).WithRules(Rule{Family: 4, Priority: 1, Mark: 5})
	slices.Reverse(hops)
	b := Identity{}.WithRoutes(Route{To: pfx("2001:db8::7/32"), Metric: 1024, Table: 254, Kind: Unicast, Scope: ScopeLink, Hops: hops}).
		WithRules(Rule{Family: 4, Priority: 1, Mark: 5, Mask: ^uint32(0), From: pfx("0.0.0.0/0"), Table: 254})
	if !a.Equal(b) || a.String() != b.String() {
		t.Errorf("%v\n%v", a, b)
	}
	if hops[0].Weight != 0 {
		t.Error("the caller's list was changed")
	}
	if !a.Routes[0].Uses("a") || a.Routes[0].Uses("c") {
		t.Error("Uses")
	}
}

func TestDiffRoutesAndRules(t *testing.T) {
	old := Identity{}.WithRoutes(Route{To: pfx("0.0.0.0/0"), Hops: []Hop{{Via: ip("10.0.0.2"), Interface: "a"}}}).
		WithRules(Rule{Family: 4, Priority: 1, Table: 7})
	now := Identity{}.WithRoutes(Route{To: pfx("0.0.0.0/0"), Hops: []Hop{{Via: ip("10.0.0.3"), Interface: "a"}}}).
		WithRules(Rule{Family: 4, Priority: 1, Table: 7}, Rule{Family: 4, Priority: 2, Table: 7})
	add, del := DiffRoutes(old, now)
	if len(add) != 1 || len(del) != 1 || add[0].Key() != del[0].Key() {
		t.Errorf("a changed route: add %v, del %v", add, del)
	}
	addRules, delRules := DiffRules(old, now)
	if len(addRules) != 1 || addRules[0].Priority != 2 || len(delRules) != 0 {
		t.Errorf("add %v, del %v", addRules, delRules)
	}
}

// What holds of addresses holds of routes and rules: removing and adding what
// the difference says makes one of the other, and two identities are equal
// exactly if they read the same.
func TestRouteProperties(t *testing.T) {
	hop := rapid.Custom(func(t *rapid.T) Hop {
		h := Hop{Interface: rapid.SampledFrom([]string{"lan0", "wan0"}).Draw(t, "dev"),
			Weight: uint16(rapid.IntRange(0, 2).Draw(t, "weight")), Onlink: rapid.Bool().Draw(t, "onlink")}
		if rapid.Bool().Draw(t, "via?") {
			h.Via = ip(rapid.SampledFrom([]string{"10.0.0.1", "10.0.0.2"}).Draw(t, "via"))
		}
		return h
	})
	route := rapid.Custom(func(t *rapid.T) Route {
		r := Route{To: pfx(rapid.SampledFrom([]string{"0.0.0.0/0", "10.1.0.0/16", "2001:db8::/32"}).Draw(t, "to")),
			Table: uint32(rapid.SampledFrom([]int{0, 254, 100}).Draw(t, "table")), Metric: uint32(rapid.IntRange(0, 1).Draw(t, "metric")),
			Kind:  rapid.SampledFrom([]RouteKind{"", Unicast, Throw}).Draw(t, "kind"),
			Scope: rapid.SampledFrom([]Scope{ScopeGlobal, ScopeLink}).Draw(t, "scope"),
			MTU:   uint32(rapid.SampledFrom([]int{0, 1400}).Draw(t, "mtu"))}
		if rapid.Bool().Draw(t, "source?") {
			r.Source = ip("10.0.0.9")
		}
		r.Hops = rapid.SliceOfN(hop, 0, 2).Draw(t, "hops")
		return r
	})
	rule := rapid.Custom(func(t *rapid.T) Rule {
		r := Rule{Family: rapid.SampledFrom([]uint8{4, 6}).Draw(t, "family"), Priority: uint32(rapid.IntRange(1, 2).Draw(t, "priority")),
			Mark: uint32(rapid.IntRange(0, 1).Draw(t, "mark")), Mask: uint32(rapid.SampledFrom([]int{0, 3}).Draw(t, "mask")),
			In: rapid.SampledFrom([]string{"", "lan0"}).Draw(t, "in"), Out: rapid.SampledFrom([]string{"", "lan0"}).Draw(t, "out"),
			Table: uint32(rapid.IntRange(0, 1).Draw(t, "table"))}
		if rapid.Bool().Draw(t, "from?") {
			r.From = pfx("10.0.0.0/8")
		}
		return r
	})
	draw := func(t *rapid.T, what string) Identity {
		return Identity{}.WithRoutes(rapid.SliceOf(route).Draw(t, what)...).WithRules(rapid.SliceOf(rule).Draw(t, what)...)
	}
	rapid.Check(t, func(t *rapid.T) {
		have, want := draw(t, "have"), draw(t, "want")
		add, del := DiffRoutes(have, want)
		addRules, delRules := DiffRules(have, want)
		kept := slices.DeleteFunc(slices.Clone(have.Routes), func(r Route) bool {
			return slices.ContainsFunc(del, func(d Route) bool { return d.Compare(r) == 0 })
		})
		keptRules := slices.DeleteFunc(slices.Clone(have.Rules), func(r Rule) bool { return slices.Contains(delRules, r) })
		if got := (Identity{}).WithRoutes(append(kept, add...)...).WithRules(append(keptRules, addRules...)...); !got.Equal(want) {
			t.Fatalf("%vthen %vis not %v", have, got, want)
		}
		if Union(have, want).Equal(want) != (len(del)+len(delRules) == 0) {
			t.Fatalf("union and difference disagree on %v and %v", have, want)
		}
		if have.Equal(want) != (have.String() == want.String()) {
			t.Fatalf("%v and %v", have, want)
		}
		if n := strings.Count(have.String(), "\n"); n != len(have.Routes)+len(have.Rules) {
			t.Fatalf("%d lines of %v", n, have)
		}
	})
}
