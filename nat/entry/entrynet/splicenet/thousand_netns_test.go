package splicenet_test

import (
	"fmt"
	"net"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"understudy/appliance/lab/capture"
	"understudy/nat/entry/entrynet/splicenet"
	"understudy/nat/splice/bytelog"
)

// Hundreds of moves (a thousand each by make soak-moves) of connections that are replayed, and of such that
// are replayed all along, over both families, to and fro: servers come back as they went, with all their
// connections. On a third of them nothing is under way, on a third an answer that the client has not
// read, on a third a question that the dead server has not heard; in the end all say their last word
// before they are moved. Each byte is right, and nobody is reset. Lazy has TestThousandMoves.
func TestManyReplays(t *testing.T) {
	for _, six := range []bool{false, true} {
		t.Run(fmt.Sprintf("six %v", six), func(t *testing.T) {
			n := newNetwork(t, six)
			n.logs(bytelog.Config{})
			n.toAndFro(func(int, ...*talker) {}, n.kill, func(i int) { n.revive(i); n.hears(i) })
		})
	}
}

func TestManyWarmMoves(t *testing.T) {
	for _, six := range []bool{false, true} {
		t.Run(fmt.Sprintf("six %v", six), func(t *testing.T) {
			s := newShading(t, six, bytelog.Config{})
			s.toAndFro(s.shaded, s.dies, s.lives)
		})
	}
}

// hears waits until a server that has come back can be called.
func (n *network) hears(i int) {
	n.t.Helper()
	n.until("the server hears", func() bool {
		return n.gateway.Do(func() error {
			c, err := net.DialTimeout("tcp", n.at[i].String(), 100*time.Millisecond)
			if err == nil {
				err = c.Close()
			}
			return err
		}) == nil
	})
}

// resetsOf are resets of connections that one of the ends has not ended before: what is over for both a
// late packet may reset, and nobody sees it.
func resetsOf(c *capture.Capture) (out []capture.Frame) {
	type end struct {
		port     uint16 // of the client
		fromHere bool
	}
	ended := map[end]bool{}
	for _, f := range c.Frames() {
		p := capture.Decode(f.Data)
		e := end{p.SrcPort, true}
		if p.SrcPort == 80 {
			e = end{p.DstPort, false}
		}
		if p.Flags&capture.FIN != 0 {
			ended[e] = true
		}
		if p.Flags&capture.RST != 0 && !(ended[end{e.port, true}] && ended[end{e.port, false}]) {
			out = append(out, f)
		}
	}
	return out
}

// movesWanted is how many moves a test does: what make test has time for, or all of them (make soak-moves).
func (n *network) movesWanted() int {
	if s := os.Getenv("UNDERSTUDY_MOVES"); s != "" {
		m, err := strconv.Atoi(s)
		n.must(err)
		return m
	}
	return 400
}

// toAndFro is half of them.
func (n *network) toAndFro(ready func(at int, of ...*talker), dies, lives func(int)) {
	t := n.t
	t.Helper()
	const rounds = 4
	connections := n.movesWanted() / 2 / rounds
	n.serveLines(0, false)
	n.serveLines(1, false)
	resets := n.watch(n.wan, func(p capture.Packet) bool { return p.Flags&(capture.RST|capture.FIN) != 0 })
	strays := n.watch(n.wan, func(p capture.Packet) bool { return p.Src == n.at[0].Addr() || p.Src == n.at[1].Addr() })
	talkers := make([]*talker, connections)
	for i := range talkers {
		talkers[i] = n.talk()
		talkers[i].ask(3, 100*(i%20+1))
	}
	say := func(k *talker, size, ask int) {
		_, err := k.conn.Write(k.line(size, ask))
		n.must(err)
	}
	moved := 0
	for round := range rounds {
		at, to, last := round%2, 1-round%2, round == rounds-1
		ready(at, talkers...)
		for i, k := range talkers {
			if i%3 == 1 {
				say(k, 20_000, 100)
			}
		}
		dies(at)
		for i, k := range talkers {
			if i%3 == 2 {
				say(k, 500, 100*(i%30))
			}
			if last {
				n.must(k.conn.CloseWrite())
			}
		}
		var worst splicenet.Outcome
		for _, o := range n.replays(to, talkers...) {
			moved++
			if o.Took > worst.Took {
				worst = o
			}
		}
		t.Logf("%d moved, %v at most", moved, worst.Took)
		lives(at)
		var all sync.WaitGroup
		for i, k := range talkers {
			all.Go(func() {
				if err := k.take(-1, 0); err != nil {
					t.Errorf("round %d: connection %d: %v", round, i, err)
				}
			})
		}
		all.Wait()
		if t.Failed() {
			return
		}
		for i, k := range talkers {
			if last {
				k.ends()
			} else {
				k.ask(2, 300*(i%10+1))
			}
		}
	}
	if moved != connections*rounds {
		t.Errorf("%d moves, want %d", moved, connections*rounds)
	}
	if frames := resetsOf(resets); len(frames) > 0 {
		t.Errorf("resets: %v", frames)
	}
	n.nothingOn(strays, "of a server's own address")
}
