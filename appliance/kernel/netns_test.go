package kernel

import (
	"os"
	"runtime"
	"testing"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
)

// needRoot skips a test of the kernel where it cannot run, and fails it where
// it must run.
func needRoot(t testing.TB) {
	t.Helper()
	if os.Geteuid() == 0 {
		return
	}
	if os.Getenv("CI") == "true" || os.Getenv("UNDERSTUDY_REQUIRE_NETNS") == "1" {
		t.Fatal("needs root: network namespaces are required here")
	}
	t.Skip("needs root: makes network namespaces")
}

// enter moves the test into a fresh network namespace without a name. It locks
// the test's thread and never gives it back, so nothing else can get into the
// namespace, and it goes with the thread.
func enter(t testing.TB) {
	t.Helper()
	needRoot(t)
	runtime.LockOSThread()
	ns, err := netns.New()
	if err != nil {
		t.Fatalf("new network namespace: %v", err)
	}
	t.Cleanup(func() { _ = ns.Close() })
}

// addVeth makes a pair of interfaces that are up, both here.
func addVeth(t testing.TB, name, peer string) {
	t.Helper()
	attrs := netlink.NewLinkAttrs()
	attrs.Name = name
	if err := netlink.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: peer}); err != nil {
		t.Fatalf("veth %s: %v", name, err)
	}
	setUp(t, name)
	setUp(t, peer)
}

func setUp(t testing.TB, name string) {
	t.Helper()
	if err := netlink.LinkSetUp(linkOf(t, name)); err != nil {
		t.Fatalf("%s up: %v", name, err)
	}
}

func linkOf(t testing.TB, name string) netlink.Link {
	t.Helper()
	l, err := netlink.LinkByName(name)
	if err != nil {
		t.Fatalf("link %s: %v", name, err)
	}
	return l
}

// addAddr does what an operator does with `ip addr add`.
func addAddr(t testing.TB, name, cidr string) {
	t.Helper()
	a, err := netlink.ParseAddr(cidr)
	if err != nil {
		t.Fatal(err)
	}
	if err := netlink.AddrAdd(linkOf(t, name), a); err != nil {
		t.Fatalf("add %s to %s: %v", cidr, name, err)
	}
}

// delAddr does what an operator does with `ip addr del`.
func delAddr(t testing.TB, name, cidr string) {
	t.Helper()
	a, err := netlink.ParseAddr(cidr)
	if err != nil {
		t.Fatal(err)
	}
	if err := netlink.AddrDel(linkOf(t, name), a); err != nil {
		t.Fatalf("delete %s from %s: %v", cidr, name, err)
	}
}

// open returns an Applier that the test closes.
func open(t testing.TB) *Applier {
	t.Helper()
	a, err := Open()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.Close() })
	return a
}
