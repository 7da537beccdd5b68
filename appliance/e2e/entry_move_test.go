package e2e

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
	"testing"
	"time"

	"understudy/appliance/lab"
	"understudy/appliance/lab/capture"
	"understudy/appliance/lab/pair"
)

// serveHTTP has a machine answer with its number; what is asked of /hang it never answers.
func (s *scene) serveHTTP(node *lab.Node, at netip.AddrPort, n int) (hanging chan struct{}) {
	s.t.Helper()
	var l net.Listener
	s.wait("an address to listen at", func(context.Context) error {
		return node.Do(func() (err error) { l, err = net.Listen("tcp", at.String()); return err })
	})
	hanging, end := make(chan struct{}, 1), make(chan struct{})
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/hang" {
			hanging <- struct{}{}
			<-end
			return
		}
		fmt.Fprintf(w, "%d%s", n, r.URL.Path)
	})}
	go server.Serve(l)
	s.t.Cleanup(func() { close(end); server.Close() })
	return hanging
}

// alive is an HTTP connection that is kept.
type alive struct {
	s    *scene
	conn net.Conn
	r    *bufio.Reader
	n    int
}

func (s *scene) keepAlive(to netip.AddrPort) *alive {
	s.t.Helper()
	a := &alive{s: s}
	s.must(s.Outside.Do(func() (err error) {
		a.conn, err = (&net.Dialer{Timeout: patience, KeepAlive: -1}).Dial("tcp", to.String())
		return err
	}))
	s.t.Cleanup(func() { a.conn.Close() })
	a.r = bufio.NewReader(a.conn)
	return a
}

func (a *alive) send(path string) {
	a.s.t.Helper()
	a.s.must(a.conn.SetDeadline(time.Now().Add(patience)))
	_, err := fmt.Fprintf(a.conn, "GET %s HTTP/1.1\r\nHost: web\r\n\r\n", path)
	a.s.must(err)
}

// ask wants so many requests answered by the server, one after the other.
func (a *alive) ask(times, server int) {
	a.s.t.Helper()
	for range times {
		a.n++
		path := fmt.Sprintf("/%d", a.n)
		a.send(path)
		resp, err := http.ReadResponse(a.r, nil)
		a.s.must(err)
		b, err := io.ReadAll(resp.Body)
		a.s.must(err)
		if want := fmt.Sprintf("%d%s", server, path); string(b) != want {
			a.s.t.Fatalf("answered %q, want %q", b, want)
		}
	}
}

// moved is a condition: the gateway has moved so many connections, and refused so many for want
// of an answer.
func moved(g *pair.Gateway, name string, want, unanswered uint64) func(context.Context) error {
	return func(ctx context.Context) error {
		st, err := g.Status(ctx)
		if err != nil {
			return err
		}
		for _, e := range st.NAT.Entries {
			if e.Name == name && e.Moved == want && e.NotMoved["unanswered"] == unanswered {
				return nil
			}
		}
		return fmt.Errorf("entry points are %+v, want %d moved and %d unanswered", st.NAT.Entries, want, unanswered)
	}
}

// Servers die five times under an HTTP connection on which a thousand requests are asked: all are
// answered, by the other server from then on, also over the death of the gateway. Each time
// another connection waits for an answer to what its server has acknowledged: that request is
// lost, its client is reset, and it is counted.
func TestEntryMove(t *testing.T) {
	const requests, deaths = 1000, 5
	s := newScene(t, pair.Options{Extra: entryPoint("web", entryAddress, 2, `on_failure = "move"`)})
	nodes, err := s.Servers(2)
	s.must(err)
	var hanging [2]chan struct{}
	for i := range nodes {
		hanging[i] = s.serveHTTP(nodes[i], netip.AddrPortFrom(pair.ServerHost(i+1), 443), i+1)
	}
	s.ready(2, "web")
	a := s.keepAlive(entryAddress)
	at, waiting := 0, s.keepAlive(entryAddress)
	waiting.ask(1, 1)
	for death := range uint64(deaths) {
		a.ask(requests/(deaths+2), at+1)
		s.acknowledged(waiting, pair.ServerHost(at+1), hanging[at])
		s.must(nodes[at].UnplugAll())
		s.wait("the connection to be moved", moved(s.gw1, "web", death+1, death+1))
		if _, err := waiting.r.ReadByte(); err == nil || err == io.EOF {
			t.Errorf("death %d: the connection that waits for an answer ends with %v", death+1, err)
		}
		a.ask(10, 2-at)
		waiting = s.keepAlive(entryAddress)
		waiting.ask(1, 2-at)
		s.must(nodes[at].PlugAll())
		s.wait("the server to be up again", serverIs(s.gw1, "web", at+1, "up"))
		at = 1 - at
	}
	s.tellsOfMoves(deaths)
	s.wait("the standby to have the connection", s.Equal(s.gw1))
	s.crash(s.gw1)
	a.ask(requests-a.n, at+1)
}

// tellsOfMoves wants the history, the status and the log to say what became of connections.
func (s *scene) tellsOfMoves(deaths int) {
	s.t.Helper()
	s.wait("the history to tell of them", func(context.Context) error {
		if out := s.ok(s.gw1, "events", "--kind", "moved"); strings.Count(out, "1 connection went on at another one, the longest pause ") != deaths || strings.Count(out, "; reset: 1 unanswered") != deaths {
			return errors.New(out)
		}
		return nil
	})
	if out, want := s.ok(s.gw1, "status"), fmt.Sprintf("Moved at web: %d connections of servers that died, paused for ", deaths); !strings.Contains(out, want) || !strings.Contains(out, fmt.Sprintf("; reset: %d unanswered", deaths)) {
		s.t.Errorf("status does not say %q: %s", want, out)
	}
	s.wait("the log to tell of those that were not moved", func(context.Context) error {
		if n := strings.Count(s.gw1.Output(), `"connection not moved"`); n != deaths {
			return fmt.Errorf("%d, want %d", n, deaths)
		}
		return nil
	})
	st, err := s.gw1.Status(s.t.Context())
	s.must(err)
	if h := st.NAT.Entries[0].Stall; h == nil || h.Count != uint64(deaths) || h.MaxSeconds <= 0 {
		s.t.Errorf("stall: %+v", h)
	}
}

// acknowledged has a client ask what its server acknowledges and does not answer.
func (s *scene) acknowledged(a *alive, server netip.Addr, hanging chan struct{}) {
	s.t.Helper()
	port := a.conn.LocalAddr().(*net.TCPAddr).AddrPort().Port()
	acks, err := capture.Start(s.LAN, capture.Options{Filter: capture.Protocols(6), Keep: func(f capture.Frame) bool {
		p := capture.Decode(f.Data)
		return p.Src == server && p.DstPort == port && p.Flags == capture.ACK
	}})
	s.must(err)
	a.send("/hang")
	<-hanging
	s.wait("the server to acknowledge the request", func(context.Context) error {
		if len(acks.Frames()) == 0 {
			return errors.New("it has not")
		}
		return nil
	})
	s.must(acks.Stop())
}
