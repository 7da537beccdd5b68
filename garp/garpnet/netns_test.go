package garpnet

import (
	"net"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/mdlayher/packet"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
)

// bench is a gateway and a host on one wire, each in a namespace of its own:
//
//	[ gateway: lan0 ]────veth────[ host0: host ]
//
// The test's thread is in the gateway's namespace.
type bench struct {
	gateway, host netns.NsHandle
}

func newBench(t testing.TB) *bench {
	t.Helper()
	if os.Geteuid() != 0 {
		if os.Getenv("CI") == "true" || os.Getenv("UNDERSTUDY_REQUIRE_NETNS") == "1" {
			t.Fatal("needs root: network namespaces are required here")
		}
		t.Skip("needs root: makes network namespaces")
	}
	// The thread is never given back: it and the namespaces end with the test.
	runtime.LockOSThread()
	b := &bench{host: fresh(t), gateway: fresh(t)}
	b.addLink(t)
	return b
}

func fresh(t testing.TB) netns.NsHandle {
	t.Helper()
	ns, err := netns.New()
	if err != nil {
		t.Fatalf("new network namespace: %v", err)
	}
	t.Cleanup(func() { _ = ns.Close() })
	return ns
}

// addLink makes the wire.
func (b *bench) addLink(t testing.TB) {
	t.Helper()
	attrs := netlink.NewLinkAttrs()
	attrs.Name = "lan0"
	must(t, netlink.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: "host0", PeerNamespace: netlink.NsFd(b.host)}))
	// The far end first: lan0 then has carrier when it goes up and transmits at
	// once, where otherwise the kernel drops frames until it has seen to it.
	b.atHost(t, func() { must(t, netlink.LinkSetUp(link(t, "host0"))) })
	must(t, netlink.LinkSetUp(link(t, "lan0")))
}

// atHost runs fn in the host's namespace.
func (b *bench) atHost(t testing.TB, fn func()) {
	t.Helper()
	must(t, netns.Set(b.host))
	defer func() { must(t, netns.Set(b.gateway)) }()
	fn()
}

// capture opens a socket on the host that sees frames of the type.
func (b *bench) capture(t testing.TB, etherType int) *packet.Conn {
	t.Helper()
	var c *packet.Conn
	b.atHost(t, func() {
		a := link(t, "host0").Attrs()
		var err error
		c, err = packet.Listen(&net.Interface{Index: a.Index, Name: a.Name}, packet.Raw, etherType, nil)
		must(t, err)
	})
	t.Cleanup(func() { _ = c.Close() })
	must(t, c.SetReadDeadline(time.Now().Add(20*time.Second)))
	return c
}

// eventually waits for what the kernel does in its own time.
func eventually(t testing.TB, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !done(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never happened: %s", what)
		}
	}
}

// read returns the next captured frame that is wanted.
func read(t testing.TB, c *packet.Conn, wanted func([]byte) bool) []byte {
	t.Helper()
	buf := make([]byte, 2048)
	for {
		n, _, err := c.ReadFrom(buf)
		if err != nil {
			t.Fatalf("no frame: %v", err)
		}
		if wanted(buf[:n]) {
			return buf[:n]
		}
	}
}

func link(t testing.TB, name string) netlink.Link {
	t.Helper()
	l, err := netlink.LinkByName(name)
	must(t, err)
	return l
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
