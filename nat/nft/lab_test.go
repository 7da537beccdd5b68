package nft

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"understudy/nat"
)

// lab is a client inside, a gateway, and a server outside, each in a namespace:
//
//	client 10.0.0.10 --- lan0 [gateway] wan0 --- server 203.0.113.254
//	                 10.0.0.1     203.0.113.1, .9
//
// The server has no way back to 10.0.0.0/24: what is not translated is lost to it.
type lab struct {
	t                       testing.TB
	client, gateway, server space
	a                       *Applier
}

var ( // constants, as far as Go has them for addresses
	inside     = netip.MustParseAddr("10.0.0.10")
	lanVIP     = netip.MustParseAddr("10.0.0.1")
	vip        = netip.MustParseAddr("203.0.113.1")
	vip2       = netip.MustParseAddr("203.0.113.9")
	outside    = netip.MustParseAddr("203.0.113.254")
	allOfGroup = []netip.Addr{lanVIP, vip, vip2}
)

// space is a network namespace without a name: it goes when its last user goes.
type space struct {
	t      testing.TB
	handle netns.NsHandle
}

func needRoot(t testing.TB) {
	t.Helper()
	if os.Geteuid() == 0 {
		return
	}
	if os.Getenv("CI") == "true" || os.Getenv("UNDERSTUDY_REQUIRE_NETNS") == "1" {
		t.Fatal("network namespaces need root")
	}
	t.Skip("network namespaces need root")
}

func newSpace(t testing.TB) space {
	t.Helper()
	needRoot(t)
	s := space{t: t}
	onThread(t, func() (err error) {
		s.handle, err = netns.New()
		return err
	})
	t.Cleanup(func() { _ = s.handle.Close() })
	s.do(func() error {
		lo, err := netlink.LinkByName("lo")
		if err != nil {
			return err
		}
		return netlink.LinkSetUp(lo)
	})
	return s
}

// onThread runs f on a thread of its own that ends with it, so that no other
// goroutine ever runs in the wrong namespace. It stays on one CPU: packets that f
// sends one after the other arrive one after the other.
func onThread(t testing.TB, f func() error) {
	t.Helper()
	errC := make(chan error)
	go func() {
		runtime.LockOSThread()
		var have, one unix.CPUSet
		if err := unix.SchedGetaffinity(0, &have); err == nil {
			for cpu := range 1024 {
				if have.IsSet(cpu) {
					one.Set(cpu)
					break
				}
			}
			_ = unix.SchedSetaffinity(0, &one)
		}
		errC <- f()
	}()
	if err := <-errC; err != nil {
		t.Fatal(err)
	}
}

func (s space) do(f func() error) {
	s.t.Helper()
	onThread(s.t, func() error {
		if err := netns.Set(s.handle); err != nil {
			return err
		}
		return f()
	})
}

func (s space) sysctl(name, value string) {
	s.t.Helper()
	s.do(func() error { return os.WriteFile("/proc/sys/net/"+name, []byte(value), 0) })
}

// wire joins two namespaces by a veth pair.
func wire(a space, aName, aAddr string, b space, bName string, bAddrs ...string) {
	a.t.Helper()
	up := func(name string, addrs ...string) error {
		l, err := netlink.LinkByName(name)
		if err != nil {
			return err
		}
		for _, s := range addrs {
			addr, err := netlink.ParseAddr(s)
			if err != nil {
				return err
			}
			if err := netlink.AddrAdd(l, addr); err != nil {
				return err
			}
		}
		return netlink.LinkSetUp(l)
	}
	a.do(func() error {
		attrs := netlink.NewLinkAttrs()
		attrs.Name = aName
		return netlink.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: bName, PeerNamespace: netlink.NsFd(b.handle)})
	})
	a.do(func() error { return up(aName, aAddr) })
	b.do(func() error { return up(bName, bAddrs...) })
	a.running(aName)
	b.running(bName)
}

// running waits until the kernel has noticed the carrier: before, it drops what
// is to be sent.
func (s space) running(name string) {
	s.t.Helper()
	s.do(func() error {
		for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
			l, err := netlink.LinkByName(name)
			if err != nil {
				return err
			}
			if l.Attrs().OperState == netlink.OperUp {
				return nil
			}
		}
		return fmt.Errorf("%s has no carrier", name)
	})
}

// address adds one to an interface.
func (s space) address(iface, addr string) {
	s.t.Helper()
	s.do(func() error {
		l, err := netlink.LinkByName(iface)
		if err != nil {
			return err
		}
		a, err := netlink.ParseAddr(addr)
		if err != nil {
			return err
		}
		return netlink.AddrAdd(l, a)
	})
}

func newLab(t testing.TB) *lab {
	t.Helper()
	l := &lab{t: t, client: newSpace(t), gateway: newSpace(t), server: newSpace(t)}
	wire(l.client, "eth0", "10.0.0.10/24", l.gateway, "lan0", "10.0.0.1/24")
	wire(l.server, "eth0", "203.0.113.254/24", l.gateway, "wan0", "203.0.113.1/24", "203.0.113.9/24")
	l.gateway.sysctl("ipv4/ip_forward", "1")
	l.client.do(func() error {
		return netlink.RouteAdd(&netlink.Route{Gw: net.IP(lanVIP.AsSlice())})
	})
	l.a = l.applier()
	return l
}

// applier is one more program on the gateway.
func (l *lab) applier() *Applier {
	l.t.Helper()
	a, err := Open(Config{NetNS: int(l.gateway.handle)})
	if err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() { _ = a.Close() })
	return a
}

// config translates everything the lab can send.
func config() nat.Config {
	return nat.Config{
		Sources: []nat.Source{{From: netip.MustParsePrefix("10.0.0.0/24"), Out: "wan0", To: vip}},
		Forwards: []nat.Forward{
			{Address: vip, Proto: nat.TCP, Port: 443, To: netip.AddrPortFrom(inside, 8443)},
			{Address: vip2, Proto: nat.UDP, Port: 53, To: netip.AddrPortFrom(inside, 5353)},
		},
		Groups: []nat.Group{{Name: "gateway", Addresses: allOfGroup}},
	}
}

func plan(t testing.TB, c nat.Config) nat.Plan {
	t.Helper()
	p, err := nat.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func (l *lab) apply(c nat.Config) Report {
	l.t.Helper()
	r, err := l.a.Apply(plan(l.t, c))
	if err != nil {
		l.t.Fatal(err)
	}
	return r
}

// active is a lab whose gateway translates and whose gate is open.
func active(t testing.TB) *lab {
	t.Helper()
	l := newLab(t)
	l.apply(config())
	l.must(l.a.OpenGate(allOfGroup))
	return l
}

func (l *lab) must(err error) {
	l.t.Helper()
	if err != nil {
		l.t.Fatal(err)
	}
}

func (l *lab) counters() Counters {
	l.t.Helper()
	c, err := l.a.Counters()
	l.must(err)
	return c
}

// flows are the gateway's conntrack entries of a protocol.
func (l *lab) flows(proto uint8) (out []*netlink.ConntrackFlow) {
	l.t.Helper()
	l.gateway.do(func() error {
		all, err := netlink.ConntrackTableList(netlink.ConntrackTable, unix.AF_INET)
		for _, f := range all {
			if f.Forward.Protocol == proto {
				out = append(out, f)
			}
		}
		return err
	})
	return out
}
