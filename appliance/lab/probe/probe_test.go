package probe_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"understudy/appliance/lab"
	"understudy/appliance/lab/probe"
)

// routed is client 10.1.0.2 -- left -- router -- right -- server 10.2.0.2.
type routed struct {
	client, router, server *lab.Node
}

func newRouted(t *testing.T) routed {
	l := lab.NewT(t)
	left, right := l.Segment("left"), l.Segment("right")
	n := routed{l.Node("client"), l.Node("router"), l.Node("server")}
	l.Join(n.client, left, "eth0", "10.1.0.2/24")
	l.Join(n.router, left, "left", "10.1.0.1/24")
	l.Join(n.router, right, "right", "10.2.0.1/24")
	l.Join(n.server, right, "eth0", "10.2.0.2/24")
	for _, node := range l.Nodes() {
		for _, link := range node.Links() {
			// A cable pulled is a neighbour forgotten; asking again takes a second.
			must(t, node.Sysctl("ipv4/neigh/"+link.Name+"/retrans_time_ms", "20"))
		}
	}
	must(t, n.router.Sysctl("ipv4/ip_forward", "1"))
	must(t, n.client.Route("default", "10.1.0.1"))
	must(t, n.server.Route("default", "10.2.0.1"))
	// Neighbours are asked three times in 60 ms, and are not there then on a busy machine.
	waitFor(t, "an answer of the server's kernel", func() bool {
		var err error
		must(t, n.client.Do(func() error {
			_, err = net.DialTimeout("tcp", "10.2.0.2:9", time.Second)
			return nil
		}))
		return errors.Is(err, unix.ECONNREFUSED)
	})
	return n
}

// cut takes the cable from the router for a time, at least until enough was tried
// since, and returns when nothing can have come through. nil: the time is enough.
func (n routed) cut(t *testing.T, d time.Duration, enough func(since time.Time) bool) (from, to time.Time) {
	t.Helper()
	link := n.router.Link("right")
	must(t, link.Unplug())
	from = time.Now()
	time.Sleep(d)
	if enough != nil {
		waitFor(t, "enough to be tried", func() bool { return enough(from) })
	}
	to = time.Now()
	must(t, link.Plug())
	return from, to
}

func addr(s string) netip.AddrPort { return netip.MustParseAddrPort(s) }

func TestUDPReportsACutOfTheLengthItHad(t *testing.T) {
	n := newRouted(t)
	p, err := probe.StartUDP(probe.UDPOptions{Client: n.client, Server: n.server, Listen: addr("10.2.0.2:7"), Target: addr("10.2.0.2:7")})
	must(t, err)
	defer p.Stop()
	checkEcho(t, n, p)
	if got := p.Sources(); len(got) != 1 || got[0].Count == 0 {
		t.Errorf("sources %v, want the client's alone", got)
	}
}

func TestPingReportsACutOfTheLengthItHad(t *testing.T) {
	n := newRouted(t)
	p, err := probe.StartPing(probe.PingOptions{Client: n.client, Target: netip.MustParseAddr("10.2.0.2"), Every: 2 * time.Millisecond})
	must(t, err)
	defer p.Stop()
	checkEcho(t, n, p)
}

func checkEcho(t *testing.T, n routed, p *probe.Echo) {
	t.Helper()
	waitFor(t, "echoes", func() bool { return p.Since(time.Time{}) > 100 })
	start := time.Now()
	waitFor(t, "more echoes", func() bool { return p.Since(start) > 20 })
	from, to := n.cut(t, 100*time.Millisecond, func(since time.Time) bool {
		_, sent := p.Lost(since, time.Now())
		return sent >= 20
	})
	waitFor(t, "echoes after the cut", func() bool { return p.Since(to) > 20 })

	// Of the cut alone: a machine that stands still for a while is silent too. A last
	// echo may have been on its way to us when the cable was out.
	gap := p.Gap(from, to)
	if gap.Open || gap.Duration() < to.Sub(from)*3/4 || gap.From.After(to) || gap.To.Before(to) {
		t.Errorf("gap %v at %v, want one around the cut of %v at %v", gap, gap.From, to.Sub(from), from)
	}
	// Not all are: a router holds back a few until it has found a neighbour.
	if lost, sent := p.Lost(from, to); lost == 0 || lost > sent {
		t.Errorf("%d of %d lost during the cut, want some", lost, sent)
	}
	if noise := p.Noise(start, from); noise == 0 || noise > from.Sub(start) {
		t.Errorf("noise %v, want some silence before the cut", noise)
	}
	p.Stop()
	if open := p.Gap(to, time.Now().Add(time.Hour)); !open.Open {
		t.Errorf("gap after the end of the probe is %v, want one without end", open)
	}
}

func TestUDPCountsRefusals(t *testing.T) {
	n := newRouted(t)
	p, err := probe.StartUDP(probe.UDPOptions{Client: n.client, Server: n.server, Listen: addr("10.2.0.2:7"), Target: addr("10.2.0.2:8")})
	must(t, err)
	defer p.Stop()
	waitFor(t, "an ICMP error", func() bool { return p.Refused() > 0 })
}

func TestStreamStallsDuringACutAndArrivesWhole(t *testing.T) {
	for _, down := range []bool{false, true} {
		t.Run(map[bool]string{false: "up", true: "down"}[down], func(t *testing.T) {
			n := newRouted(t)
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			defer cancel()
			s, err := probe.StartStream(ctx, probe.StreamOptions{
				Client: n.client, Server: n.server, Listen: addr("10.2.0.2:80"), Target: addr("10.2.0.2:80"), Down: down,
			})
			must(t, err)
			defer s.Stop()
			waitFor(t, "data", func() bool { return s.Since(time.Time{}) > 50 })
			from, to := n.cut(t, 50*time.Millisecond, nil)
			waitFor(t, "data after the cut", func() bool { return s.Since(to) > 50 })
			// Data that was there already may be read a moment later.
			if gap := s.Gap(from, to); gap.Open || gap.Duration() < to.Sub(from)*3/4 {
				t.Errorf("stall %v, want the %v of the cut or more", gap, to.Sub(from))
			}
			must(t, s.Finish(ctx))
			if sent, received := s.Bytes(); sent != received || sent == 0 {
				t.Errorf("sent %d, received %d", sent, received)
			}
		})
	}
}

// relay accepts connections at a port of the node and hands each, with its
// number, to fn together with one to target.
func relay(t *testing.T, node *lab.Node, port, target string, fn func(n int, client, server net.Conn)) {
	t.Helper()
	var l net.Listener
	must(t, node.Do(func() (err error) {
		l, err = net.Listen("tcp", port)
		return err
	}))
	t.Cleanup(func() { l.Close() })
	go func() {
		for n := 0; ; n++ {
			client, err := l.Accept()
			if err != nil {
				return
			}
			var server net.Conn
			err = node.Do(func() (err error) {
				server, err = net.Dial("tcp", target)
				return err
			})
			if err != nil {
				client.Close()
				continue
			}
			go func() {
				_, _ = io.Copy(client, server)
				client.Close()
			}()
			go fn(n, client, server)
		}
	}()
}

func TestStreamNoticesOneChangedByte(t *testing.T) {
	n := newRouted(t)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	relay(t, n.router, "10.1.0.1:80", "10.2.0.2:80", func(_ int, client, server net.Conn) {
		defer server.Close()
		b := make([]byte, 1000)
		for i := 0; ; i++ {
			if _, err := io.ReadFull(client, b); err != nil {
				return
			}
			if i == 20 {
				b[500] ^= 1
			}
			if _, err := server.Write(b); err != nil {
				return
			}
		}
	})
	s, err := probe.StartStream(ctx, probe.StreamOptions{
		Client: n.client, Server: n.server, Listen: addr("10.2.0.2:80"), Target: addr("10.1.0.1:80"), Piece: 1000,
	})
	must(t, err)
	waitFor(t, "the change to be noticed", func() bool { return s.Err() != nil })
	if err := s.Finish(ctx); err == nil || err.Error() != "probe: stream: byte 20500 is wrong" {
		t.Errorf("finished with %v, want the position of the wrong byte", err)
	}
}

// Of eight connections through a relay, one in use is reset, one idle is
// reset, and one idle leads nowhere any more.
func TestConnsNameTheDead(t *testing.T) {
	n := newRouted(t)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var bad atomic.Bool
	relay(t, n.router, "10.1.0.1:80", "10.2.0.2:80", func(i int, client, server net.Conn) {
		b := make([]byte, 64)
		for {
			k, err := client.Read(b)
			if err != nil {
				server.Close()
				return
			}
			if bad.Load() && (i == 2 || i == 3) {
				must(t, client.(*net.TCPConn).SetLinger(0))
				client.Close()
				server.Close()
				return
			}
			if bad.Load() && i == 5 {
				continue
			}
			_, _ = server.Write(b[:k])
		}
	})
	c, err := probe.StartConns(ctx, probe.ConnsOptions{
		Client: n.client, Server: n.server, Listen: addr("10.2.0.2:80"), Target: addr("10.1.0.1:80"), Count: 8, Every: 5 * time.Millisecond,
	})
	must(t, err)
	defer c.Stop()
	check := func() (dead []int) {
		// One that leads nowhere costs all of it; the others must not be taken for such.
		ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		for _, d := range c.Check(ctx) {
			dead = append(dead, d.Conn)
		}
		return dead
	}
	if dead := check(); dead != nil {
		t.Fatalf("dead before anything happened: %v", dead)
	}
	if _, err := c.Fresh(ctx); err != nil {
		t.Errorf("a new connection: %v", err)
	}
	bad.Store(true)
	if dead := check(); !slices.Equal(dead, []int{2, 3, 5}) {
		t.Errorf("dead %v, want 2, 3 and 5", dead)
	}
	bad.Store(false)
	if dead := check(); !slices.Equal(dead, []int{2, 3, 5}) {
		t.Errorf("dead after a while %v, want 2, 3 and 5 still", dead)
	}
}

func TestConnsWaitOutACut(t *testing.T) {
	n := newRouted(t)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	c, err := probe.StartConns(ctx, probe.ConnsOptions{
		Client: n.client, Server: n.server, Listen: addr("10.2.0.2:80"), Target: addr("10.2.0.2:80"), Count: 20, Every: 5 * time.Millisecond,
	})
	must(t, err)
	defer c.Stop()
	from, to := n.cut(t, 60*time.Millisecond, nil)
	if dead := c.Check(ctx); len(dead) > 0 {
		t.Errorf("dead %v, want none", dead)
	}
	waitFor(t, "a request that took as long as the cut", func() bool { return c.Slowest(from, to) > 30*time.Millisecond })
}

// Requests are under way whenever it ends: a socket that is closed before it has read one
// would answer with a reset, and a lab that looks for resets would find ours.
func TestConnsEndWithoutAReset(t *testing.T) {
	n := newRouted(t)
	before := n.sentResets(t)
	for range 20 {
		c, err := probe.StartConns(t.Context(), probe.ConnsOptions{
			Client: n.client, Server: n.server, Listen: addr("10.2.0.2:80"), Target: addr("10.2.0.2:80"), Count: 40, Every: time.Microsecond,
		})
		must(t, err)
		c.Stop()
	}
	if after := n.sentResets(t); after != before {
		t.Errorf("resets sent by the client and the server: %v, before %v", after, before)
	}
}

// sentResets is what the kernels of both ends count as OutRsts (RFC 4022, tcpOutRsts).
func (n routed) sentResets(t *testing.T) (out [2]string) {
	t.Helper()
	for i, node := range []*lab.Node{n.client, n.server} {
		must(t, node.Do(func() error {
			// Of the thread, which is the one in the node's namespace.
			b, err := os.ReadFile("/proc/thread-self/net/snmp")
			if err != nil {
				return err
			}
			var names []string
			for line := range strings.Lines(string(b)) {
				f := strings.Fields(line)
				if f[0] != "Tcp:" {
					continue
				}
				if at := slices.Index(names, "OutRsts"); at > 0 {
					out[i] = f[at]
				}
				names = f
			}
			return nil
		}))
	}
	return out
}

// patience bounds every wait: it is far more than anything takes.
const patience = 30 * time.Second

func waitFor(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
