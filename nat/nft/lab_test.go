package nft

import (
	"encoding/binary"
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
		for deadline := time.Now().Add(5 * time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
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

// packet is an IPv4 packet; what it means depends on proto.
type packet struct {
	src, dst     netip.Addr
	proto        byte
	sport, dport uint16 // ICMP: type<<8 | code, identifier
	flags        byte   // TCP
}

const (
	fin, syn, rst, ack = 1, 2, 4, 16
	echo, echoReply    = 8 << 8, 0
)

func (p packet) String() string {
	return fmt.Sprintf("%v:%d > %v:%d proto %d flags %#x", p.src, p.sport, p.dst, p.dport, p.proto, p.flags)
}

// bytes writes the packet with a valid transport checksum; the kernel fills in
// the one of the IP header.
func (p packet) bytes() []byte {
	n := map[byte]int{unix.IPPROTO_TCP: 20, unix.IPPROTO_UDP: 8, unix.IPPROTO_ICMP: 8}[p.proto]
	b := make([]byte, 20+max(n, 8))
	b[0], b[8], b[9] = 0x45, 64, p.proto
	copy(b[12:], p.src.AsSlice())
	copy(b[16:], p.dst.AsSlice())
	th := b[20:]
	pseudo := append(append([]byte{}, b[12:20]...), 0, p.proto, 0, byte(len(th)))
	switch p.proto {
	case unix.IPPROTO_ICMP:
		binary.BigEndian.PutUint16(th, p.sport)
		binary.BigEndian.PutUint16(th[4:], p.dport)
		binary.BigEndian.PutUint16(th[2:], checksum(th))
	case unix.IPPROTO_UDP:
		binary.BigEndian.PutUint16(th, p.sport)
		binary.BigEndian.PutUint16(th[2:], p.dport)
		binary.BigEndian.PutUint16(th[4:], uint16(len(th)))
		binary.BigEndian.PutUint16(th[6:], checksum(append(pseudo, th...)))
	case unix.IPPROTO_TCP:
		binary.BigEndian.PutUint16(th, p.sport)
		binary.BigEndian.PutUint16(th[2:], p.dport)
		binary.BigEndian.PutUint32(th[4:], 1000)
		binary.BigEndian.PutUint32(th[8:], 2000)
		th[12], th[13] = 5<<4, p.flags
		binary.BigEndian.PutUint16(th[14:], 1024)
		binary.BigEndian.PutUint16(th[16:], checksum(append(pseudo, th...)))
	}
	return b
}

func checksum(b []byte) uint16 {
	var sum uint32
	for i := 0; i+1 < len(b); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}

func parse(b []byte) (p packet, ok bool) {
	if len(b) < 28 || b[0] != 0x45 {
		return p, false
	}
	p.src, p.dst, p.proto = netip.AddrFrom4([4]byte(b[12:])), netip.AddrFrom4([4]byte(b[16:])), b[9]
	th := b[20:]
	switch p.proto {
	case unix.IPPROTO_ICMP:
		p.sport, p.dport = binary.BigEndian.Uint16(th), binary.BigEndian.Uint16(th[4:])
	case unix.IPPROTO_TCP, unix.IPPROTO_UDP:
		p.sport, p.dport = binary.BigEndian.Uint16(th), binary.BigEndian.Uint16(th[2:])
	}
	if p.proto == unix.IPPROTO_TCP {
		p.flags = th[13]
	}
	return p, true
}

// send puts packets on the wire as they are, in order.
func (s space) send(ps ...packet) {
	s.t.Helper()
	s.do(func() error {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_RAW)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		for _, p := range ps {
			if err := unix.Sendto(fd, p.bytes(), 0, &unix.SockaddrInet4{Addr: p.dst.As4()}); err != nil {
				return fmt.Errorf("send %v: %w", p, err)
			}
		}
		return nil
	})
}

// capture sees what arrives on eth0 of a namespace.
type capture struct {
	t  testing.TB
	fd int
}

func (s space) capture() capture {
	s.t.Helper()
	c := capture{t: s.t}
	s.do(func() (err error) {
		c.fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, int(htons(unix.ETH_P_IP)))
		if err != nil {
			return err
		}
		return unix.SetsockoptTimeval(c.fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 5})
	})
	s.t.Cleanup(func() { unix.Close(c.fd) })
	return c
}

func htons(v uint16) uint16 { return v<<8 | v>>8 }

// until returns what arrives up to and including the first packet that is wanted.
// That it comes at all proves that what is not among those before it was not sent.
func (c capture) until(what string, wanted func(packet) bool) (before []packet, last packet) {
	c.t.Helper()
	b := make([]byte, 2048)
	for deadline := time.Now().Add(5 * time.Second); ; {
		n, from, err := unix.Recvfrom(c.fd, b, 0)
		if err == unix.EINTR {
			continue
		}
		if err != nil || time.Now().After(deadline) {
			c.t.Fatalf("no %s arrived (%v), only %v", what, err, before)
		}
		if ll, ok := from.(*unix.SockaddrLinklayer); !ok || ll.Pkttype == unix.PACKET_OUTGOING {
			continue
		}
		p, ok := parse(b[:n])
		if !ok {
			continue
		}
		if wanted(p) {
			return before, p
		}
		before = append(before, p)
	}
}

// mark is a packet that every rule lets through, sent after those under test.
func mark(src, dst netip.Addr) packet {
	return packet{src: src, dst: dst, proto: unix.IPPROTO_UDP, sport: 9, dport: 9}
}

func isMark(p packet) bool { return p.proto == unix.IPPROTO_UDP && p.dport == 9 }
