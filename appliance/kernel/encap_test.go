package kernel

import (
	"bytes"
	"encoding/hex"
	"net/netip"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"understudy/appliance/identity"
)

// wrapped are routes whose packets are wrapped, of kinds that this kernel has.
func wrapped() []identity.Route {
	ip := to("192.0.2.0/24", "10.0.0.254", "lan0")
	ip.Hops[0].Encap = identity.Encap{Kind: identity.EncapIP, ID: 7, To: netip.MustParseAddr("10.0.0.9"), From: netip.MustParseAddr("10.0.0.8"), TOS: 0x10, TTL: 9, Flags: encapKept}
	several := to("192.0.3.0/24", "10.0.0.253", "lan0")
	several.Hops = append(several.Hops, identity.Hop{Via: netip.MustParseAddr("10.0.0.254"), Interface: "lan0", Weight: 2,
		Encap: identity.Encap{Kind: identity.EncapIP, To: netip.MustParseAddr("10.0.0.7")}})
	six := to("2001:db8:9::/48", "2001:db8:1::ffff", "lan0")
	six.Hops[0].Encap = identity.Encap{Kind: identity.EncapIP6, ID: 1 << 40, To: netip.MustParseAddr("2001:db8::9"), From: netip.MustParseAddr("2001:db8::8"), TOS: 0x20, TTL: 8}
	return []identity.Route{ip, several, six}
}

// encapKept are all flags that can be asked for.
const encapKept = 0x27ff

// TestEncap: the kernel has what was asked for, as we read it and as another library
// does; a second Apply changes nothing, another tunnel makes another route, and all go.
func TestEncap(t *testing.T) {
	a := enterNetworks(t)
	id := identity.Identity{}.WithRoutes(wrapped()...)
	applied(t, a, id)
	held, err := a.Held()
	if err != nil || !identity.New().WithRoutes(held.Routes...).Equal(id) {
		t.Errorf("held, %v:\n%vwant\n%v", err, held, id)
	}
	if out := applied(t, a, id); !out.Added.Equal(identity.Identity{}) {
		t.Errorf("a second Apply added\n%v", out.Added)
	}
	ours, err := netlink.RouteListFiltered(netlink.FAMILY_ALL, &netlink.Route{Protocol: RouteProtocol}, netlink.RT_FILTER_PROTOCOL)
	if err != nil || len(ours) != 3 {
		t.Fatalf("another library sees %d routes, %v", len(ours), err)
	}
	other := wrapped()
	other[0].Hops[0].Encap.ID = 8
	other[1].Hops[1].Encap = identity.Encap{}
	other[2].Hops[0].Encap.TTL = 9
	if out := applied(t, a, identity.Identity{}.WithRoutes(other...)); len(out.Added.Routes) != 3 {
		t.Errorf("changed:\n%v", out.Added)
	}
	if _, routes, err := a.CleanRouting(); err != nil || routes != 3 {
		t.Errorf("cleaned %d routes, %v", routes, err)
	}
	wantMarked(t)
}

// TestEncapMessages: what a kernel with MPLS and ILA is asked for, byte by byte
// (linux/lwtunnel.h, linux/mpls_iptunnel.h, RFC 3032), and what it says is read as that.
func TestEncapMessages(t *testing.T) {
	for _, row := range []struct {
		encap identity.Encap
		want  string // RTA_ENCAP_TYPE and RTA_ENCAP
	}{
		{identity.Encap{Kind: identity.EncapMPLS, Labels: "100/1048575/3"},
			"06001500 01000000" + "14001600" + "10000100 00064000 fffff000 00003100"},
		{identity.Encap{Kind: identity.EncapILA, ILA: 0x20010db800010002},
			"06001500 03000000" + "10001600" + "0c000100 20010db8 00010002"},
		{identity.Encap{Kind: identity.EncapIP, ID: 7, To: netip.MustParseAddr("10.0.0.9"), TTL: 9, Flags: 0x2000},
			"06001500 02000000" + "28001600" + "0c000100 00000000 00000007" + "08000200 0a000009" + "05000400 09000000" + "06000600 20000000"},
		{identity.Encap{Kind: identity.EncapIP6, ID: 7, From: netip.MustParseAddr("2001:db8::1"), TOS: 0x20},
			"06001500 04000000" + "2c001600" + "0c000100 00000000 00000007" + "14000300 20010db8 00000000 00000000 00000001" + "05000500 20000000"},
	} {
		r := to("192.0.2.0/24", "10.0.0.254", "lan0")
		c := routeChange{route: route{Route: r, hops: []hop{{via: netip.MustParseAddr("10.0.0.254"), index: 3, weight: 1, encap: row.encap}}}}
		c.Hops, c.Kind = nil, identity.Unicast
		m := c.message(0, 1)
		want, err := hex.DecodeString(strings.ReplaceAll(row.want, " ", ""))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Contains(m, want) {
			t.Errorf("%v: want %x in\n%x", row.encap, want, m)
		}
		got, ok := parseRoute(m[unix.SizeofNlMsghdr:])
		if !ok || len(got.hops) != 1 || got.hops[0].encap != row.encap {
			t.Errorf("%v is read as %+v", row.encap, got.hops)
		}
	}
}
