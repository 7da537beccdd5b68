package conntrack_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"understudy/nat/conntrack"
	"understudy/nat/session"
)

// late is far longer than what the gateways forward takes, and two retransmissions.
const late = 700 * time.Millisecond

// exchange sends size bytes each way at the same time and compares what arrives.
func exchange(a, b net.Conn, size int) error {
	data := bytes.Repeat([]byte("understudy"), size/10)
	done := make(chan error, 4)
	send := func(c net.Conn) { _, err := c.Write(data); done <- err }
	receive := func(c net.Conn) {
		got := make([]byte, len(data))
		_, err := io.ReadFull(c, got)
		if err == nil && !bytes.Equal(got, data) {
			err = errors.New("bytes differ")
		}
		done <- err
	}
	go send(a)
	go send(b)
	go receive(a)
	go receive(b)
	var errs []error
	for range cap(done) {
		errs = append(errs, <-done)
	}
	return errors.Join(errs...)
}

// TestTCPGoesOnAtTheOtherGateway moves a translated TCP connection in use from
// one gateway to the other, which would choose another port and drops what is
// invalid.
func TestTCPGoesOnAtTheOtherGateway(t *testing.T) {
	tests := []struct {
		name string
		o    *conntrack.InstallOptions // nil: nothing is installed
		form func(b []byte, seq uint32, r *session.Record, o *conntrack.InstallOptions) []byte
		dead bool
	}{
		{name: "installed, liberal", o: &conntrack.InstallOptions{Liberal: true, Hold: 600}},
		{name: "installed, strict", o: &conntrack.InstallOptions{}},
		{name: "not installed", dead: true},
		{name: "replayed verbatim", o: &conntrack.InstallOptions{NoVerify: true}, form: verbatim, dead: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := newPath(t)
			p.snat(t, 20001)
			c, s := p.connect(t, clientAddr+":40000", serverAddr+":443")
			must(t, exchange(c, s, 1<<20))
			k1, k2 := p.gw[0].kernel(t), p.gw[1].kernel(t)
			recs := table(t, k1, tcp)
			if len(recs) != 1 || recs[0].ReplyDstPort-20001 > 99 {
				t.Fatalf("gw1 tracks: %+v", recs)
			}

			if tt.o != nil {
				if tt.form != nil {
					k2.SetForm(tt.form)
				}
				must(t, install(t, k2, *tt.o, recs[0]))
			}
			p.use(t, 1)

			if tt.dead {
				must(t, c.SetDeadline(time.Now().Add(late)))
				must(t, s.SetDeadline(time.Now().Add(late)))
				if exchange(c, s, 1<<20) == nil {
					t.Error("want the connection dead, it went on")
				}
				return
			}
			must(t, exchange(c, s, 1<<20))
			got, err := k2.Get(recs[0].Key)
			must(t, err)
			if got.ReplyDst != recs[0].ReplyDst || got.ReplyDstPort != recs[0].ReplyDstPort || got.TCP.State != session.TCPEstablished {
				t.Errorf("entry at gw2: %+v", got)
			}
		})
	}
}

// TestResetReachesThroughAfterTheMove: connections that were used at the other
// gateway are aborted there. If it had been told MAXACK_SET, a flag about a number
// that no message carries, it would compare sequence numbers with 0 and take
// every second RST for invalid.
func TestResetReachesThroughAfterTheMove(t *testing.T) {
	const flows = 16
	p := newPath(t)
	p.snat(t, 20001)
	var clients, servers [flows]*net.TCPConn
	for i := range flows {
		clients[i], servers[i] = p.connect(t, fmt.Sprintf("%s:%d", clientAddr, 40000+i), fmt.Sprintf("%s:%d", serverAddr, 500+i))
		must(t, exchange(clients[i], servers[i], 100))
	}
	k2 := p.gw[1].kernel(t)
	recs := table(t, p.gw[0].kernel(t), tcp)
	results := make([]error, len(recs))
	must(t, k2.Install(recs, conntrack.InstallOptions{Liberal: true}, results))
	if err := errors.Join(results...); err != nil || len(recs) != flows {
		t.Fatalf("%d records installed: %v", len(recs), err)
	}
	p.use(t, 1)
	for i, c := range clients {
		must(t, exchange(c, servers[i], 100))
		must(t, c.SetLinger(0))
		must(t, c.Close())
	}
	for i, s := range servers {
		must(t, s.SetDeadline(soon()))
		if _, err := s.Read(make([]byte, 1)); !errors.Is(err, unix.ECONNRESET) {
			t.Errorf("flow %d: want a reset, got %v", i, err)
		}
	}
}

// TestUDPGoesOnAtTheOtherGateway: both directions of a translated UDP flow.
func TestUDPGoesOnAtTheOtherGateway(t *testing.T) {
	for _, tt := range []struct{ name, from, to, public string }{
		{"ipv4", clientAddr + ":5000", serverAddr + ":53", vip},
		{"ipv6", "[" + clientAddr6 + "]:5000", "[" + serverAddr6 + "]:53", vip6},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := newPath(t)
			p.gw[0].snat(t, "b", netip.MustParseAddr(tt.public), 20001)
			p.gw[1].snat(t, "b", netip.MustParseAddr(tt.public), 0)
			c, s := p.udp(t, tt.from, tt.to)
			from := echo(t, c, s)
			k2 := p.gw[1].kernel(t)
			recs := table(t, p.gw[0].kernel(t), udp)
			if len(recs) != 1 {
				t.Fatalf("gw1 tracks: %+v", recs)
			}
			must(t, install(t, k2, conntrack.InstallOptions{Hold: 600}, recs[0]))
			p.use(t, 1)
			if again := echo(t, c, s); again != from {
				t.Errorf("the server sees the client as %v, before as %v", again, from)
			}
		})
	}
}

// TestGREGoesOnAtTheOtherGateway: an installed GRE entry has no timeout of its
// own in the kernel, so that its first packet would end it.
func TestGREGoesOnAtTheOtherGateway(t *testing.T) {
	p := newPath(t)
	p.snat(t, 0)
	k := p.gw[0].kernel(t)
	r := flow(gre, clientAddr+":0", serverAddr+":0", serverAddr+":0", vip+":0")
	r.Timeout = 30
	must(t, install(t, k, conntrack.InstallOptions{}, r))
	var c, s int
	raw := func(n *node, from string) (fd int) {
		n.do(t, func() {
			var err error
			fd, err = unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_GRE)
			must(t, err)
			must(t, unix.Bind(fd, &unix.SockaddrInet4{Addr: netip.MustParseAddr(from).As4()}))
			must(t, unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 20}))
		})
		t.Cleanup(func() { _ = unix.Close(fd) })
		return fd
	}
	c, s = raw(p.client, clientAddr), raw(p.server, serverAddr)
	send := func(from, to int, addr string) {
		t.Helper()
		packet := append([]byte{0, 0, 8, 0}, make([]byte, 20)...) // version 0, no key, IPv4 inside
		must(t, unix.Sendto(from, packet, 0, &unix.SockaddrInet4{Addr: netip.MustParseAddr(addr).As4()}))
		_, _, err := unix.Recvfrom(to, make([]byte, 100), 0)
		must(t, err)
	}
	for range 3 {
		send(c, s, serverAddr)
		send(s, c, vip)
	}
	got, err := k.Get(r.Key)
	must(t, err)
	if got.Timeout < 3600 || got.ReplyDst != r.ReplyDst {
		t.Errorf("entry after packets: %+v", got)
	}
}

// udp opens a connected client socket and a server socket.
func (p *path) udp(t testing.TB, from, to string) (c, s *net.UDPConn) {
	t.Helper()
	p.server.do(t, func() {
		var err error
		s, err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.MustParseAddrPort(to)))
		must(t, err)
	})
	p.client.do(t, func() {
		var err error
		c, err = net.DialUDP("udp", net.UDPAddrFromAddrPort(netip.MustParseAddrPort(from)), net.UDPAddrFromAddrPort(netip.MustParseAddrPort(to)))
		must(t, err)
	})
	t.Cleanup(func() { _, _ = c.Close(), s.Close() })
	return c, s
}

// echo sends a datagram each way and returns whom the server saw.
func echo(t testing.TB, c, s *net.UDPConn) netip.AddrPort {
	t.Helper()
	must(t, c.SetDeadline(soon()))
	must(t, s.SetDeadline(soon()))
	_, err := c.Write([]byte("ping"))
	must(t, err)
	buf := make([]byte, 16)
	_, from, err := s.ReadFromUDPAddrPort(buf)
	must(t, err)
	_, err = s.WriteToUDPAddrPort([]byte("pong"), from)
	must(t, err)
	_, err = c.Read(buf)
	must(t, err)
	return from
}
