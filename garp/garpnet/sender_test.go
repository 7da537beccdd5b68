package garpnet

import (
	"encoding/hex"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"understudy/garp"
)

var (
	vip  = netip.MustParseAddr("10.0.1.254")
	vip6 = netip.MustParseAddr("fe80::5:5")
	vmac = garp.MAC{0x00, 0x00, 0x5e, 0x00, 0x01, 0x33}
)

func newSender(t testing.TB) *Sender {
	t.Helper()
	s, err := New()
	must(t, err)
	t.Cleanup(func() { must(t, s.Close()) })
	return s
}

func sendAll(t testing.TB, s *Sender, claims ...garp.Claim) {
	t.Helper()
	if n, err := s.SendAll(claims); n != len(claims) || err != nil {
		t.Fatalf("sent %d of %d: %v", n, len(claims), err)
	}
}

func anyFrame(b []byte) bool { return true }

// isNA tells an advertisement from what the kernels say on a fresh link.
func isNA(b []byte) bool { return len(b) > 54 && b[20] == unix.IPPROTO_ICMPV6 && b[54] == 136 }

func TestFramesOnTheWire(t *testing.T) {
	b := newBench(t)
	s := newSender(t)
	mac := hex.EncodeToString(link(t, "lan0").Attrs().HardwareAddr)
	arp, ip6 := b.capture(t, unix.ETH_P_ARP), b.capture(t, unix.ETH_P_IPV6)
	sendAll(t, s,
		garp.Claim{Interface: "lan0", Addr: vip},
		garp.Claim{Interface: "lan0", Addr: vip, MAC: vmac},
		garp.Claim{Interface: "lan0", Addr: vip6, MAC: vmac},
	)
	padding := strings.Repeat("00", 18)
	for _, want := range []string{
		"ffffffffffff" + mac + "0806" + "0001080006040001" + mac + "0a0001fe" + mac + "0a0001fe" + padding,
		"ffffffffffff" + "00005e000133" + "0806" +
			"0001080006040001" + "00005e000133" + "0a0001fe" + "00005e000133" + "0a0001fe" + padding,
	} {
		if got := hex.EncodeToString(read(t, arp, anyFrame)); got != want {
			t.Errorf("captured\ngot  %s\nwant %s", got, want)
		}
	}
	got := read(t, ip6, isNA)
	if p, r := garp.ParseNA(got[14:]); p != garp.Unsolicited(vmac, vip6) || r != garp.ReasonNone {
		t.Errorf("captured %x: %+v (%v)", got, p, r)
	}
	if head := hex.EncodeToString(got[:14]); head != "333300000001"+"00005e000133"+"86dd" {
		t.Errorf("Ethernet header %s", head)
	}
}

// A host that has just learnt the address from the gateway that died must
// follow at once: Linux protects a fresh entry for a second (locktime) against
// replies, but not against our form.
func TestHostFollowsTheAnnouncement(t *testing.T) {
	for _, c := range []struct {
		addr, own string
		family    int
	}{
		{"10.0.1.254", "10.0.1.1/24", netlink.FAMILY_V4},
		{"2001:db8::254", "2001:db8::1/64", netlink.FAMILY_V6},
	} {
		t.Run(c.addr, func(t *testing.T) {
			b := newBench(t)
			s := newSender(t)
			old := net.HardwareAddr{0x02, 0, 0, 0, 0, 1}
			b.atHost(t, func() {
				own, err := netlink.ParseAddr(c.own)
				must(t, err)
				own.Flags = unix.IFA_F_NODAD
				must(t, netlink.AddrAdd(link(t, "host0"), own))
				eventually(t, "IPv6 works on host0", func() bool {
					all, err := netlink.AddrList(link(t, "host0"), netlink.FAMILY_V6)
					return err == nil && slices.ContainsFunc(all, func(a netlink.Addr) bool { return a.IP.IsLinkLocalUnicast() })
				})
				must(t, netlink.NeighSet(&netlink.Neigh{
					LinkIndex: link(t, "host0").Attrs().Index, Family: c.family,
					IP: net.ParseIP(c.addr), HardwareAddr: old, State: netlink.NUD_REACHABLE,
				}))
			})
			sendAll(t, s, garp.Claim{Interface: "lan0", Addr: netip.MustParseAddr(c.addr)})
			want := link(t, "lan0").Attrs().HardwareAddr.String()
			b.atHost(t, func() {
				eventually(t, "the host sends to "+want, func() bool {
					return neighbour(t, c.addr, c.family) == want
				})
			})
		})
	}
}

// neighbour returns the MAC that host0 has for the address.
func neighbour(t *testing.T, addr string, family int) string {
	t.Helper()
	all, err := netlink.NeighList(link(t, "host0").Attrs().Index, family)
	must(t, err)
	for _, n := range all {
		if n.IP.Equal(net.ParseIP(addr)) {
			return n.HardwareAddr.String()
		}
	}
	return "nothing"
}

func TestSenderFollowsItsInterface(t *testing.T) {
	b := newBench(t)
	s := newSender(t)
	claim := garp.Claim{Interface: "lan0", Addr: vip}
	sendAll(t, s, claim)
	check := func(what string) {
		t.Helper()
		c := b.capture(t, unix.ETH_P_ARP)
		sendAll(t, s, claim)
		mac := link(t, "lan0").Attrs().HardwareAddr
		if got := read(t, c, anyFrame); string(got[6:12]) != string(mac) {
			t.Errorf("%s: sent from %x, want %v", what, got[6:12], mac)
		}
	}

	must(t, netlink.LinkSetHardwareAddr(link(t, "lan0"), net.HardwareAddr{0x02, 0, 0, 0, 0, 9}))
	check("another MAC")

	must(t, netlink.LinkDel(link(t, "lan0")))
	if n, err := s.SendAll([]garp.Claim{claim}); n != 0 || err == nil {
		t.Errorf("without the interface: sent %d, error %v", n, err)
	}
	b.addLink(t)
	check("made again")

	// Deleted and made again between two batches, so that no send failed.
	must(t, netlink.LinkDel(link(t, "lan0")))
	b.addLink(t)
	check("made again unnoticed")
}

func TestSendAllGoesOnPastAFailure(t *testing.T) {
	b := newBench(t)
	s := newSender(t)
	c := b.capture(t, unix.ETH_P_ARP)
	n, err := s.SendAll([]garp.Claim{
		{Interface: "wan0", Addr: vip},
		{Interface: "lo", Addr: vip},
		{Interface: "wan0", Addr: vip.Next()},
		{Interface: "lan0", Addr: vip},
		{Interface: "lan0"},
	})
	if n != 1 || err == nil {
		t.Fatalf("sent %d, error %v", n, err)
	}
	for _, part := range []string{"wan0: ", "lo: not an Ethernet interface", "lan0: cannot announce"} {
		if strings.Count(err.Error(), part) != 1 {
			t.Errorf("error %q does not name %q once", err, part)
		}
	}
	read(t, c, anyFrame)
}

func BenchmarkSendAll(b *testing.B) {
	for _, n := range []int{1, 10, 100, 1000} {
		b.Run(fmt.Sprintf("addresses=%d", n), func(b *testing.B) {
			newBench(b)
			s := newSender(b)
			claims := make([]garp.Claim, n)
			for i := range claims {
				claims[i] = garp.Claim{Interface: "lan0", Addr: netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)})}
			}
			b.ReportAllocs()
			for b.Loop() {
				sendAll(b, s, claims...)
			}
		})
	}
}
