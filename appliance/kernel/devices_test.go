package kernel

import (
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"testing"

	"github.com/vishvananda/netlink"

	"understudy/appliance/identity"
)

var (
	lan4 = identity.NewDevice("lan0", 51, 4)
	lan6 = identity.NewDevice("lan0", 51, 6)
)

// prepared is a namespace with lan0 and the devices on it.
func prepared(t *testing.T, devices ...identity.Device) *Applier {
	t.Helper()
	enter(t)
	addVeth(t, "lan0", "peer0")
	addAddr(t, "lan0", "10.0.0.2/24")
	a := open(t)
	prepare(t, a, devices...)
	return a
}

func prepare(t *testing.T, a *Applier, devices ...identity.Device) {
	t.Helper()
	if err := a.Prepare(devices); err != nil {
		t.Fatal(err)
	}
}

// settle does all that is left to do, and returns how much that was.
func settle(t *testing.T, a *Applier) (steps int) {
	t.Helper()
	for more := true; more; steps++ {
		var err error
		if more, err = a.Settle(); err != nil {
			t.Fatal(err)
		}
	}
	return steps - 1
}

// seen describes a link as another library than the tested one sees it.
func seen(t *testing.T, name string) string {
	t.Helper()
	l, err := netlink.LinkByName(name)
	if errors.As(err, new(netlink.LinkNotFoundError)) {
		return "none"
	}
	if err != nil {
		t.Fatal(err)
	}
	m, ok := l.(*netlink.Macvlan)
	if !ok {
		return l.Type()
	}
	parent, err := netlink.LinkByIndex(m.ParentIndex)
	if err != nil {
		t.Fatal(err)
	}
	state := "down"
	if m.Flags&net.FlagUp != 0 {
		state = "up"
	}
	mode := map[netlink.MacvlanMode]string{netlink.MACVLAN_MODE_BRIDGE: "bridge", netlink.MACVLAN_MODE_PRIVATE: "private"}[m.Mode]
	return fmt.Sprintf("%s on %s %s %s", mode, parent.Attrs().Name, m.HardwareAddr, state)
}

func wantSeen(t *testing.T, when, name, want string) {
	t.Helper()
	if got := seen(t, name); got != want {
		t.Fatalf("%s: %s is %q, want %q", when, name, got, want)
	}
}

const (
	lan4Down = "bridge on lan0 00:00:5e:00:01:33 down"
	lan4Up   = "bridge on lan0 00:00:5e:00:01:33 up"
)

func TestDeviceLife(t *testing.T) {
	a := prepared(t, lan4)
	wantSeen(t, "prepared", lan4.Name, lan4Down)
	if settle(t, a) != 0 {
		t.Error("before the first Apply nothing is known to be unwanted")
	}
	id := on(lan4.Name, "10.0.0.1/24", "192.0.2.1/24").With(lan4)
	if added := apply(t, a, id); !slices.Equal(added, id.Addresses) {
		t.Fatalf("added %v", added)
	}
	wantSeen(t, "applied", lan4.Name, lan4Up)
	// In the parent's subnet: no second route to it. Else the device gives one.
	wantShown(t, a, lan4.Name, "10.0.0.1/32 ours", "192.0.2.1/24 ours")
	if added := apply(t, a, id); len(added) != 0 || settle(t, a) != 0 {
		t.Fatalf("a second Apply added %v", added)
	}
	if held, err := a.Held(); err != nil || !slices.Equal(held.Devices, id.Devices) {
		t.Fatalf("held %v, error %v", held, err)
	}
	// A restarted daemon finds it in use and leaves it so.
	again := open(t)
	index := linkOf(t, lan4.Name).Attrs().Index
	prepare(t, again, lan4)
	settle(t, again)
	wantSeen(t, "prepared again", lan4.Name, lan4Up)
	if linkOf(t, lan4.Name).Attrs().Index != index {
		t.Error("it was made anew")
	}

	apply(t, a, identity.Identity{})
	wantShown(t, a, lan4.Name)
	wantSeen(t, "left for later", lan4.Name, lan4Up)
	if n := settle(t, a); n != 1 {
		t.Errorf("%d steps to settle", n)
	}
	wantSeen(t, "settled", lan4.Name, lan4Down)
	prepare(t, a)
	settle(t, a)
	wantSeen(t, "not in the configuration any more", lan4.Name, "none")
}

func TestUnpreparedDeviceStaysWhileItIsWanted(t *testing.T) {
	a := prepared(t, lan4)
	apply(t, a, on(lan4.Name, "10.0.0.1/24").With(lan4))
	prepare(t, a) // a reload has begun
	settle(t, a)
	wantSeen(t, "still wanted", lan4.Name, lan4Up)
	apply(t, a, on("lan0", "10.0.0.1/24"))
	settle(t, a)
	wantSeen(t, "moved to the interface", lan4.Name, "none")
	wantShown(t, a, "lan0", "10.0.0.1/32 ours", "10.0.0.2/24")
}

// RFC 9568 7.4: no address is made of the virtual MAC, before or after it is up.
func TestDeviceHasNoAddressOfItsOwn(t *testing.T) {
	for _, d := range []identity.Device{lan4, lan6} {
		a := prepared(t, d)
		apply(t, a, identity.Identity{}.With(d))
		addrs, err := netlink.AddrList(linkOf(t, d.Name), netlink.FAMILY_ALL)
		if err != nil || len(addrs) != 0 {
			t.Errorf("%s has %v, error %v", d, addrs, err)
		}
	}
}

func TestDeviceSettings(t *testing.T) {
	for strict, filter := range map[string]string{"0": "0", "1": "2", "2": "2"} {
		enter(t)
		setSysctl(t, "net/ipv4/conf/all/rp_filter", strict)
		setSysctl(t, "net/ipv4/conf/default/arp_ignore", "0")
		setSysctl(t, "net/ipv6/conf/default/disable_ipv6", "1")
		addVeth(t, "lan0", "peer0")
		a := open(t)
		prepare(t, a, lan4, lan6)
		for key, want := range map[string]string{
			"ipv4/conf/us4-51-lan0/rp_filter": filter, "ipv4/conf/us4-51-lan0/arp_ignore": "1",
			"ipv4/conf/us4-51-lan0/arp_announce": "2", "ipv6/conf/us4-51-lan0/disable_ipv6": "1",
			"ipv6/conf/us6-51-lan0/addr_gen_mode": "1", "ipv6/conf/us6-51-lan0/accept_dad": "0",
			"ipv6/conf/us6-51-lan0/accept_ra": "0", "ipv6/conf/us6-51-lan0/forwarding": "1", "ipv4/conf/us6-51-lan0/arp_ignore": "8",
			"ipv6/conf/us6-51-lan0/disable_ipv6": "0",
		} {
			b, err := os.ReadFile("/proc/sys/net/" + key)
			if err != nil || string(b) != want+"\n" {
				t.Errorf("all.rp_filter=%s: %s is %q, want %s (%v)", strict, key, b, want, err)
			}
		}
	}
	for _, s := range slices.Concat(DeviceSettings(lan4, false, true), DeviceSettings(lan6, false, true), Settings([]string{"lan0"}, []string{"lan0"}), Forwarding(true)) {
		if s.Why == "" {
			t.Errorf("%s has no reason", s.Key)
		}
	}
}

// TestDevicesThatFollow: on a node that is no gateway a device forwards where its parent
// does, and so it is when the node becomes one, or ceases to be one.
func TestDevicesThatFollow(t *testing.T) {
	enter(t)
	setSysctl(t, "net/ipv4/ip_forward", "0")
	setSysctl(t, "net/ipv6/conf/all/forwarding", "0")
	addVeth(t, "lan0", "peer0")
	a := open(t)
	tr := tree{t, "/proc/sys"}
	want := func(when, four, six string) {
		t.Helper()
		prepare(t, a, lan4, lan6)
		tr.want(when, map[string]string{"net/ipv4/conf/us4-51-lan0/forwarding": four, "net/ipv6/conf/us6-51-lan0/forwarding": six})
	}
	a.Follow(true)
	want("a server", "0", "0")
	setSysctl(t, "net/ipv4/conf/lan0/forwarding", "1")
	want("its parent forwards IPv4", "1", "0")
	setSysctl(t, "net/ipv6/conf/lan0/forwarding", "1")
	want("its parent forwards IPv6", "1", "1")
	setSysctl(t, "net/ipv4/conf/lan0/forwarding", "0")
	setSysctl(t, "net/ipv6/conf/lan0/forwarding", "0")
	want("a server again", "0", "0")
	a.Follow(false)
	want("a gateway", "1", "1")
}

func TestDeviceThatSomebodyChanged(t *testing.T) {
	id := on(lan4.Name, "10.0.0.1/24").With(lan4)
	for _, c := range []struct {
		name    string
		do      func(t *testing.T)
		prepare bool // notices what Apply does not look at
	}{
		{"deleted", func(t *testing.T) { must(t, netlink.LinkDel(linkOf(t, lan4.Name))) }, false},
		{"down", func(t *testing.T) { must(t, netlink.LinkSetDown(linkOf(t, lan4.Name))) }, false},
		{"another MAC", func(t *testing.T) {
			must(t, netlink.LinkSetHardwareAddr(linkOf(t, lan4.Name), net.HardwareAddr{2, 0, 0, 0, 0, 1}))
		}, true},
		{"another mode", func(t *testing.T) {
			must(t, netlink.LinkDel(linkOf(t, lan4.Name)))
			addMacvlan(t, lan4.Name, netlink.MACVLAN_MODE_PRIVATE, lan4.MAC[:])
		}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := prepared(t, lan4)
			apply(t, a, id)
			c.do(t)
			if c.prepare {
				prepare(t, a, lan4)
			}
			if added := apply(t, a, id); !slices.Equal(added, id.Addresses) {
				t.Errorf("added %v: what is on it must be announced again", added)
			}
			wantSeen(t, "put back", lan4.Name, lan4Up)
			wantShown(t, a, lan4.Name, "10.0.0.1/32 ours")
		})
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func addMacvlan(t *testing.T, name string, mode netlink.MacvlanMode, mac net.HardwareAddr) {
	t.Helper()
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.HardwareAddr, attrs.ParentIndex = name, mac, linkOf(t, "lan0").Attrs().Index
	must(t, netlink.LinkAdd(&netlink.Macvlan{LinkAttrs: attrs, Mode: mode}))
}

func TestDeviceThatCannotBe(t *testing.T) {
	enter(t)
	a := open(t)
	if err := a.Prepare([]identity.Device{lan4}); !errors.Is(err, ErrNoInterface) {
		t.Errorf("without the parent: want ErrNoInterface, got %v", err)
	}
	addVeth(t, "lan0", lan4.Name)
	addAddr(t, "lan0", "10.0.0.2/24")
	if err := a.Prepare([]identity.Device{lan4, lan6}); !errors.Is(err, ErrNotOurs) {
		t.Errorf("name taken: want ErrNotOurs, got %v", err)
	}
	wantSeen(t, "the other one", lan6.Name, "bridge on lan0 00:00:5e:00:02:33 down")
	wantSeen(t, "the operator's", lan4.Name, "veth")

	// What is on it is not put anywhere; the rest is.
	must(t, netlink.LinkDel(linkOf(t, "lan0")))
	addVeth(t, "wan0", "peer1")
	id := identity.Union(on(lan4.Name, "10.0.0.1/24").With(lan4), on("wan0", "203.0.113.1/24"))
	out, err := a.Apply(id)
	if added := out.Added.Addresses; !errors.Is(err, ErrNoInterface) || len(added) != 1 || added[0].Interface != "wan0" {
		t.Errorf("added %v, error %v", added, err)
	}
}

func TestDownMessages(t *testing.T) {
	a := prepared(t, lan4)
	id := on(lan4.Name, "10.0.0.1/24").With(lan4)
	apply(t, a, id)
	remove, err := a.RemoveMessages(id)
	must(t, err)
	down, err := a.DownMessages(id)
	must(t, err)
	if len(remove) != 1 || len(down) != 1 {
		t.Fatalf("%d and %d messages", len(remove), len(down))
	}
	for range 2 { // a second time does no harm
		for _, m := range append(remove, down...) {
			must(t, a.s.send(m))
		}
		wantSeen(t, "fenced", lan4.Name, lan4Down)
		wantShown(t, a, lan4.Name)
	}
	must(t, netlink.LinkDel(linkOf(t, lan4.Name)))
	if down, err := a.DownMessages(id); err != nil || len(down) != 0 {
		t.Errorf("of a device that is gone: %d messages, error %v", len(down), err)
	}
}

func TestCleanDevices(t *testing.T) {
	inGroup := func(t *testing.T) { must(t, netlink.LinkSetGroup(linkOf(t, "lan0"), deviceGroup)) }
	for name, also := range map[string]func(*testing.T){"ours alone": func(*testing.T) {}, "something else in our group": inGroup} {
		t.Run(name, func(t *testing.T) {
			a := prepared(t, lan4, lan6)
			addMacvlan(t, "us4-52-lan0", netlink.MACVLAN_MODE_BRIDGE, net.HardwareAddr{2, 0, 0, 0, 0, 9})
			addMacvlan(t, "vrrp.53", netlink.MACVLAN_MODE_BRIDGE, net.HardwareAddr{0, 0, 0x5e, 0, 1, 53})
			also(t)
			apply(t, a, on(lan4.Name, "10.0.0.1/24").With(lan4))
			crashed := open(t) // the next process knows nothing
			if n, err := crashed.CleanDevices(); n != 2 || err != nil {
				t.Errorf("%d removed, error %v", n, err)
			}
			for name, want := range map[string]string{
				lan4.Name: "none", lan6.Name: "none", "lan0": "veth",
				"us4-52-lan0": "bridge on lan0 02:00:00:00:00:09 down", "vrrp.53": "bridge on lan0 00:00:5e:00:01:35 down",
			} {
				wantSeen(t, "cleaned", name, want)
			}
			if n, err := crashed.CleanDevices(); n != 0 || err != nil {
				t.Errorf("again: %d removed, error %v", n, err)
			}
		})
	}
}

func TestWatchDevice(t *testing.T) {
	a := prepared(t, lan4)
	events := watch(t, a)
	next(t, events, "the device at the start", is(LinkNew, lan4.Name))
	apply(t, a, on(lan4.Name, "10.0.0.1/24").With(lan4))
	next(t, events, "up", func(e Event) bool { return e.Kind == LinkChanged && e.Interface == lan4.Name && e.Link.Up })
	must(t, netlink.LinkDel(linkOf(t, "lan0")))
	next(t, events, "gone with its parent", is(LinkGone, lan4.Name))
}

// Two hundred and fifty virtual routers let go: what takes the time is not what
// the world waits for.
func BenchmarkRelease250Devices(b *testing.B) {
	enter(b)
	addVeth(b, "lan0", "peer0")
	addAddr(b, "lan0", "10.9.255.2/16")
	a := open(b)
	var devices []identity.Device
	var parts []identity.Identity
	for i, x := range many("lan0", 250).Addresses {
		d := identity.NewDevice("lan0", uint8(i+1), 4)
		x.Interface = d.Name
		devices, parts = append(devices, d), append(parts, identity.New(x).With(d))
	}
	if err := a.Prepare(devices); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		b.StopTimer()
		if _, err := a.Apply(identity.Union(parts...)); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
		if _, err := a.Apply(identity.Identity{}); err != nil {
			b.Fatal(err)
		}
	}
}
