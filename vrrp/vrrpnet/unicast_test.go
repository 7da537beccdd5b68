package vrrpnet

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"understudy/vrrp"
)

// far is a namespace at the other end of a's cable, where the kernel answers for
// its addresses.
type far struct {
	t  *testing.T
	ns netns.NsHandle
}

// faraway joins interface a of the present namespace to interface b of a new one,
// each with addresses.
func faraway(t *testing.T, here, there []string) far {
	t.Helper()
	inNamespace(t)
	mine, err := netns.Get()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { mine.Close() })
	other, err := netns.New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { other.Close() })
	if err := netns.Set(mine); err != nil {
		t.Fatal(err)
	}
	attrs := netlink.NewLinkAttrs()
	attrs.Name = "a"
	if err := netlink.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: "b", PeerNamespace: netlink.NsFd(other)}); err != nil {
		t.Fatal(err)
	}
	f := far{t, other}
	f.do(func() { configure(t, "b", there) })
	configure(t, "a", here)
	for end := time.Now().Add(soon); link(t, "a").Attrs().OperState != netlink.OperUp; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("a is not operational")
		}
	}
	return f
}

func configure(t *testing.T, name string, addrs []string) {
	t.Helper()
	setUp(t, "lo", true)
	setUp(t, name, true)
	for _, a := range addrs {
		addr, err := netlink.ParseAddr(a)
		if err != nil {
			t.Fatal(err)
		}
		addr.Flags = unix.IFA_F_NODAD
		if err := netlink.AddrAdd(link(t, name), addr); err != nil {
			t.Fatal(err)
		}
	}
}

// do runs f on a thread in the far namespace.
func (f far) do(fn func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // never unlocked: the thread ends
		if err := netns.Set(f.ns); err != nil {
			panic(err)
		}
		fn()
	}()
	<-done
}

func (f far) open(family uint8) (p *Port) {
	f.t.Helper()
	var err error
	f.do(func() { p, err = OpenPort("b", 0, family) })
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(p.Close)
	return p
}

func single(t *testing.T, family uint8) *Port {
	t.Helper()
	p := open(t, "a", family)
	if err := p.OpenUnicast(); err != nil {
		t.Fatal(err)
	}
	return p
}

func advertTo(src, dst string) (netip.Addr, []byte) {
	a := vrrp.Advert{Version: 3, VRID: 7, Priority: 200, Interval: time.Second, Form: vrrp.FormPseudo}
	vip := []netip.Addr{netip.MustParseAddr("10.0.0.1")}
	s, d := netip.MustParseAddr(src), netip.MustParseAddr(dst)
	if s.Is6() {
		vip[0] = netip.MustParseAddr("fe80::1")
	}
	return d, vrrp.AppendPacketTo(nil, &a, vip, s, d)
}

// heardFrom parses a received advert as the router that it was sent to.
func heardFrom(t *testing.T, f Frame) vrrp.Datagram {
	t.Helper()
	d, reason := vrrp.ParseDatagram(f.Packet)
	var a vrrp.Advert
	if reason == vrrp.ReasonNone {
		reason = vrrp.ParseExpected(d, &a, &vrrp.Expect{Version: 3, VRID: 7,
			Unicast: vrrp.Unicast{Own: d.Dst, Peers: []vrrp.Peer{{Address: d.Src}}}})
	}
	if reason != vrrp.ReasonNone || d.TTL != 255 {
		t.Errorf("%v, TTL %d", reason, d.TTL)
	}
	return d
}

// A peer next door, one behind a gateway, in both families; the first packet
// arrives though no neighbour was known.
func TestUnicastFindsItsWay(t *testing.T) {
	for _, row := range []struct {
		name                      string
		family                    uint8
		here, there, beyond       []string // beyond: not on the link, so that ARP and ND find it nowhere
		src, dst, gateway, byRule string
	}{
		{"IPv4 next door", 4, []string{"10.0.0.2/24"}, []string{"10.0.0.3/24"}, nil, "10.0.0.2", "10.0.0.3", "", ""},
		{"IPv4 behind a gateway", 4, []string{"10.0.0.2/24"}, []string{"10.0.0.3/24"}, []string{"192.0.2.7/32"}, "10.0.0.2", "192.0.2.7", "10.0.0.3", ""},
		{"IPv4 behind a gateway of its source", 4, []string{"10.0.0.2/24", "10.0.0.20/24"}, []string{"10.0.0.3/24"}, []string{"192.0.2.7/32"},
			"10.0.0.20", "192.0.2.7", "10.0.0.3", "10.0.0.20/32"},
		{"IPv4 without a route", 4, []string{"10.0.0.2/24"}, []string{"192.0.2.7/24"}, nil, "10.0.0.2", "192.0.2.7", "", ""},
		{"IPv4 another source", 4, []string{"10.0.0.2/24", "10.0.0.20/24"}, []string{"10.0.0.3/24"}, nil, "10.0.0.20", "10.0.0.3", "", ""},
		{"IPv4 a source that is gone", 4, []string{"10.0.0.2/24"}, []string{"10.0.0.3/24"}, nil, "10.0.0.20", "10.0.0.3", "", ""},
		{"IPv6 next door", 6, []string{"2001:db8::2/64"}, []string{"2001:db8::3/64"}, nil, "2001:db8::2", "2001:db8::3", "", ""},
		{"IPv6 link-local", 6, []string{"fe80::2/64"}, []string{"fe80::3/64"}, nil, "fe80::2", "fe80::3", "", ""},
		{"IPv6 behind a gateway", 6, []string{"2001:db8::2/64"}, []string{"2001:db8::3/64"}, []string{"2001:db8:7::7/128"},
			"2001:db8::2", "2001:db8:7::7", "2001:db8::3", ""},
		{"IPv6 behind a gateway of its source", 6, []string{"2001:db8::2/64", "2001:db8::20/64"}, []string{"2001:db8::3/64"}, []string{"2001:db8:7::7/128"},
			"2001:db8::20", "2001:db8:7::7", "2001:db8::3", "2001:db8::20/128"},
		{"IPv6 a source that is gone", 6, []string{"2001:db8::2/64"}, []string{"2001:db8::3/64"}, nil, "2001:db8::20", "2001:db8::3", "", ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			f := faraway(t, row.here, row.there)
			if row.beyond != nil {
				f.do(func() {
					configure(t, "lo", row.beyond)
					if err := os.WriteFile("/proc/sys/net/ipv4/conf/b/arp_ignore", []byte("1"), 0); err != nil {
						t.Error(err)
					}
				})
			}
			if row.gateway != "" {
				to := netip.MustParseAddr(row.dst)
				route := &netlink.Route{LinkIndex: link(t, "a").Attrs().Index, Gw: net.ParseIP(row.gateway),
					Dst: &net.IPNet{IP: to.AsSlice(), Mask: net.CIDRMask(to.BitLen(), to.BitLen())}}
				if row.byRule != "" {
					route.Table = 100
					rule := netlink.NewRule()
					_, rule.Src, _ = net.ParseCIDR(row.byRule)
					rule.Table, rule.Priority = 100, 1000
					rule.Family = map[uint8]int{4: unix.AF_INET, 6: unix.AF_INET6}[row.family]
					if err := netlink.RuleAdd(rule); err != nil {
						t.Fatal(err)
					}
				}
				if err := netlink.RouteAdd(route); err != nil {
					t.Fatal(err)
				}
			}
			a, b := single(t, row.family), f.open(row.family)
			to, packet := advertTo(row.src, row.dst)
			if err := a.SendTo(to, packet); err != nil {
				t.Fatal(err)
			}
			got := receive(t, b)
			if d := heardFrom(t, got); d.Src.String() != row.src || d.Dst != to {
				t.Errorf("from %v to %v", d.Src, d.Dst)
			}
			if got.Source != a.MAC {
				t.Errorf("from %v, want the interface's own %v", got.Source, a.MAC)
			}
		})
	}
}

// A peer that does not exist yet keeps nobody waiting, neither us nor the other
// peers, and hears us when it is there.
func TestUnicastToSomebodyWhoIsNotThere(t *testing.T) {
	f := faraway(t, []string{"10.0.0.2/24"}, []string{"10.0.0.3/24"})
	a, b := single(t, 4), f.open(4)
	there, packet := advertTo("10.0.0.2", "10.0.0.3")
	var nobody []netip.Addr
	var lost [][]byte
	for i := range 32 {
		to, p := advertTo("10.0.0.2", fmt.Sprintf("10.0.0.%d", 100+i))
		nobody, lost = append(nobody, to), append(lost, p)
	}
	if err := a.SendTo(there, packet); err != nil {
		t.Fatal(err)
	}
	receive(t, b) // they know each other
	heard := 0
	const rounds = 1000
	for range rounds {
		for i := range nobody {
			if err := a.SendTo(nobody[i], lost[i]); err != nil {
				t.Fatalf("to nobody: %v", err)
			}
		}
		if err := a.SendTo(there, packet); err != nil {
			t.Fatalf("to somebody: %v", err)
		}
		heard += len(drain(b))
	}
	eventually(t, b.FD(), "what was sent to somebody", func() bool { heard += len(drain(b)); return heard >= rounds })
	f.do(func() { configure(t, "b", []string{"10.0.0.100/24"}) })
	for end := time.Now().Add(soon); ; time.Sleep(20 * time.Millisecond) {
		if err := a.SendTo(nobody[0], lost[0]); err != nil {
			t.Fatal(err)
		}
		for _, p := range drain(b) {
			if d, _ := vrrp.ParseDatagram(p); d.Dst == nobody[0] {
				return
			}
		}
		if time.Now().After(end) {
			t.Fatal("the latecomer never heard us")
		}
	}
}

// drain takes what there is.
func drain(p *Port) (packets [][]byte) {
	var f Frame
	for {
		ok, _ := p.Receive(time.Now(), &f)
		if !ok {
			return packets
		}
		packets = append(packets, append([]byte(nil), f.Packet...))
	}
}

// A kernel that has nobody for protocol 112, or 51, says so to the sender of each advert.
func TestUnicastIsNotRefused(t *testing.T) {
	for _, row := range []struct {
		family             uint8
		here, there        string
		counters, received string
		open               func(*Port) error
		packet             func(here, there string) (netip.Addr, []byte)
	}{
		{4, "10.0.0.2", "10.0.0.3", "/proc/thread-self/net/snmp", "Icmp InDestUnreachs", (*Port).OpenUnicast, advertTo},
		{6, "2001:db8::2", "2001:db8::3", "/proc/thread-self/net/snmp6", "Icmp6InParmProblems", (*Port).OpenUnicast, advertTo},
		{4, "10.0.0.2", "10.0.0.3", "/proc/thread-self/net/snmp", "Icmp InDestUnreachs", (*Port).OpenSealed,
			func(here, there string) (netip.Addr, []byte) {
				to := netip.MustParseAddr(there)
				return to, sealed(7, netip.MustParseAddr(here), to)
			}},
	} {
		for _, open := range []bool{true, false} {
			f := faraway(t, []string{row.here + "/24"}, []string{row.there + "/24"})
			a, b := single(t, row.family), f.open(row.family)
			if open {
				f.do(func() {
					if err := row.open(b); err != nil {
						t.Error(err)
					}
				})
			}
			before := counter(t, row.counters, row.received)
			to, packet := row.packet(row.here, row.there)
			if err := a.SendTo(to, packet); err != nil {
				t.Fatal(err)
			}
			receive(t, b)
			if open {
				time.Sleep(50 * time.Millisecond)
				if n := counter(t, row.counters, row.received) - before; n != 0 {
					t.Errorf("ipv%d: refused %d times", row.family, n)
				}
				continue
			}
			for end := time.Now().Add(soon); counter(t, row.counters, row.received) == before; time.Sleep(time.Millisecond) {
				if time.Now().After(end) {
					t.Fatalf("ipv%d: never refused: the test proves nothing", row.family)
				}
			}
		}
	}
}

// counter reads one of the kernel's, of the thread's namespace: "Icmp InMsgs" of
// a file with a line of names and one of values, or one name of a file of pairs.
func counter(t *testing.T, file, name string) int {
	t.Helper()
	table, column, paired := strings.Cut(name, " ")
	var names []string
	for line := range strings.Lines(string(read(t, file))) {
		f := strings.Fields(line)
		switch {
		case !paired && f[0] == name:
			n, _ := strconv.Atoi(f[1])
			return n
		case paired && f[0] == table+":" && names == nil:
			names = f
		case paired && f[0] == table+":":
			for i := range names {
				if names[i] == column {
					n, _ := strconv.Atoi(f[i])
					return n
				}
			}
		}
	}
	t.Fatalf("no %s in %s", name, file)
	return 0
}

func TestUnicastAllocatesNothing(t *testing.T) {
	f := faraway(t, []string{"10.0.0.2/24", "2001:db8::2/64"}, []string{"10.0.0.3/24", "2001:db8::3/64"})
	for _, row := range []struct {
		family   uint8
		src, dst string
	}{{4, "10.0.0.2", "10.0.0.3"}, {6, "2001:db8::2", "2001:db8::3"}} {
		a, b := single(t, row.family), f.open(row.family)
		to, packet := advertTo(row.src, row.dst)
		if n := testing.AllocsPerRun(100, func() {
			if err := a.SendTo(to, packet); err != nil {
				t.Fatal(err)
			}
		}); n != 0 {
			t.Errorf("ipv%d: %v allocations a packet", row.family, n)
		}
		receive(t, b)
	}
}

// The links tell which of the chosen addresses an interface has.
func TestWatcherTellsChosenAddresses(t *testing.T) {
	inNamespace(t)
	veth(t, "a", "b", "10.0.0.2/24")
	chosen := []netip.Addr{netip.MustParseAddr("10.0.0.20"), netip.MustParseAddr("10.0.0.21"), netip.MustParseAddr("2001:db8::2")}
	w, err := OpenWatcher(ours, []Interface{{Name: "a", Chosen: chosen}})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	var now Link
	told := func(has ...int) {
		t.Helper()
		var want AddrSet
		for _, i := range has {
			want.add(i)
		}
		eventually(t, w.FD(), fmt.Sprintf("%v of the chosen addresses, primary 10.0.0.2", has), func() bool {
			if err := w.Drain(func(l Link) { now = l }); err != nil {
				t.Fatal(err)
			}
			return now.Chosen == want && now.Primary4 == netip.MustParseAddr("10.0.0.2")
		})
	}
	told()
	addAddress(t, "a", "10.0.0.20/24", 0)
	told(0)
	addAddress(t, "a", "2001:db8::2/64", 0) // not a source of multicast, and tentative at first
	told(0, 2)
	addAddress(t, "a", "10.0.0.21/24", ours) // put there by a router of ours: it moves
	for _, s := range []string{"10.0.0.20/24"} {
		a, _ := netlink.ParseAddr(s)
		if err := netlink.AddrDel(link(t, "a"), a); err != nil {
			t.Fatal(err)
		}
	}
	told(2)
}
