package conntrack_test

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"understudy/nat/conntrack"
	"understudy/nat/session"
)

// path is a client and a server with two gateways between them that both
// translate to the VIP; routes on both sides say which one is used.
//
//	            c1 ── a  gw1  b ── s1
//	client ─┤                      ├─ server 198.51.100.80, 2001:db8::80
//	            c2 ── a  gw2  b ── s2
//	10.0.0.5, fd00::5       VIP 203.0.113.1, 2001:db8:1::1
type path struct {
	client, server *node
	gw             [2]*node
}

const (
	clientAddr, clientAddr6 = "10.0.0.5", "fd00::5"
	serverAddr, serverAddr6 = "198.51.100.80", "2001:db8::80"
	vip, vip6               = "203.0.113.1", "2001:db8:1::1"
)

func newPath(t testing.TB) *path {
	t.Helper()
	p := &path{client: newNode(t), server: newNode(t)}
	p.client.addr(t, "lo", clientAddr+"/32")
	p.client.addr(t, "lo", clientAddr6+"/128")
	p.server.addr(t, "lo", serverAddr+"/32")
	p.server.addr(t, "lo", serverAddr6+"/128")
	for i := range p.gw {
		g := newNode(t)
		p.gw[i] = g
		in, out := []string{"c1", "c2"}[i], []string{"s1", "s2"}[i]
		wire(t, p.client, in, g, "a")
		wire(t, p.server, out, g, "b")
		lan, wan := []string{"10.1.1.", "10.1.2."}[i], []string{"192.0.2.", "192.0.3."}[i]
		lan6, wan6 := []string{"fd01::", "fd02::"}[i], []string{"2001:db8:a::", "2001:db8:b::"}[i]
		p.client.addr(t, in, lan+"2/24")
		g.addr(t, "a", lan+"1/24")
		p.server.addr(t, out, wan+"2/24")
		g.addr(t, "b", wan+"1/24")
		p.client.addr(t, in, lan6+"2/64")
		g.addr(t, "a", lan6+"1/64")
		p.server.addr(t, out, wan6+"2/64")
		g.addr(t, "b", wan6+"1/64")
		for _, s := range []string{"ipv4/ip_forward", "ipv6/conf/all/forwarding"} {
			g.sysctl(t, "net/"+s, "1")
		}
		g.route(t, clientAddr+"/32", lan+"2")
		g.route(t, clientAddr6+"/128", lan6+"2")
		g.route(t, serverAddr+"/32", wan+"2")
		g.route(t, serverAddr6+"/128", wan6+"2")
	}
	p.use(t, 0)
	return p
}

// use sends the traffic of both directions through one gateway.
func (p *path) use(t testing.TB, gw int) {
	t.Helper()
	lan, wan := []string{"10.1.1.1", "10.1.2.1"}[gw], []string{"192.0.2.1", "192.0.3.1"}[gw]
	lan6, wan6 := []string{"fd01::1", "fd02::1"}[gw], []string{"2001:db8:a::1", "2001:db8:b::1"}[gw]
	p.client.route(t, serverAddr+"/32", lan)
	p.client.route(t, serverAddr6+"/128", lan6)
	p.server.route(t, vip+"/32", wan)
	p.server.route(t, vip6+"/128", wan6)
}

// snat loads the gateways' rules: gw1 translates the first flow to ports from
// firstPort on, gw2 would keep the client's.
func (p *path) snat(t testing.TB, firstPort uint16) {
	t.Helper()
	p.gw[0].snat(t, "b", netip.MustParseAddr(vip), firstPort)
	p.gw[1].snat(t, "b", netip.MustParseAddr(vip), 0)
}

// connect makes a TCP connection from the client to the server and returns both
// ends, which fail after some seconds of silence instead of hanging the test.
func (p *path) connect(t testing.TB, from, to string) (c, s *net.TCPConn) {
	t.Helper()
	var l *net.TCPListener
	p.server.do(t, func() {
		var err error
		l, err = net.ListenTCP("tcp", net.TCPAddrFromAddrPort(netip.MustParseAddrPort(to)))
		must(t, err)
	})
	defer l.Close()
	p.client.do(t, func() {
		d := net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(netip.MustParseAddrPort(from)), Timeout: 5 * time.Second}
		conn, err := d.Dial("tcp", to)
		must(t, err)
		c = conn.(*net.TCPConn)
	})
	must(t, l.SetDeadline(time.Now().Add(20*time.Second)))
	s, err := l.AcceptTCP()
	must(t, err)
	for _, end := range []*net.TCPConn{c, s} {
		must(t, end.SetDeadline(time.Now().Add(time.Minute)))
		t.Cleanup(func() { _ = end.Close() })
	}
	return c, s
}

// await drains the listener until enough says so, and fails the test if that does
// not come.
func await(t testing.TB, l *conntrack.Listener, enough func([]conntrack.Event) bool) (events []conntrack.Event) {
	t.Helper()
	for {
		_, err := l.Drain(1000, func(ev *conntrack.Event) { events = append(events, *ev) })
		must(t, err)
		if enough(events) {
			return events
		}
		fds := []unix.PollFd{{Fd: int32(l.FD()), Events: unix.POLLIN}}
		if n, err := unix.Poll(fds, 5000); n == 0 && err == nil {
			t.Fatalf("no more events after %d: %+v", len(events), events)
		}
	}
}

// table dumps a kernel's entries of one protocol.
func table(t testing.TB, k *conntrack.Kernel, proto uint8) (recs []session.Record) {
	t.Helper()
	must(t, k.Dump(conntrack.Filter{}, func(ev *conntrack.Event) {
		if ev.Rec.Proto == proto {
			recs = append(recs, ev.Rec)
		}
	}))
	return recs
}

// soon is a deadline for what happens at once or never.
func soon() time.Time { return time.Now().Add(20 * time.Second) }
