package kernel

import (
	"fmt"
	"math/bits"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"understudy/appliance/identity"
)

// rareRouting has one of everything that few routes and rules say.
func rareRouting() identity.Identity {
	four := to("192.0.2.0/24", "10.0.0.254", "lan0")
	four.TOS, four.Realms, four.Metric, four.MTU, four.Congestion = 0x10, 3<<16|4, 5, 1400, "reno"
	for name, v := range map[string]uint32{"window": 1000, "ssthresh": 6, "cwnd": 7, "advmss": 1300, "reordering": 9, "hoplimit": 10, "initcwnd": 20,
		"features": 1, "rto_min": 500, "initrwnd": 30, "quickack": 1, "rtt": 2400, "rttvar": 1200} {
		n, ok := identity.Metric(name)
		if !ok {
			panic(name)
		}
		four.Metrics[n] = v
	}
	four.Metrics[unix.RTAX_LOCK] = 1 << unix.RTAX_MTU
	plain := to("192.0.2.0/24", "10.0.0.254", "lan0") // beside it in another table
	plain.Table = 100
	six := to("2001:db8:9::/48", "2001:db8:1::ffff", "lan0")
	six.Preference = identity.PreferenceHigh
	low := to("2001:db8:a::/48", "2001:db8:1::ffff", "lan0")
	low.Preference = identity.PreferenceLow
	low.Metrics[unix.RTAX_HOPLIMIT] = 9
	low.Expires = 86400
	rule := func(family uint8, priority uint32, more func(*identity.Rule)) identity.Rule {
		r := identity.Rule{Family: family, Priority: priority, Table: 100}
		more(&r)
		return r
	}
	return identity.Identity{}.WithRoutes(four, plain, six, low).WithRules(
		rule(4, 900, func(r *identity.Rule) { r.TOS = 0x10 }),
		rule(4, 901, func(r *identity.Rule) {
			r.Protocol, r.SourcePorts, r.Ports = unix.IPPROTO_TCP, identity.PortRange{First: 1000, Last: 1000}, identity.PortRange{First: 80, Last: 90}
		}),
		rule(6, 902, func(r *identity.Rule) { r.Users = identity.UserRange{First: 0, Last: 2000, Set: true} }),
		rule(4, 903, func(r *identity.Rule) { r.Table, r.SuppressPrefix = 254, 1 }),
		rule(6, 904, func(r *identity.Rule) { r.Table, r.SuppressGroup = 254, 6 }),
		rule(4, 905, func(r *identity.Rule) { r.Realms = 3<<16 | 4 }),
		rule(4, 906, func(r *identity.Rule) { r.Tunnel = 77 }),
		rule(4, 907, func(r *identity.Rule) { r.Action, r.Goto = identity.ActionGoto, 909 }),
		rule(4, 908, func(r *identity.Rule) { r.Action = identity.ActionBlackhole }),
		rule(4, 909, func(r *identity.Rule) { r.Action = identity.ActionNop }),
		rule(6, 910, func(r *identity.Rule) { r.Action = identity.ActionProhibit }),
		rule(6, 911, func(r *identity.Rule) { r.Action = identity.ActionUnreachable }),
	)
}

// TestRareWords: the kernel has what was asked for, as another library reads it and as we
// do; it is put back, taken away, and found by its mark.
func TestRareWords(t *testing.T) {
	a := enterNetworks(t)
	id := rareRouting()
	applied(t, a, id)
	want := []string{
		"192.0.2.0/24 tos 16 realm 196612 metric 5 mtu 1400 lock true window 1000 ssthresh 6 cwnd 7 advmss 1300 reordering 9 hoplimit 10 initcwnd 20 features 1 rto_min 500 initrwnd 30 quickack 1 reno rtt 2400 1200",
		"192.0.2.0/24 tos 0 realm 0 metric 0 mtu 0 lock false window 0 ssthresh 0 cwnd 0 advmss 0 reordering 0 hoplimit 0 initcwnd 0 features 0 rto_min 0 initrwnd 0 quickack 0  rtt 0 0",
		"2001:db8:9::/48 tos 0 realm 0 metric 1024 mtu 0 lock false window 0 ssthresh 0 cwnd 0 advmss 0 reordering 0 hoplimit 0 initcwnd 0 features 0 rto_min 0 initrwnd 0 quickack 0  rtt 0 0",
		"2001:db8:a::/48 tos 0 realm 0 metric 1024 mtu 0 lock false window 0 ssthresh 0 cwnd 0 advmss 0 reordering 0 hoplimit 9 initcwnd 0 features 0 rto_min 0 initrwnd 0 quickack 0  rtt 0 0",
		"900: tos 16 proto 0 sport <nil> dport <nil> uid <nil> prefix -1 group -1 flow -1 tunnel 0 goto -1",
		"901: tos 0 proto 6 sport &{1000 1000} dport &{80 90} uid <nil> prefix -1 group -1 flow -1 tunnel 0 goto -1",
		"902: tos 0 proto 0 sport <nil> dport <nil> uid &{0 2000} prefix -1 group -1 flow -1 tunnel 0 goto -1",
		"903: tos 0 proto 0 sport <nil> dport <nil> uid <nil> prefix 0 group -1 flow -1 tunnel 0 goto -1",
		"904: tos 0 proto 0 sport <nil> dport <nil> uid <nil> prefix -1 group 5 flow -1 tunnel 0 goto -1",
		"905: tos 0 proto 0 sport <nil> dport <nil> uid <nil> prefix -1 group -1 flow 196612 tunnel 0 goto -1",
		"906: tos 0 proto 0 sport <nil> dport <nil> uid <nil> prefix -1 group -1 flow -1 tunnel 77 goto -1",
		"907: tos 0 proto 0 sport <nil> dport <nil> uid <nil> prefix -1 group -1 flow -1 tunnel 0 goto 909",
		"908: tos 0 proto 0 sport <nil> dport <nil> uid <nil> prefix -1 group -1 flow -1 tunnel 0 goto -1",
		"909: tos 0 proto 0 sport <nil> dport <nil> uid <nil> prefix -1 group -1 flow -1 tunnel 0 goto -1",
		"910: tos 0 proto 0 sport <nil> dport <nil> uid <nil> prefix -1 group -1 flow -1 tunnel 0 goto -1",
		"911: tos 0 proto 0 sport <nil> dport <nil> uid <nil> prefix -1 group -1 flow -1 tunnel 0 goto -1",
	}
	slices.Sort(want)
	look := func() {
		t.Helper()
		if got := rareLines(t); !slices.Equal(got, want) {
			t.Errorf("want\n%s\ngot\n%s", strings.Join(want, "\n"), strings.Join(got, "\n"))
		}
	}
	look()
	if out := applied(t, a, id); !out.Added.Equal(identity.Identity{}) {
		t.Errorf("a second Apply added\n%v", out.Added)
	}
	if held, err := a.Held(); err != nil || !identity.New().WithRoutes(lasting(held.Routes)...).WithRules(held.Rules...).Equal(id) {
		t.Errorf("held, %v:\n%vwant\n%v", err, held, id)
	}
	messages, err := a.RemoveMessages(id)
	if err != nil {
		t.Fatal(err)
	}
	send(t, messages)
	wantMarked(t)
	if out := applied(t, a, id); len(out.Added.Routes) != len(id.Routes) || len(out.Added.Rules) != len(id.Rules) {
		t.Errorf("put back:\n%v", out.Added)
	}
	look()
	// One word makes another route, and another rule.
	other := id.Routes[slices.IndexFunc(id.Routes, func(r identity.Route) bool { return r.TOS != 0 })]
	other.TOS, other.Congestion = 0, ""
	changed := identity.Identity{}.WithRoutes(other).WithRules(id.Rules[1:]...)
	if out := applied(t, a, changed); len(out.Added.Routes) != 1 || len(out.Added.Rules) != 0 {
		t.Errorf("changed:\n%v", out.Added)
	}
	if rules, routes, err := a.CleanRouting(); err != nil || rules != len(id.Rules)-1 || routes != 1 {
		t.Errorf("cleaned %d rules and %d routes, %v", rules, routes, err)
	}
	wantMarked(t)
}

// The kernel's own rules, and those that say what we cannot, are not ours.
func TestInvertedRuleIsNotOurs(t *testing.T) {
	a := enterNetworks(t)
	r := netlink.NewRule()
	r.Priority, r.Table, r.Protocol, r.Invert = 800, 100, RouteProtocol, true
	_, r.Src, _ = net.ParseCIDR("10.0.0.0/24")
	if err := netlink.RuleAdd(r); err != nil {
		t.Fatal(err)
	}
	applied(t, a, identity.Identity{}.WithRules(identity.Rule{Family: 4, Priority: 801, From: netip.MustParsePrefix("10.0.0.0/24"), Table: 100}))
	applied(t, a, identity.Identity{})
	if list := rareLines(t); len(list) != 1 || !strings.HasPrefix(list[0], "800:") {
		t.Errorf("want the inverted rule alone: %v", list)
	}
}

// rareLines are the routes and rules with our mark, as another library reads them: but
// for actions, which it does not, and with the tunnel in network byte order.
func rareLines(t *testing.T) (lines []string) {
	t.Helper()
	for _, family := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
		all, err := netlink.RouteListFiltered(family, &netlink.Route{Protocol: RouteProtocol}, netlink.RT_FILTER_PROTOCOL|netlink.RT_FILTER_TABLE)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range all {
			lines = append(lines, fmt.Sprintf("%s tos %d realm %d metric %d mtu %d lock %t window %d ssthresh %d cwnd %d advmss %d reordering %d hoplimit %d initcwnd %d features %d rto_min %d initrwnd %d quickack %d %s rtt %d %d",
				r.Dst, r.Tos, r.Realm, r.Priority, r.MTU, r.MTULock, r.Window, r.Ssthresh, r.Cwnd, r.AdvMSS, r.Reordering, r.Hoplimit, r.InitCwnd, r.Features, r.RtoMin, r.InitRwnd, r.QuickACK, r.Congctl, r.Rtt, r.RttVar))
		}
		rules, err := netlink.RuleList(family)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range rules {
			if r.Protocol == RouteProtocol {
				lines = append(lines, fmt.Sprintf("%d: tos %d proto %d sport %v dport %v uid %v prefix %d group %d flow %d tunnel %d goto %d",
					r.Priority, r.Tos, r.IPProto, r.Sport, r.Dport, r.UIDRange, r.SuppressPrefixlen, r.SuppressIfgroup, r.Flow, bits.ReverseBytes64(uint64(r.TunID)), r.Goto))
			}
		}
	}
	slices.Sort(lines)
	return lines
}

// lasting are routes with what is left of their time as it was asked for, if it is near that.
func lasting(routes []identity.Route) []identity.Route {
	for i := range routes {
		if left := routes[i].Expires; left > 85000 && left <= 86400 {
			routes[i].Expires = 86400
		}
	}
	return routes
}
