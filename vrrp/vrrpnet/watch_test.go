package vrrpnet

import (
	"net/netip"
	"os"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

func read(t *testing.T, file string) []byte {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

const ours = 77

// watch opens a watcher and returns a function that waits until an interface is
// as wanted.
func watch(t *testing.T, ifs ...Interface) (*Watcher, func(what, name string, want func(Link) bool) Link) {
	t.Helper()
	w, err := OpenWatcher(ours, ifs)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Close)
	now := map[string]Link{}
	return w, func(what, name string, want func(Link) bool) Link {
		t.Helper()
		eventually(t, w.FD(), what, func() bool {
			if err := w.Drain(func(l Link) { now[l.Name] = l }); err != nil {
				t.Fatal(err)
			}
			l, told := now[name]
			return told && want(l)
		})
		return now[name]
	}
}

func primary(s string) func(Link) bool {
	return func(l Link) bool { return l.Primary4 == netip.MustParseAddr(s) }
}

func TestWatcherFollowsAnInterface(t *testing.T) {
	inNamespace(t)
	_, until := watch(t, Interface{Name: "a"})
	until("told that there is none", "a", func(l Link) bool { return l.Index == 0 && !l.Up })

	veth(t, "a", "b", "10.0.0.2/24")
	first := until("appears", "a", func(l Link) bool { return l.Up && primary("10.0.0.2")(l) })
	setUp(t, "b", false)
	until("no carrier", "a", func(l Link) bool { return !l.Up && l.Index == first.Index })
	setUp(t, "b", true)
	until("carrier again", "a", func(l Link) bool { return l.Up })
	setUp(t, "a", false)
	until("set down", "a", func(l Link) bool { return !l.Up })

	if err := netlink.LinkDel(link(t, "a")); err != nil {
		t.Fatal(err)
	}
	until("deleted", "a", func(l Link) bool { return l.Index == 0 && !l.Primary4.IsValid() })
	veth(t, "a", "b", "10.0.0.3/24")
	second := until("re-created", "a", func(l Link) bool { return l.Up && primary("10.0.0.3")(l) })
	if second.Index == first.Index || second.MAC == first.MAC {
		t.Errorf("the same interface as before: %+v", second)
	}

	setUp(t, "a", false)
	if err := netlink.LinkSetName(link(t, "a"), "c"); err != nil {
		t.Fatal(err)
	}
	until("renamed away", "a", func(l Link) bool { return l.Index == 0 })
	if err := netlink.LinkSetName(link(t, "c"), "a"); err != nil {
		t.Fatal(err)
	}
	setUp(t, "a", true)
	until("renamed back, with its address", "a", func(l Link) bool { return l.Up && primary("10.0.0.3")(l) })
}

func TestWatcherPicksThePrimaryAddress(t *testing.T) {
	inNamespace(t)
	veth(t, "a", "b", "10.0.0.1/24")
	_, until := watch(t, Interface{Name: "a", Virtual: []netip.Addr{netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("fe80::1")}})
	until("a virtual address is none", "a", func(l Link) bool { return l.Up && !l.Primary4.IsValid() })

	addAddress(t, "a", "192.168.0.9/24", 0)
	until("better than nothing", "a", primary("192.168.0.9"))
	addAddress(t, "a", "10.0.0.66/24", ours)
	addAddress(t, "a", "10.0.0.2/24", 0)
	until("in the subnet, and not one of ours", "a", primary("10.0.0.2"))
	addAddress(t, "a", "10.0.0.3/24", 0)
	a, _ := netlink.ParseAddr("10.0.0.2/24")
	if err := netlink.AddrDel(link(t, "a"), a); err != nil {
		t.Fatal(err)
	}
	until("the next one", "a", primary("10.0.0.3"))
	addAddress(t, "a", "10.0.0.2/24", 0)
	addAddress(t, "a", "fe80::1/64", 0)
	// Told after both additions: the primary address has stayed.
	until("the link-local one", "a", func(l Link) bool {
		return primary("10.0.0.3")(l) && l.Primary6.IsLinkLocalUnicast() && l.Primary6 != netip.MustParseAddr("fe80::1")
	})
}

func TestWatcherSurvivesLostMessages(t *testing.T) {
	inNamespace(t)
	veth(t, "a", "b", "10.0.0.2/24")
	w, until := watch(t, Interface{Name: "a"})
	until("up", "a", func(l Link) bool { return l.Up && primary("10.0.0.2")(l) })
	if err := setReceiveBuffer(w.fd, 4096); err != nil {
		t.Fatal(err)
	}
	a, _ := netlink.ParseAddr("10.0.0.2/24")
	if err := netlink.AddrDel(link(t, "a"), a); err != nil {
		t.Fatal(err)
	}
	addAddress(t, "a", "10.0.0.5/24", 0)
	for range 100 {
		setUp(t, "a", false)
		setUp(t, "a", true)
	}
	until("the truth", "a", func(l Link) bool { return l.Up && primary("10.0.0.5")(l) })
	if w.Lost() == 0 {
		t.Error("nothing was lost: the test tested nothing")
	}
}

func TestWatchCanBeReplaced(t *testing.T) {
	inNamespace(t)
	veth(t, "a", "b", "10.0.0.2/24")
	w, until := watch(t, Interface{Name: "a"})
	until("a is up", "a", func(l Link) bool { return l.Up })
	if err := w.Watch([]Interface{{Name: "b"}, {Name: "a"}}); err != nil {
		t.Fatal(err)
	}
	until("b is up", "b", func(l Link) bool { return l.Up })
	setUp(t, "b", false)
	until("a has no carrier", "a", func(l Link) bool { return !l.Up })
}

func TestWatcherAllocatesNothing(t *testing.T) {
	inNamespace(t)
	veth(t, "a", "b", "10.0.0.2/24")
	w, until := watch(t, Interface{Name: "a"})
	until("up", "a", func(l Link) bool { return l.Up })
	last := Link{Up: true}
	fn := func(l Link) { last = l }
	l := link(t, "b")
	for _, up := range []bool{false, true} {
		do := netlink.LinkSetDown
		if up {
			do = netlink.LinkSetUp
		}
		if err := do(l); err != nil {
			t.Fatal(err)
		}
		// That a has lost its carrier is told up to a second later.
		eventually(t, w.FD(), "the change", func() bool {
			if n := testing.AllocsPerRun(1, func() { _ = w.Drain(fn) }); n != 0 {
				t.Errorf("%v allocations for a change", n)
			}
			return last.Up == up
		})
	}
}

func setReceiveBuffer(fd, n int) error {
	return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, n)
}
