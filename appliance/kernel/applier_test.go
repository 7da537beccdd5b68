package kernel

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"understudy/appliance/identity"
)

// on returns the identity of the addresses on one interface.
func on(name string, cidrs ...string) identity.Identity {
	var all []identity.Address
	for _, c := range cidrs {
		all = append(all, identity.Address{Interface: name, Prefix: netip.MustParsePrefix(c)})
	}
	return identity.New(all...)
}

// many returns n addresses from 10.9.0.1 on.
func many(name string, n int) identity.Identity {
	all := make([]identity.Address, n)
	for i := range all {
		a := netip.AddrFrom4([4]byte{10, 9, byte((i + 1) >> 8), byte(i + 1)})
		all[i] = identity.Address{Interface: name, Prefix: netip.PrefixFrom(a, 16)}
	}
	return identity.New(all...)
}

// shown lists what the interface has as "PREFIX" or "PREFIX ours", sorted, as
// another library than the tested one sees it, but for the mark.
func shown(t testing.TB, a *Applier, name string) []string {
	t.Helper()
	link := linkOf(t, name)
	addrs, err := netlink.AddrList(link, netlink.FAMILY_ALL)
	if err != nil {
		t.Fatal(err)
	}
	have, err := a.s.addresses(link.Attrs().Index)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, x := range addrs {
		p := netip.MustParsePrefix(x.IPNet.String())
		if p.Addr().Is6() && p.Addr().IsLinkLocalUnicast() && p.Bits() == 64 {
			continue // the kernel's own
		}
		s := p.String()
		if slices.ContainsFunc(have, func(h holding) bool { return h.prefix == p && h.ours }) {
			s += " ours"
		}
		out = append(out, s)
	}
	slices.Sort(out)
	return out
}

func apply(t testing.TB, a *Applier, want identity.Identity) []identity.Address {
	t.Helper()
	out, err := a.Apply(want)
	if err != nil {
		t.Fatalf("Apply: %v", err)
	}
	return out.Added.Addresses
}

func wantShown(t testing.TB, a *Applier, name string, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, shown(t, a, name)); diff != "" {
		t.Fatalf("addresses of %s (-want +got):\n%s", name, diff)
	}
}

func TestApplyAddsAndRemoves(t *testing.T) {
	enter(t)
	addVeth(t, "lan0", "peer0")
	addAddr(t, "lan0", "10.0.0.2/24")
	a := open(t)
	id := on("lan0", "10.0.0.1/24", "10.0.0.9/24", "203.0.113.1/24", "fe80::1/64", "2001:db8::1/64")

	if added := apply(t, a, id); !slices.Equal(added, id.Addresses) {
		t.Fatalf("added %v", added)
	}
	wantShown(t, a, "lan0", "10.0.0.1/32 ours", "10.0.0.2/24", "10.0.0.9/32 ours",
		"2001:db8::1/64 ours", "203.0.113.1/24 ours", "fe80::1/128 ours")
	if added := apply(t, a, id); len(added) != 0 {
		t.Fatalf("a second Apply added %v", added)
	}
	apply(t, a, on("lan0", "10.0.0.9/24"))
	wantShown(t, a, "lan0", "10.0.0.2/24", "10.0.0.9/32 ours")
	apply(t, a, identity.Identity{})
	wantShown(t, a, "lan0", "10.0.0.2/24")
}

func TestApplyIPv6IsUsableAtOnceAndNotPreferred(t *testing.T) {
	enter(t)
	addVeth(t, "lan0", "peer0")
	a := open(t)
	apply(t, a, on("lan0", "2001:db8::1/64"))
	addrs, err := netlink.AddrList(linkOf(t, "lan0"), netlink.FAMILY_V6)
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range addrs {
		if x.IP.Equal(netip.MustParseAddr("2001:db8::1").AsSlice()) {
			if x.Flags&unix.IFA_F_TENTATIVE != 0 || x.Flags&unix.IFA_F_DEPRECATED == 0 {
				t.Errorf("flags %#x: want not tentative, but deprecated", x.Flags)
			}
			return
		}
	}
	t.Error("2001:db8::1 is not there")
}

func TestApplyInBatches(t *testing.T) {
	for _, n := range []int{100, 1000} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			enter(t)
			addVeth(t, "lan0", "peer0")
			addAddr(t, "lan0", "10.9.255.254/16")
			a := open(t)
			id := many("lan0", n)
			var sizes []int
			out, err := a.ApplyEach(id, func(part []identity.Address) { sizes = append(sizes, len(part)) })
			if added := out.Added.Addresses; err != nil || len(added) != n {
				t.Fatalf("added %d, error %v", len(added), err)
			}
			if len(sizes) != (n+batchSize-1)/batchSize || slices.Max(sizes) > batchSize {
				t.Errorf("batches of %v", sizes)
			}
			held, err := a.Held()
			if err != nil || len(held.Addresses) != n {
				t.Fatalf("held %d, error %v", len(held.Addresses), err)
			}
			apply(t, a, identity.Identity{})
			wantShown(t, a, "lan0", "10.9.255.254/16")
		})
	}
}

func TestApplyLeavesForeignAddressesAlone(t *testing.T) {
	enter(t)
	addVeth(t, "lan0", "peer0")
	addAddr(t, "lan0", "10.0.0.1/24") // the operator's own is the virtual one: owner
	addAddr(t, "lan0", "192.0.2.7/32")
	a := open(t)
	if added := apply(t, a, on("lan0", "10.0.0.1/24", "192.0.2.7/24")); len(added) != 0 {
		t.Errorf("added %v beside the operator's own", added)
	}
	batches, err := a.RemoveMessages(on("lan0", "10.0.0.1/24"))
	if err != nil || len(batches) != 0 {
		t.Errorf("the fence would remove the operator's address: %d batches, error %v", len(batches), err)
	}
	apply(t, a, identity.Identity{})
	if n, err := a.Clean(); n != 0 || err != nil {
		t.Errorf("Clean removed %d, error %v", n, err)
	}
	wantShown(t, a, "lan0", "10.0.0.1/24", "192.0.2.7/32")
}

func TestApplyWithoutInterfaceDoesTheRest(t *testing.T) {
	enter(t)
	addVeth(t, "lan0", "peer0")
	a := open(t)
	id := identity.Union(on("lan0", "10.0.0.1/24"), on("wan0", "203.0.113.1/24"))
	out, err := a.Apply(id)
	added := out.Added.Addresses
	if !errors.Is(err, ErrNoInterface) {
		t.Errorf("error %v", err)
	}
	if want := on("lan0", "10.0.0.1/24").Addresses; !slices.Equal(added, want) {
		t.Errorf("added %v, want %v", added, want)
	}
	if _, err := a.Link("wan0"); !errors.Is(err, ErrNoInterface) {
		t.Errorf("Link: %v", err)
	}
}

// A VIP with a prefix must neither be removed with a primary address nor take
// others along, nor become the address that adverts come from.
func TestPrimaryAddressTrap(t *testing.T) {
	t.Run("the operator's primary goes, the host form stays", func(t *testing.T) {
		enter(t)
		addVeth(t, "lan0", "peer0")
		addAddr(t, "lan0", "10.0.0.2/24")
		a := open(t)
		apply(t, a, on("lan0", "10.0.0.1/24", "10.0.0.3/24"))
		delAddr(t, "lan0", "10.0.0.2/24")
		wantShown(t, a, "lan0", "10.0.0.1/32 ours", "10.0.0.3/32 ours")
		addAddr(t, "lan0", "10.0.0.4/24")
		l, err := a.Link("lan0")
		if err != nil || l.Primary != netip.MustParseAddr("10.0.0.4") {
			t.Errorf("adverts come from %v, error %v", l.Primary, err)
		}
	})
	t.Run("our primary goes, our secondaries are put back", func(t *testing.T) {
		enter(t) // without Settings: promote_secondaries is off
		addVeth(t, "lan0", "peer0")
		a := open(t)
		setSysctl(t, "net/ipv4/conf/lan0/promote_secondaries", "0")
		setSysctl(t, "net/ipv4/conf/all/promote_secondaries", "0")
		apply(t, a, on("lan0", "10.0.0.1/24", "10.0.0.2/24", "10.0.0.3/24"))
		apply(t, a, on("lan0", "10.0.0.2/24", "10.0.0.3/24"))
		wantShown(t, a, "lan0", "10.0.0.2/24 ours", "10.0.0.3/24 ours")
	})
	t.Run("our primary goes, the operator's later secondary is promoted", func(t *testing.T) {
		enter(t)
		addVeth(t, "lan0", "peer0")
		a := open(t)
		settings := Settings([]string{"lan0"}, nil)[1:]
		if err := NewSysctls(t.TempDir()).Apply(settings); err != nil {
			t.Fatal(err)
		}
		apply(t, a, on("lan0", "10.0.0.1/24"))
		addAddr(t, "lan0", "10.0.0.2/24")
		l, err := a.Link("lan0")
		if err != nil || l.Primary != netip.MustParseAddr("10.0.0.2") {
			t.Errorf("adverts come from %v, error %v", l.Primary, err)
		}
		apply(t, a, identity.Identity{})
		wantShown(t, a, "lan0", "10.0.0.2/24")
	})
}

// A host-form address must not touch the routes of the subnet.
func TestApplyDoesNotDisturbRoutes(t *testing.T) {
	enter(t)
	addVeth(t, "lan0", "peer0")
	addAddr(t, "lan0", "10.0.0.2/24")
	a := open(t)
	routes := func() string {
		all, err := netlink.RouteList(linkOf(t, "lan0"), netlink.FAMILY_V4)
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprint(all)
	}
	before := routes()
	apply(t, a, on("lan0", "10.0.0.1/24"))
	during := routes()
	apply(t, a, identity.Identity{})
	if after := routes(); before != during || before != after {
		t.Errorf("routes\nbefore %s\nduring %s\nafter  %s", before, during, after)
	}
}

func TestApplyChangesThePrefixLength(t *testing.T) {
	enter(t)
	addVeth(t, "lan0", "peer0")
	a := open(t)
	apply(t, a, on("lan0", "10.0.0.1/24", "2001:db8::1/64"))
	apply(t, a, on("lan0", "10.0.0.1/25", "2001:db8::1/56"))
	wantShown(t, a, "lan0", "10.0.0.1/25 ours", "2001:db8::1/56 ours")
}

func TestApplyPutsBackWhatSomebodyRemoved(t *testing.T) {
	enter(t)
	addVeth(t, "lan0", "peer0")
	addAddr(t, "lan0", "10.0.0.2/24")
	a := open(t)
	id := on("lan0", "10.0.0.1/24", "10.0.0.9/24")
	apply(t, a, id)
	delAddr(t, "lan0", "10.0.0.9/32")
	if added := apply(t, a, id); !slices.Equal(added, on("lan0", "10.0.0.9/24").Addresses) {
		t.Errorf("added %v", added)
	}
}

func TestCleanAfterACrash(t *testing.T) {
	enter(t)
	addVeth(t, "lan0", "wan0")
	addAddr(t, "lan0", "10.0.0.2/24")
	crashed, err := Open()
	if err != nil {
		t.Fatal(err)
	}
	apply(t, crashed, identity.Union(many("lan0", 200), on("wan0", "203.0.113.1/24", "2001:db8::1/64")))
	_ = crashed.Close()

	a := open(t)
	if n, err := a.Clean(); n != 202 || err != nil {
		t.Errorf("Clean removed %d, error %v; want 202", n, err)
	}
	wantShown(t, a, "lan0", "10.0.0.2/24")
	wantShown(t, a, "wan0")
	if n, err := a.Clean(); n != 0 || err != nil {
		t.Errorf("a second Clean removed %d, error %v", n, err)
	}
}

// send hands messages to the kernel as another process does.
func send(t *testing.T, batches [][]byte) {
	t.Helper()
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	for _, b := range batches {
		if err := unix.Sendto(fd, b, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
			t.Fatal(err)
		}
	}
}

// The fence is sent by another process, from a socket of its own, without
// anything but the bytes.
func TestFenceMessages(t *testing.T) {
	for _, when := range []string{"prepared before the addresses are there", "prepared after"} {
		t.Run(when, func(t *testing.T) {
			enter(t)
			addVeth(t, "lan0", "wan0")
			addAddr(t, "lan0", "10.9.255.254/16")
			addAddr(t, "wan0", "203.0.113.2/24")
			a := open(t)
			id := identity.Union(many("lan0", 300), on("wan0", "203.0.113.1/24", "198.51.100.1/24", "2001:db8::1/64"))
			rest := on("wan0", "203.0.113.50/24") // of another group: stays
			var batches [][]byte
			var err error
			if when == "prepared after" {
				apply(t, a, identity.Union(id, rest))
			}
			if batches, err = a.RemoveMessages(id); err != nil {
				t.Fatal(err)
			}
			if len(batches) != 3 {
				t.Errorf("%d batches for 303 addresses", len(batches))
			}
			apply(t, a, identity.Union(id, rest))
			send(t, batches)
			wantShown(t, a, "lan0", "10.9.255.254/16")
			wantShown(t, a, "wan0", "203.0.113.2/24", "203.0.113.50/32 ours")
			send(t, batches) // twice is no harm
			wantShown(t, a, "wan0", "203.0.113.2/24", "203.0.113.50/32 ours")
		})
	}
}

func TestLinkState(t *testing.T) {
	enter(t)
	addVeth(t, "lan0", "peer0")
	addAddr(t, "lan0", "10.0.0.2/24")
	a := open(t)
	apply(t, a, on("lan0", "10.0.0.1/24"))
	// The kernel finds out about a carrier in its own time.
	become := func(running bool) (l Link) {
		t.Helper()
		for end := time.Now().Add(20 * time.Second); ; time.Sleep(time.Millisecond) {
			l, err := a.Link("lan0")
			if err != nil {
				t.Fatal(err)
			}
			if l.Running == running || time.Now().After(end) {
				return l
			}
		}
	}
	l := become(true)
	attrs := linkOf(t, "lan0").Attrs()
	want := Link{
		Name: "lan0", Index: attrs.Index, MAC: [6]byte(attrs.HardwareAddr), Up: true, Running: true,
		Primary: netip.MustParseAddr("10.0.0.2"), LinkLocal: l.LinkLocal,
	}
	if l != want {
		t.Errorf("got  %+v\nwant %+v", l, want)
	}
	if err := netlink.LinkSetDown(linkOf(t, "peer0")); err != nil {
		t.Fatal(err)
	}
	if l = become(false); !l.Up || l.Running {
		t.Errorf("without carrier: %+v; want up, not running", l)
	}
}

func setSysctl(t testing.TB, key, value string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join("/proc/sys", key), []byte(value), 0o644); err != nil {
		t.Fatal(err)
	}
}
