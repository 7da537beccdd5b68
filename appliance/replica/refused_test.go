package replica

import (
	"bytes"
	"crypto/ed25519"
	"crypto/tls"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"understudy/nat/session"
)

// recorder keeps what its owner writes.
type recorder struct {
	net.Conn
	mu   sync.Mutex
	sent bytes.Buffer
}

func (r *recorder) Write(b []byte) (int, error) {
	r.mu.Lock()
	r.sent.Write(b)
	r.mu.Unlock()
	return r.Conn.Write(b)
}

func (r *rogue) plain() net.Conn {
	r.t.Helper()
	var c net.Conn
	if err := r.node.Do(func() (err error) { c, err = net.Dial("tcp", "127.0.0.1:7788"); return err }); err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { c.Close() })
	return c
}

// A connection of a's that comes back to itself is refused by either end: it has its
// own name, and no other node's key.
func TestReflectedConnection(t *testing.T) {
	r := newRogue(t)
	var l net.Listener
	if err := r.node.Do(func() (err error) { l, err = net.Listen("tcp", "127.0.0.1:7789"); return err }); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	var made sync.WaitGroup
	made.Add(3)
	go func() {
		for n := 0; ; n++ {
			c, err := l.Accept()
			if err != nil {
				return
			}
			back := r.plain()
			go func() { io.Copy(back, c); back.Close() }()
			go func() { io.Copy(c, back); c.Close() }()
			if n < 3 {
				made.Done()
			}
		}
	}()
	made.Wait()
	r.eventually("refused", func(s Status) bool { return s.Counters.Refused >= 2 })
	if s := r.engine.Status(); s.Connected || s.Peers[0].Receiver.Frames > 0 {
		t.Errorf("talks to itself: %+v", s)
	}
}

// What was recorded of a connection of the peer's is worth nothing on another one:
// neither its first flight alone nor all of it.
func TestReplayedConnection(t *testing.T) {
	r := newRogue(t)
	r.groups.Activate(0, 1)
	rec := rogueFlow(1)
	r.table.Upsert(&rec, 0, 0)
	c := &recorder{Conn: r.plain()}
	w := tls.Client(c, r.keys.config("a"))
	if err := w.Handshake(); err != nil {
		t.Fatal(err)
	}
	c.mu.Lock()
	flight := c.sent.Len() // ClientHello, certificate, finished
	c.mu.Unlock()
	s := session.NewSender(r.table, r.groups, 1, r.hello)
	s.Connect(time.Now())
	buf := make([]byte, 0, fillSize)
	w.Write(s.Fill(time.Now(), buf))
	s.Handle(time.Now(), session.TypeHello, session.AppendHello(nil, &session.Hello{Node: "a"})[session.HeaderLen:])
	w.Write(s.Fill(time.Now(), buf))
	r.eventually("told for real", func(s Status) bool { return s.Foreign == 1 && s.InSync })
	c.mu.Lock()
	sent := bytes.Clone(c.sent.Bytes())
	c.mu.Unlock()
	before := r.engine.Status()
	for n, b := range [][]byte{sent[:flight], sent} {
		again := r.plain()
		if _, err := again.Write(b); err != nil {
			t.Fatal(err)
		}
		r.eventually("refused", func(s Status) bool { return s.Counters.Refused > before.Counters.Refused+uint64(n) })
		again.SetReadDeadline(time.Now().Add(10 * time.Second))
		if _, err := io.Copy(io.Discard, again); err != nil {
			if ne, ok := err.(net.Error); ok && ne.Timeout() {
				t.Error("the connection stays")
			}
		}
	}
	now := r.engine.Status()
	if a, b := now.Peers[0].Receiver, before.Peers[0].Receiver; a.Frames != b.Frames || a.Upserts != b.Upserts || !now.InSync {
		t.Errorf("the replay was taken: %+v, before %+v", a, b)
	}
}

// A TLS session is never resumed: each connection is a handshake with the key. Nor is
// an older TLS spoken.
func TestNoResumedSession(t *testing.T) {
	r := newRogue(t)
	cache := tls.NewLRUClientSessionCache(8)
	for n := range 3 {
		cfg := r.keys.config("a")
		cfg.SessionTicketsDisabled, cfg.ClientSessionCache, cfg.ServerName = false, cache, "a"
		w := tls.Client(r.plain(), cfg)
		if _, err := w.Write(session.AppendHello(nil, &r.hello)); err != nil {
			t.Fatal(err)
		}
		// Its answer comes behind the tickets, if there were any.
		if _, err := io.ReadFull(w, make([]byte, session.HeaderLen)); err != nil {
			t.Fatal(err)
		}
		if w.ConnectionState().DidResume {
			t.Errorf("connection %d was resumed", n)
		}
		if _, ok := cache.Get("a"); ok {
			t.Errorf("connection %d gave a ticket", n)
		}
		w.Close()
	}
	cfg := r.keys.config("a")
	cfg.MinVersion, cfg.MaxVersion = tls.VersionTLS12, tls.VersionTLS12
	if err := tls.Client(r.plain(), cfg).Handshake(); err == nil {
		t.Error("TLS 1.2 was spoken")
	}
}

// forged are certificates that somebody makes who has some key or other.
func TestForgedCertificates(t *testing.T) {
	r := newRogue(t)
	key := func(node string) ed25519.PrivateKey {
		k, err := nodeKey(rogueSecret, node)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	for _, tt := range []struct {
		name, node string
		key        ed25519.PrivateKey
	}{
		{"the peer's name with the right key of another name", "b", key("c")},
		{"the peer's name with the key of the node itself", "b", key("a")},
		{"no name", "", key("b")},
		{"the node's own name with its own key", "a", key("a")},
		{"a stranger's name with its right key", "c", key("c")},
		{"a stranger's name with the peer's key", "c", key("b")},
	} {
		cert, err := certificate(tt.node, tt.key)
		if err != nil {
			t.Fatal(err)
		}
		before := r.engine.Status().Counters.Refused
		cfg := r.keys.config("a")
		cfg.Certificates = []tls.Certificate{cert}
		w := tls.Client(r.plain(), cfg)
		w.SetDeadline(time.Now().Add(10 * time.Second))
		w.Write(session.AppendHello(nil, &r.hello))
		if n, _ := io.Copy(io.Discard, w); n > 0 {
			t.Errorf("%s: answered", tt.name)
		}
		r.eventually(tt.name+": refused", func(s Status) bool { return s.Counters.Refused > before })
		w.Close()
	}
	if s := r.engine.Status(); s.Peers[0].Receiver.Frames > 0 || s.InSync {
		t.Errorf("%+v", s)
	}
}
