package vrrpnet

import (
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// inNamespace moves the test into an unnamed network namespace of its own, which
// is gone when the test has ended. The test stays on its thread, and the thread
// ends with it: the runtime throws a locked one away.
func inNamespace(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		if os.Getenv("CI") == "true" || os.Getenv("UNDERSTUDY_REQUIRE_NETNS") == "1" {
			t.Fatal("needs root for network namespaces")
		}
		t.Skip("needs root for network namespaces")
	}
	runtime.LockOSThread() // and never unlocked: see above
	ns, err := netns.New()
	if err != nil {
		t.Fatal(err)
	}
	ns.Close() // the thread keeps it
}

// veth makes a pair of interfaces, both up, the first with addresses.
func veth(t *testing.T, a, b string, addrs ...string) {
	t.Helper()
	attrs := netlink.NewLinkAttrs()
	attrs.Name = a
	if err := netlink.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: b}); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{a, b} {
		setUp(t, name, true)
	}
	for _, s := range addrs {
		addAddress(t, a, s, 0)
	}
	// Until the kernel has called a link operational, what is sent on it goes
	// nowhere, without an error.
	for _, name := range []string{a, b} {
		for end := time.Now().Add(soon); link(t, name).Attrs().OperState != netlink.OperUp; {
			if time.Now().After(end) {
				t.Fatalf("%s is not operational", name)
			}
			time.Sleep(time.Millisecond)
		}
	}
}

func setUp(t *testing.T, name string, up bool) {
	t.Helper()
	do := netlink.LinkSetUp
	if !up {
		do = netlink.LinkSetDown
	}
	if err := do(link(t, name)); err != nil {
		t.Fatal(err)
	}
}

func link(t *testing.T, name string) netlink.Link {
	t.Helper()
	l, err := netlink.LinkByName(name)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// addAddress adds an address; proto marks whose it is (IFA_PROTO).
func addAddress(t *testing.T, name, prefix string, proto uint8) {
	t.Helper()
	a, err := netlink.ParseAddr(prefix)
	if err != nil {
		t.Fatal(err)
	}
	family, ip := unix.AF_INET6, []byte(a.IP)
	if v4 := a.IP.To4(); v4 != nil {
		family, ip = unix.AF_INET, v4
	}
	req := nl.NewNetlinkRequest(unix.RTM_NEWADDR, unix.NLM_F_CREATE|unix.NLM_F_EXCL|unix.NLM_F_ACK)
	msg := nl.NewIfAddrmsg(family)
	msg.Index = uint32(link(t, name).Attrs().Index)
	ones, _ := a.Mask.Size()
	msg.Prefixlen = uint8(ones)
	req.AddData(msg)
	req.AddData(nl.NewRtAttr(unix.IFA_LOCAL, ip))
	req.AddData(nl.NewRtAttr(unix.IFA_ADDRESS, ip))
	req.AddData(nl.NewRtAttr(ifaProto, []byte{proto}))
	if _, err := req.Execute(unix.NETLINK_ROUTE, 0); err != nil {
		t.Fatal(err)
	}
}

// soon is how long what has to come is waited for.
const soon = 30 * time.Second

// eventually polls fd and calls f each time it is ready, until f is content.
func eventually(t *testing.T, fd int, what string, f func() bool) {
	t.Helper()
	end := time.Now().Add(soon)
	for !f() {
		if time.Now().After(end) {
			t.Fatalf("never came: %s", what)
		}
		_, _ = unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 100)
	}
}
