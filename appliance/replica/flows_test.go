package replica_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"understudy/appliance/lab/probe"
	"understudy/nat/conntrack"
	"understudy/nat/session"
)

// natRules translate what the client says to the VIP, and calls of the VIP to the
// client, both with other ports.
const natRules = `table inet other {
	chain pre { type nat hook prerouting priority dstnat;
		ip daddr 203.0.113.1 tcp dport 8080 dnat ip to 10.0.0.9:80
		ip daddr 203.0.113.1 udp dport 5353 dnat ip to 10.0.0.9:53
		ip6 daddr 2001:db8:1::1 tcp dport 8080 dnat ip6 to [fd00::9]:80
	}
	chain post { type nat hook postrouting priority srcnat;
		ip saddr 10.0.0.0/24 ip daddr 10.0.0.0/24 ct status dnat snat ip to 203.0.113.1
		oifname "wan0" ip saddr 10.0.0.0/24 meta l4proto { tcp, udp, sctp } snat ip to 203.0.113.1:20000-20999
		oifname "wan0" ip saddr 10.0.0.0/24 meta l4proto icmp snat ip to 203.0.113.1:20000-20999
		oifname "wan0" ip saddr 10.0.0.0/24 snat ip to 203.0.113.1
		oifname "wan0" ip6 saddr fd00::/64 meta l4proto { tcp, udp, ipv6-icmp } snat ip6 to [2001:db8:1::1]:20000-20999
	}
}`

// translating is a pair that translates, a Active, and b that knows no flow but
// those that a tells it of.
func translating(t *testing.T) *gateways {
	t.Helper()
	g := newGateways(t, natRules)
	g.runs()
	g.b.nothingNew()
	return g
}

// bulk streams bytes from one end to the other in the background, as fast as they
// go, until stop; what arrives is compared.
type bulk struct {
	from, to net.Conn
	moved    chan int // bytes that have arrived
	stop     chan struct{}
	err      chan error
}

func stream(from, to net.Conn) *bulk {
	b := &bulk{from, to, make(chan int, 1<<16), make(chan struct{}), make(chan error, 2)}
	block := bytes.Repeat([]byte("understudy"), 1000)
	go func() {
		for {
			select {
			case <-b.stop:
				b.err <- from.(*net.TCPConn).CloseWrite()
				return
			default:
			}
			from.SetWriteDeadline(time.Now().Add(settle))
			if _, err := from.Write(block); err != nil {
				b.err <- err
				return
			}
		}
	}()
	go func() {
		buf := make([]byte, len(block))
		for n := 0; ; {
			to.SetReadDeadline(time.Now().Add(settle))
			k, err := io.ReadFull(to, buf)
			if errors.Is(err, io.EOF) {
				b.err <- nil
				return
			}
			if err == nil && !bytes.Equal(buf[:k], block) {
				err = errors.New("other bytes")
			}
			if err != nil {
				b.err <- err
				return
			}
			n += k
			select {
			case b.moved <- n:
			default:
			}
		}
	}()
	return b
}

// more waits until another n bytes have arrived.
func (b *bulk) more(n int) error {
	start := -1
	for {
		select {
		case m := <-b.moved:
			if start < 0 {
				start = m
			}
			if m-start >= n {
				return nil
			}
		case err := <-b.err:
			return fmt.Errorf("the stream ended: %v", err)
		case <-time.After(settle):
			return errors.New("the stream stands still")
		}
	}
}

func (b *bulk) end() error {
	close(b.stop)
	return errors.Join(<-b.err, <-b.err)
}

// connected returns both ends of a connection from the client to the server.
func (g *gateways) connected(port int) (client, server net.Conn) {
	g.t.Helper()
	return g.connectedBy(port, nil)
}

// connectedBy is connected with sockets that control has set up.
func (g *gateways) connectedBy(port int, control func(network, address string, c syscall.RawConn) error) (client, server net.Conn) {
	g.t.Helper()
	var l net.Listener
	must(g.t, g.server.Do(func() (err error) {
		lc := net.ListenConfig{Control: control}
		l, err = lc.Listen(context.Background(), "tcp", fmt.Sprintf("%s:%d", serverIP, port))
		return err
	}))
	defer l.Close()
	must(g.t, g.client.Do(func() (err error) {
		d := net.Dialer{Control: control, Timeout: settle}
		client, err = d.Dial("tcp", l.Addr().String())
		return err
	}))
	g.t.Cleanup(func() { client.Close() })
	server, err := l.Accept()
	must(g.t, err)
	g.t.Cleanup(func() { server.Close() })
	return client, server
}

// Cases 16 and 17: a transfer at full speed, down and up, goes on at the other
// gateway, which drops what is invalid, whatever the window scale is; and it goes
// on when the window check is back.
func TestCase16and17BulkTransfers(t *testing.T) {
	for _, tt := range []struct {
		name, rmem string
		scaling    string
		clamp      int // of the window; 0: none
		scale      uint8
		up         bool
	}{
		{"16 download, scale 0", "4096 131072 6291456", "1", 65535, 0, false},
		{"16 download, scale 7", "4096 131072 6291456", "1", 0, 7, false},
		{"16 download, scale 14", "4096 131072 1073741824", "1", 0, 14, false},
		{"16 download, no scaling", "4096 131072 6291456", "0", 0, 0, false},
		{"17 upload, scale 7", "4096 131072 6291456", "1", 0, 7, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g := newGateways(t, natRules)
			for _, n := range []string{"client", "server"} {
				node := g.client
				if n == "server" {
					node = g.server
				}
				must(t, node.Sysctl("ipv4/tcp_rmem", tt.rmem))
				must(t, node.Sysctl("ipv4/tcp_window_scaling", tt.scaling))
			}
			g.b.cfg.Strict = 50 * time.Millisecond
			g.runs()
			g.b.nothingNew()
			c, s := g.connectedBy(443, func(_, _ string, c syscall.RawConn) (err error) {
				if tt.clamp > 0 {
					c.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_WINDOW_CLAMP, tt.clamp) })
				}
				return err
			})
			from, to := s, c
			if tt.up {
				from, to = c, s
			}
			b := stream(from, to)
			must(t, b.more(1<<20))
			have := g.b.hot(1, called(6, 443))[0]
			if have.TCP.WScaleOrig != tt.scale || have.TCP.WScaleReply != tt.scale {
				t.Errorf("replicated as %s", have.String())
			}
			g.dies()
			if err := b.more(1 << 20); err != nil {
				t.Fatalf("after the takeover: %v\n%+v", err, g.b.engine.Status().Counters)
			}
			eventually(t, "the window check is back", func() bool { return g.b.engine.Status().Counters.Strict == 1 })
			eventually(t, "in the kernel", func() bool {
				e, err := g.b.kernel.Get(have.Key)
				return err == nil && (e.TCP.FlagsOrig|e.TCP.FlagsReply)&session.TCPFlagLiberal == 0
			})
			if err := b.more(1 << 20); err != nil {
				t.Errorf("with the window check: %v", err)
			}
			must(t, b.end())
		})
	}
}

// Case 18: after the takeover the server speaks first. Case 19: after a silence that
// was longer than the timeout of the standby's entry, which was renewed.
func TestCase18and19TheServerSpeaksFirstAfterAWhile(t *testing.T) {
	g := newGateways(t, natRules)
	must(t, g.a.node.Sysctl("netfilter/nf_conntrack_tcp_timeout_established", "1000"))
	g.b.cfg.Hold, g.b.cfg.Renew = 2*time.Second, 200*time.Millisecond
	g.runs()
	g.b.nothingNew()
	c, s := g.connected(22)
	k := g.b.hot(1, called(6, 22))[0]
	short := k.Record
	for range 8 { // each time it has a second, and is renewed within it
		short.Timeout = 1
		before := g.b.engine.Status().Counters.Renewed
		must(t, g.b.kernel.Update([]session.Record{short}, updateTimeout, make([]error, 1)))
		eventually(t, "renewed", func() bool { return g.b.engine.Status().Counters.Renewed > before+1 })
	}
	if e, err := g.b.kernel.Get(k.Key); err != nil || e.Timeout < 900 {
		t.Errorf("held for %d s, %v", e.Timeout, err)
	}
	g.dies()
	_, err := s.Write([]byte("hello"))
	must(t, err)
	c.SetReadDeadline(time.Now().Add(settle))
	buf := make([]byte, 5)
	if _, err := io.ReadFull(c, buf); err != nil {
		t.Errorf("the client hears nothing: %v", err)
	}
	_, err = c.Write([]byte("hi"))
	must(t, err)
	s.SetReadDeadline(time.Now().Add(settle))
	if _, err := io.ReadFull(s, buf[:2]); err != nil {
		t.Errorf("the server hears nothing: %v", err)
	}
}

// Case 20: a half-closed connection goes on in its other direction; one that is
// over is on the standby no more.
func TestCase20HalfClosedAndClosed(t *testing.T) {
	g := newGateways(t, natRules)
	g.a.cfg.Reconcile = 200 * time.Millisecond // no event tells that a connection closes
	g.runs()
	g.b.nothingNew()
	c, s := g.connected(80)
	over, overServer := g.connected(81)
	g.b.hot(1, called(6, 81))
	must(t, c.(*net.TCPConn).CloseWrite())
	io.ReadAll(s) // until the client's FIN
	must(t, over.Close())
	must(t, overServer.Close())
	g.b.hot(0, called(6, 81))
	g.b.hot(1, called(6, 80))
	eventually(t, "the owner knows that it closes", func() bool {
		for _, r := range g.a.sessionsOf(called(6, 80)) {
			return r.TCP.State == session.TCPCloseWait || r.TCP.State == session.TCPFinWait
		}
		return false
	})
	g.dies()
	_, err := s.Write([]byte("the rest"))
	must(t, err)
	must(t, s.Close())
	c.SetReadDeadline(time.Now().Add(settle))
	got, err := io.ReadAll(c)
	if string(got) != "the rest" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
}

// Case 21: what is not established is not installed: in SYN_SENT or SYN_RECV it
// would kill the flow. The client's next SYN begins it anew.
func TestCase21HandshakeAtTheCrash(t *testing.T) {
	w := running(t)
	syn, synack, good := flow(2, 6), flow(4, 6), flow(6, 6)
	syn.TCP.State, synack.TCP.State = session.TCPSynSent, session.TCPSynRecv
	for _, r := range []session.Record{syn, synack} {
		if r.Replicable() || conntrack.Installable(&r) == nil {
			t.Errorf("%s would be installed", r.String())
		}
	}
	w.a.born(good)
	w.b.has("the established one alone", good)

	g := translating(t)
	g.b.nft(`flush chain inet closed forward`) // policy drop stays
	g.b.nft(`table inet closed { chain forward { accept
	} }`)
	serve(t, g.server, "tcp", serverIP+":80")
	g.dies()
	must(t, talk(dialFrom(t, g.client, "tcp", serverIP+":80"), "a new one"))
}

// Case 22: a connection that a had picked up in its middle has no window scale;
// it is installed without the window check, keeps that for ever, and is counted.
func TestCase22PickedUpInItsMiddle(t *testing.T) {
	g := newGateways(t, natChain)
	g.b.cfg.Strict = 10 * time.Millisecond
	g.runs()
	g.b.nothingNew()
	c, s := g.connected(80)
	b := stream(s, c)
	must(t, b.more(1<<16))
	first := g.b.hot(1, called(6, 80))[0]
	g.a.end(first.Record) // a's kernel forgets, and picks the next packet up
	eventually(t, "picked up", func() bool {
		rs := g.b.sessionsOf(func(s *sessionView) bool { return s.Proto == 6 && s.Installed })
		return len(rs) == 1 && !conntrack.WindowScaleKnown(&rs[0].TCP)
	})
	g.dies()
	if err := b.more(1 << 20); err != nil {
		t.Errorf("%v\n%+v", err, g.b.engine.Status().Counters)
	}
	eventually(t, "and counted", func() bool { c := g.b.engine.Status().Counters; return c.Liberal == 1 && c.Strict == 0 })
	if err := b.more(1 << 20); err != nil {
		t.Errorf("after the pass: %v", err)
	}
	must(t, b.end())
}

// Case 25: a forward with another port; case 26: a source translated to a port of
// the pool; case 27: both at once, from inside.
func TestCase25to27Translations(t *testing.T) {
	g := translating(t)
	must(t, addAddress(g.client, "lan0", "10.0.0.8/24"))
	serve(t, g.client, "tcp", clientIP+":80")
	serve(t, g.client, "udp", clientIP+":53")
	serve(t, g.server, "tcp", serverIP+":80")
	serve(t, g.server, "udp", serverIP+":53")
	conns := map[string]net.Conn{
		"25 forward, TCP": dialFrom(t, g.server, "tcp", "203.0.113.1:8080"),
		"25 forward, UDP": dialFrom(t, g.server, "udp", "203.0.113.1:5353"),
		"26 source, TCP":  dialFrom(t, g.client, "tcp", serverIP+":80"),
		"26 source, UDP":  dialFrom(t, g.client, "udp", serverIP+":53"),
	}
	must(t, g.client.Do(func() (err error) {
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP("10.0.0.8")}, Timeout: settle}
		conns["27 hairpin, TCP"], err = d.Dial("tcp", "203.0.113.1:8080")
		return err
	}))
	for name, c := range conns {
		if err := talk(c, "one"); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	rs := g.b.hot(5, func(*sessionView) bool { return true })
	for _, s := range rs {
		e, err := g.b.kernel.Get(s.Key)
		must(t, err)
		_, _, snat := s.SNAT()
		_, _, dnat := s.DNAT()
		if !e.SameBinding(&s.Record) || snat != (e.Status&session.StatusSrcNAT != 0) || dnat != (e.Status&session.StatusDstNAT != 0) {
			t.Errorf("%s is in the kernel as %s", s.String(), e.String())
		}
	}
	g.dies()
	for name, c := range conns {
		if err := talk(c, "two"); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Case 29: right after a takeover a new flow gets no port that an old one has.
func TestCase29NoPortTwice(t *testing.T) {
	g := newGateways(t, natRules)
	g.runs()
	serve(t, g.server, "udp", serverIP+":53")
	old := map[uint16]net.Conn{}
	for range 40 {
		c := dialFrom(t, g.client, "udp", serverIP+":53")
		must(t, talk(c, "old"))
	}
	for _, s := range g.b.hot(40, called(17, 53)) {
		old[s.ReplyDstPort] = nil
	}
	g.dies()
	for range 40 {
		must(t, talk(dialFrom(t, g.client, "udp", serverIP+":53"), "new"))
	}
	eventually(t, "all are known", func() bool { return len(g.b.sessionsOf(called(17, 53))) == 80 })
	ports := map[uint16]int{}
	for _, s := range g.b.sessionsOf(called(17, 53)) {
		ports[s.ReplyDstPort]++
	}
	if len(ports) != 80 {
		t.Errorf("80 flows have %d ports", len(ports))
	}
	for p := range old {
		if ports[p] != 1 {
			t.Errorf("port %d of an old flow serves %d", p, ports[p])
		}
	}
}

// Case 33: a UDP stream outlives the timeout of the standby's kernel, which sees
// none of its packets. Case 34: what nobody answers is not replicated.
func TestCase33and34UDP(t *testing.T) {
	g := newGateways(t, natRules)
	g.b.cfg.Hold, g.b.cfg.Renew = 2*time.Second, 500*time.Millisecond
	for _, b := range []*box{g.a, g.b} {
		must(t, b.node.Sysctl("netfilter/nf_conntrack_udp_timeout", "2"))
		must(t, b.node.Sysctl("netfilter/nf_conntrack_udp_timeout_stream", "2"))
	}
	g.runs()
	g.b.nothingNew()
	serve(t, g.server, "udp", serverIP+":53")
	c, mute := dialFrom(t, g.client, "udp", serverIP+":53"), dialFrom(t, g.client, "udp", serverIP+":9")
	must(t, talk(c, "one"))
	mute.Write([]byte("anybody?"))
	g.b.hot(1, called(17, 53))
	renewed := g.b.engine.Status().Counters.Renewed
	// Longer than either timeout, by the renewals that fit into it.
	eventually(t, "held all the time", func() bool {
		must(t, talk(c, "again"))
		return g.b.engine.Status().Counters.Renewed >= renewed+8
	})
	g.b.hot(1, called(17, 53))
	g.dies()
	if err := talk(c, "two"); err != nil {
		t.Error(err)
	}
	if n := len(g.b.sessionsOf(called(17, 9))); n != 0 {
		t.Errorf("%d unanswered flows replicated", n)
	}
}

// Case 35: echo requests with one identifier go on, translated to another.
func TestCase35Echo(t *testing.T) {
	for _, six := range []bool{false, true} {
		t.Run(map[bool]string{false: "ICMP", true: "ICMPv6"}[six], func(t *testing.T) {
			g := translating(t)
			local, server, proto := clientIP, serverIP, 1
			if six {
				local, server, proto = clientIP6, serverIP6, 58
			}
			c := rawSocket(t, g.client, local, proto)
			ping := func(seq uint16) error {
				c.send(server, echoRequest(six, 77, seq))
				if _, ok := c.receive(isEchoReply(77, seq)); !ok {
					return errors.New("no answer")
				}
				return nil
			}
			must(t, ping(1))
			has := g.b.hot(1, func(s *sessionView) bool { return int(s.Proto) == proto && s.SrcPort == 77 })[0]
			if has.ReplySrcPort < 20000 {
				t.Errorf("translated as %s", has.String())
			}
			g.dies()
			if err := ping(2); err != nil {
				t.Errorf("%v\n%s", err, has.String())
			}
		})
	}
}

// Case 37: an SCTP association goes on with its verification tags; packets with
// others are not let through.
func TestCase37SCTP(t *testing.T) {
	g := translating(t)
	c, s := rawSocket(t, g.client, clientIP, 132), rawSocket(t, g.server, serverIP, 132)
	const ours, theirs = 0x11111111, 0x22222222 // the tags that client and server chose
	var port uint16                             // of the client, as the server sees it
	up := func(tag uint32, chunk byte, value []byte) bool {
		t.Helper()
		c.send(serverIP, probe.SCTPPacket(3000, 3868, tag, chunk, value))
		_, ok := s.receive(func(b []byte) bool { port = binary.BigEndian.Uint16(b); return isChunk(chunk)(b) })
		return ok
	}
	down := func(tag uint32, chunk byte, value []byte) bool {
		t.Helper()
		s.send(vip.String(), probe.SCTPPacket(3868, port, tag, chunk, value))
		_, ok := c.receive(isChunk(chunk))
		return ok
	}
	data := []byte{0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 'h', 'i', '!', '!'}
	if !up(0, probe.SCTPInit, probe.SCTPInitValue(ours, false)) || !down(ours, probe.SCTPInitAck, probe.SCTPInitValue(theirs, true)) ||
		!up(theirs, probe.SCTPCookieEcho, []byte{1, 2, 3, 4}) || !down(ours, probe.SCTPCookieAck, nil) || !up(theirs, probe.SCTPData, data) {
		t.Fatal("no association through a")
	}
	if port < 20000 || port > 20999 {
		t.Errorf("translated to port %d", port)
	}
	has := g.b.hot(1, called(132, 3868))[0]
	if (has.SCTP != session.SCTP{State: has.SCTP.State, VTagOrig: theirs, VTagReply: ours}) {
		t.Errorf("replicated as %s", has.String())
	}
	g.dies()
	if !up(theirs, probe.SCTPData, data) || !down(ours, probe.SCTPData, data) {
		t.Error("the association does not go on")
	}
	must(t, setTimeout(c, 0.3))
	if down(ours+1, probe.SCTPData, data) {
		t.Error("a packet with another tag is let through")
	}
	must(t, setTimeout(c, 3))
	if !down(ours, probe.SCTPShutdown, []byte{0, 0, 0, 1}) || !up(theirs, probe.SCTPShutdownAck, nil) || !down(ours, probe.SCTPShutdownComplete, nil) {
		t.Error("the association does not end")
	}
	eventually(t, "it is over", func() bool { return len(g.b.sessionsOf(called(132, 3868))) == 0 })
}

// Case 45: datagrams that come in fragments are of the flow like others.
func TestCase45Fragments(t *testing.T) {
	g := translating(t)
	serve(t, g.server, "udp", serverIP+":53")
	c := dialFrom(t, g.client, "udp", serverIP+":53")
	must(t, talk(c, "small"))
	g.b.hot(1, called(17, 53))
	g.dies()
	// The echo is as large, but its buffer is not: 1500 of it come back.
	_, err := c.Write(bytes.Repeat([]byte("x"), 4000))
	must(t, err)
	c.SetReadDeadline(time.Now().Add(settle))
	if n, err := c.Read(make([]byte, 4000)); n != 1500 || err != nil {
		t.Errorf("%d bytes came back, %v", n, err)
	}
}

// Case 42: NAT66, both ways, with other ports.
func TestCase42NAT66(t *testing.T) {
	g := translating(t)
	serve(t, g.server, "tcp6", "["+serverIP6+"]:80")
	serve(t, g.server, "udp6", "["+serverIP6+"]:53")
	serve(t, g.client, "tcp6", "["+clientIP6+"]:80")
	conns := map[string]net.Conn{
		"source, TCP":  dialFrom(t, g.client, "tcp6", "["+serverIP6+"]:80"),
		"source, UDP":  dialFrom(t, g.client, "udp6", "["+serverIP6+"]:53"),
		"forward, TCP": dialFrom(t, g.server, "tcp6", "["+vip6+"]:8080"),
	}
	for name, c := range conns {
		if err := talk(c, "one"); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	for _, s := range g.b.hot(3, func(s *sessionView) bool { return s.Family == 6 }) {
		if s.ReplyDst.Netip(6) != netip.MustParseAddr(vip6) && s.Dst.Netip(6) != netip.MustParseAddr(vip6) {
			t.Errorf("not translated: %s", s.String())
		}
	}
	g.dies()
	for name, c := range conns {
		if err := talk(c, "two"); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
