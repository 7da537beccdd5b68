package kernel

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"understudy/appliance/identity"
)

// TestPlan reads as: has, wants, does. Interface 1 is lan0; what is ours ends
// in "ours".
func TestPlan(t *testing.T) {
	for _, c := range []struct {
		name string
		have []holding
		want identity.Identity
		does []string
	}{
		{"nothing to do", nil, identity.Identity{}, nil},
		{"no subnet there: as written", nil, on("lan0", "10.0.0.1/24"), []string{"add 10.0.0.1/24"}},
		{"a subnet there: host form", foreign("10.0.0.2/24"), on("lan0", "10.0.0.1/24"), []string{"add 10.0.0.1/32"}},
		{"a wider subnet there: host form", foreign("10.0.0.2/8"), on("lan0", "10.0.0.1/24"), []string{"add 10.0.0.1/32"}},
		{"another subnet there: as written", foreign("10.0.1.2/24"), on("lan0", "10.0.0.1/24"), []string{"add 10.0.0.1/24"}},
		{"a host address gives no subnet", foreign("10.0.0.1/32"), on("lan0", "10.0.0.2/24"), []string{"add 10.0.0.2/24"}},
		{"IPv6 alike", foreign("2001:db8::2/64"), on("lan0", "2001:db8::1/64", "fe80::1/64"),
			[]string{"add 2001:db8::1/128", "add fe80::1/64"}},
		{"the operator's own", foreign("10.0.0.1/24"), on("lan0", "10.0.0.1/24"), nil},
		{"the operator's own with another length", foreign("10.0.0.1/16"), on("lan0", "10.0.0.1/24"), nil},
		{"ours beside the operator's stays", append(foreign("10.0.0.1/24"), ours("10.0.0.1/32")...), on("lan0", "10.0.0.1/24"), nil},
		{"ours as written stays though the subnet came", append(ours("10.0.0.1/24"), foreign("10.0.0.2/24")...), on("lan0", "10.0.0.1/24"), nil},
		{"ours in host form stays though the subnet went", ours("10.0.0.1/32"), on("lan0", "10.0.0.1/24"), nil},
		{"ours not wanted", ours("10.0.0.1/24"), identity.Identity{}, []string{"remove 10.0.0.1/24"}},
		{"ours with another length", ours("10.0.0.1/24"), on("lan0", "10.0.0.1/25"), []string{"add 10.0.0.1/25", "remove 10.0.0.1/24"}},
		{"ours twice: one stays", ours("10.0.0.1/32", "10.0.0.1/24"), on("lan0", "10.0.0.1/24"), []string{"remove 10.0.0.1/24"}},
		{"theirs not wanted", foreign("10.0.0.1/24"), identity.Identity{}, nil},
		{"no such interface", nil, on("wan0", "10.0.0.1/24"), []string{"missing 10.0.0.1/24 dev wan0"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := plan(c.have, c.want.Addresses, map[string]int{"lan0": 1}, nil)
			var does []string
			for _, s := range w.add {
				does = append(does, "add "+s.prefix.String())
			}
			for _, r := range w.remove {
				does = append(does, "remove "+r.prefix.String())
			}
			for _, m := range w.missing {
				does = append(does, "missing "+m.String())
			}
			if diff := cmp.Diff(c.does, does); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// On a device routes stay on the parent; what is link-local is the device's own.
func TestPlanOnADevice(t *testing.T) {
	index, under := map[string]int{"lan0": 1, "us6-51-lan0": 2}, map[int]int{2: 1}
	for want, have := range map[string][]holding{
		"add 10.0.0.1/24, add 2001:db8::1/64, add fe80::1/64":  nil,
		"add 10.0.0.1/32, add 2001:db8::1/128, add fe80::1/64": foreign("10.0.0.2/24", "2001:db8::2/64", "fe80::2/64"),
	} {
		w := plan(have, on("us6-51-lan0", "10.0.0.1/24", "fe80::1/64", "2001:db8::1/64").Addresses, index, under)
		var does []string
		for _, s := range w.add {
			does = append(does, "add "+s.prefix.String())
		}
		if got := strings.Join(does, ", "); got != want {
			t.Errorf("want %s, got %s", want, got)
		}
	}
}

func foreign(cidrs ...string) (all []holding) {
	for _, c := range cidrs {
		all = append(all, holding{index: 1, prefix: netip.MustParsePrefix(c)})
	}
	return all
}

func ours(cidrs ...string) []holding {
	all := foreign(cidrs...)
	for i := range all {
		all[i].ours = true
	}
	return all
}

// A kernel before Linux 5.18 drops the mark: what we just added looks foreign,
// and must be found before we forget that it is ours.
func TestUnmarked(t *testing.T) {
	index := map[string]int{"lan0": 1}
	added := on("lan0", "10.0.0.1/24").Addresses
	if got := unmarked(ours("10.0.0.1/32"), added, index); len(got) != 0 {
		t.Errorf("with the mark: %v", got)
	}
	got := unmarked(foreign("10.0.0.2/24", "10.0.0.1/32"), added, index)
	if len(got) != 1 || got[0].prefix.String() != "10.0.0.1/32" {
		t.Errorf("without the mark: %v", got)
	}
}

// The dump's parser meets only the kernel, but must not trust lengths.
func FuzzParse(f *testing.F) {
	f.Add(change{index: 1, prefix: netip.MustParsePrefix("10.0.0.1/24")}.message(0, 1))
	f.Add(change{index: 1, prefix: netip.MustParsePrefix("2001:db8::1/64")}.message(0, 1))
	r := routeChange{route: route{Route: identity.Route{To: netip.MustParsePrefix("10.0.0.0/8"), Table: 100000, MTU: 1400},
		hops: []hop{{index: 1, weight: 1, via: netip.MustParseAddr("10.0.0.1")}, {index: 2, weight: 256}}}}
	f.Add(r.message(0, 1))
	f.Add(ruleChange{Rule: identity.Rule{Family: 6, From: netip.MustParsePrefix("2001:db8::/32"), In: "lan0", Mark: 1}}.message(0, 1))
	f.Fuzz(func(t *testing.T, b []byte) {
		for m := range messages(b) {
			if h, ok := parseAddress(m.data); ok && !h.prefix.IsValid() {
				t.Errorf("%+v", h)
			}
			_, _ = parseLink(m.data)
			if r, ok := parseRoute(m.data); ok && !r.To.IsValid() {
				t.Errorf("%+v", r)
			}
			if r, ok := parseRule(m.data); ok {
				_ = r.canonical()
			}
			_ = m.errno()
		}
	})
}

// One takeover and one yield on an interface that has the subnet.
func BenchmarkApply(b *testing.B) {
	for _, n := range []int{1, 10, 100, 1000} {
		b.Run(fmt.Sprintf("addresses=%d", n), func(b *testing.B) {
			enter(b)
			addVeth(b, "lan0", "peer0")
			addAddr(b, "lan0", "10.9.255.254/16")
			a := open(b)
			id := many("lan0", n)
			b.ReportAllocs()
			for b.Loop() {
				apply(b, a, id)
				b.StopTimer()
				apply(b, a, identity.Identity{})
				b.StartTimer()
			}
		})
	}
}
