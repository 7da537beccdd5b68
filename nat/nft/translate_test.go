package nft

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"understudy/nat"
)

// listen makes a TCP listener in s.
func (s space) listen(addr string) net.Listener {
	s.t.Helper()
	var l net.Listener
	s.do(func() (err error) {
		l, err = net.Listen("tcp4", addr)
		return err
	})
	s.t.Cleanup(func() { l.Close() })
	return l
}

// dial makes a TCP connection out of s. The socket keeps the namespace; a dialer
// runs on the calling thread only with a single address and no deadline helper.
func (s space) dial(to netip.AddrPort) (net.Conn, error) {
	var conn net.Conn
	var failed error
	s.do(func() error {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		f := os.NewFile(uintptr(fd), "tcp")
		defer f.Close()
		if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &unix.Timeval{Sec: 5}); err != nil {
			return err
		}
		if failed = unix.Connect(fd, &unix.SockaddrInet4{Addr: to.Addr().As4(), Port: int(to.Port())}); failed != nil {
			return nil
		}
		conn, err = net.FileConn(f)
		return err
	})
	if conn != nil {
		s.t.Cleanup(func() { conn.Close() })
		_ = conn.SetDeadline(time.Now().Add(time.Minute))
	}
	return conn, failed
}

func peerOf(c net.Conn) netip.AddrPort { return c.RemoteAddr().(*net.TCPAddr).AddrPort() }

// connect dials, accepts, and proves that bytes go both ways.
func connect(t *testing.T, from space, to netip.AddrPort, l net.Listener) (client, server net.Conn) {
	t.Helper()
	client, err := from.dial(to)
	if err != nil {
		t.Fatal(err)
	}
	server, err = l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })
	_ = server.SetDeadline(time.Now().Add(time.Minute))
	talk(t, client, server)
	return client, server
}

func talk(t *testing.T, a, b net.Conn) {
	t.Helper()
	for _, c := range [2][2]net.Conn{{a, b}, {b, a}} {
		if _, err := c[0].Write([]byte("hello")); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(c[1], make([]byte, 5)); err != nil {
			t.Fatal(err)
		}
	}
}

func TestSourceNATOfTCP(t *testing.T) {
	l := active(t)
	ln := l.server.listen("203.0.113.254:80")
	_, server := connect(t, l.client, netip.AddrPortFrom(outside, 80), ln)
	peer := peerOf(server)
	if peer.Addr() != vip || !nat.DefaultPorts().Contains(peer.Port()) {
		t.Errorf("the server sees %v, want %v and a port of %v", peer, vip, nat.DefaultPorts())
	}
}

// Each protocol as it leaves, seen on the wire, with a port or identifier below
// the pool and one in it.
func TestSourceNATOnTheWire(t *testing.T) {
	l := active(t)
	pool := nat.DefaultPorts()
	for _, row := range []struct {
		name  string
		send  packet
		moved func(packet) uint16 // the field that must lie in the pool
		keep  bool                // it did already, so it stays
	}{
		{"udp below the pool", packet{proto: unix.IPPROTO_UDP, sport: 1000, dport: 7000}, func(p packet) uint16 { return p.sport }, false},
		{"udp in the pool", packet{proto: unix.IPPROTO_UDP, sport: 40000, dport: 7000}, func(p packet) uint16 { return p.sport }, true},
		{"tcp below the pool", packet{proto: unix.IPPROTO_TCP, sport: 1001, dport: 7000, flags: syn}, func(p packet) uint16 { return p.sport }, false},
		{"icmp identifier below the pool", packet{proto: unix.IPPROTO_ICMP, sport: echo, dport: 7}, func(p packet) uint16 { return p.dport }, false},
		{"icmp identifier in the pool", packet{proto: unix.IPPROTO_ICMP, sport: echo, dport: 30000}, func(p packet) uint16 { return p.dport }, true},
		{"a protocol without ports", packet{proto: unix.IPPROTO_ESP}, nil, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			seen := l.server.capture()
			row.send.src, row.send.dst = inside, outside
			l.client.send(row.send)
			before, got := seen.until("packet", func(p packet) bool { return p.proto == row.send.proto })
			if len(before) > 0 {
				t.Errorf("something else arrived: %v", before)
			}
			if got.src != vip {
				t.Errorf("source %v, want %v", got.src, vip)
			}
			if row.moved != nil && !pool.Contains(row.moved(got)) {
				t.Errorf("%v: want a value of %v", got, pool)
			}
			if row.keep && row.moved(got) != row.moved(row.send) {
				t.Errorf("%v: want the value of %v, which lies in the pool", got, row.send)
			}
		})
	}
}

func TestPingThroughSourceNAT(t *testing.T) {
	l := active(t)
	seen := l.client.capture()
	l.client.send(packet{src: inside, dst: outside, proto: unix.IPPROTO_ICMP, sport: echo, dport: 77})
	_, got := seen.until("echo reply", func(p packet) bool { return p.proto == unix.IPPROTO_ICMP })
	if want := (packet{src: outside, dst: inside, proto: unix.IPPROTO_ICMP, sport: echoReply, dport: 77}); got != want {
		t.Errorf("want %v, got %v", want, got)
	}
}

func TestForwardOfTCPKeepsTheClient(t *testing.T) {
	l := active(t)
	ln := l.client.listen("10.0.0.10:8443")
	_, server := connect(t, l.server, netip.AddrPortFrom(vip, 443), ln)
	if got := peerOf(server).Addr(); got != outside {
		t.Errorf("the server inside sees %v, want the client's own address %v: inbound flows have their source untouched", got, outside)
	}
}

func TestForwardOfUDP(t *testing.T) {
	l := active(t)
	seen, answer := l.client.capture(), l.server.capture()
	l.server.send(packet{src: outside, dst: vip2, proto: unix.IPPROTO_UDP, sport: 4000, dport: 53})
	_, got := seen.until("query", func(p packet) bool { return p.proto == unix.IPPROTO_UDP })
	if want := (packet{src: outside, dst: inside, proto: unix.IPPROTO_UDP, sport: 4000, dport: 5353}); got != want {
		t.Errorf("query: want %v, got %v", want, got)
	}
	l.client.send(packet{src: inside, dst: outside, proto: unix.IPPROTO_UDP, sport: 5353, dport: 4000})
	_, got = answer.until("answer", func(p packet) bool { return p.proto == unix.IPPROTO_UDP })
	if want := (packet{src: vip2, dst: outside, proto: unix.IPPROTO_UDP, sport: 53, dport: 4000}); got != want {
		t.Errorf("answer: want %v, got %v", want, got)
	}
}

// A service of the gateway itself below the pool, and a port beside a forward.
func TestServicesOfTheGatewayStayReachable(t *testing.T) {
	l := active(t)
	ln := l.gateway.listen("203.0.113.1:22")
	connect(t, l.server, netip.AddrPortFrom(vip, 22), ln)
	if _, err := l.server.dial(netip.AddrPortFrom(vip, 444)); !errors.Is(err, unix.ECONNREFUSED) {
		t.Errorf("a port nobody serves: want a refusal by the gateway's own TCP, got %v", err)
	}
}

func TestNothingMappedNothingTranslated(t *testing.T) {
	l := newLab(t)
	c := config()
	c.Sources, c.Forwards, c.Sessions = nil, nil, true
	l.apply(c)
	l.must(l.a.OpenGate(allOfGroup))
	seen := l.server.capture()
	l.client.send(packet{src: inside, dst: outside, proto: unix.IPPROTO_UDP, sport: 1000, dport: 7000})
	if _, got := seen.until("packet", func(p packet) bool { return p.proto == unix.IPPROTO_UDP }); got.src != inside {
		t.Errorf("routed traffic: source %v, want %v", got.src, inside)
	}
	s := l.state()
	if s.chains[chainDNAT] == nil || s.chains[chainSNAT] == nil {
		t.Error("sessions are replicated: want NAT chains, or installed flows are not translated")
	}
	if len(s.chains) != 3 || len(s.rules[chainDNAT])+len(s.rules[chainSNAT]) != 0 {
		t.Errorf("want the gate and two empty chains, got %v with rules %d, %d", s.chains, len(s.rules[chainDNAT]), len(s.rules[chainSNAT]))
	}
}

func (l *lab) state() *state {
	l.t.Helper()
	s, err := l.a.read()
	l.must(err)
	return s
}
