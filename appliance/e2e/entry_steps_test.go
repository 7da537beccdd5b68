package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"understudy/appliance/lab"
	"understudy/appliance/lab/capture"
	"understudy/appliance/lab/pair"
	"understudy/appliance/lab/probe"
	"understudy/nat/entry"
	"understudy/nat/entry/entrynet/lognet"
	"understudy/nat/nft"
)

// Gateways that die, or whose program does, while connections are moved.

// rules loads a ruleset into a machine's kernel.
func (s *scene) rules(node *lab.Node, text string) {
	s.t.Helper()
	s.must(node.Ruleset(text))
}

// spoken is a connection on which lines are said, each byte of whose answers is looked at. With a
// server that forgets, an answer depends on its line alone, as a lazy move has it.
type spoken struct {
	conn    net.Conn
	at      netip.AddrPort
	forgets bool
	sums    probe.Sums
	n       int
	want    []byte
}

// spokenLine is longer than a segment without data, also with all options.
const spokenLine = 200

// listening is how long one that says nothing waits for a reset. It may come later; then what is said
// next is answered with one.
const listening = 4 * time.Second

var errWrong = errors.New("a wrong byte")

func (k *spoken) say() error {
	k.n++
	line := append(fmt.Appendf(nil, "%d %v says %d ", answerSize, k.at, k.n), bytes.Repeat([]byte{'x'}, spokenLine)...)
	line = append(line, '\n')
	if k.forgets {
		k.sums = probe.Sums{}
	}
	k.want = append(k.want, k.sums.Answer(line)...)
	_, err := k.conn.Write(line)
	return err
}

// hear takes all that is to come.
func (k *spoken) hear() error {
	b := make([]byte, 32<<10)
	for len(k.want) > 0 {
		n, err := k.conn.Read(b[:min(len(b), len(k.want))])
		if !bytes.Equal(b[:n], k.want[:n]) {
			return errWrong
		}
		if k.want = k.want[n:]; err != nil {
			return err
		}
	}
	return nil
}

// goesOn tells what becomes of it: nil, it goes on and each byte is right, or it is reset; nothing else is
// to happen. One that listens says nothing until nothing has happened for a while.
func (k *spoken) goesOn(bound time.Duration, listens bool) error {
	if listens {
		k.conn.SetDeadline(time.Now().Add(listening))
		if n, err := k.conn.Read(make([]byte, 1)); n > 0 {
			return errWrong
		} else if !errors.Is(err, os.ErrDeadlineExceeded) {
			return err
		}
	}
	k.conn.SetDeadline(time.Now().Add(bound))
	for range 3 {
		if err := errors.Join(k.say(), k.hear()); err != nil {
			return err
		}
	}
	return nil
}

// steps is a pair with an entry point whose connections are moved, of which one gateway after the
// other dies.
type steps struct {
	*scene
	how    entry.How
	at     netip.AddrPort
	nodes  []*lab.Node
	active *pair.Gateway
	before map[string]string // sysctls of a gateway on which nothing ran
}

const stepsPort = 7000

// stepsBound is the longest that a connection may be silent: as long as what a killed program has
// frozen is, and then the pause of a client that says it again.
const stepsBound = 40 * time.Second

func newSteps(t *testing.T, how entry.How) *steps {
	t.Helper()
	s := &steps{how: how, at: netip.AddrPortFrom(entryAddress.Addr(), stepsPort)}
	// A busy machine must not look like a dead one.
	s.scene = newScene(t, pair.Options{Interval: 300 * time.Millisecond, RouterKeys: "preempt = false", Extra: replayPoint("sums", s.at, how)})
	s.before = s.sysctls(s.gw1.Node)
	var err error
	s.nodes, err = s.Servers(2)
	s.must(err)
	for i, node := range s.nodes {
		s.serveSums(node, netip.AddrPortFrom(pair.ServerHost(i+1), s.at.Port()), probe.SumServer{Forgets: how == entry.Lazy})
	}
	s.ready(2, "sums")
	s.active = s.gw1
	s.logs(s.active)
	return s
}

// logs waits until a gateway logs what it may have to replay.
func (s *steps) logs(g *pair.Gateway) {
	s.t.Helper()
	s.wait("connections to be logged", func(ctx context.Context) error {
		st, err := g.Status(ctx)
		if err == nil && s.how.Logged() && (st.NAT.Log == nil || s.how == entry.Warm && st.NAT.Log.Shadows == nil) {
			err = errors.New("nothing is logged")
		}
		return err
	})
}

// dial opens connections, and says something on each.
func (s *steps) dial(n int) []*spoken {
	s.t.Helper()
	out := make([]*spoken, n)
	for i := range out {
		k := &spoken{forgets: s.how == entry.Lazy}
		s.must(s.Outside.Do(func() (err error) {
			k.conn, err = (&net.Dialer{Timeout: patience, KeepAlive: -1}).Dial("tcp", s.at.String())
			return err
		}))
		s.t.Cleanup(func() { k.conn.Close() })
		k.at = k.conn.LocalAddr().(*net.TCPAddr).AddrPort()
		s.must(k.conn.SetDeadline(time.Now().Add(patience)))
		for range 3 {
			s.must(errors.Join(k.say(), k.hear()))
		}
		out[i] = k
	}
	return out
}

// replicated waits until the standby has the connections, and a warm partner each.
func (s *steps) replicated(of []*spoken) {
	s.t.Helper()
	if s.how == entry.Warm {
		s.wait("each to be replayed all along", func(ctx context.Context) error {
			st, err := s.active.Status(ctx)
			if err == nil && st.NAT.Log.Shadows.Connections < len(of) {
				err = fmt.Errorf("%+v", st.NAT.Log.Shadows)
			}
			return err
		})
	}
	s.wait("the standby to have the connections", s.Equal(s.active))
}

// servedBy tells how many of the connections are at a server, by the kernel of the gateway.
func (s *steps) servedBy(g *pair.Gateway, server netip.Addr, of []*spoken) (n int) {
	s.t.Helper()
	flows, err := g.Conntrack()
	s.must(err)
	for _, f := range flows {
		if from, ok := netip.AddrFromSlice(f.Reverse.SrcIP); ok && from.Unmap() == server && f.Forward.DstPort == s.at.Port() {
			if slices.ContainsFunc(of, func(k *spoken) bool { return k.at.Port() == f.Forward.SrcPort }) {
				n++
			}
		}
	}
	return n
}

// resets records who is reset in the name of the entry point.
func (s *steps) resets() *capture.Capture {
	s.t.Helper()
	return s.watch(s.WAN, func(p capture.Packet) bool {
		return p.Src == s.at.Addr() && p.SrcPort == s.at.Port() && p.Flags&capture.RST != 0
	})
}

func (s *steps) watch(seg *lab.Segment, keep func(capture.Packet) bool) *capture.Capture {
	s.t.Helper()
	c, err := capture.Start(seg, capture.Options{Filter: capture.Protocols(6), Keep: func(f capture.Frame) bool { return keep(capture.Decode(f.Data)) }})
	s.must(err)
	s.t.Cleanup(func() { s.must(c.Stop()) })
	return c
}

// outcomes has all connections go on, at once, and tells how many did. The others have to have been
// reset, each with a reason in the log of who moves them from now on, but for those that were reset
// before.
func (s *steps) outcomes(of []*spoken, early map[uint16]bool, listen bool) (alive int) {
	s.t.Helper()
	ends := make([]error, len(of))
	var wg sync.WaitGroup
	for i, k := range of {
		wg.Go(func() { ends[i] = k.goesOn(stepsBound, listen && len(k.want) == 0) })
	}
	wg.Wait()
	for i, k := range of {
		switch err := ends[i]; {
		case err == nil:
			alive++
		case errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE):
			if !early[k.at.Port()] {
				s.wait(fmt.Sprintf("a reason why connection %d from %v is reset", i, k.at), s.tellsWhy(k))
			}
		case errors.Is(err, os.ErrDeadlineExceeded):
			s.t.Errorf("connection %d from %v hangs, with %d bytes to come", i, k.at, len(k.want))
		case err == io.EOF:
			s.t.Errorf("connection %d from %v is ended as if all were well", i, k.at)
		default:
			s.t.Errorf("connection %d from %v: %v", i, k.at, err)
		}
	}
	return alive
}

// tellsWhy is a condition: the active gateway has logged why it did not move a connection.
func (s *steps) tellsWhy(k *spoken) func(context.Context) error {
	return func(context.Context) error {
		if len(s.journal.of(s.active, `"connection not moved"`, fmt.Sprintf("%q", k.at.String()))) == 0 {
			return errors.New("there is none")
		}
		return nil
	}
}

// next has the gateway that has died come back, and the first server too.
func (s *steps) next(died *pair.Gateway) {
	s.t.Helper()
	for _, node := range s.nodes {
		s.must(node.PlugAll())
	}
	s.must(died.Reboot())
	s.must(died.Start())
	s.calm()
}

// calm waits until all is as in the beginning.
func (s *steps) calm() {
	s.t.Helper()
	s.settled(s.active)
	for _, g := range s.Gateways {
		for i := range s.nodes {
			s.wait("the servers to be up", serverIs(g, "sums", i+1, "up"))
		}
	}
	s.logs(s.active)
}

// dies has the active gateway die. It tells who was reset by then.
func (s *steps) dies(resets *capture.Capture) (died *pair.Gateway, early map[uint16]bool) {
	s.t.Helper()
	died = s.active
	_, err := died.Crash()
	s.must(err)
	early = ports(resets)
	s.active = s.Other(died)
	s.wait(s.active.Name+" to take over", s.active.Is("active"))
	return died, early
}

// The program dies in the middle of moves, with a server that was only cut off and with one that is dead; the
// active gateway dies right before a server's death is found, in the middle of moves, and when all has
// just been moved. What clients hear is right, and who cannot go on is reset, with a reason. In
// the end nothing is left in the kernel of a gateway whose program was killed.
func TestEntryDeathsWhileItMoves(t *testing.T) {
	for _, how := range []entry.How{entry.Lazy, entry.Replay, entry.Warm} {
		t.Run(string(how), func(t *testing.T) {
			s := newSteps(t, how)
			s.programDies(true)
			s.programDies(false)
			s.diesBefore()
			s.diesBetween()
			s.diesAfter()
			s.cleans()
		})
	}
}

// programDies has the program be killed with connections in each step of a move, and start anew. If the
// server comes back meanwhile they go on, with whom they are.
func (s *steps) programDies(back bool) {
	s.t.Helper()
	of, resets, release := s.hold()
	pid := s.kill(s.active, "daemon")
	if back {
		s.must(s.nodes[0].PlugAll())
	}
	early := ports(resets)
	release()
	s.wait("another daemon", replaced(s.active, pid, "daemon"))
	alive := s.outcomes(of, early, false)
	s.t.Logf("the program was killed in the middle, and the server is back: %v: %d go on, %d had been reset", back, alive, len(early))
	if back && alive+len(early) < len(of) {
		s.t.Errorf("%d of %d go on, %d had been reset before", alive, len(of), len(early))
	}
	s.wait("nothing to be frozen", s.nothingFrozen)
	if !back {
		if n := s.servedBy(s.active, pair.ServerHost(1), of); n > 0 {
			s.t.Errorf("the kernel has %d entries of a server that is dead", n)
		}
		s.must(s.nodes[0].PlugAll())
	}
	for _, k := range of {
		k.conn.Close()
	}
	s.calm()
}

// nothingFrozen is a condition: the active gateway has frozen nothing.
func (s *steps) nothingFrozen(context.Context) error {
	var text []byte
	s.must(s.active.Do(func() (err error) {
		text, err = exec.Command("nft", "list", "table", "inet", nft.MovesTable).CombinedOutput()
		return err
	}))
	_, rest, ok := strings.Cut(string(text), "set frozen {")
	if body, _, _ := strings.Cut(rest, "\n\t}"); !ok || strings.Contains(body, "elements") {
		return fmt.Errorf("frozen is %q", body)
	}
	return nil
}

// cleans has the program be killed, with all that it was started with, and what it has left removed.
func (s *steps) cleans() {
	s.t.Helper()
	g := s.active
	s.logs(g)
	s.must(g.Kill())
	if tables := s.ourTables(g); !slices.Contains(tables, nft.MovesTable) || slices.Contains(tables, nft.LoggedTable) != s.how.Logged() {
		s.t.Errorf("a program that was killed has left the tables %v", tables)
	}
	if _, err := g.Netlink().LinkByName(lognet.SideName); (err == nil) != s.how.Logged() {
		s.t.Errorf("a program that was killed has left a side device: %v", err)
	}
	s.ok(g, "clean")
	s.pristine(g, s.before)
}

// unanswered are connections whose server is gone, and half of them have asked something since.
func (s *steps) unanswered() (of []*spoken, resets *capture.Capture) {
	s.t.Helper()
	of = s.dial(12)
	s.replicated(of)
	resets = s.resets()
	s.must(s.nodes[0].UnplugAll())
	for _, k := range of[:6] {
		s.must(k.say())
	}
	return of, resets
}

func (s *steps) diesBefore() {
	s.t.Helper()
	of, resets := s.unanswered()
	died, early := s.dies(resets)
	alive := s.outcomes(of, early, true)
	s.t.Logf("right before: %d go on, %d had been reset by %s", alive, len(early), died.Name)
	s.next(died)
}

// hold has connections be in each step of a move: four of them each where their client does not say how
// far it is, where the new server does not accept, where it does not acknowledge what is said, and
// where all is done. What holds them is over when release is called.
func (s *steps) hold() (of []*spoken, resets *capture.Capture, release func()) {
	s.t.Helper()
	of = s.dial(16)
	silent, shut, slow, done := of[:4], of[4:8], of[8:12], of[12:]
	s.replicated(of)
	s.rules(s.nodes[1], fmt.Sprintf("table ip hold { chain in { type filter hook input priority 0; tcp sport { %s } tcp flags & (syn|ack) == syn drop; tcp sport { %s } ip length > %d drop; }; }",
		list(shut), list(slow), spokenLine))
	for i, k := range of {
		s.must(k.say())
		if i%2 == 0 || s.how == entry.Lazy {
			s.must(k.hear())
		}
	}
	resets = s.resets()
	s.wait("the standby to have them as they are", s.Equal(s.active))
	s.must(s.nodes[0].UnplugAll())
	s.rules(s.Outside, fmt.Sprintf("table ip hold { chain out { type filter hook output priority 0; tcp sport { %s } drop; }; }", list(silent)))
	second := pair.ServerHost(2)
	asked := s.watch(s.WAN, func(p capture.Packet) bool { return p.Src == s.at.Addr() && has(silent, p.DstPort) })
	opened := s.watch(s.LAN, func(p capture.Packet) bool {
		return p.Dst == second && p.Flags&capture.SYN != 0 && has(shut, p.SrcPort)
	})
	told := s.watch(s.LAN, func(p capture.Packet) bool {
		return p.Dst == second && p.Flags&capture.PSH != 0 && has(slow, p.SrcPort)
	})
	for _, k := range append(slow[:2:2], done[:2]...) {
		s.must(k.say())
	}
	opening, telling := len(shut), len(slow)
	switch s.how {
	case entry.Lazy: // what was said is all that there is to be told
		telling = 2
	case entry.Warm: // the new server has accepted long ago
		opening = 0
	}
	s.wait("each to be in its step", func(context.Context) error {
		a, o, t, d := len(ports(asked)), len(ports(opened)), len(ports(told)), s.servedBy(s.active, second, done)
		if a < len(silent) || o < opening || t < telling || d < len(done) {
			return fmt.Errorf("%d were asked, %d begun, %d told, %d done", a, o, t, d)
		}
		return nil
	})
	return of, resets, func() {
		s.t.Helper()
		s.rules(s.Outside, "delete table ip hold")
		s.rules(s.nodes[1], "delete table ip hold")
	}
}

func (s *steps) diesBetween() {
	s.t.Helper()
	of, resets, release := s.hold()
	died, early := s.dies(resets)
	release()
	alive := s.outcomes(of, early, false)
	s.t.Logf("in the middle: %d go on, %d had been reset by %s", alive, len(early), died.Name)
	s.next(died)
}

func (s *steps) diesAfter() {
	s.t.Helper()
	of, resets := s.unanswered()
	s.wait("all to be moved", func(context.Context) error {
		if n := s.servedBy(s.active, pair.ServerHost(2), of); n < len(of) {
			return fmt.Errorf("%d are", n)
		}
		return nil
	})
	died, early := s.dies(resets)
	alive := s.outcomes(of, early, false)
	s.t.Logf("right after: %d go on, %d had been reset by %s", alive, len(early), died.Name)
}

func has(of []*spoken, port uint16) bool {
	return slices.ContainsFunc(of, func(k *spoken) bool { return k.at.Port() == port })
}

// list are the ports of clients, as nftables wants them.
func list(of []*spoken) string {
	var out []string
	for _, k := range of {
		out = append(out, fmt.Sprint(k.at.Port()))
	}
	return strings.Join(out, ", ")
}

// ports are those of clients in a recording.
func ports(c *capture.Capture) map[uint16]bool {
	out := map[uint16]bool{}
	for _, f := range c.Frames() {
		p := capture.Decode(f.Data)
		out[p.SrcPort], out[p.DstPort] = true, true
	}
	delete(out, stepsPort)
	return out
}
