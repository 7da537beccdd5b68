package replica

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"understudy/nat/conntrack"
	"understudy/nat/session"
)

// tell has the peer say a transfer of what is in its table, and hang up.
func (r *rogue) tell() {
	r.t.Helper()
	s := session.NewSender(r.table, r.groups, 1, r.hello)
	s.Connect(time.Now())
	w := r.dial()
	go io.Copy(io.Discard, w) // what it is answered it does not care for
	for buf := make([]byte, 0, fillSize); ; {
		out := s.Fill(time.Now(), buf[:0])
		if len(out) == 0 {
			if _, known := s.Peer(); known {
				break
			}
			s.Handle(time.Now(), session.TypeHello, session.AppendHello(nil, &session.Hello{Node: "a"})[session.HeaderLen:])
			continue
		}
		if _, err := w.Write(out); err != nil {
			r.t.Fatal(err)
		}
	}
	r.arrived(w)
}

// A peer that has the secret, and misuses it: it floods us with records, for hosts that
// are none of ours, more than we have room for, and with bytes that mean nothing, over two
// hundred connections. Each is counted; what does not belong here is neither in the table
// nor in the kernel; the limit holds; and what it says properly afterwards is taken.
func TestPeerMisusesItsSecret(t *testing.T) {
	const limit = 2000
	r := newRogue(t, func(c *Config) {
		c.Limit = limit
		c.Inside = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/16")}
	})
	r.groups.Activate(0, 1)
	stats := func() session.ReceiverStats { return r.engine.Status().Peers[0].Receiver }
	inKernel := func() (n, foreign int) {
		var kernel *conntrack.Kernel
		if err := r.node.Do(func() (err error) { kernel, err = conntrack.OpenKernel(); return err }); err != nil {
			t.Fatal(err)
		}
		defer kernel.Close()
		if err := kernel.Dump(conntrack.Filter{}, func(ev *conntrack.Event) {
			if ev.Rec.DstPort != 53 {
				return
			}
			n++
			if a := ev.Rec.Key.Src.Netip(4); !netip.MustParsePrefix("10.0.0.0/16").Contains(a) {
				foreign++
			}
		}); err != nil {
			t.Fatal(err)
		}
		return n, foreign
	}

	// Hosts of another network, and an address that is of no group.
	for i := range uint32(3000) {
		rec := rogueFlow(1<<16 + i)
		if i%2 == 1 {
			rec = rogueFlow(i)
			rec.ReplyDst = session.AddrFrom(netip.MustParseAddr("192.0.2.1"))
		}
		r.table.Upsert(&rec, 0, 0)
	}
	r.tell()
	r.eventually("foreign records are counted", func(Status) bool { return stats().Scope >= 3000 })
	if s := r.engine.Status(); s.Foreign != 0 {
		t.Errorf("%d sessions of hosts that are not ours", s.Foreign)
	}

	// More than there is room for.
	r.table = session.NewTable([2]uint64{3, 4}, time.Now(), 0)
	for i := range uint32(10 * limit) {
		rec := rogueFlow(i)
		r.table.Upsert(&rec, 0, 0)
	}
	r.tell()
	r.eventually("what is too much is counted", func(Status) bool { return stats().Full >= 9*limit })
	if s := r.engine.Status(); s.Foreign > limit {
		t.Errorf("%d sessions, the limit is %d", s.Foreign, limit)
	}
	if n, foreign := inKernel(); n > limit || foreign > 0 {
		t.Errorf("%d entries in the kernel, %d of hosts that are not ours", n, foreign)
	}

	// Nonsense, again and again: the connection ends, and nothing of it stays.
	before, threads := stats(), runtime.NumGoroutine()
	hello := session.AppendHello(nil, &r.hello)
	nonsense := [][]byte{
		bytes.Repeat([]byte{0xff}, 1<<16),
		append(bytes.Clone(hello), session.Version, byte(session.TypeRecords), 0, 0, 0xff, 0xff, 0xff, 0xff), // 4 GB to come
		append(bytes.Clone(hello), bytes.Repeat([]byte{session.Version, byte(session.TypeBegin), 0, 0, 0, 0, 0, 0}, 100)...),
	}
	for i := range 200 {
		w := r.dial()
		w.Write(nonsense[i%len(nonsense)]) // which may fail: it has been thrown out
		w.SetReadDeadline(time.Now().Add(20 * time.Second))
		if _, err := io.Copy(io.Discard, w); err != nil {
			if ne, ok := err.(net.Error); ok && ne.Timeout() {
				t.Fatalf("% x…: the connection stays", nonsense[i%len(nonsense)][:8])
			}
		}
		w.NetConn().Close()
	}
	if s := stats(); s.Upserts != before.Upserts {
		t.Errorf("%d records out of nonsense", s.Upserts-before.Upserts)
	}
	for end := time.Now().Add(20 * time.Second); runtime.NumGoroutine() > threads+8; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d goroutines, %d before", runtime.NumGoroutine(), threads)
		}
	}

	// Whatever it does, the node does its own work; and takes what is said properly.
	r.table = session.NewTable([2]uint64{5, 6}, time.Now(), 0)
	for i := range uint32(100) {
		rec := rogueFlow(i)
		r.table.Upsert(&rec, 0, 0)
	}
	r.tell()
	r.eventually("what is said properly is taken", func(s Status) bool { return s.InSync && s.Foreign == 100 })
	if _, err := r.engine.Activate(context.Background(), "gw", 2); err != nil {
		t.Error(err)
	}
}
