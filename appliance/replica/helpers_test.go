package replica_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"understudy/nat/conntrack"
	"understudy/nat/session"
)

// helperRules have the kernel's helpers read FTP, TFTP and SIP.
const helperRules = natRules + `
table inet helpers {
	ct helper ftp { type "ftp" protocol tcp; }
	ct helper tftp { type "tftp" protocol udp; }
	ct helper sip { type "sip" protocol udp; }
	chain pre { type filter hook prerouting priority filter;
		tcp dport 21 ct helper set "ftp"
		udp dport 69 ct helper set "tftp"
		udp dport 5060 ct helper set "sip"
	}
}`

// helped is a pair with helpers.
func helped(t *testing.T) *gateways {
	t.Helper()
	g := newGateways(t, helperRules)
	g.runs()
	g.b.nothingNew()
	return g
}

// expected are what the box's kernel expects.
func (b *box) expected() (xs []conntrack.ExpectEvent) {
	b.t.Helper()
	must(b.t, b.kernel.DumpExpects(func(x *conntrack.ExpectEvent) { xs = append(xs, *x) }))
	return xs
}

// expects waits until both kernels expect the same n flows.
func (g *gateways) expects(n int) []conntrack.ExpectEvent {
	g.t.Helper()
	var a, b []conntrack.ExpectEvent
	same := func() bool {
		a, b = g.a.expected(), g.b.expected()
		found := 0
		for i := range a {
			for j := range b {
				if a[i].Master == b[j].Master && a[i].Expect.Same(&b[j].Expect) {
					found++
				}
			}
		}
		return len(a) == n && len(b) == n && found == n
	}
	if !within(settle, same) {
		g.t.Fatalf("a expects %+v\nb expects %+v\n%+v", a, b, g.b.engine.Status().Counters)
	}
	return b
}

// control is an FTP control connection: both its ends, and what is heard of lines.
type control struct {
	t              testing.TB
	client, server net.Conn
	fromClient     *bufio.Reader
	fromServer     *bufio.Reader
}

func (g *gateways) ftp() *control {
	c, s := g.connected(21)
	f := &control{g.t, c, s, bufio.NewReader(s), bufio.NewReader(c)}
	f.answer("220 ready")
	f.command("USER anonymous")
	f.answer("230 in")
	return f
}

func (f *control) line(to net.Conn, from *bufio.Reader, words string) string {
	f.t.Helper()
	_, err := io.WriteString(to, words+"\r\n")
	must(f.t, err)
	f.client.SetReadDeadline(time.Now().Add(settle))
	f.server.SetReadDeadline(time.Now().Add(settle))
	got, err := from.ReadString('\n')
	if err != nil {
		f.t.Fatalf("%q does not arrive: %v", words, err)
	}
	return strings.TrimSpace(got)
}

// command says words to the server, answer to the client; they return what arrives.
func (f *control) command(words string) string {
	f.t.Helper()
	return f.line(f.client, f.fromClient, words)
}
func (f *control) answer(words string) string {
	f.t.Helper()
	return f.line(f.server, f.fromServer, words)
}

// Case 38, passive: the data connection that the server has offered is opened after
// the takeover.
func TestCase38FTPPassive(t *testing.T) {
	g := helped(t)
	serve(t, g.server, "tcp", serverIP+":2000")
	f := g.ftp()
	f.command("PASV")
	f.answer("227 Entering Passive Mode (198,51,100,9,7,208)")
	x := g.expects(1)[0]
	if x.Expect.DstPort != 2000 || x.Expect.Dst.Netip(4).String() != serverIP || x.Expect.Helper.String() != "ftp" {
		t.Errorf("expected: %+v", x)
	}
	if m := g.b.hot(1, called(6, 21))[0]; m.Helper.String() != "ftp" {
		t.Errorf("the master is %s", m.String())
	}
	g.dies()
	data := dialFrom(t, g.client, "tcp", serverIP+":2000")
	if err := talk(data, "the file"); err != nil {
		t.Errorf("data: %v", err)
	}
	f.answer("226 done")
	eventually(t, "the data connection is one of the control connection's", func() bool {
		rs := g.b.sessionsOf(called(6, 2000))
		return len(rs) == 1 && rs[0].Master.DstPort == 21
	})
	// And the new owner's kernel reads on.
	f.command("PASV")
	f.answer("227 Entering Passive Mode (198,51,100,9,7,209)")
	eventually(t, "the helper reads on", func() bool { xs := g.b.expected(); return len(xs) == 1 && xs[0].Expect.DstPort == 2001 })
}

// Case 38, active: the server opens the data connection after the takeover, to the
// address that the gateway has written into the client's words. Case 40: these are
// longer than the client's were, so the sequence numbers of the control connection
// are adjusted.
func TestCase38and40FTPActive(t *testing.T) {
	g := helped(t)
	serve(t, g.client, "tcp", clientIP+":2001")
	f := g.ftp()
	told := f.command("PORT 10,0,0,9,7,209")
	var hi, lo int
	if n, err := fmt.Sscanf(told, "PORT 203,0,113,1,%d,%d", &hi, &lo); n != 2 || err != nil {
		t.Fatalf("the server hears %q", told)
	}
	f.answer("200 fine")
	x := g.expects(1)[0]
	if !x.Expect.NAT || x.Expect.Fn == (session.Fn{}) || x.Expect.NATPort != 2001 {
		t.Errorf("expected: %+v", x)
	}
	eventually(t, "the adjustment is replicated", func() bool {
		rs := g.b.sessionsOf(called(6, 21))
		return len(rs) == 1 && rs[0].SeqAdj[0].OffsetAfter == int32(len(told)-len("PORT 10,0,0,9,7,209"))
	})
	g.dies()
	f.command("LIST")
	f.answer("150 here it comes")
	data := dialFrom(t, g.server, "tcp", fmt.Sprintf("203.0.113.1:%d", hi<<8|lo))
	if err := talk(data, "the list"); err != nil {
		t.Errorf("data: %v", err)
	}
	f.answer("226 done")
	f.command("QUIT")
}

// A data connection that was open at the takeover goes on, and is installed behind
// its master, whichever came first.
func TestCase41RelatedChildren(t *testing.T) {
	g := helped(t)
	serve(t, g.server, "tcp", serverIP+":2000")
	f := g.ftp()
	f.command("PASV")
	f.answer("227 Entering Passive Mode (198,51,100,9,7,208)")
	data := dialFrom(t, g.client, "tcp", serverIP+":2000")
	must(t, talk(data, "half of it"))
	child := g.b.hot(1, called(6, 2000))[0]
	if child.Master.DstPort != 21 || child.Master.Family != 4 {
		t.Errorf("replicated as %s", child.String())
	}
	if e, err := g.b.kernel.Get(child.Key); err != nil || e.Master != child.Master || e.Status&session.StatusExpected == 0 {
		t.Errorf("in the kernel as %s, %v", e.String(), err)
	}
	g.dies()
	if err := talk(data, "the rest"); err != nil {
		t.Error(err)
	}
	f.answer("226 done")
}

// The child comes before its master, and not in the same batch; one whose master
// nobody has is installed without it.
func TestCase41ChildBeforeMaster(t *testing.T) {
	w := newWorld(t)
	w.a.start()
	w.a.activate(1)
	place, master, child := flow(1, 6), flow(2, 6), flow(3, 6)
	master.Helper = session.NameFrom("ftp")
	child.Master = master.Key
	stranger, alone := flow(5, 6), flow(7, 6)
	stranger.Src = session.AddrFrom(netip.MustParseAddr("192.0.2.7")) // not inside
	alone.Master = stranger.Key
	w.a.born(place)
	known := func(k session.Key) func() bool { return func() bool { _, ok := find(w.a, k); return ok } }
	eventually(t, "it has the first slot", known(place.Key))
	rest := flows(300)[100:]
	w.a.born(append(rest, master, stranger)...)
	eventually(t, "the master is behind", known(master.Key))
	w.a.end(place)
	eventually(t, "the slot is free", func() bool { return !known(place.Key)() })
	w.a.born(child, alone)
	w.b.start()
	w.b.has("all", append(rest, master, child, alone)...)
	eventually(t, "the child has its master", func() bool {
		e, err := w.b.kernel.Get(child.Key)
		return err == nil && e.Master == master.Key
	})
	if e, err := w.b.kernel.Get(alone.Key); err != nil || e.Master.Family != 0 {
		t.Errorf("in the kernel as %s, %v", e.String(), err)
	}
	if c := w.b.engine.Status().Counters; c.Bare != 1 {
		t.Errorf("%d entries without their master, want 1: %+v", c.Bare, c)
	}
}

// TFTP: the server answers from another port, after the takeover. The master itself
// is answered by nobody.
func TestCase38TFTP(t *testing.T) {
	g := helped(t)
	u := rawUDP(t, g.client, clientIP+":3000")
	_, err := u.WriteTo([]byte("\x00\x01file\x00octet\x00"), net.UDPAddrFromAddrPort(netip.MustParseAddrPort(serverIP+":69")))
	must(t, err)
	g.expects(1)
	master := g.b.hot(1, called(17, 69))[0]
	g.dies()
	s := rawUDP(t, g.server, serverIP+":4000")
	_, err = s.WriteTo([]byte("\x00\x03\x00\x01data"), &net.UDPAddr{IP: vip.AsSlice(), Port: int(master.ReplyDstPort)})
	must(t, err)
	u.SetReadDeadline(time.Now().Add(settle))
	buf := make([]byte, 100)
	n, from, err := u.ReadFrom(buf)
	if err != nil || string(buf[4:n]) != "data" {
		t.Fatalf("%q from %v, %v", buf[:n], from, err)
	}
	_, err = u.WriteTo([]byte("\x00\x04\x00\x01"), from)
	must(t, err)
	s.SetReadDeadline(time.Now().Add(settle))
	if _, _, err := s.ReadFrom(buf); err != nil {
		t.Errorf("the acknowledgement does not arrive: %v", err)
	}
}

// Case 39: the media that a SIP call has announced come after the takeover.
func TestCase39SIP(t *testing.T) {
	g := helped(t)
	c, s := rawUDP(t, g.client, clientIP+":5060"), rawUDP(t, g.server, serverIP+":5060")
	sdp := "v=0\r\no=a 1 1 IN IP4 10.0.0.9\r\ns=-\r\nc=IN IP4 10.0.0.9\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n"
	invite := "INVITE sip:b@198.51.100.9 SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.9:5060;branch=z9hG4bK1\r\n" +
		"From: <sip:a@10.0.0.9>;tag=1\r\nTo: <sip:b@198.51.100.9>\r\nCall-ID: 1@10.0.0.9\r\nCSeq: 1 INVITE\r\n" +
		"Contact: <sip:a@10.0.0.9:5060>\r\nContent-Type: application/sdp\r\n" +
		fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(sdp), sdp)
	_, err := c.WriteTo([]byte(invite), net.UDPAddrFromAddrPort(netip.MustParseAddrPort(serverIP+":5060")))
	must(t, err)
	buf := make([]byte, 2000)
	s.SetReadDeadline(time.Now().Add(settle))
	n, _, err := s.ReadFrom(buf)
	must(t, err)
	told := string(buf[:n])
	i := strings.Index(told, "m=audio ")
	var port int
	if i < 0 || !strings.Contains(told, "c=IN IP4 203.0.113.1") {
		t.Fatalf("the server hears %q", told)
	}
	fmt.Sscanf(told[i:], "m=audio %d", &port)
	if len(g.a.expected()) < 2 {
		t.Fatalf("a expects %+v", g.a.expected())
	}
	g.expects(len(g.a.expected()))
	g.dies()
	rtp, media := rawUDP(t, g.client, clientIP+":4000"), rawUDP(t, g.server, serverIP+":6000")
	_, err = media.WriteTo([]byte("voice"), &net.UDPAddr{IP: vip.AsSlice(), Port: port})
	must(t, err)
	rtp.SetReadDeadline(time.Now().Add(settle))
	if n, _, err := rtp.ReadFrom(buf); err != nil || string(buf[:n]) != "voice" {
		t.Errorf("%q, %v", buf[:n], err)
	}
}
