package splicenet_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"understudy/appliance/lab"
	"understudy/appliance/lab/capture"
	"understudy/appliance/lab/probe"
	"understudy/nat/entry/entrynet/splicenet"
	"understudy/nat/session"
	"understudy/nat/splice"
)

// rules loads a ruleset into a node's kernel.
func (n *network) rules(node *lab.Node, text string) {
	n.t.Helper()
	n.must(node.Ruleset(text))
}

// lose has 3 % of what is on the way on each side of the gateway be lost, half of it at either end: also of
// what the gateway says and is told while it moves.
func (n *network) lose() {
	n.t.Helper()
	for _, node := range []*lab.Node{n.client, n.servers[0], n.servers[1]} {
		_ = node.Sysctl("ipv4/tcp_rto_max_ms", "1000") // where the kernel has it: nobody waits longer to say it again
	}
	for node, devices := range map[*lab.Node][]string{n.client: {"eth0"}, n.gateway: {"wan0", "lan0"}, n.servers[0]: {"eth0"}, n.servers[1]: {"eth0"}} {
		for _, d := range devices {
			n.rules(node, fmt.Sprintf("table netdev loss_%s { chain in { type filter hook ingress device %s priority 0; meta protocol { ip, ip6 } numgen random mod 1000 < 15 drop; }; }", d, d))
		}
	}
}

// jobs are moves of connections to a server.
func (n *network) jobs(callers []*caller, to int) (out []splicenet.Job) {
	n.t.Helper()
	for _, c := range callers {
		out = append(out, splicenet.Job{Record: c.entry(), To: n.at[to]})
	}
	return out
}

// A thousand moves of 250 connections, to and fro, with something under way on some of them: a
// request that the dead server has not heard.
func TestThousandMoves(t *testing.T) {
	n := newNetwork(t, false)
	n.serve(0)
	n.serve(1)
	resets := n.watch(n.wan, func(p capture.Packet) bool { return p.Flags&capture.RST != 0 })
	callers := make([]*caller, 250)
	for i := range callers {
		callers[i] = n.call()
		callers[i].ask(i%40, "0")
	}
	moved := 0
	for round := range 4 {
		at, to := round%2, 1-round%2
		jobs := n.jobs(callers, to)
		n.kill(at)
		for i, c := range callers {
			if i%3 == 0 {
				c.send("/under-way", strings.Repeat("z", 100*(i%30)))
			}
		}
		out, err := n.mover.Move(jobs, func([]int) {})
		n.must(err)
		for i, o := range out {
			if o.Reason != splice.None {
				t.Fatalf("round %d: connection %d: %v", round, i, o.Reason)
			}
			moved++
		}
		n.revive(at)
		who := fmt.Sprint(to)
		for i, c := range callers {
			if i%3 == 0 {
				c.answered("/under-way", strings.Repeat("z", 100*(i%30)), who)
			}
			c.ask(i%40+round, who)
		}
	}
	if moved != 1000 {
		t.Errorf("%d moves, want 1000", moved)
	}
	n.nothingOn(resets, "resets")
}

// With 3 % loss everywhere, during the move too, each byte is right, there and back again.
func TestMovesUnderLoss(t *testing.T) {
	for _, six := range []bool{false, true} {
		t.Run(fmt.Sprintf("six %v", six), func(t *testing.T) {
			n := newNetwork(t, six)
			n.serve(0)
			n.serve(1)
			callers := make([]*caller, 15)
			for i := range callers {
				callers[i] = n.call()
				callers[i].ask(i, "0")
			}
			n.lose()
			resets := n.watch(n.wan, func(p capture.Packet) bool { return p.Flags&capture.RST != 0 })
			moved := 0
			for round := range 4 {
				at, to := round%2, 1-round%2
				jobs := n.jobs(callers, to)
				n.kill(at)
				out, err := n.mover.Move(jobs, func([]int) {})
				n.must(err)
				n.revive(at)
				// What is refused for silence goes on where it was, as its server is back:
				// to be moved is what counts, and most are.
				for i, o := range out {
					switch o.Reason {
					case splice.None:
						moved++
					case splice.ClientSilent, splice.ServerSilent, splice.Unacknowledged, splice.Unanswered:
						t.Logf("round %d: connection %d: %v", round, i, o.Reason)
					default:
						t.Fatalf("round %d: connection %d: %v", round, i, o.Reason)
					}
				}
				var left []*caller
				var wg sync.WaitGroup
				for i, c := range callers {
					if out[i].Reason != splice.None {
						continue
					}
					left = append(left, c)
					wg.Go(func() {
						for k := range 4 {
							c.ask(200+i+k, fmt.Sprint(to))
						}
					})
				}
				wg.Wait()
				callers = left
			}
			if moved < 45 {
				t.Errorf("%d moves of 60", moved)
			}
			n.nothingOn(resets, "resets")
		})
	}
}

// countLines has a server that counts what it hears on each connection and, at its end, tells how much
// that was.
func (n *network) countLines(i int) {
	n.t.Helper()
	var l net.Listener
	n.must(n.servers[i].Do(func() (err error) { l, err = net.Listen("tcp", n.at[i].String()); return err }))
	n.t.Cleanup(func() { l.Close() })
	probe.Accept(l, func(c net.Conn) {
		r := bufio.NewReader(c)
		heard := 0
		for {
			line, err := r.ReadString('\n')
			heard += len(line)
			if err != nil {
				fmt.Fprintf(c, "%d heard %d\n", i, heard)
				return
			}
			fmt.Fprintf(c, "%d %s", i, line)
		}
	})
}

func (c *caller) line(say, want string) {
	c.n.t.Helper()
	c.n.must(c.conn.SetDeadline(time.Now().Add(patience)))
	_, err := io.WriteString(c.conn, say)
	c.n.must(err)
	if got, err := c.r.ReadString('\n'); err != nil || got != want {
		c.n.t.Fatalf("answered %q, %v; want %q", got, err, want)
	}
}

// A client that says no more: where its server has not heard that, the connection goes on, and
// the new server hears what was said last and that it was the last; where it has, it is refused.
func TestHalfClosedClient(t *testing.T) {
	n := newNetwork(t, false)
	n.countLines(0)
	n.countLines(1)
	unheard, heard := n.call(), n.call()
	for _, c := range []*caller{unheard, heard} {
		c.line("one\n", "0 one\n")
	}
	n.rules(n.servers[0], "table ip mute { chain out { type filter hook output priority 0; tcp flags fin drop; }; }")
	n.must(heard.conn.(*net.TCPConn).CloseWrite())
	n.until("the server has heard the end", func() bool { return heard.entry().TCP.State == session.TCPCloseWait })
	n.kill(0)
	_, err := io.WriteString(unheard.conn, "two")
	n.must(err)
	n.must(unheard.conn.(*net.TCPConn).CloseWrite())
	n.until("the client has said its last", func() bool { return unheard.entry().TCP.State == session.TCPFinWait })
	// It is refused at once: nobody is told of it while others are under way.
	if out, err := n.mover.Move(n.jobs([]*caller{heard}, 1), nil); err != nil || out[0].Reason != splice.Closing {
		t.Errorf("refused: %v, %v; want %q", out, err, splice.Closing)
	}
	if out := unheard.move(1); out.Reason != splice.None {
		t.Fatalf("refused: %q", out.Reason)
	}
	unheard.conn.SetReadDeadline(time.Now().Add(patience))
	rest, err := io.ReadAll(unheard.r)
	if err != nil || string(rest) != "1 heard 3\n" {
		t.Errorf("at the end: %q, %v", rest, err)
	}
}

// A client that reads slowly has not read what it has acknowledged: its window is shut when it
// is moved, and what the next server says waits for it.
func TestSlowReader(t *testing.T) {
	n := newNetwork(t, false)
	n.serve(0)
	n.serve(1)
	n.must(n.client.Sysctl("ipv4/tcp_rmem", "4096 8192 8192"))
	c := n.call()
	body := strings.Repeat("slow", 500)
	c.ask(1, "0")
	// Two answers fit into what the client has room for, and fill most of it.
	const full = 2
	for i := range full {
		c.send(fmt.Sprintf("/%d", i), body)
		n.until("the answer is acknowledged", func() bool {
			p := n.notes.Position(splice.Ends{Server: n.at[0], Client: c.from})
			return int(n.served[0].Load()) == i+2 && p.Last == p.Answer
		})
	}
	n.kill(0)
	out := c.move(1)
	if out.Reason != splice.None {
		t.Fatalf("refused: %q", out.Reason)
	}
	c.send("/next", body)
	for i := range full {
		c.answered(fmt.Sprintf("/%d", i), body, "0")
	}
	c.answered("/next", body, "1")
}

// dialFrom connects with a first sequence number of the client's choice.
func (n *network) dialFrom(isn uint32) *caller {
	n.t.Helper()
	d := net.Dialer{Timeout: patience, KeepAlive: -1, Control: func(_, _ string, raw syscall.RawConn) (err error) {
		return errors.Join(raw.Control(func(fd uintptr) {
			for _, o := range [][2]int{{unix.TCP_REPAIR, 1}, {unix.TCP_REPAIR_QUEUE, 2}, {unix.TCP_QUEUE_SEQ, int(int32(isn))}, {unix.TCP_REPAIR, 0}} {
				err = errors.Join(err, os.NewSyscallError("setsockopt", unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, o[0], o[1])))
			}
		}), err)
	}}
	c := &caller{n: n}
	n.must(n.client.Do(func() (err error) { c.conn, err = d.Dial("tcp", n.web.String()); return err }))
	c.r, c.from = bufio.NewReader(c.conn), c.conn.LocalAddr().(*net.TCPAddr).AddrPort()
	n.t.Cleanup(func() { c.conn.Close() })
	return c
}

// serveBytes has a server answer /N with N bytes that are known beforehand.
func (n *network) serveBytes(i int) {
	n.t.Helper()
	var l net.Listener
	n.must(n.servers[i].Do(func() (err error) { l, err = net.Listen("tcp", n.at[i].String()); return err }))
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		var size int
		fmt.Sscanf(r.URL.Path, "/%d", &size)
		w.Header().Set("Content-Length", fmt.Sprint(size))
		w.Write(pattern(size))
	})}
	go s.Serve(l)
	n.t.Cleanup(func() { s.Close() })
}

func pattern(size int) []byte {
	b := make([]byte, size)
	for i := range b {
		b[i] = byte(i * 7 / 5)
	}
	return b
}

// fetch says some bytes and wants others.
func (c *caller) fetch(say, want int) {
	c.n.t.Helper()
	c.n.must(c.conn.SetDeadline(time.Now().Add(patience)))
	go fmt.Fprintf(c.conn, "POST /%d HTTP/1.1\r\nHost: web\r\nContent-Length: %d\r\n\r\n%s", want, say, strings.Repeat("u", say))
	resp, err := http.ReadResponse(c.r, nil)
	c.n.must(err)
	b, err := io.ReadAll(resp.Body)
	if err != nil || !bytes.Equal(b, pattern(want)) {
		c.n.t.Fatalf("%d bytes, %v; want %d", len(b), err, want)
	}
}

// Sequence numbers pass 2^31 and 2^32, of the client's in all places, of the server's behind moves:
// megabytes each way, there and back again.
func TestNumbersWrap(t *testing.T) {
	const many, most = 4 << 20, 4000
	for _, six := range []bool{false, true} {
		t.Run(fmt.Sprintf("six %v", six), func(t *testing.T) {
			n := newNetwork(t, six)
			n.serveBytes(0)
			n.serveBytes(1)
			// The server's first number cannot be chosen, but waited for.
			near := func(c *caller) bool {
				end := n.notes.Position(splice.Ends{Server: n.at[0], Client: c.from}).Last.End
				return end&0x7fffffff > 1<<31-many
			}
			for _, at := range []uint32{1 << 31, 0} {
				var c *caller
				for range most {
					c = n.dialFrom(at - 2000)
					if near(c) {
						break
					}
					c.conn.Close()
				}
				if !near(c) {
					t.Fatalf("%d connections, and no server near 2^31", most)
				}
				resets := n.watch(n.wan, func(p capture.Packet) bool {
					return p.Flags&capture.RST != 0 && (p.SrcPort == c.from.Port() || p.DstPort == c.from.Port())
				})
				c.fetch(500, 1000)
				for i := range 2 {
					from, to := i%2, 1-i%2
					n.kill(from)
					if out := c.move(to); out.Reason != splice.None {
						t.Fatalf("refused: %q", out.Reason)
					}
					n.revive(from)
					c.fetch(500, 1000)
					c.fetch(100000, many)
				}
				n.nothingOn(resets, "resets")
				c.conn.Close()
			}
		})
	}
}
