package nft_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os/exec"
	"slices"
	"testing"
	"time"

	"github.com/google/nftables"
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

const directServers = 3

var directVIPs = map[bool]netip.Addr{false: netip.MustParseAddr("192.0.2.10"), true: netip.MustParseAddr("2001:db8:9::10")}

func directServer(six bool, i int) netip.Addr {
	if six {
		return netip.MustParseAddr(fmt.Sprintf("2001:db8:1::2%d", i))
	}
	return netip.MustParseAddr(fmt.Sprintf("10.0.0.2%d", i))
}

func newDirectLab(t testing.TB) *directLab {
	t.Helper()
	l := lab.NewT(t)
	wan, lan := l.Segment("wan"), l.Segment("lan")
	n := &directLab{t: t, client: l.Node("client"), gateway: l.Node("gateway")}
	l.Join(n.client, wan, "eth0", "192.0.2.9/24", "2001:db8:9::9/64")
	l.Join(n.gateway, wan, "wan0", "192.0.2.1/24", "192.0.2.10/32", "2001:db8:9::1/64", "2001:db8:9::10/128")
	l.Join(n.gateway, lan, "lan0", "10.0.0.1/24", "2001:db8:1::1/64")
	for i := range directServers {
		s := l.Node(fmt.Sprint("server", i))
		for _, v := range [][2]string{{"ipv4/conf/all/arp_ignore", "1"}, {"ipv4/conf/all/arp_announce", "2"}, {"ipv4/conf/all/rp_filter", "0"}, {"ipv4/conf/default/rp_filter", "0"}} {
			n.must(s.Sysctl(v[0], v[1]))
		}
		l.Join(s, lan, "eth0", fmt.Sprintf("10.0.0.2%d/24", i), fmt.Sprintf("2001:db8:1::2%d/64", i))
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

// serve has every server accept connections at the VIP, and echo what it hears behind its
// own number.
func (n *directLab) serve(six bool, port uint16) {
	n.t.Helper()
	for i, s := range n.servers {
		var l net.Listener
		n.must(s.Do(func() (err error) {
			l, err = net.Listen("tcp", netip.AddrPortFrom(directVIPs[six], port).String())
			return err
		}))
		n.t.Cleanup(func() { l.Close() })
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				n.t.Cleanup(func() { c.Close() })
				go func() {
					b := make([]byte, 1)
					for {
						if _, err := io.ReadFull(c, b); err != nil {
							c.Close()
							return
						}
						if _, err := c.Write([]byte{byte('0' + i)}); err != nil {
							return
						}
					}
				}()
			}
		}()
	}
}

func (n *directLab) call(from netip.Addr, to netip.AddrPort) (c net.Conn, err error) {
	n.t.Helper()
	d := net.Dialer{Timeout: 20 * time.Second, KeepAlive: -1}
	if from.IsValid() {
		d.LocalAddr = &net.TCPAddr{IP: from.AsSlice()}
	}
	for end := time.Now().Add(20 * time.Second); ; { // who has a fresh address of IPv6 may not be found at once
		err = n.client.Do(func() (err error) { c, err = d.Dial("tcp", to.String()); return err })
		if err == nil {
			break
		}
		if !errors.Is(err, unix.EHOSTUNREACH) || time.Now().After(end) {
			return nil, err
		}
	}
	n.t.Cleanup(func() { c.Close() })
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	return c, nil
}

// ask returns which server answers on a connection, several times.
func (n *directLab) ask(c net.Conn) int {
	n.t.Helper()
	who := -1
	for range 3 {
		b := []byte{'?'}
		_, err := c.Write(b)
		n.must(err)
		_, err = io.ReadFull(c, b)
		n.must(err)
		if got := int(b[0] - '0'); who >= 0 && got != who {
			n.t.Fatalf("server %d answers, then server %d", who, got)
		} else {
			who = got
		}
	}
	return who
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

func (n *directLab) who(from netip.Addr, s *entry.Set) int {
	n.t.Helper()
	c, err := n.call(from, vipOf(s))
	n.must(err)
	defer c.Close()
	return n.ask(c)
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

// Every way to steer: flows are distributed, each whole flow is one server's, whatever
// becomes of the table; who dies has none.
func TestDirectSteering(t *testing.T) {
	n := newDirectLab(t)
	n.families(func(six bool) {
		clients := make([]netip.Addr, 12)
		next := map[bool]netip.Addr{false: netip.MustParseAddr("192.0.2.100"), true: netip.MustParseAddr("2001:db8:9::100")}[six]
		for i := range clients {
			clients[i] = next
			n.must(n.client.Link("eth0").AddAddr(netip.PrefixFrom(next, map[bool]int{false: 24, true: 64}[six])))
			next = next.Next()
		}
		for _, steer := range entry.Steers() {
			t.Run(fmt.Sprintf("%s six %v", steer, six), func(t *testing.T) {
				s := direct(six, steer, func(c *entry.Config) {
					if steer == entry.Weighted {
						c.Servers[0].Weight = 4
					}
				})
				n.apply(s)
				const flows = 48
				count, at, conns := make([]int, directServers), []int{}, []net.Conn{}
				for i := range flows {
					client := clients[i%len(clients)]
					c, err := n.call(client, vipOf(s))
					n.must(err)
					got := n.ask(c)
					if want := int(s.Table().Slots[entry.SlotOf(client, len(s.Table().Slots))]); steer.ByClient() && got != want {
						t.Errorf("%v is with server %d; any node would say %d", client, got, want)
					}
					conns, at = append(conns, c), append(at, got)
					count[got]++
				}
				switch {
				case steer == entry.Primary && count[0] != flows,
					steer != entry.Primary && slices.Contains(count, 0),
					steer == entry.Weighted && count[0] < flows/3: // two thirds are due
					t.Errorf("of %d flows the servers have %v", flows, count)
				}
				known, err := n.d.Flows("web")
				n.must(err)
				held := make([]int, directServers)
				for _, w := range known {
					if !w.Ended && slices.ContainsFunc(conns, func(c net.Conn) bool { return c.LocalAddr().(*net.TCPAddr).AddrPort() == w.Client }) {
						held[w.Server]++
					}
				}
				if !slices.Equal(held, count) {
					t.Errorf("flows known are %v of %v", held, count)
				}
				// Drained: flows stay, and new ones go elsewhere.
				first := n.ask(conns[0])
				n.step(s, entry.Input{Kind: entry.InDrain, Server: s.Config().Servers[first].Address, On: true})
				for i, c := range conns {
					if got := n.ask(c); i == 0 && got != first {
						t.Errorf("a flow of server %d, which is drained, is with %d", first, got)
					}
				}
				for _, client := range clients {
					if got := n.who(client, s); got == first {
						t.Errorf("server %d is drained, and gets new flows", first)
					}
				}
				// Dead: its flows are reset when they say something, the others' go on.
				n.is(s, first, health.Down)
				for i, c := range conns {
					if cut := n.cut(c); cut != (at[i] == first) {
						t.Errorf("flow %d of server %d, server %d dead: cut %v", i, at[i], first, cut)
					}
				}
				c, err := n.d.Counters()
				n.must(err)
				if got := c.New["web"]; got < flows {
					t.Errorf("%d new flows counted, want at least %d", got, flows)
				}
				n.apply()
			})
		}
	})
}

// on_failure "keep" leaves flows with a server that is down; the end of a flow is noted,
// and its ports may begin another one.
func TestDirectKeepAndEnd(t *testing.T) {
	n := newDirectLab(t)
	n.families(func(six bool) {
		s := direct(six, entry.Primary, func(c *entry.Config) { c.OnFailure = entry.Keep })
		n.apply(s)
		c, err := n.call(netip.Addr{}, vipOf(s))
		n.must(err)
		n.ask(c)
		n.is(s, 0, health.Down)
		if got := n.ask(c); got != 0 {
			t.Errorf("six %v: server %d answers", six, got)
		}
		if got := n.who(netip.Addr{}, s); got != 1 {
			t.Errorf("six %v: a new flow is with server %d", six, got)
		}
		port := c.LocalAddr().(*net.TCPAddr).Port
		// Ended, with a reset, so that the client may use the port again.
		n.must(c.(*net.TCPConn).SetLinger(0))
		n.must(c.Close())
		for end := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
			known, err := n.d.Flows("web")
			n.must(err)
			if slices.ContainsFunc(known, func(w nft.DirectFlow) bool { return w.Client.Port() == uint16(port) && w.Ended && w.Server == 0 }) {
				break
			}
			if time.Now().After(end) {
				t.Fatalf("six %v: the end of port %d is not noted: %v", six, port, known)
			}
		}
		d := net.Dialer{LocalAddr: &net.TCPAddr{Port: port}, Timeout: 20 * time.Second}
		n.must(n.client.Do(func() (err error) { c, err = d.Dial("tcp", vipOf(s).String()); return err }))
		_ = c.SetDeadline(time.Now().Add(20 * time.Second))
		if got := n.ask(c); got != 1 {
			t.Errorf("six %v: a new flow of the same ports is with server %d", six, got)
		}
		// All of the flows are forgotten, one that is not there as well: they go where new
		// ones would, which is where they are.
		known, err := n.d.Flows("web")
		n.must(err)
		if n.must(n.d.Forget("web", append(known, known[0]))); n.ask(c) != 1 {
			t.Errorf("six %v: forgotten, and elsewhere", six)
		}
		c.Close()
		n.apply()
	})
}

// A node that has never heard of a flow hands it to the server that has it.
func TestDirectTakeover(t *testing.T) {
	n := newDirectLab(t)
	n.families(func(six bool) {
		for _, steer := range entry.Steers() {
			for _, persist := range []time.Duration{0, time.Minute} {
				s := direct(six, steer, func(c *entry.Config) { c.Persist = persist })
				n.apply(s)
				var conns []net.Conn
				var at []int
				for range 9 {
					c, err := n.call(netip.Addr{}, vipOf(s))
					n.must(err)
					conns, at = append(conns, c), append(at, n.ask(c))
				}
				// Nothing arrives between one node and the next.
				n.must(n.gateway.Link("wan0").Silence())
				n.must(n.d.Clean())
				n.apply(s)
				n.must(n.gateway.Link("wan0").Unsilence())
				for i, c := range slices.Backward(conns) { // not the one that was steered first
					if got := n.ask(c); got != at[i] {
						t.Errorf("%s, persist %v: with server %d, was with %d", steer, persist, got, at[i])
					}
				}
				if persist > 0 && len(slices.Compact(at)) != 1 {
					t.Errorf("%s: one client is with servers %v", steer, at)
				}
				n.apply()
			}
		}
	})
}

// A client stays with its server, until that dies.
func TestDirectPersist(t *testing.T) {
	n := newDirectLab(t)
	n.families(func(six bool) {
		s := direct(six, entry.RoundRobin, func(c *entry.Config) { c.Persist = time.Minute })
		n.apply(s)
		first := n.who(netip.Addr{}, s)
		n.is(s, first, health.Down)
		second := n.who(netip.Addr{}, s)
		n.is(s, first, health.Up)
		for range 4 {
			if got := n.who(netip.Addr{}, s); got != second || got == first {
				t.Errorf("with server %d, then %d, then %d", first, second, got)
			}
		}
		from := map[bool]netip.Addr{false: netip.MustParseAddr("192.0.2.9"), true: netip.MustParseAddr("2001:db8:9::9")}[six]
		n.must(n.d.Remember("web", []nft.Remembered{{Client: from, Server: first}}))
		if got := n.who(netip.Addr{}, s); got != first {
			t.Errorf("with server %d, was told %d", got, first)
		}
		n.apply()
	})
}

// What nobody serves is refused; by a mark; a range of ports.
func TestDirectOffers(t *testing.T) {
	n := newDirectLab(t)
	n.must(n.gateway.Do(func() error {
		c, err := nftables.New()
		if err != nil {
			return err
		}
		return nft.MarkPort(c, 9090, 16)
	}))
	n.families(func(six bool) {
		n.serve(six, 9090)
		n.serve(six, 85)
		mark := direct(six, entry.RoundRobin, func(c *entry.Config) { c.Name, c.Match = "marked", entry.Match{Mark: 16} })
		s := direct(six, entry.RoundRobin, func(c *entry.Config) { c.Match.Ports.Last = 89 })
		n.apply(s, mark)
		for _, port := range []uint16{80, 85, 9090} {
			seen := map[int]bool{}
			for range 40 {
				c, err := n.call(netip.Addr{}, netip.AddrPortFrom(directVIPs[six], port))
				n.must(err)
				seen[n.ask(c)] = true
				c.Close()
			}
			if len(seen) != directServers {
				t.Errorf("six %v, port %d: servers %v have answered", six, port, seen)
			}
		}
		for i := range directServers {
			n.is(s, i, health.Down)
			n.is(mark, i, health.Down)
		}
		for _, port := range []uint16{80, 9090} {
			if _, err := n.call(netip.Addr{}, netip.AddrPortFrom(directVIPs[six], port)); !errors.Is(err, unix.ECONNREFUSED) {
				t.Errorf("six %v, port %d: nobody serves: %v", six, port, err)
			}
		}
		if c, err := n.d.Counters(); err != nil || c.Unserved < 2 {
			t.Errorf("six %v: %d refused (%v)", six, c.Unserved, err)
		}
		n.is(s, 2, health.Up)
		if got := n.who(netip.Addr{}, s); got != 2 {
			t.Errorf("six %v: server %d answers", six, got)
		}
		n.apply()
	})
}

// Datagrams of a flow go to one server, and ICMP errors about what it sends go to it too.
func TestDirectDatagramsAndErrors(t *testing.T) {
	n := newDirectLab(t)
	for _, six := range []bool{false, true} {
		s := direct(six, entry.RoundRobin, func(c *entry.Config) { c.Match.Proto = nat.UDP })
		n.apply(s)
		type arrival struct {
			server int
			what   string
		}
		arrived, errs := make(chan arrival, 64), make(chan int, 8)
		for i, node := range n.servers {
			var c *net.UDPConn
			n.must(node.Do(func() (err error) {
				c, err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(vipOf(s)))
				return err
			}))
			t.Cleanup(func() { c.Close() })
			go func() {
				b := make([]byte, 4096)
				for {
					size, from, err := c.ReadFrom(b)
					if err != nil {
						return
					}
					_, _ = c.WriteTo(b[:size], from)
					arrived <- arrival{i, string(b[:size])}
				}
			}()
			n.hearErrors(node, six, func() { errs <- i })
		}
		var c net.Conn
		n.must(n.client.Do(func() (err error) { c, err = net.Dial("udp", vipOf(s).String()); return err }))
		t.Cleanup(func() { c.Close() })
		send := func(what string) int {
			_, err := c.Write([]byte(what))
			n.must(err)
			n.must(c.SetReadDeadline(time.Now().Add(20 * time.Second)))
			b := make([]byte, 4096)
			size, err := c.Read(b)
			n.must(err)
			if string(b[:size]) != what {
				t.Fatalf("%d bytes are answered with %d", len(what), size)
			}
			return (<-arrived).server
		}
		first := send("one")
		for i := range directServers {
			if i != first { // the table says otherwise now, the flow stays
				n.step(s, entry.Input{Kind: entry.InDrain, Server: s.Config().Servers[first].Address, On: true})
			}
		}
		for range 4 {
			if got := send("more"); got != first {
				t.Errorf("six %v: a datagram goes to server %d, the first went to %d", six, got, first)
			}
		}
		n.sendError(six, vipOf(s), c.LocalAddr().(*net.UDPAddr).AddrPort())
		select {
		case got := <-errs:
			if got != first {
				t.Errorf("six %v: an error about server %d goes to %d", six, first, got)
			}
		case <-time.After(20 * time.Second):
			t.Errorf("six %v: no server hears of the error", six)
		}
		n.apply()
	}
}

// hearErrors calls fn for each ICMP error that a node gets about a datagram.
func (n *directLab) hearErrors(node *lab.Node, six bool, fn func()) {
	n.t.Helper()
	network, address, typ := "ip4:icmp", "0.0.0.0", byte(3)
	if six {
		network, address, typ = "ip6:ipv6-icmp", "::", 2
	}
	var c net.PacketConn
	n.must(node.Do(func() (err error) { c, err = net.ListenPacket(network, address); return err }))
	n.t.Cleanup(func() { c.Close() })
	go func() {
		b := make([]byte, 2048)
		for {
			size, _, err := c.ReadFrom(b)
			if err != nil {
				return
			}
			if size > 0 && b[0] == typ {
				fn()
			}
		}
	}()
}

// sendError has the client's host say that a datagram of the VIP's was too big.
func (n *directLab) sendError(six bool, from, to netip.AddrPort) {
	n.t.Helper()
	var about []byte
	if six {
		about = make([]byte, 48)
		about[0], about[5], about[6], about[7] = 0x60, 8, unix.IPPROTO_UDP, 60
		copy(about[8:], from.Addr().AsSlice())
		copy(about[24:], to.Addr().AsSlice())
	} else {
		about = make([]byte, 28)
		about[0], about[3], about[8], about[9] = 0x45, 28, 60, unix.IPPROTO_UDP
		copy(about[12:], from.Addr().AsSlice())
		copy(about[16:], to.Addr().AsSlice())
	}
	ports := about[len(about)-8:]
	binary.BigEndian.PutUint16(ports, from.Port())
	binary.BigEndian.PutUint16(ports[2:], to.Port())
	binary.BigEndian.PutUint16(ports[4:], 8)
	network, header := "ip4:icmp", []byte{3, 4, 0, 0, 0, 0, 0x05, 0x14}
	if six {
		network, header = "ip6:ipv6-icmp", []byte{2, 0, 0, 0, 0, 0, 0x05, 0x14}
	}
	b := append(header, about...)
	if !six { // that of IPv6 is the kernel's affair
		sum := uint32(0)
		for i := 0; i < len(b); i += 2 {
			sum += uint32(binary.BigEndian.Uint16(b[i:]))
		}
		for sum > 0xffff {
			sum = sum>>16 + sum&0xffff
		}
		binary.BigEndian.PutUint16(b[2:], ^uint16(sum))
	}
	n.must(n.client.Do(func() error {
		c, err := net.Dial(network, from.Addr().String())
		if err != nil {
			return err
		}
		defer c.Close()
		_, err = c.Write(b)
		return err
	}))
}

// nftLists has Debian's nft list the ruleset, which it has to be able to.
func nftLists(t testing.TB, in func(func() error) error) {
	t.Helper()
	var out []byte
	if err := in(func() (err error) { out, err = exec.Command("nft", "list", "ruleset").CombinedOutput(); return err }); err != nil || bytes.Contains(out, []byte("Error")) {
		t.Errorf("nft list ruleset: %v: %.2000s", err, out)
	}
}

// The tables say after a change of a server what they would say if they were made anew;
// somebody else's hand is undone; nothing is left.
func TestDirectTables(t *testing.T) {
	n := newDirectLab(t)
	n.serve(false, 80)
	if err := n.program().Can(); err != nil {
		t.Fatal(err)
	}
	six := direct(true, entry.Primary, func(c *entry.Config) { c.Name = "six" })
	for _, steer := range entry.Steers() {
		for _, persist := range []time.Duration{0, time.Minute} {
			s := direct(false, steer, func(c *entry.Config) { c.Persist = persist })
			n.apply(s, six)
			nftLists(t, n.gateway.Do)
			for _, step := range []struct {
				server int
				state  health.State
			}{{0, health.Down}, {1, health.Down}, {2, health.Down}, {1, health.Up}, {0, health.Up}} {
				n.is(s, step.server, step.state)
				if changed, err := n.program().Apply([]entry.Point{s.Point(), six.Point()}); err != nil || changed {
					t.Errorf("%s, persist %v: after server %d %v another program finds something to do: %v, %v", steer, persist, step.server, step.state, changed, err)
				}
			}
		}
	}
	s := direct(false, entry.RoundRobin, nil)
	n.apply(s, six)
	table := &nftables.Table{Name: nft.DirectTable, Family: nftables.TableFamilyIPv4}
	for name, breaks := range map[string]func(c *nftables.Conn){
		"a chain without its rules":       func(c *nftables.Conn) { c.FlushChain(&nftables.Chain{Table: table, Name: "to_web"}) },
		"a map without its elements":      func(c *nftables.Conn) { c.FlushSet(&nftables.Set{Table: table, Name: "hosts_web"}) },
		"the way in without its elements": func(c *nftables.Conn) { c.FlushSet(&nftables.Set{Table: table, Name: "entries"}) },
		"no table":                        func(c *nftables.Conn) { c.DelTable(table) },
	} {
		n.must(n.gateway.Do(func() error {
			c, err := nftables.New()
			if err != nil {
				return err
			}
			breaks(c)
			return c.Flush()
		}))
		if changed, err := n.d.Apply([]entry.Point{s.Point(), six.Point()}); err != nil || !changed {
			t.Errorf("%s: %v, %v", name, changed, err)
		}
		n.who(netip.Addr{}, s)
	}
	// Gone again, and a server dies before anybody looks.
	n.must(n.gateway.Do(func() error {
		c, err := nftables.New()
		if err != nil {
			return err
		}
		c.DelTable(table)
		return c.Flush()
	}))
	n.is(s, 0, health.Down)
	for range 4 {
		if got := n.who(netip.Addr{}, s); got == 0 {
			t.Error("server 0 is down, and answers")
		}
	}
	n.must(n.d.Clean())
	n.must(n.d.Clean())
	n.must(n.gateway.Do(func() error {
		c, err := nftables.New()
		if err != nil {
			return err
		}
		tables, err := c.ListTables()
		for _, table := range tables {
			t.Errorf("table %s is left", table.Name)
		}
		return err
	}))
}
