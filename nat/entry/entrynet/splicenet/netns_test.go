package splicenet_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"understudy/appliance/lab"
	"understudy/appliance/lab/capture"
	"understudy/nat"
	"understudy/nat/conntrack"
	"understudy/nat/entry"
	"understudy/nat/entry/entrynet/splicenet"
	"understudy/nat/nft"
	"understudy/nat/session"
	"understudy/nat/splice"
)

const patience = time.Minute

// network is
//
//	client 192.0.2.9, 2001:db8:9::9 ── wan [gateway] lan ── server 0, 10.0.0.21, 2001:db8:1::21, and servers 1 and 2
//	               192.0.2.1, 2001:db8:9::1   10.0.0.1, 2001:db8:1::1
//
// with an entry point of one family at the gateway's address, port 80.
type network struct {
	t               *testing.T
	web             netip.AddrPort
	at              [3]netip.AddrPort // the servers
	client, gateway *lab.Node
	servers         [3]*lab.Node
	wan, lan        *lab.Segment
	moves           *nft.Moves
	notes           *splicenet.Listener
	mover           *splicenet.Mover
	kernel          *conntrack.Kernel
	tried           []splicenet.Job
	served          [3]atomic.Int32 // requests that reached a server
}

func newNetwork(t *testing.T, six bool) *network {
	l := lab.NewT(t)
	wan, lan := l.Segment("wan"), l.Segment("lan")
	n := &network{t: t, client: l.Node("client"), gateway: l.Node("gateway"), wan: wan, lan: lan}
	n.web, n.at = netip.MustParseAddrPort("192.0.2.1:80"), [3]netip.AddrPort{netip.MustParseAddrPort("10.0.0.21:8080"), netip.MustParseAddrPort("10.0.0.22:8080"), netip.MustParseAddrPort("10.0.0.23:8080")}
	if six {
		n.web, n.at = netip.MustParseAddrPort("[2001:db8:9::1]:80"), [3]netip.AddrPort{netip.MustParseAddrPort("[2001:db8:1::21]:8080"), netip.MustParseAddrPort("[2001:db8:1::22]:8080"), netip.MustParseAddrPort("[2001:db8:1::23]:8080")}
	}
	l.Join(n.client, wan, "eth0", "192.0.2.9/24", "2001:db8:9::9/64")
	l.Join(n.gateway, wan, "wan0", "192.0.2.1/24", "2001:db8:9::1/64")
	l.Join(n.gateway, lan, "lan0", "10.0.0.1/24", "2001:db8:1::1/64")
	n.must(n.gateway.Sysctl("ipv4/ip_forward", "1"))
	n.must(n.gateway.Sysctl("ipv6/conf/all/forwarding", "1"))
	for i := range n.servers {
		n.servers[i] = l.Node(fmt.Sprintf("server%d", i))
		l.Join(n.servers[i], lan, "eth0", fmt.Sprintf("10.0.0.2%d/24", i+1), fmt.Sprintf("2001:db8:1::2%d/64", i+1))
		n.must(n.servers[i].Route("default", "10.0.0.1"))
		n.must(n.servers[i].Route("::/0", "2001:db8:1::1"))
	}
	var table *nft.Entries
	n.must(n.gateway.Do(func() (err error) {
		if table, err = nft.OpenEntries(nft.Config{}); err != nil {
			return err
		}
		n.moves = nft.OpenMoves(nft.Config{})
		if _, err = n.moves.Apply(n.at[:]); err != nil {
			return err
		}
		if n.kernel, err = conntrack.OpenKernel(); err != nil {
			return err
		}
		if n.notes, err = splicenet.Listen(nft.MovesGroup); err != nil {
			return err
		}
		n.mover, err = splicenet.Open(n.moves, n.notes, nil)
		return err
	}))
	ctx, stop := context.WithCancel(context.Background())
	stopped := make(chan error)
	go func() { stopped <- n.notes.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		n.must(errors.Join(<-stopped, table.Close(), n.moves.Close(), n.kernel.Close(), n.notes.Close(), n.mover.Close()))
	})
	c := entry.Config{Name: "web", Steer: entry.Primary, OnFailure: entry.Keep,
		Match: entry.Match{Address: n.web.Addr(), Proto: nat.TCP, Ports: nat.Ports{First: n.web.Port(), Last: n.web.Port()}}}
	for _, a := range n.at {
		c.Servers = append(c.Servers, entry.Server{Address: a, Weight: 1})
	}
	_, err := table.Apply([]entry.Point{entry.New(time.Now(), c).Point()})
	n.must(err)
	if changed, err := n.moves.Apply(n.at[:]); changed || err != nil {
		t.Errorf("what is there already was written again: %v, %v", changed, err)
	}
	return n
}

func (n *network) must(err error) {
	n.t.Helper()
	if err != nil {
		n.t.Fatal(err)
	}
}

// serve has a server answer with its number and what was asked; /hang it does not answer.
func (n *network) serve(i int) *http.Server {
	n.t.Helper()
	var l net.Listener
	n.until("an address to listen at", func() bool {
		return n.servers[i].Do(func() (err error) { l, err = net.Listen("tcp", n.at[i].String()); return err }) == nil
	})
	hang := make(chan struct{})
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/hang" {
			n.served[i].Add(1)
			<-hang
			return
		}
		b, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		n.served[i].Add(1)
		fmt.Fprintf(w, "%d %s %s", i, r.URL.Path, b)
	})}
	go s.Serve(l)
	n.t.Cleanup(func() { close(hang); s.Close() })
	return s
}

// caller asks over one connection.
type caller struct {
	n    *network
	conn net.Conn
	r    *bufio.Reader
	from netip.AddrPort
}

func (n *network) call() *caller {
	n.t.Helper()
	d := net.Dialer{Timeout: patience, KeepAlive: -1}
	c := &caller{n: n}
	n.until("a connection", func() bool {
		return n.client.Do(func() (err error) { c.conn, err = d.Dial("tcp", n.web.String()); return err }) == nil
	})
	n.t.Cleanup(func() { c.conn.Close() })
	c.r, c.from = bufio.NewReader(c.conn), c.conn.LocalAddr().(*net.TCPAddr).AddrPort()
	return c
}

func (c *caller) send(path, body string) {
	c.n.t.Helper()
	c.n.must(c.conn.SetDeadline(time.Now().Add(patience)))
	_, err := fmt.Fprintf(c.conn, "POST %s HTTP/1.1\r\nHost: web\r\nContent-Length: %d\r\n\r\n%s", path, len(body), body)
	c.n.must(err)
}

// hear returns the answer, without which server gave it, and that.
func (c *caller) hear() (what, who string) {
	c.n.t.Helper()
	resp, err := http.ReadResponse(c.r, nil)
	c.n.must(err)
	b, err := io.ReadAll(resp.Body)
	c.n.must(err)
	who, what, _ = strings.Cut(string(b), " ")
	return what, who
}

func (c *caller) ask(i int, who string) {
	c.n.t.Helper()
	path, body := fmt.Sprintf("/%d", i), strings.Repeat("x", 50*i)
	c.send(path, body)
	c.answered(path, body, who)
}

func (c *caller) answered(path, body, who string) {
	c.n.t.Helper()
	if what, by := c.hear(); what != path+" "+body || by != who {
		c.n.t.Fatalf("%s was answered by %s with %.40q", path, by, what)
	}
}

// entry is the kernel's entry of the connection.
func (c *caller) entry() session.Record {
	c.n.t.Helper()
	key := session.Key{Src: session.AddrFrom(c.from.Addr()), SrcPort: c.from.Port(),
		Dst: session.AddrFrom(c.n.web.Addr()), DstPort: c.n.web.Port(), Proto: 6, Family: 4}
	if c.from.Addr().Is6() {
		key.Family = 6
	}
	r, err := c.n.kernel.Get(key)
	c.n.must(err)
	return r
}

func (c *caller) move(to int) splicenet.Outcome {
	c.n.t.Helper()
	told := 0
	out, err := c.n.mover.Move([]splicenet.Job{{Record: c.entry(), To: c.n.at[to]}}, func(jobs []int) { told += len(jobs) })
	c.n.must(err)
	if (told == 1) != (out[0].Reason != splice.None) {
		c.n.t.Errorf("%d refused, with %q", told, out[0].Reason)
	}
	return out[0]
}

// watch records segments on a link; the test ends with the recording whole.
func (n *network) watch(seg *lab.Segment, keep func(capture.Packet) bool) *capture.Capture {
	n.t.Helper()
	c, err := capture.Start(seg, capture.Options{Filter: capture.Protocols(6), Keep: func(f capture.Frame) bool { return keep(capture.Decode(f.Data)) }})
	n.must(err)
	n.t.Cleanup(func() { n.must(c.Stop()) })
	return c
}

func (n *network) nothingOn(c *capture.Capture, what string) {
	n.t.Helper()
	if frames := c.Frames(); len(frames) > 0 {
		n.t.Errorf("%s: %v", what, frames)
	}
}

// kill takes a server off the network, without a word.
func (n *network) kill(i int)   { n.t.Helper(); n.must(n.servers[i].UnplugAll()) }
func (n *network) revive(i int) { n.t.Helper(); n.must(n.servers[i].PlugAll()) }

func (n *network) until(what string, ok func() bool) {
	n.t.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			n.t.Fatalf("never: %s", what)
		}
	}
}

// A hundred requests on one connection, while three servers die: one while nothing is asked, one
// before it hears the request, and the first one, which has come back and remembers it, again.
func TestConnectionOutlivesItsServers(t *testing.T) {
	for _, six := range []bool{false, true} {
		t.Run(fmt.Sprintf("six %v", six), func(t *testing.T) { outlives(t, six) })
	}
}

func outlives(t *testing.T, six bool) {
	n := newNetwork(t, six)
	n.serve(0)
	n.serve(1)
	resets := n.watch(n.wan, func(p capture.Packet) bool { return p.Flags&capture.RST != 0 })
	c := n.call()
	at := 0
	ask := func(times int, who string) {
		for range times {
			c.ask(at, who)
			at++
		}
	}
	move := func(to int) {
		t.Helper()
		out := c.move(to)
		if out.Reason != splice.None {
			t.Fatalf("refused: %v", out.Reason)
		}
		if r := c.entry(); r.ReplySrc != session.AddrFrom(n.at[to].Addr()) || r.Status&session.StatusSeqAdjust == 0 {
			t.Fatalf("the kernel's entry is %+v", r)
		}
		t.Logf("moved in %v", out.Took)
	}
	ask(25, "0")
	n.kill(0)
	move(1)
	ask(25, "1")

	n.revive(0)
	n.kill(1)
	path, body := fmt.Sprintf("/%d", at), strings.Repeat("y", 30000)
	c.send(path, body)
	move(0)
	c.answered(path, body, "0")
	at++
	ask(24, "0")

	n.revive(1)
	n.kill(0)
	move(1)
	ask(25, "1")
	if at != 100 || n.served[0].Load() != 50 || n.served[1].Load() != 50 {
		t.Errorf("%d requests, of which %d and %d reached a server", at, n.served[0].Load(), n.served[1].Load())
	}
	n.nothingOn(resets, "resets")
}

// Many connections are moved at once, those on which nothing was said yet among them; and a
// server that was only cut off is not heard on them any more.
func TestManyConnections(t *testing.T) {
	n := newNetwork(t, false)
	first := n.serve(0)
	n.serve(1)
	const many = 50
	var callers [many]*caller
	var jobs []splicenet.Job
	for i := range callers {
		callers[i] = n.call()
		if i%2 == 0 {
			callers[i].ask(i, "0")
		}
	}
	for _, c := range callers {
		n.until("the server accepts", func() bool { return c.entry().Status&session.StatusAssured != 0 })
		jobs = append(jobs, splicenet.Job{Record: c.entry(), To: n.at[1]})
	}
	n.kill(0)
	out, err := n.mover.Move(jobs, func([]int) { t.Error("some are refused") })
	n.must(err)
	for i, o := range out {
		if o.Reason != splice.None || o.Flow.Client != callers[i].from {
			t.Fatalf("connection %d: %+v", i, o)
		}
	}
	old := n.at[0].Addr()
	strays := n.watch(n.wan, func(p capture.Packet) bool { return p.Src == old || p.Flags&capture.RST != 0 })
	says := n.watch(n.lan, func(p capture.Packet) bool { return p.Src == old && p.Flags&capture.FIN != 0 })
	n.revive(0)
	n.must(first.Close())
	n.until("the old server ends its connections", func() bool { return len(says.Frames()) >= many/2 })
	for i, c := range callers {
		c.ask(i+1, "1")
	}
	n.nothingOn(strays, "of the old server")
}

// What cannot be moved stays where it is, as it was, and is told why.
func TestWhatCannotBeMoved(t *testing.T) {
	n := newNetwork(t, false)
	n.serve(0)
	waiting := n.call()
	waiting.ask(1, "0")
	waiting.send("/hang", "")
	n.until("the request has come", func() bool { return n.served[0].Load() == 2 })
	n.until("the request is acknowledged", func() bool {
		p := n.notes.Position(splice.Ends{Server: n.at[0], Client: waiting.from})
		return p.Answered && p.Last.Ack != p.Answer.Ack
	})
	idle := n.call()
	idle.ask(1, "0")

	stays := func(c *caller, want splice.Reason) {
		t.Helper()
		if out := c.move(1); out.Reason != want {
			t.Errorf("refused: %q, want %q", out.Reason, want)
		}
		if r := c.entry(); r.ReplySrc != session.AddrFrom(n.at[0].Addr()) || r.Status&session.StatusSeqAdjust != 0 {
			t.Errorf("the kernel's entry is %+v", r)
		}
	}
	stays(waiting, splice.Unanswered)
	stays(idle, splice.ServerRefuses) // nobody listens there
	n.kill(1)
	stays(idle, splice.ServerSilent)
	n.revive(1)
	n.must(n.servers[1].Sysctl("ipv4/tcp_rmem", "4096 16384 65536"))
	n.serve(1)
	stays(idle, splice.ScaleDiffers)
	idle.ask(2, "0") // it was not dead
	if n.served[1].Load() != 0 {
		t.Error("the other server was asked")
	}
}
