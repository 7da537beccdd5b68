package replica

import (
	"context"
	"crypto/tls"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"understudy/nat/session"
)

// Case 8: a peer takes connections and reads nothing of them, for as long as it takes
// to be given up and dialled again, while sessions begin and end far oftener than could
// be kept for it. What waits for it is bounded by the table, the table by what lives;
// and when it reads again it has everything at once.
func TestCase8StalledPeerUnderChurn(t *testing.T) {
	r := newRogue(t)
	if _, err := r.engine.Activate(context.Background(), "gw", 1); err != nil {
		t.Fatal(err)
	}
	r.eventually("the dump of the activation is over", func(Status) bool {
		r.engine.mu.Lock()
		defer r.engine.mu.Unlock()
		return !r.engine.dumped.IsZero()
	})
	r.engine.mu.Lock()
	r.engine.endSalvage(time.Now(), 0) // nobody else has any
	r.engine.mu.Unlock()

	var l net.Listener
	if err := r.node.Do(func() (err error) { l, err = net.Listen("tcp", "127.0.0.1:7789"); return err }); err != nil {
		t.Fatal(err)
	}
	taken := make(chan struct{}, 64)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { c.Close() })
			go tls.Server(c, r.keys.config("")).Write(session.AppendHello(nil, &r.hello))
			taken <- struct{}{}
		}
	}()
	const live = 2000
	e := r.engine
	next, slots, dead := uint32(0), session.Slot(0), 0
	churn := func(n int) {
		for range n {
			e.mu.Lock()
			for range 100 {
				rec := rogueFlow(next)
				rec.ReplyDstPort = uint16(next)
				s, _, err := e.table.Upsert(&rec, 0, 0)
				if err != nil {
					t.Error(err)
				}
				e.table.Mark(s, e.peerSinks(), time.Now())
				if next >= live {
					old := rogueFlow(next - live)
					if s, ok := e.table.Lookup(&old.Key); ok {
						e.table.Delete(s, e.peerSinks(), time.Now())
					}
				}
				next++
			}
			slots, dead = max(slots, e.table.Slots()), max(dead, e.table.Tombstones())
			e.kickSenders()
			e.mu.Unlock()
			time.Sleep(time.Millisecond)
		}
	}
	for n := 0; n < 3; n++ { // it is given up twice, and dialled again
		select {
		case <-taken:
		case <-time.After(20 * time.Second):
			t.Fatalf("not dialled again: %+v", e.Status())
		}
		churn(700)
	}
	const bound = 2*live + 1<<16 + 1024 // what lives, as many tombstones and 65,536, a chunk
	if slots > bound || dead > bound-live {
		t.Errorf("%d slots, %d tombstones for %d sessions", slots, dead, live)
	}
	if slots < 20000 {
		t.Errorf("%d slots: nothing has waited", slots)
	}
	s := e.Status()
	if s.Dirty > bound || s.Peers[0].Sender.Bytes > 3*(64*fillSize+1<<16)+1<<20 {
		t.Errorf("%d dirty, %d bytes sent to who reads nothing", s.Dirty, s.Peers[0].Sender.Bytes)
	}
	l.Close()

	// It reads again.
	scope := session.NewScope(session.ScopeConfig{Groups: [][]netip.Addr{{netip.MustParseAddr("203.0.113.1")}}})
	rx := session.NewReceiver(r.table, r.groups, scope, r.hello)
	w := r.accept()
	rx.Connect(time.Now())
	var taking sync.Mutex // of r.table
	go (&wire{Conn: w}).readFrames(func(typ session.Type, b []byte) error {
		taking.Lock()
		defer taking.Unlock()
		if err := rx.Handle(time.Now(), typ, b); err != nil {
			t.Errorf("%v: %v", typ, err)
			return err
		}
		rx.Applied(r.table.KernelQueue())
		_, err := w.Write(rx.Reply(nil))
		return err
	})
	r.eventually("all is told", func(s Status) bool { return s.Covered && s.Lag == 0 && s.Dirty == 0 })
	e.mu.Lock()
	defer e.mu.Unlock()
	taking.Lock()
	defer taking.Unlock()
	n, sum := e.table.Tally(0)
	if m, theirs := r.table.Tally(0); n != live || m != n || theirs != sum {
		t.Errorf("%d sessions here, %d there, of %d", n, m, live)
	}
}
