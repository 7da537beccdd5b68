package kernel

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"understudy/appliance/identity"
)

func ip(s string) netip.Addr { return netip.MustParseAddr(s) }

// to is a route by one hop; via may be empty.
func to(dst, via, dev string) identity.Route {
	h := identity.Hop{Interface: dev}
	scope := identity.ScopeLink
	if via != "" {
		h.Via, scope = ip(via), identity.ScopeGlobal
	}
	return identity.Route{To: netip.MustParsePrefix(dst), Scope: scope, Hops: []identity.Hop{h}}
}

func routes(r ...identity.Route) identity.Identity { return identity.Identity{}.WithRoutes(r...) }

// enterNetworks is a namespace with two networks of both families.
func enterNetworks(t testing.TB) *Applier {
	t.Helper()
	enter(t)
	addVeth(t, "lan0", "peer0")
	addVeth(t, "wan0", "peer1")
	addAddr(t, "lan0", "10.0.0.2/24")
	addAddr(t, "wan0", "203.0.113.2/24")
	addAddr(t, "lan0", "2001:db8:1::2/64")
	addAddr(t, "wan0", "2001:db8:2::2/64")
	return open(t)
}

// marked lists the routes and rules with our mark, as another library than the
// tested one sees them.
func marked(t testing.TB) (lines []string) {
	t.Helper()
	for _, family := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
		all, err := netlink.RouteListFiltered(family, &netlink.Route{Protocol: RouteProtocol}, netlink.RT_FILTER_PROTOCOL|netlink.RT_FILTER_TABLE)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range all {
			lines = append(lines, routeLine(r))
		}
		rules, err := netlink.RuleList(family)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range rules {
			if r.Protocol == RouteProtocol {
				lines = append(lines, ruleLine(family, r))
			}
		}
	}
	slices.Sort(lines)
	return lines
}

func routeLine(r netlink.Route) string {
	dev := func(i int) string {
		l, err := net.InterfaceByIndex(i)
		if err != nil {
			return "?"
		}
		return l.Name
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s table %d", r.Dst, r.Table)
	if r.Priority > 0 {
		fmt.Fprintf(&b, " metric %d", r.Priority)
	}
	if r.Type != unix.RTN_UNICAST {
		fmt.Fprintf(&b, " type %d", r.Type)
		return b.String()
	}
	fmt.Fprintf(&b, " scope %d", r.Scope)
	if r.Src != nil {
		fmt.Fprintf(&b, " src %s", r.Src)
	}
	if r.MTU > 0 {
		fmt.Fprintf(&b, " mtu %d", r.MTU)
	}
	if len(r.MultiPath) == 0 {
		fmt.Fprintf(&b, " via %s dev %s", r.Gw, dev(r.LinkIndex))
		if r.Flags&unix.RTNH_F_ONLINK != 0 {
			b.WriteString(" onlink")
		}
	}
	for _, h := range r.MultiPath {
		fmt.Fprintf(&b, " hop %s dev %s weight %d", h.Gw, dev(h.LinkIndex), h.Hops+1)
		if h.Flags&unix.RTNH_F_DEAD != 0 {
			b.WriteString(" dead")
		}
	}
	return b.String()
}

func ruleLine(family int, r netlink.Rule) string {
	mask := uint32(0)
	if r.Mask != nil {
		mask = *r.Mask
	}
	return fmt.Sprintf("rule %d %d from %v to %v mark %d/%d iif %q oif %q table %d", family, r.Priority, r.Src, r.Dst, r.Mark, mask, r.IifName, r.OifName, r.Table)
}

func wantMarked(t testing.TB, want ...string) {
	t.Helper()
	slices.Sort(want)
	if diff := cmp.Diff(want, marked(t)); diff != "" {
		t.Fatalf("routes and rules (-want +got):\n%s", diff)
	}
}

func applied(t testing.TB, a *Applier, want identity.Identity) Outcome {
	t.Helper()
	out, err := a.Apply(want)
	if err != nil {
		t.Fatalf("Apply: %v", err)
	}
	return out
}

// everyRoute has one of everything that can be asked for.
func everyRoute() identity.Identity {
	full := to("192.0.2.0/24", "10.0.0.254", "lan0")
	full.Table, full.Metric, full.Source, full.MTU = 100, 10, ip("10.0.0.1"), 1400
	far := to("198.51.100.0/25", "172.16.0.1", "wan0")
	far.Hops[0].Onlink, far.Table = true, 100000
	several := to("198.51.100.128/25", "10.0.0.254", "lan0")
	several.Hops = append(several.Hops, identity.Hop{Via: ip("203.0.113.254"), Interface: "wan0", Weight: 3})
	several6 := to("2001:db8:9::/48", "2001:db8:1::ffff", "lan0")
	several6.Hops = append(several6.Hops, identity.Hop{Via: ip("2001:db8:2::ffff"), Interface: "wan0", Weight: 2})
	source6 := to("2001:db8:a::/48", "fe80::1", "wan0")
	source6.Source, source6.Metric, source6.MTU = ip("2001:db8:1::1"), 5, 1400
	list := []identity.Route{full, far, several, several6, source6,
		to("0.0.0.0/0", "203.0.113.254", "wan0"), to("10.77.0.0/16", "", "lan0"), to("::/0", "2001:db8:2::ffff", "wan0"), to("2001:db8:b::/48", "", "lan0")}
	for i, kind := range []identity.RouteKind{identity.Blackhole, identity.Unreachable, identity.Prohibit, identity.Throw} {
		list = append(list, identity.Route{To: netip.MustParsePrefix(fmt.Sprintf("10.20%d.0.0/16", i)), Kind: kind},
			identity.Route{To: netip.MustParsePrefix(fmt.Sprintf("2001:db8:20%d::/48", i)), Kind: kind})
	}
	return identity.Union(on("lan0", "10.0.0.1/24", "2001:db8:1::1/64"), routes(list...)).WithRules(
		identity.Rule{Family: 4, Priority: 1000, From: netip.MustParsePrefix("10.0.0.0/24"), Table: 100},
		identity.Rule{Family: 4, Priority: 1001, To: netip.MustParsePrefix("192.0.2.0/24"), In: "lan0", Out: "wan0", Table: 100000},
		identity.Rule{Family: 6, Priority: 1000, From: netip.MustParsePrefix("2001:db8:1::/64"), Mark: 0x10, Mask: 0xff, Table: 100},
		identity.Rule{Family: 6, Priority: 1002, Mark: 7, Table: 254},
	)
}

func TestApplyRoutesAndRules(t *testing.T) {
	a := enterNetworks(t)
	id := everyRoute()
	if out := applied(t, a, id); !out.Added.Equal(id) {
		t.Errorf("added:\n%vof\n%v", out.Added, id)
	}
	wantMarked(t,
		"0.0.0.0/0 table 254 scope 0 via 203.0.113.254 dev wan0",
		"10.77.0.0/16 table 254 scope 253 via <nil> dev lan0",
		"192.0.2.0/24 table 100 metric 10 scope 0 src 10.0.0.1 mtu 1400 via 10.0.0.254 dev lan0",
		"198.51.100.0/25 table 100000 scope 0 via 172.16.0.1 dev wan0 onlink",
		"198.51.100.128/25 table 254 scope 0 hop 10.0.0.254 dev lan0 weight 1 hop 203.0.113.254 dev wan0 weight 3",
		"10.200.0.0/16 table 254 type 6", "10.201.0.0/16 table 254 type 7", "10.202.0.0/16 table 254 type 8", "10.203.0.0/16 table 254 type 9",
		"::/0 table 254 metric 1024 scope 0 via 2001:db8:2::ffff dev wan0",
		"2001:db8:9::/48 table 254 metric 1024 scope 0 hop 2001:db8:1::ffff dev lan0 weight 1 hop 2001:db8:2::ffff dev wan0 weight 2",
		"2001:db8:a::/48 table 254 metric 5 scope 0 src 2001:db8:1::1 mtu 1400 via fe80::1 dev wan0",
		"2001:db8:b::/48 table 254 metric 1024 scope 0 via <nil> dev lan0",
		"2001:db8:200::/48 table 254 metric 1024 type 6", "2001:db8:201::/48 table 254 metric 1024 type 7",
		"2001:db8:202::/48 table 254 metric 1024 type 8", "2001:db8:203::/48 table 254 metric 1024 type 9",
		`rule 2 1000 from 10.0.0.0/24 to <nil> mark 0/0 iif "" oif "" table 100`,
		`rule 2 1001 from <nil> to 192.0.2.0/24 mark 0/0 iif "lan0" oif "wan0" table 100000`,
		`rule 10 1000 from 2001:db8:1::/64 to <nil> mark 16/255 iif "" oif "" table 100`,
		`rule 10 1002 from <nil> to <nil> mark 7/4294967295 iif "" oif "" table 254`,
	)
	if out := applied(t, a, id); !out.Added.Equal(identity.Identity{}) {
		t.Errorf("a second Apply added\n%v", out.Added)
	}
	if held, err := a.Held(); err != nil || !slices.EqualFunc(held.Routes, id.Routes, func(x, y identity.Route) bool { return x.Compare(y) == 0 }) ||
		!slices.Equal(held.Rules, id.Rules) {
		t.Errorf("held, %v:\n%vwant\n%v", err, held, id)
	}
	applied(t, a, identity.Identity{})
	wantMarked(t)
}

// Somebody removes everything; each thing comes back, and is told.
func TestRemovedRoutesAndRulesArePutBack(t *testing.T) {
	a := enterNetworks(t)
	id := everyRoute()
	applied(t, a, id)
	before := marked(t)
	for _, family := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
		all, err := netlink.RouteListFiltered(family, &netlink.Route{Protocol: RouteProtocol}, netlink.RT_FILTER_PROTOCOL|netlink.RT_FILTER_TABLE)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range all {
			if err := netlink.RouteDel(&r); err != nil {
				t.Fatalf("%s: %v", routeLine(r), err)
			}
		}
		rules, err := netlink.RuleList(family)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range rules {
			if r.Protocol == RouteProtocol {
				if err := netlink.RuleDel(&r); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	wantMarked(t)
	if out := applied(t, a, id); len(out.Added.Routes) != len(id.Routes) || len(out.Added.Rules) != len(id.Rules) || len(out.Added.Addresses) != 0 {
		t.Errorf("put back:\n%v", out.Added)
	}
	wantMarked(t, before...)
}

// An address that goes takes the routes along whose source it is.
func TestRouteComesBackWithItsSource(t *testing.T) {
	a := enterNetworks(t)
	r := to("192.0.2.0/24", "10.0.0.254", "lan0")
	r.Source = ip("10.0.0.1")
	id := identity.Union(on("lan0", "10.0.0.1/24"), routes(r))
	applied(t, a, id)
	delAddr(t, "lan0", "10.0.0.1/32")
	wantMarked(t)
	if out := applied(t, a, id); len(out.Added.Addresses) != 1 || len(out.Added.Routes) != 1 {
		t.Errorf("put back:\n%v", out.Added)
	}
}

// A route that says something else under the same key is exchanged, and a change
// of nothing else does not touch it.
func TestChangedRoutes(t *testing.T) {
	a := enterNetworks(t)
	first, second := to("192.0.2.0/24", "10.0.0.254", "lan0"), to("192.0.2.0/24", "203.0.113.254", "wan0")
	stays := to("198.51.100.0/24", "10.0.0.254", "lan0")
	applied(t, a, routes(first, stays))
	if out := applied(t, a, routes(second, stays)); len(out.Added.Routes) != 1 {
		t.Errorf("added:\n%v", out.Added)
	}
	wantMarked(t, "192.0.2.0/24 table 254 scope 0 via 203.0.113.254 dev wan0", "198.51.100.0/24 table 254 scope 0 via 10.0.0.254 dev lan0")
	metric := second
	metric.Metric = 7
	applied(t, a, routes(metric))
	wantMarked(t, "192.0.2.0/24 table 254 metric 7 scope 0 via 203.0.113.254 dev wan0")
}

// A gateway outside of all networks is reached by a route of its own, whatever
// their order in the file.
func TestGatewayBehindARoute(t *testing.T) {
	a := enterNetworks(t)
	applied(t, a, routes(to("0.0.0.0/0", "172.16.0.1", "wan0"), to("172.16.0.1/32", "", "wan0")))
	wantMarked(t, "0.0.0.0/0 table 254 scope 0 via 172.16.0.1 dev wan0", "172.16.0.1/32 table 254 scope 253 via <nil> dev wan0")
}

// What is the operator's serves if it does the same, is in the way if it does
// not, and stays in both cases.
func TestForeignRoutesAndRules(t *testing.T) {
	a := enterNetworks(t)
	_, dst, _ := net.ParseCIDR("192.0.2.0/24")
	theirs := &netlink.Route{Dst: dst, Gw: net.ParseIP("10.0.0.254"), LinkIndex: linkOf(t, "lan0").Attrs().Index, Protocol: unix.RTPROT_STATIC}
	if err := netlink.RouteAdd(theirs); err != nil {
		t.Fatal(err)
	}
	rule := netlink.NewRule()
	rule.Priority, rule.Table, rule.Family = 1000, 100, netlink.FAMILY_V4
	if err := netlink.RuleAdd(rule); err != nil {
		t.Fatal(err)
	}
	other := to("198.51.100.0/24", "10.0.0.254", "lan0")
	asked := identity.Rule{Family: 4, Priority: 1000, Table: 100}
	for range 2 { // the first time without having looked
		if out := applied(t, a, routes(to("192.0.2.0/24", "10.0.0.254", "lan0"), other).WithRules(asked)); len(out.Added.Rules) != 0 {
			t.Errorf("added\n%v", out.Added)
		}
		wantMarked(t, "198.51.100.0/24 table 254 scope 0 via 10.0.0.254 dev lan0")
	}
	taken := to("192.0.2.0/24", "203.0.113.254", "wan0")
	out, err := a.Apply(routes(taken, other))
	if err != nil || len(out.Refused) != 1 || !out.Refused[0].What.Equal(identity.Identity{}.WithRoutes(taken)) {
		t.Fatalf("refused:\n%v, %v", out.Refused, err)
	}
	if err := out.Refused[0].Err; !errors.Is(err, ErrRouteTaken) || !strings.Contains(err.Error(), "via 10.0.0.254 dev lan0") || !strings.Contains(err.Error(), "static") {
		t.Errorf("error %v", err)
	}
	wantMarked(t, "198.51.100.0/24 table 254 scope 0 via 10.0.0.254 dev lan0")
	if rules, n, err := a.CleanRouting(); err != nil || rules != 0 || n != 1 {
		t.Errorf("cleaned %d rules, %d routes, %v", rules, n, err)
	}
	if list, err := netlink.RouteListFiltered(netlink.FAMILY_V4, theirs, netlink.RT_FILTER_DST); err != nil || len(list) != 1 {
		t.Errorf("the operator's route: %v, %v", list, err)
	}
	if err := netlink.RuleDel(rule); err != nil {
		t.Errorf("the operator's rule: %v", err)
	}
}

// What the kernel does not take is told, with what it may mean, and keeps back
// nothing else.
func TestRefusedRoutes(t *testing.T) {
	a := enterNetworks(t)
	lost := to("192.0.2.0/24", "172.16.0.1", "lan0")
	strange := to("198.51.100.0/24", "10.0.0.254", "lan0")
	strange.Source = ip("10.9.9.9")
	good := to("10.5.0.0/16", "10.0.0.254", "lan0")
	backwards := identity.Rule{Family: 4, Priority: 700, RuleOptions: identity.RuleOptions{Action: identity.ActionGoto, Goto: 600}}
	out, err := a.Apply(routes(lost, strange, good).WithRules(backwards))
	if err != nil || len(out.Refused) != 3 || !slices.Contains(out.Refused[2].What.Rules, backwards) || len(out.Added.Routes) != 1 || len(out.Waiting) != 0 {
		t.Fatalf("%+v, %v", out, err)
	}
	var why error
	for _, r := range out.Refused {
		why = errors.Join(why, r.Err)
	}
	if !errors.Is(why, unix.ENETUNREACH) || !strings.Contains(why.Error(), "in no network of the interface") ||
		!errors.Is(why, unix.EINVAL) || !strings.Contains(why.Error(), "is 10.9.9.9 an address of this node?") {
		t.Errorf("refused: %v", why)
	}
	wantMarked(t, "10.5.0.0/16 table 254 scope 0 via 10.0.0.254 dev lan0")
}

// A route goes with its link, which is no failure, and comes back with it.
func TestRouteWaitsForItsLink(t *testing.T) {
	a := enterNetworks(t)
	id := routes(to("192.0.2.0/24", "10.0.0.254", "lan0"), to("2001:db8:9::/48", "2001:db8:1::ffff", "lan0"), to("198.51.100.0/24", "203.0.113.254", "wan0"))
	applied(t, a, id)
	if !a.UsesLink("lan0") || a.UsesLink("peer0") || !a.WantsRoute(id.Routes[0].Key()) {
		t.Error("the Applier does not know what it wants")
	}
	whole := marked(t)
	link := linkOf(t, "lan0")
	if err := netlink.LinkSetDown(link); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		out := applied(t, a, id)
		if len(out.Waiting) != 2 || out.Waiting[0].Why != "interface lan0 is down" || len(out.Added.Routes) != 0 {
			t.Errorf("%+v", out)
		}
		wantMarked(t, "198.51.100.0/24 table 254 scope 0 via 203.0.113.254 dev wan0")
	}
	if err := netlink.LinkSetUp(link); err != nil {
		t.Fatal(err)
	}
	addAddr(t, "lan0", "2001:db8:1::2/64") // went with the link
	if out := applied(t, a, id); len(out.Waiting) != 0 || len(out.Added.Routes) != 2 {
		t.Errorf("%+v", out)
	}
	wantMarked(t, whole...)
	out := applied(t, a, routes(to("192.0.2.0/24", "10.0.0.254", "gone0")))
	if len(out.Waiting) != 1 || out.Waiting[0].Why != "there is no interface gone0" {
		t.Errorf("%+v", out)
	}
	wantMarked(t)
}

// Of several hops those serve that can.
func TestHopsThatAreThereServe(t *testing.T) {
	a := enterNetworks(t)
	r := to("192.0.2.0/24", "10.0.0.254", "lan0")
	r.Hops = append(r.Hops, identity.Hop{Via: ip("203.0.113.254"), Interface: "wan0"})
	link := linkOf(t, "wan0")
	if err := netlink.LinkSetDown(link); err != nil {
		t.Fatal(err)
	}
	if out := applied(t, a, routes(r)); len(out.Waiting) != 0 || len(out.Added.Routes) != 1 {
		t.Errorf("%+v", out)
	}
	wantMarked(t, "192.0.2.0/24 table 254 scope 0 via 10.0.0.254 dev lan0")
	if err := netlink.LinkSetUp(link); err != nil {
		t.Fatal(err)
	}
	applied(t, a, routes(r))
	both := "192.0.2.0/24 table 254 scope 0 hop 10.0.0.254 dev lan0 weight 1 hop 203.0.113.254 dev wan0 weight 1"
	wantMarked(t, both)
	if err := netlink.LinkSetDown(link); err != nil {
		t.Fatal(err)
	}
	if out := applied(t, a, routes(r)); len(out.Added.Routes) != 0 { // the kernel leaves it in, and does not use it
		t.Errorf("%+v", out)
	}
	wantMarked(t, both+" dead")
}

// The fence's messages take away what is there, and only that; they work twice,
// and on what never was there.
func TestFenceRemovesRoutesAndRules(t *testing.T) {
	a := enterNetworks(t)
	id := everyRoute()
	prepared, err := a.RemoveMessages(id)
	if err != nil {
		t.Fatal(err)
	}
	applied(t, a, id)
	keep := to("10.88.0.0/16", "10.0.0.254", "lan0")
	applied(t, a, identity.Union(id, routes(keep)).WithRules(identity.Rule{Family: 4, Priority: 5, Table: 7}))
	for range 2 {
		for _, b := range prepared {
			if err := a.s.send(b); err != nil {
				t.Fatal(err)
			}
		}
		wantMarked(t, "10.88.0.0/16 table 254 scope 0 via 10.0.0.254 dev lan0", `rule 2 5 from <nil> to <nil> mark 0/0 iif "" oif "" table 7`)
	}
	wantShown(t, a, "lan0", "10.0.0.2/24", "2001:db8:1::2/64")
}

// A new process finds what a dead one left, by the marks.
func TestLeftoversAreFound(t *testing.T) {
	a := enterNetworks(t)
	id := everyRoute()
	applied(t, a, id)
	next := open(t)
	stays := identity.Union(on("lan0", "10.0.0.1/24"), routes(id.Routes[0])).WithRules(id.Rules[0])
	if out := applied(t, next, stays); !out.Added.Equal(identity.Identity{}) {
		t.Errorf("added:\n%v", out.Added)
	}
	if n := len(marked(t)); n != 2 {
		t.Errorf("%d are left of the predecessor's", n)
	}
	applied(t, a, id)
	rules, n, err := open(t).CleanRouting()
	if err != nil || rules != len(id.Rules) || n != len(id.Routes) {
		t.Errorf("cleaned %d rules, %d routes, %v", rules, n, err)
	}
	wantMarked(t)
}

// manyRoutes are n routes by one gateway.
func manyRoutes(n int) identity.Identity {
	all := make([]identity.Route, n)
	for i := range all {
		all[i] = to(fmt.Sprintf("20.%d.%d.0/24", i>>8, i&255), "10.0.0.254", "lan0")
	}
	return routes(all...)
}

func TestRoutesInBatches(t *testing.T) {
	a := enterNetworks(t)
	id := manyRoutes(1000)
	if out := applied(t, a, id); len(out.Added.Routes) != 1000 {
		t.Errorf("added %d", len(out.Added.Routes))
	}
	if n := len(marked(t)); n != 1000 {
		t.Errorf("%d are there", n)
	}
	applied(t, a, routes(id.Routes[999]))
	if n := len(marked(t)); n != 1 {
		t.Errorf("%d are there", n)
	}
}

// One takeover and one yield.
func BenchmarkApplyRoutes(b *testing.B) {
	for _, n := range []int{1, 10, 100, 1000} {
		b.Run(fmt.Sprintf("routes=%d", n), func(b *testing.B) {
			a := enterNetworks(b)
			id := manyRoutes(n)
			b.ReportAllocs()
			for b.Loop() {
				applied(b, a, id)
				b.StopTimer()
				applied(b, a, identity.Identity{})
				applied(b, a, identity.Identity{}) // looks once more, and finds nothing
				b.StartTimer()
			}
		})
	}
}
