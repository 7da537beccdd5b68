package ranet

import (
	"net"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/mdlayher/packet"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// bench is a router and a host on one wire, each in a namespace of its own:
//
//	[ router: lan0 ]────veth────[ host0: host ]
//
// The test's thread is in the router's namespace.
type bench struct{ router, host netns.NsHandle }

func newBench(t *testing.T) *bench {
	t.Helper()
	if os.Geteuid() != 0 {
		if os.Getenv("CI") == "true" || os.Getenv("UNDERSTUDY_REQUIRE_NETNS") == "1" {
			t.Fatal("needs root: network namespaces are required here")
		}
		t.Skip("needs root: makes network namespaces")
	}
	// The thread is never given back: it and the namespaces end with the test.
	runtime.LockOSThread()
	fresh := func() netns.NsHandle {
		ns, err := netns.New()
		must(t, err)
		t.Cleanup(func() { _ = ns.Close() })
		return ns
	}
	b := &bench{host: fresh(), router: fresh()}
	attrs := netlink.NewLinkAttrs()
	attrs.Name = "lan0"
	must(t, netlink.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: "host0", PeerNamespace: netlink.NsFd(b.host)}))
	b.atHost(t, func() { must(t, netlink.LinkSetUp(link(t, "host0"))) })
	must(t, netlink.LinkSetUp(link(t, "lan0")))
	return b
}

func (b *bench) atHost(t *testing.T, fn func()) {
	t.Helper()
	must(t, netns.Set(b.host))
	defer func() { must(t, netns.Set(b.router)) }()
	fn()
}

// socket is a packet socket on the host.
func (b *bench) socket(t *testing.T) *packet.Conn {
	t.Helper()
	var c *packet.Conn
	b.atHost(t, func() {
		a := link(t, "host0").Attrs()
		var err error
		c, err = packet.Listen(&net.Interface{Index: a.Index, Name: a.Name}, packet.Raw, unix.ETH_P_IPV6, nil)
		must(t, err)
	})
	t.Cleanup(func() { _ = c.Close() })
	must(t, c.SetReadDeadline(time.Now().Add(30*time.Second)))
	return c
}

func link(t *testing.T, name string) netlink.Link {
	t.Helper()
	l, err := netlink.LinkByName(name)
	must(t, err)
	return l
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// frame is an IPv6 packet from a host at fe80::9 to ff02::2, in its frame.
func frame(t *testing.T, kind byte) []byte {
	t.Helper()
	src, dst := netip.MustParseAddr("fe80::9").As16(), netip.MustParseAddr("ff02::2").As16()
	b := []byte{0x33, 0x33, 0, 0, 0, 2, 2, 0, 0, 0, 1, 9, 0x86, 0xdd, 0x60, 0, 0, 0, 0, 8, 58, 255}
	b = append(append(append(b, src[:]...), dst[:]...), kind, 0, 0, 0, 0, 0, 0, 0)
	for sum := 0; !sums(b); sum++ { // by trying: nothing of the code's own
		b[56], b[57] = byte(sum>>8), byte(sum)
	}
	return b
}

// A port's frames are on the wire as they are, and what it hears is what hosts ask:
// not its own, nothing else, and after the link was down as before.
func TestPort(t *testing.T) {
	b := newBench(t)
	asked := make(chan string, 16)
	w, err := openPort("lan0", asked)
	must(t, err)
	p := w.(*port)
	defer p.close()
	if got := link(t, "lan0").Attrs().HardwareAddr.String(); p.mac().String() != got || !p.current() {
		t.Errorf("the port has %v, the interface %s; current %v", p.mac(), got, p.current())
	}

	question := frame(t, 133)
	host := b.socket(t)
	said, err := Frame(whole(), linkLocal, virtual, false)
	must(t, err)
	must(t, p.send(said))
	buf := make([]byte, 2048)
	for {
		n, _, err := host.ReadFrom(buf)
		must(t, err)
		if string(buf[:n]) == string(said) {
			break
		}
	}

	ask := func(b []byte) {
		_, err := host.WriteTo(b, &packet.Addr{HardwareAddr: net.HardwareAddr(b[:6])})
		must(t, err)
	}
	must(t, p.send(question)) // our own
	ask(frame(t, 134))
	ask(frame(t, 135))
	bad := slices.Clone(question)
	bad[57] ^= 1
	ask(bad)
	elsewhere := slices.Clone(question)
	copy(elsewhere, []byte{2, 0, 0, 0, 0, 0x99}) // somebody else's MAC
	ask(elsewhere)
	select {
	case name := <-asked:
		t.Errorf("somebody asks on %s", name)
	case <-time.After(100 * time.Millisecond):
	}
	hears := func() {
		t.Helper()
		for end := time.Now().Add(30 * time.Second); ; {
			ask(question)
			select {
			case name := <-asked:
				if name != "lan0" {
					t.Errorf("asked on %s", name)
				}
				return
			case <-time.After(20 * time.Millisecond):
				if time.Now().After(end) {
					t.Fatal("a solicitation is not heard")
				}
			}
		}
	}
	hears()
	must(t, netlink.LinkSetDown(link(t, "lan0")))
	if err := p.send(said); err == nil {
		t.Error("sent by an interface that is down")
	}
	must(t, netlink.LinkSetUp(link(t, "lan0")))
	hears()
	for range 1000 { // more than fit: nobody waits, and one is left to be answered
		ask(question)
	}
	hears()

	must(t, netlink.LinkDel(link(t, "lan0")))
	if p.current() {
		t.Error("current, and the interface is gone")
	}
	if _, err := openPort("lan0", asked); err == nil {
		t.Error("opened an interface that is not there")
	}
	if _, err := openPort("lo", asked); err == nil {
		t.Error("opened an interface that is no Ethernet")
	}
}
