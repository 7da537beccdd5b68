package kernel

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"understudy/appliance/identity"
)

// TestAttributes: the kernel has with an address what was asked for, and none of it hinders
// its removal.
func TestAttributes(t *testing.T) {
	enter(t)
	addVeth(t, "lan0", "far0")
	setUp(t, "lan0")
	setUp(t, "far0")
	a := open(t)
	at := func(cidr string, as identity.Attributes) identity.Address {
		return identity.Address{Interface: "lan0", Prefix: netip.MustParsePrefix(cidr), Attributes: as}
	}
	want := identity.New(
		at("10.0.0.1/24", identity.Attributes{Label: "lan0:vip", Broadcast: netip.MustParseAddr("10.0.0.255")}),
		at("10.0.1.1/24", identity.Attributes{Scope: unix.RT_SCOPE_LINK, NoPrefixRoute: true}),
		at("10.0.2.1/24", identity.Attributes{Preferred: identity.PreferredNever}),
		at("10.0.3.1/24", identity.Attributes{}),
		at("10.0.4.1/32", identity.Attributes{Peer: netip.MustParseAddr("10.0.5.1")}),
		at("10.0.6.1/24", identity.Attributes{Peer: netip.MustParseAddr("10.0.7.1")}),
		at("2001:db8:1::1/128", identity.Attributes{Peer: netip.MustParseAddr("2001:db8:2::1"), Preferred: identity.PreferredEver}),
		at("2001:db8::1/64", identity.Attributes{Preferred: identity.PreferredEver}),
		at("2001:db8::2/128", identity.Attributes{Preferred: 1000, Home: true}),
		at("2001:db8::3/128", identity.Attributes{}),
		at("2001:db8:3::1/64", identity.Attributes{Preferred: identity.PreferredEver, Temporaries: true}),
		at("2001:db8:4::1/64", identity.Attributes{Preferred: identity.PreferredEver, Temporaries: true}),
		at("239.1.1.1/32", identity.Attributes{Join: true}),
		at("ff05::9/128", identity.Attributes{Preferred: identity.PreferredEver, Join: true}),
	)
	// The whole network is added though the interface is in it: temporary addresses are made of that.
	if err := netlink.AddrAdd(linkOf(t, "lan0"), &netlink.Addr{IPNet: &net.IPNet{IP: net.ParseIP("2001:db8:4::2"), Mask: net.CIDRMask(64, 128)}, Flags: unix.IFA_F_NODAD}); err != nil {
		t.Fatal(err)
	}
	apply(t, a, want)
	list, err := netlink.AddrList(linkOf(t, "lan0"), netlink.FAMILY_ALL)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, x := range list {
		if x.IP.IsLinkLocalUnicast() {
			continue
		}
		s := fmt.Sprintf("%v label %q scope %d brd %v", x.IPNet, x.Label, x.Scope, x.Broadcast)
		for flag, name := range map[int]string{unix.IFA_F_NOPREFIXROUTE: " noprefixroute", unix.IFA_F_DEPRECATED: " deprecated", unix.IFA_F_HOMEADDRESS: " home",
			unix.IFA_F_MANAGETEMPADDR: " mngtmpaddr", unix.IFA_F_MCAUTOJOIN: " autojoin"} {
			if x.Flags&flag != 0 {
				s += name
			}
		}
		if x.Peer != nil && !x.Peer.IP.Equal(x.IP) {
			s += " peer " + x.Peer.String()
		}
		if x.PreferedLft > 900 && x.PreferedLft <= 1000 {
			s += " for a while"
		}
		got = append(got, s)
	}
	slices.Sort(got)
	expect := []string{
		`10.0.0.1/24 label "lan0:vip" scope 0 brd 10.0.0.255`,
		`10.0.1.1/24 label "lan0" scope 253 brd <nil> noprefixroute`,
		`10.0.2.1/24 label "lan0" scope 0 brd <nil> deprecated`,
		`10.0.3.1/24 label "lan0" scope 0 brd <nil>`,
		`10.0.4.1/32 label "lan0" scope 0 brd <nil> peer 10.0.5.1/32`,
		`10.0.6.1/32 label "lan0" scope 0 brd <nil> peer 10.0.7.1/24`, // so the library has it
		`2001:db8:1::1/128 label "" scope 0 brd <nil> peer 2001:db8:2::1/128`,
		`2001:db8::1/64 label "" scope 0 brd <nil>`,
		`2001:db8::2/128 label "" scope 0 brd <nil> home for a while`,
		`2001:db8::3/128 label "" scope 0 brd <nil> deprecated`,
		`2001:db8:3::1/64 label "" scope 0 brd <nil> mngtmpaddr`,
		`2001:db8:4::1/64 label "" scope 0 brd <nil> mngtmpaddr`,
		`2001:db8:4::2/64 label "" scope 0 brd <nil>`,
		`239.1.1.1/32 label "lan0" scope 0 brd <nil> autojoin`,
		`ff05::9/128 label "" scope 200 brd <nil> autojoin`,
	}
	slices.Sort(expect)
	if !slices.Equal(expect, got) {
		t.Errorf("want\n%s\ngot\n%s", strings.Join(expect, "\n"), strings.Join(got, "\n"))
	}
	if added := apply(t, a, want); len(added) > 0 {
		t.Errorf("added again: %v", added)
	}
	// Another far end is another address of the kernel's.
	far := func(peer string) identity.Identity {
		return identity.New(at("10.0.4.1/32", identity.Attributes{Peer: netip.MustParseAddr(peer)}))
	}
	apply(t, a, far("10.0.5.1"))
	if added := apply(t, a, far("10.0.5.2")); len(added) != 1 {
		t.Errorf("another far end: added %v", added)
	}
	if list, err = netlink.AddrList(linkOf(t, "lan0"), netlink.FAMILY_V4); err != nil || len(list) != 1 || list[0].Peer.IP.String() != "10.0.5.2" {
		t.Errorf("want the far end 10.0.5.2 alone: %v (%v)", list, err)
	}
	messages, err := a.RemoveMessages(far("10.0.5.2"))
	if err != nil {
		t.Fatal(err)
	}
	send(t, messages)
	wantShown(t, a, "lan0", "2001:db8:4::2/64")
	apply(t, a, identity.Identity{})
	wantShown(t, a, "lan0", "2001:db8:4::2/64")
}
