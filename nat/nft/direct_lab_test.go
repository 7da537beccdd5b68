package nft_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"understudy/appliance/lab"
	"understudy/health"
	"understudy/nat"
	"understudy/nat/entry"
	"understudy/nat/nft"
)

// directLab is
//
//	client 192.0.2.9 ──┬── wan [gateway] lan ──┬── server 0  10.0.0.20
//	                   │  192.0.2.1, VIP .10   ├── server 1  10.0.0.21
//	                   └───────────────────────┴── server 2  10.0.0.22
//
// and the same in IPv6. The gateway does not forward. Servers have the VIP on lo, and
// answer by their own links to the client's network.
type directLab struct {
	t               testing.TB
	nft.Caller      // the client
	client, gateway *lab.Node
	servers         []*lab.Node
	d               handing
}

// handing is what hands packets on.
type handing interface {
	Apply(points []entry.Point) (changed bool, err error)
	Steer(points ...entry.Point) error
	Remember(name string, clients []nft.Remembered) error
	Flows(name string) ([]nft.DirectFlow, error)
	Forget(name string, flows []nft.DirectFlow) error
	Counters() (nft.EntryCounters, error)
	Clean() error
}

func directServer(six bool, i int) netip.Addr {
	if six {
		return netip.MustParseAddr(fmt.Sprintf("2001:db8:1::2%d", i))
	}
	return netip.MustParseAddr(fmt.Sprintf("10.0.0.2%d", i))
}

func newDirectLab(t testing.TB) *directLab { return newHandingLab(t, false) }

// newHandingLab makes a directLab whose servers are far, or near. Far ones are behind a
// router:
//
//	gateway lan ── router 10.0.0.254, 10.9.0.1 ── server N  10.9.0.2N
func newHandingLab(t testing.TB, far bool) *directLab {
	t.Helper()
	l := lab.NewT(t)
	wan, lan := l.Segment("wan"), l.Segment("lan")
	n := &directLab{t: t, client: l.Node("client"), gateway: l.Node("gateway")}
	n.Caller = nft.NewCaller(t, n.client.Do)
	l.Join(n.client, wan, "eth0", "192.0.2.9/24", "2001:db8:9::9/64")
	l.Join(n.gateway, wan, "wan0", "192.0.2.1/24", "192.0.2.10/32", "2001:db8:9::1/64", "2001:db8:9::10/128")
	l.Join(n.gateway, lan, "lan0", "10.0.0.1/24", "2001:db8:1::1/64")
	at, own4, own6 := lan, "10.0.0.2%d/24", "2001:db8:1::2%d/64"
	if far {
		at, own4, own6 = l.Segment("far"), "10.9.0.2%d/24", "2001:db8:2::2%d/64"
		router := l.Node("router")
		n.must(router.Sysctl("ipv4/ip_forward", "1"))
		n.must(router.Sysctl("ipv6/conf/all/forwarding", "1"))
		l.Join(router, lan, "eth0", "10.0.0.254/24", "2001:db8:1::fe/64")
		l.Join(router, at, "eth1", "10.9.0.1/24", "2001:db8:2::1/64")
		n.must(n.gateway.Route("10.9.0.0/24", "10.0.0.254"))
		n.must(n.gateway.Route("2001:db8:2::/64", "2001:db8:1::fe"))
	}
	for i := range directServers {
		s := l.Node(fmt.Sprint("server", i))
		for _, v := range [][2]string{{"ipv4/conf/all/arp_ignore", "1"}, {"ipv4/conf/all/arp_announce", "2"}, {"ipv4/conf/all/rp_filter", "0"}, {"ipv4/conf/default/rp_filter", "0"}} {
			n.must(s.Sysctl(v[0], v[1]))
		}
		l.Join(s, at, "eth0", fmt.Sprintf(own4, i), fmt.Sprintf(own6, i))
		l.Join(s, wan, "eth1", fmt.Sprintf("192.0.2.2%d/24", i), fmt.Sprintf("2001:db8:9::2%d/64", i))
		lo, err := s.Netlink().LinkByName("lo")
		n.must(err)
		for _, six := range []bool{false, true} {
			v := directVIPs[six]
			n.must(s.Netlink().AddrAdd(lo, &netlink.Addr{IPNet: &net.IPNet{IP: v.AsSlice(), Mask: net.CIDRMask(v.BitLen(), v.BitLen())}, Flags: unix.IFA_F_NODAD}))
		}
		n.servers = append(n.servers, s)
	}
	n.d = n.program()
	return n
}

func (n *directLab) must(err error) {
	n.t.Helper()
	if err != nil {
		n.t.Fatal(err)
	}
}

// program is one more on the gateway.
func (n *directLab) program() (d *nft.Direct) {
	n.t.Helper()
	// It may have to open its socket again, from any thread.
	var at netns.NsHandle
	n.must(n.gateway.Do(func() (err error) { at, err = netns.Get(); return err }))
	d, err := nft.OpenDirect(nft.Config{NetNS: int(at)})
	n.must(err)
	n.t.Cleanup(func() { n.must(errors.Join(d.Close(), at.Close())) })
	return d
}

// direct is an entry point; change, if not nil, makes another of it.
func direct(six bool, steer entry.Steer, change func(*entry.Config)) *entry.Set {
	c := entry.Config{Name: "web", Steer: steer, OnFailure: entry.Reset, Direct: true,
		Match: entry.Match{Address: directVIPs[six], Proto: nat.TCP, Ports: nat.Ports{First: 80, Last: 80}}}
	for i := range directServers {
		c.Servers = append(c.Servers, entry.Server{Address: netip.AddrPortFrom(directServer(six, i), 0), Check: fmt.Sprint(i), Weight: 1})
	}
	if change != nil {
		change(&c)
	}
	return entry.New(time.Now(), c)
}

func (n *directLab) apply(sets ...*entry.Set) {
	n.t.Helper()
	var points []entry.Point
	for _, s := range sets {
		points = append(points, s.Point())
	}
	_, err := n.d.Apply(points)
	n.must(err)
}

func (n *directLab) step(s *entry.Set, in entry.Input) {
	n.t.Helper()
	if out := s.Step(time.Now(), in); out.Changed {
		n.must(n.d.Steer(s.Point()))
	}
}

func (n *directLab) is(s *entry.Set, server int, state health.State) {
	n.t.Helper()
	n.step(s, entry.Input{Kind: entry.InHealth, Check: fmt.Sprint(server), State: state})
}

// serve has every server accept connections at the VIP.
func (n *directLab) serve(six bool, port uint16) {
	n.t.Helper()
	for i, s := range n.servers {
		var l net.Listener
		n.must(s.Do(func() (err error) {
			l, err = net.Listen("tcp", netip.AddrPortFrom(directVIPs[six], port).String())
			return err
		}))
		nft.Number(n.t, l, i)
	}
}

// cut says something on a connection, and tells whether it has been reset, just now or
// already: an acknowledgement that was late may have been answered so.
func (n *directLab) cut(c net.Conn) bool {
	n.t.Helper()
	b := []byte{'?'}
	_, err := c.Write(b)
	if err == nil {
		_, err = io.ReadFull(c, b)
	}
	if err != nil && !errors.Is(err, unix.ECONNRESET) && !errors.Is(err, unix.EPIPE) {
		n.t.Fatal(err)
	}
	return err != nil
}

func vipOf(s *entry.Set) netip.AddrPort {
	m := s.Config().Match
	return netip.AddrPortFrom(m.Address, m.Ports.First)
}

// families runs a test over both, in one network.
func (n *directLab) families(f func(six bool)) {
	for _, six := range []bool{false, true} {
		n.serve(six, 80)
		f(six)
	}
}
