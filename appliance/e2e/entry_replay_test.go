package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"

	"understudy/appliance"
	"understudy/appliance/lab"
	"understudy/appliance/lab/pair"
	"understudy/appliance/lab/probe"
	"understudy/nat/entry"
)

// answerSize is how much a server is asked to say to each line.
const answerSize = 64_000

// serveSums has a server answer the lines that it hears.
func (s *scene) serveSums(node *lab.Node, at netip.AddrPort, server probe.SumServer) {
	s.t.Helper()
	var l net.Listener
	s.wait("an address to listen at", func(context.Context) error {
		return node.Do(func() (err error) { l, err = net.Listen("tcp", at.String()); return err })
	})
	s.t.Cleanup(func() { l.Close() })
	probe.Accept(l, server.Talk)
}

// replayPoint is an entry point whose connections are replayed, when their server dies or all along.
func replayPoint(name string, at netip.AddrPort, how entry.How) string {
	var servers strings.Builder
	for i := 1; i <= 2; i++ {
		fmt.Fprintf(&servers, "  { address = %q, check = %q },\n", netip.AddrPortFrom(pair.ServerHost(i), at.Port()), name)
	}
	return fmt.Sprintf("[[check]]\nname = %q\nkind = \"tcp\"\nevery = %q\nfall = %d\n", name, entryEvery, entryFall) +
		fmt.Sprintf("[[nat.entry]]\nname = %q\naddress = \"%s/tcp\"\non_failure = \"move\"\nmove = %q\nservers = [\n%s]\n", name, at, how, &servers)
}

// summing is a connection of which each byte is looked at.
type summing struct {
	s    *scene
	conn net.Conn
	sums probe.Sums
	n    int
	want []byte
}

func (s *scene) sums(to netip.AddrPort) *summing {
	s.t.Helper()
	k := &summing{s: s}
	s.must(s.Outside.Do(func() (err error) {
		k.conn, err = (&net.Dialer{Timeout: patience, KeepAlive: -1}).Dial("tcp", to.String())
		return err
	}))
	s.t.Cleanup(func() { k.conn.Close() })
	return k
}

func (k *summing) say(lines int) {
	k.s.t.Helper()
	for range lines {
		k.n++
		line := fmt.Appendf(nil, "%d line %d\n", answerSize, k.n)
		k.s.must(k.conn.SetDeadline(time.Now().Add(patience)))
		_, err := k.conn.Write(line)
		k.s.must(err)
		k.want = append(k.want, k.sums.Answer(line)...)
	}
}

// hear takes so many bytes of what is to come; all, if that is less than 0.
func (k *summing) hear(n int) {
	k.s.t.Helper()
	if n < 0 {
		n = len(k.want)
	}
	b := make([]byte, n)
	k.s.must(k.conn.SetDeadline(time.Now().Add(patience)))
	_, err := io.ReadFull(k.conn, b)
	k.s.must(err)
	if !bytes.Equal(b, k.want[:n]) {
		k.s.t.Fatalf("among the answers to line %d is a wrong byte", k.n)
	}
	k.want = k.want[n:]
}

// newReplayScene is a pair with two entry points and two servers: what is called at right adds up, what is
// called at wrong makes it up.
func newReplayScene(t *testing.T, how entry.How) (s *scene, nodes []*lab.Node, right, wrong netip.AddrPort) {
	t.Helper()
	right, wrong = netip.AddrPortFrom(entryAddress.Addr(), 7000), netip.AddrPortFrom(entryAddress.Addr(), 7001)
	s = newScene(t, pair.Options{Extra: replayPoint("sums", right, how) + replayPoint("tales", wrong, how)})
	nodes, err := s.Servers(2)
	s.must(err)
	for i, node := range nodes {
		s.serveSums(node, netip.AddrPortFrom(pair.ServerHost(i+1), right.Port()), probe.SumServer{})
		s.serveSums(node, netip.AddrPortFrom(pair.ServerHost(i+1), wrong.Port()), probe.SumServer{MakesUp: true})
	}
	s.ready(2, "sums", "tales")
	return s, nodes, right, wrong
}

// A server dies while it answers: the next one says the rest, and so on, over the death of the
// gateway too. A server that makes things up is found out, and its client reset.
func TestEntryReplay(t *testing.T) {
	s, nodes, right, wrong := newReplayScene(t, entry.Replay)
	s.wait("connections to be logged", func(ctx context.Context) error {
		st, err := s.gw1.Status(ctx)
		if err == nil && st.NAT.Log == nil {
			err = errors.New("nothing is logged")
		}
		return err
	})
	a, liar := s.sums(right), s.sums(wrong)
	a.say(3)
	a.hear(-1)
	liar.say(1)
	_, err := io.ReadFull(liar.conn, make([]byte, len(liar.want)))
	s.must(err)
	a.say(20)
	a.hear(200_000) // the rest is on its way, or has still to be said

	s.must(nodes[0].UnplugAll())
	counted := func(moved, diverged uint64) func(context.Context) error {
		return func(ctx context.Context) error {
			st, err := s.gw1.Status(ctx)
			if err != nil {
				return err
			}
			if e := st.NAT.Entries; len(e) != 2 || e[0].Moved != moved || e[0].ReplayedBytes == 0 || e[0].LongestMove == 0 || e[1].NotMoved["diverged"] != diverged {
				return fmt.Errorf("entry points are %+v, want %d moved and %d diverged", e, moved, diverged)
			}
			return nil
		}
	}
	s.wait("one to be moved, and one to be refused", counted(1, 1))
	if _, err := liar.conn.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the client of the server that makes it up hears %v", err)
	}
	a.hear(-1)

	s.must(nodes[0].PlugAll())
	s.wait("the first server to be up", serverIs(s.gw1, "sums", 1, "up"))
	a.say(5)
	s.must(nodes[1].UnplugAll())
	s.wait("it to be moved back", counted(2, 1))
	a.hear(-1)

	s.wait("the standby to have the connection", s.Equal(s.gw1))
	s.crash(s.gw1)
	a.say(5)
	a.hear(-1)
}

// Connections are replayed all along: when their server dies nothing is left to be said, there and back
// again. A server that makes things up is dropped, and the client hears nothing of it.
func TestEntryWarm(t *testing.T) {
	s, nodes, right, wrong := newReplayScene(t, entry.Warm)
	shadowed := func(ok func(*appliance.ShadowStatus) bool) func(context.Context) error {
		return func(ctx context.Context) error {
			st, err := s.gw1.Status(ctx)
			if err != nil {
				return err
			}
			if st.NAT.Log == nil || st.NAT.Log.Shadows == nil || !ok(st.NAT.Log.Shadows) {
				return fmt.Errorf("the log is %+v", st.NAT.Log)
			}
			return nil
		}
	}
	s.wait("the log, and what is replayed", shadowed(func(*appliance.ShadowStatus) bool { return true }))
	a, liar := s.sums(right), s.sums(wrong)
	a.say(3)
	a.hear(-1)
	liar.say(1)
	_, err := io.ReadFull(liar.conn, make([]byte, len(liar.want)))
	s.must(err)
	one := func(h *appliance.ShadowStatus) bool { return h.Connections == 1 }
	s.wait("the liar to be found out", shadowed(func(h *appliance.ShadowStatus) bool {
		return one(h) && h.Dropped["diverged"] == 1 && h.Without["diverged"] == 1
	}))
	liar.say(1)
	_, err = io.ReadFull(liar.conn, make([]byte, answerSize))
	s.must(err)

	var replayed uint64
	for moved, node := range nodes {
		a.say(20)
		a.hear(100_000)
		s.must(node.UnplugAll())
		s.wait("it to be moved", func(ctx context.Context) error {
			st, err := s.gw1.Status(ctx)
			if err != nil {
				return err
			}
			if e := st.NAT.Entries[0]; e.Moved != uint64(moved+1) || len(e.NotMoved) > 0 {
				return fmt.Errorf("the entry point is %+v", e)
			}
			replayed = st.NAT.Entries[0].ReplayedBytes
			return nil
		})
		a.hear(-1)
		a.say(1)
		a.hear(-1)
		s.must(node.PlugAll())
		s.wait("the server to be up", serverIs(s.gw1, "sums", moved+1, "up"))
		s.wait("it to be replayed all along", shadowed(one))
	}
	t.Logf("%d bytes of %d had still to be said", replayed, a.n*len("64000 line 10\n"))

	// A gateway that hands over replays nothing any more, and the connection goes on.
	s.wait("the standby to have the connection", s.Equal(s.gw1))
	s.ok(s.gw1, "failover")
	s.settled(s.gw2)
	s.wait("nothing to be replayed by gw1", shadowed(func(h *appliance.ShadowStatus) bool { return h.Connections == 0 && h.Dropped["gone"] > 0 }))
	a.say(3)
	a.hear(-1)
}
