package splicenet_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"understudy/appliance/lab"
	"understudy/appliance/lab/capture"
	"understudy/appliance/lab/probe"
	"understudy/nat/entry/entrynet/lognet"
	"understudy/nat/entry/entrynet/splicenet"
	"understudy/nat/nft"
	"understudy/nat/session"
	"understudy/nat/splice"
	"understudy/nat/splice/bytelog"
)

// logs has what is said to and by the servers be logged, and moves replay it.
func (n *network) logs(cfg bytelog.Config) *lognet.Capture {
	n.t.Helper()
	log := bytelog.New(cfg)
	log.Serve(n.at[:])
	var c *lognet.Capture
	n.must(n.gateway.Do(func() (err error) {
		if c, err = lognet.Open(log); err != nil {
			return err
		}
		table, err := nft.OpenLogged(nft.Config{})
		if err != nil {
			return err
		}
		n.t.Cleanup(func() { n.must(table.Close()) })
		if _, err := table.Apply(n.at[:], []string{"lan0"}, nft.Side{Index: c.Index(), Peer: lognet.PeerName}); err != nil {
			return err
		}
		mover, err := splicenet.Open(n.moves, n.notes, splicenet.LogTapes{Log: c})
		if err != nil {
			return err
		}
		err = n.mover.Close()
		n.mover = mover
		return err
	}))
	ctx, cancel := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	go func() { ran <- c.Run(ctx) }()
	n.t.Cleanup(func() { cancel(); n.must(errors.Join(<-ran, c.Close())) })
	return c
}

// replayed is a server that answers each line.
type replayed struct {
	probe.SumServer
	waits chan struct{} // not nil: what it says last it says when this is closed
	mu    sync.Mutex
	conns []*net.TCPConn
}

// forgets has a server that is off the network know nothing of its connections when it comes back.
func (s *replayed) forgets() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	for _, c := range s.conns {
		c.SetLinger(0) // of one that is closed already it cannot be said
		errs = append(errs, c.Close())
	}
	s.conns = nil
	if err := errors.Join(errs...); err != nil && !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}

func (n *network) serveLines(i int, random bool) *replayed {
	n.t.Helper()
	var l net.Listener
	n.until("an address to listen at", func() bool {
		return n.servers[i].Do(func() (err error) { l, err = net.Listen("tcp", n.at[i].String()); return err }) == nil
	})
	s := &replayed{SumServer: probe.SumServer{MakesUp: random}}
	s.Last = func() {
		if s.waits != nil {
			<-s.waits
		}
	}
	n.t.Cleanup(func() { l.Close() })
	probe.Accept(l, s.serve)
	return s
}

func (s *replayed) serve(c net.Conn) {
	s.mu.Lock()
	s.conns = append(s.conns, c.(*net.TCPConn))
	s.mu.Unlock()
	s.Talk(c)
}

// talker says lines and looks at each byte of the answers.
type talker struct {
	n     *network
	conn  *net.TCPConn
	from  netip.AddrPort
	said  probe.Sums
	lines int
	heard atomic.Int64
	want  bytes.Buffer
}

func (n *network) talk() *talker {
	n.t.Helper()
	c := n.call()
	return &talker{n: n, conn: c.conn.(*net.TCPConn), from: c.from}
}

func (k *talker) line(size, ask int) []byte {
	k.lines++
	b := append(fmt.Appendf(nil, "%d line %d ", size, k.lines), strings.Repeat("x", ask)...)
	b = append(b, '\n')
	k.want.Write(k.said.Answer(b))
	return b
}

// ask says lines, one when the answer to the one before has come.
func (k *talker) ask(lines, size int) {
	k.n.t.Helper()
	for range lines {
		k.n.must(k.conn.SetDeadline(time.Now().Add(patience)))
		_, err := k.conn.Write(k.line(size, 20))
		k.n.must(err)
		k.hear(-1, 0)
	}
}

// hear takes so many bytes of what is still to come, all if that is less than 0, slowly if it has to,
// and looks whether they are right.
func (k *talker) hear(bytesOf int, pause time.Duration) {
	k.n.t.Helper()
	k.n.must(k.take(bytesOf, pause))
}

func (k *talker) take(bytesOf int, pause time.Duration) error {
	if bytesOf < 0 {
		bytesOf = k.want.Len()
	}
	buf := make([]byte, 32<<10)
	for bytesOf > 0 {
		if err := k.conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
			return err
		}
		m, err := k.conn.Read(buf[:min(len(buf), bytesOf)])
		if err != nil {
			return fmt.Errorf("after %d bytes, with %d to come: %w", k.heard.Load(), k.want.Len(), err)
		}
		if !bytes.Equal(buf[:m], k.want.Next(m)) {
			return fmt.Errorf("a wrong byte among %d after %d", m, k.heard.Load())
		}
		k.heard.Add(int64(m))
		bytesOf -= m
		time.Sleep(pause)
	}
	return nil
}

// ends hears the server's last words, and that there are no more.
func (k *talker) ends() {
	k.n.t.Helper()
	k.want.Write(k.said.Answer([]byte(probe.LastLine)))
	k.hear(-1, 0)
	if m, err := k.conn.Read(make([]byte, 1)); err != io.EOF {
		k.n.t.Fatalf("behind the end: %d bytes, %v", m, err)
	}
}

// replays moves connections, which has to be possible.
func (n *network) replays(to int, of ...*talker) (out []splicenet.Outcome) {
	n.t.Helper()
	out = n.tries(to, of...)
	for i, o := range out {
		if o.Reason != splice.None {
			n.t.Fatalf("connection %d is refused: %v; it was %+v", i, o.Reason, n.tried[i])
		}
	}
	return out
}

func (n *network) tries(to int, of ...*talker) []splicenet.Outcome {
	n.t.Helper()
	var jobs []splicenet.Job
	for _, k := range of {
		c := &caller{n: n, from: k.from}
		jobs = append(jobs, splicenet.Job{Record: c.entry(), To: n.at[to], Replay: true})
	}
	n.tried = jobs
	out, err := n.mover.Move(jobs, func([]int) {})
	n.must(err)
	return out
}

// loses has every node lose so many of a hundred packets of TCP that come in.
func (n *network) loses(percent uint32, nodes ...*lab.Node) {
	n.t.Helper()
	for _, node := range nodes {
		n.must(node.Do(func() error {
			c, err := nftables.New()
			if err != nil {
				return err
			}
			t := c.AddTable(&nftables.Table{Name: "loss", Family: nftables.TableFamilyINet})
			c.FlushTable(t)
			ch := c.AddChain(&nftables.Chain{Name: "in", Table: t, Type: nftables.ChainTypeFilter, Hooknum: nftables.ChainHookInput, Priority: nftables.ChainPriorityFilter})
			if percent > 0 {
				c.AddRule(&nftables.Rule{Table: t, Chain: ch, Exprs: []expr.Any{
					&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1}, &expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{unix.IPPROTO_TCP}},
					&expr.Numgen{Register: 1, Modulus: 100, Type: unix.NFT_NG_RANDOM},
					// Numbers of nftables are in the order of the host.
					&expr.Byteorder{SourceRegister: 1, DestRegister: 1, Op: expr.ByteorderHton, Len: 4, Size: 4},
					&expr.Cmp{Op: expr.CmpOpLt, Register: 1, Data: binaryutil.BigEndian.PutUint32(percent)},
					&expr.Verdict{Kind: expr.VerdictDrop}}})
			}
			return c.Flush()
		}))
	}
}

// A server of which each word depends on all before dies again and again, while nothing is under way, in
// the middle of megabytes, with a client that has said its last word and reads slowly, and on links
// that lose packets: each byte is right, and nobody is reset.
func TestReplayedConnections(t *testing.T) {
	for _, six := range []bool{false, true} {
		t.Run(fmt.Sprintf("six %v", six), func(t *testing.T) { replayedConnections(t, six) })
	}
}

func replayedConnections(t *testing.T, six bool) {
	n := newNetwork(t, six)
	n.logs(bytelog.Config{PerConnection: 16 << 20})
	servers := [2]*replayed{n.serveLines(0, false), n.serveLines(1, false)}
	resets := n.watch(n.wan, func(p capture.Packet) bool { return p.Flags&capture.RST != 0 })
	at := 0
	// next has the server die at which the connections are, and has them go on at the other one.
	next := func(of ...*talker) {
		t.Helper()
		n.kill(at)
		n.must(servers[at].forgets())
		out := n.replays(1-at, of...)
		worst := splicenet.Outcome{}
		for _, o := range out {
			if o.Took > worst.Took {
				worst = o
			}
		}
		t.Logf("%d moved, %v at most, with %d bytes said again", len(out), worst.Took, worst.Replayed)
		at = 1 - at
	}

	// There and back again, with many at once, none of which knows another.
	talkers := make([]*talker, 20)
	for i := range talkers {
		talkers[i] = n.talk()
		talkers[i].ask(5, 100*(i+1))
	}
	for range 3 {
		next(talkers...)
		for _, k := range talkers {
			k.ask(5, 3000)
		}
		n.revive(1 - at)
	}

	// In the middle of megabytes. What the client may say is more than it reads.
	big := talkers[0]
	bigWords := make([]byte, 0, 1<<20)
	for range 100 {
		bigWords = append(bigWords, big.line(50_000, 2000)...)
	}
	var said sync.WaitGroup
	said.Go(func() { big.conn.Write(bigWords) })
	big.hear(300_000, 0)
	heard := make(chan error, 1)
	// One that reads nothing at all has a server that takes nothing more: it has to read.
	go func() { heard <- big.take(3_000_000, time.Millisecond) }()
	next(talkers...)
	n.must(<-heard)
	said.Wait()
	big.hear(-1, 0)
	n.revive(1 - at)

	// It has said its last word, and reads slowly.
	half := talkers[1]
	half.n.must(half.conn.SetReadBuffer(64 << 10))
	for range 40 {
		_, err := half.conn.Write(half.line(200_000, 100))
		n.must(err)
	}
	n.must(half.conn.CloseWrite())
	half.hear(100_000, time.Millisecond)
	go func() { heard <- half.take(1_000_000, time.Millisecond) }()
	next(talkers...)
	n.must(<-heard)
	half.ends()
	talkers = append(talkers[:1:1], talkers[2:]...)
	n.revive(1 - at)

	// One packet of thirty is lost, at each.
	n.loses(3, n.client, n.servers[0], n.servers[1])
	for range 2 {
		for _, k := range talkers[:5] {
			k.ask(5, 4000)
		}
		next(talkers...)
		n.revive(1 - at)
		talkers[0].ask(3, 100_000)
	}
	n.loses(0, n.client, n.servers[0], n.servers[1])
	n.nothingOn(resets, "resets")
}

// What is not whole, or not the same, is refused, with its reason.
func TestWhatCannotBeReplayed(t *testing.T) {
	n := newNetwork(t, false)
	log := n.logs(bytelog.Config{PerConnection: 64 << 10})
	n.serveLines(0, true)
	n.serveLines(1, true)
	refused := func(k *talker, want splice.Reason) {
		t.Helper()
		if out := n.tries(1, k); out[0].Reason != want {
			t.Errorf("refused: %q, want %q", out[0].Reason, want)
		}
		if r := (&caller{n: n, from: k.from}).entry(); r.ReplySrc.Netip(4) != n.at[0].Addr() {
			t.Errorf("the kernel's entry is %+v", r)
		}
	}
	says := func(k *talker, ask int) {
		t.Helper()
		_, err := k.conn.Write(k.line(1000, ask))
		n.must(err)
		_, err = io.ReadFull(k.conn, make([]byte, 1000))
		n.must(err)
	}
	random, full := n.talk(), n.talk()
	says(random, 10)
	refused(random, splice.Diverged)
	says(full, 100<<10)
	refused(full, splice.LogFull)

	gap := n.talk()
	says(gap, 10)
	log.Settled(func(l *bytelog.Log) { l.Lost() })
	refused(gap, splice.Gap)
	silent := n.talk() // nothing was said that could differ
	n.until("the server accepts", func() bool {
		return (&caller{n: n, from: silent.from}).entry().Status&session.StatusAssured != 0
	})
	log.Settled(func(l *bytelog.Log) { l.End(splice.Ends{Server: n.at[0], Client: silent.from}) })
	refused(silent, splice.Unlogged)

	scaled := n.talk()
	says(scaled, 10)
	n.must(n.servers[1].Sysctl("ipv4/tcp_rmem", "4096 16384 65536"))
	refused(scaled, splice.ScaleDiffers)
	says(scaled, 10) // it was not dead
}
