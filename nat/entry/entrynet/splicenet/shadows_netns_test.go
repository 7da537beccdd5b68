package splicenet_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"understudy/appliance/lab/capture"
	"understudy/nat/entry/entrynet/lognet"
	"understudy/nat/entry/entrynet/splicenet"
	"understudy/nat/splice"
	"understudy/nat/splice/bytelog"
)

// shading is a network whose connections are replayed all along at the server at which they are not. The
// third has to be made alive first.
type shading struct {
	*network
	log     *lognet.Capture
	shadows *splicenet.Shadows
	alive   [3]atomic.Bool
}

func newShading(t *testing.T, six bool, cfg bytelog.Config) *shading {
	n := newNetwork(t, six)
	s := &shading{network: n, log: n.logs(cfg)}
	n.must(n.gateway.Do(func() (err error) {
		s.shadows, err = splicenet.OpenShadows(n.moves, s.log)
		return err
	}))
	s.log.With(func(l *bytelog.Log) { l.Watch(s.shadows.Heard) })
	n.mover.Use(s.shadows)
	ctx, stop := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	go func() { ran <- s.shadows.Run(ctx) }()
	t.Cleanup(func() { stop(); n.must(errors.Join(<-ran, s.shadows.Close())) })
	s.alive[0].Store(true)
	s.alive[1].Store(true)
	s.serves()
	return s
}

func (s *shading) serves() {
	s.shadows.Serve(func(entry, server netip.AddrPort) (to []netip.AddrPort, wanted bool) {
		for i, a := range s.at {
			if s.alive[i].Load() && a != server {
				to = append(to, a)
			}
		}
		return to, entry == s.web && slices.Contains(s.at[:], server)
	})
}

// dies takes a server away, of which the shadows are told.
func (s *shading) dies(i int) {
	s.t.Helper()
	s.alive[i].Store(false)
	s.kill(i)
	s.serves()
}

func (s *shading) lives(i int) {
	s.t.Helper()
	s.revive(i)
	s.hears(i)
	s.alive[i].Store(true)
	s.serves()
}

// shaded waits until connections that are at a server are replayed at the other one, which is as far.
func (s *shading) shaded(at int, of ...*talker) {
	s.t.Helper()
	for _, k := range of {
		s.until("a connection is replayed all along", func() bool {
			to, ok := s.shadows.Partner(splice.Ends{Server: s.at[at], Client: k.from})
			return ok && to == s.at[1-at]
		})
		s.until("the other server is as far", func() (same bool) {
			s.log.Settled(func(l *bytelog.Log) {
				a, b := l.Record(splice.Ends{Server: s.at[at], Client: k.from}), l.Record(splice.Ends{Server: s.at[1-at], Client: k.from})
				same = a != nil && b != nil && a.Client.Len() == b.Client.Len() && a.Client.Len() == b.Client.Acked() &&
					a.Server.Len() == b.Server.Len() && b.Server.Len() == b.Server.Acked()
			})
			return same
		})
	}
}

// Connections are replayed beside their server, again and again there and back, with many at once, in
// the middle of megabytes, and with losses: each byte is right, nobody is reset, and all that was said
// had been said to the next server already.
func TestShadowedConnections(t *testing.T) {
	for _, six := range []bool{false, true} {
		t.Run(fmt.Sprintf("six %v", six), func(t *testing.T) { shadowedConnections(t, six) })
	}
}

func shadowedConnections(t *testing.T, six bool) {
	s := newShading(t, six, bytelog.Config{PerConnection: 16 << 20})
	servers := [2]*replayed{s.serveLines(0, false), s.serveLines(1, false)}
	resets := s.watch(s.wan, func(p capture.Packet) bool { return p.Flags&capture.RST != 0 })
	strays := s.watch(s.wan, func(p capture.Packet) bool { return p.Src == s.at[0].Addr() || p.Src == s.at[1].Addr() })
	at := 0
	next := func(of ...*talker) []splicenet.Outcome {
		t.Helper()
		s.dies(at)
		s.must(servers[at].forgets())
		out := s.replays(1-at, of...)
		worst := time.Duration(0)
		for _, o := range out {
			worst = max(worst, o.Took)
		}
		t.Logf("%d moved, %v at most", len(out), worst)
		at = 1 - at
		return out
	}
	talkers := make([]*talker, 12)
	for i := range talkers {
		talkers[i] = s.talk()
		talkers[i].ask(5, 100*(i+1))
	}
	rounds := 3
	if six {
		rounds = 1
	}
	for range rounds {
		s.shaded(at, talkers...)
		for _, k := range talkers {
			k.ask(5, 3000)
		}
		s.shaded(at, talkers...)
		for i, o := range next(talkers...) {
			if o.Replayed > 0 {
				t.Errorf("connection %d: %d bytes had still to be said", i, o.Replayed)
			}
		}
		for _, k := range talkers {
			k.ask(5, 3000)
		}
		s.lives(1 - at)
	}

	if six { // it is all the same
		s.nothingOn(resets, "resets")
		s.nothingOn(strays, "of a server's own address")
		return
	}

	// In the middle of megabytes.
	s.shaded(at, talkers...)
	big := talkers[0]
	words := make([]byte, 0, 1<<20)
	for range 60 {
		words = append(words, big.line(50_000, 2000)...)
	}
	var said sync.WaitGroup
	said.Go(func() { big.conn.Write(words) })
	big.hear(300_000, 0)
	heard := make(chan error, 1)
	go func() { heard <- big.take(1_500_000, time.Millisecond) }()
	next(talkers...)
	s.must(<-heard)
	said.Wait()
	big.hear(-1, 0)
	s.lives(1 - at)

	// It has said its last word, and reads slowly.
	s.shaded(at, talkers...)
	half := talkers[1]
	s.must(half.conn.SetReadBuffer(64 << 10))
	for range 10 {
		_, err := half.conn.Write(half.line(200_000, 100))
		s.must(err)
	}
	s.must(half.conn.CloseWrite())
	half.hear(100_000, time.Millisecond)
	go func() { heard <- half.take(500_000, time.Millisecond) }()
	next(talkers...)
	s.must(<-heard)
	half.ends()
	talkers = append(talkers[:1:1], talkers[2:]...)
	s.lives(1 - at)

	// One packet of thirty is lost, at each.
	s.loses(3, s.client, s.servers[0], s.servers[1])
	for range 2 {
		s.shaded(at, talkers[:5]...)
		for _, k := range talkers[:5] {
			k.ask(5, 4000)
		}
		next(talkers...)
		s.lives(1 - at)
	}
	s.loses(0, s.client, s.servers[0], s.servers[1])
	s.nothingOn(resets, "resets")
	s.nothingOn(strays, "of a server's own address")
}

// A connection that has said more than is kept goes on, if it was replayed all along; and if it was not,
// it is refused at once.
func TestShadowOfMoreThanIsKept(t *testing.T) {
	s := newShading(t, false, bytelog.Config{PerConnection: 256 << 10})
	s.serveLines(0, false)
	s.serveLines(1, false)
	long, alone := s.talk(), s.talk()
	long.ask(1, 100)
	alone.ask(1, 100)
	s.shaded(0, long, alone)
	ask := func(k *talker) {
		t.Helper()
		for i := range 100 {
			if i%4 == 0 {
				s.until("the other server keeps up", func() (ok bool) {
					s.log.Settled(func(l *bytelog.Log) {
						c := &l.Record(splice.Ends{Server: s.at[0], Client: k.from}).Client
						ok = c.Len()-c.Trimmed() <= 128<<10
					})
					return ok
				})
			}
			s.must(k.conn.SetDeadline(time.Now().Add(patience)))
			_, err := k.conn.Write(k.line(1000, 16<<10))
			s.must(err)
			k.hear(-1, 0)
		}
	}
	ask(long)
	ask(alone)
	var trimmed uint64
	s.log.Settled(func(l *bytelog.Log) {
		r := l.Record(splice.Ends{Server: s.at[0], Client: long.from})
		if trimmed = r.Client.Trimmed(); r.Memory() > 256<<10 || r.Refusal() != bytelog.None {
			t.Errorf("%d bytes of memory, refused %v", r.Memory(), r.Refusal())
		}
	})
	if trimmed < 1<<20 {
		t.Errorf("%d bytes are not kept any more", trimmed)
	}
	s.dies(0)
	if out := s.replays(1, long); out[0].Replayed > 0 {
		t.Errorf("%d bytes had still to be said", out[0].Replayed)
	}
	long.ask(5, 3000)

	// The other server is not to be one any more: it cannot begin anew at a third.
	s.alive[1].Store(false)
	s.serves()
	s.until("it is not replayed any more", func() bool {
		_, ok := s.shadows.Partner(splice.Ends{Server: s.at[0], Client: alone.from})
		return !ok
	})
	if st := s.shadows.Status(); st.Dropped[splice.Gone] == 0 || st.Without[splice.Gone] == 0 {
		t.Errorf("%+v", st)
	}
	if out := s.tries(1, alone); out[0].Reason != splice.LogFull {
		t.Errorf("refused: %v", out[0].Reason)
	}
}

// A server that says something else is dropped, with its reason, and the client hears nothing of it; one
// that dies is, too, and is one again when it lives.
func TestShadowsThatAreDropped(t *testing.T) {
	s := newShading(t, false, bytelog.Config{})
	s.serveLines(0, false)
	liar := s.serveLines(1, true)
	resets := s.watch(s.wan, func(p capture.Packet) bool { return p.Src == s.web.Addr() && p.Flags&capture.RST != 0 })
	strays := s.watch(s.wan, func(p capture.Packet) bool { return p.Src == s.at[1].Addr() })
	k := s.talk()
	k.ask(5, 1000)
	s.until("it is found out", func() bool { return s.shadows.Status().Dropped[splice.Diverged] == 1 })
	k.ask(5, 1000)
	s.until("the reason is shown", func() bool { return s.shadows.Status().Without[splice.Diverged] == 1 })
	if st := s.shadows.Status(); st.Connections != 0 || st.Begun != 1 {
		t.Errorf("%+v", st)
	}
	s.must(k.conn.Close())

	liar.MakesUp = false // of connections to come
	quiet, other := s.talk(), s.talk()
	quiet.ask(5, 1000)
	other.ask(5, 1000)
	s.shaded(0, quiet, other)
	s.dies(1)
	s.until("both are without", func() bool { return s.shadows.Status().Connections == 0 })
	if st := s.shadows.Status(); st.Dropped[splice.Gone] != 2 {
		t.Errorf("%+v", st)
	}
	quiet.ask(5, 1000)
	s.lives(1)
	s.shaded(0, quiet, other)
	quiet.ask(5, 1000)

	// The connection ends: so it does there.
	ended := s.watch(s.lan, func(p capture.Packet) bool { return p.Dst == s.at[1].Addr() && p.Flags&capture.RST != 0 })
	s.must(other.conn.Close())
	s.until("the other server is told", func() bool { return len(ended.Frames()) > 0 && s.shadows.Status().Connections == 1 })
	s.nothingOn(resets, "resets")
	s.nothingOn(strays, "of the other server")
}
