package replica

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"understudy/appliance/lab"
	"understudy/nat/conntrack"
	"understudy/nat/session"
)

var rogueSecret = bytes.Repeat([]byte{9}, 32)

// rogue is a peer that has the secret and does not behave: the test plays it.
type rogue struct {
	t      *testing.T
	node   *lab.Node // where the engine is
	engine *Engine
	keys   *keyring
	table  *session.Table
	groups *session.Groups
	hello  session.Hello
}

// newRogue runs an engine named a; its peer b is the test.
func newRogue(t *testing.T, change ...func(*Config)) *rogue {
	t.Helper()
	r := &rogue{t: t, node: lab.NewT(t).Node("a"), hello: session.Hello{Node: "b", Boot: 1}}
	fail := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	fail(r.node.Sysctl("netfilter/nf_conntrack_events", "1"))
	var err error
	r.keys, err = newKeyring("b", [][]byte{rogueSecret}, []Peer{{Name: "a"}})
	fail(err)
	local := netip.MustParseAddr("127.0.0.1")
	cfg := Config{Node: "a", Listen: netip.AddrPortFrom(local, 7788), Peers: []Peer{{Name: "b", Addr: netip.AddrPortFrom(local, 7789)}},
		Secrets: [][]byte{rogueSecret}, Groups: []Group{{Name: "gw", Addresses: []netip.Addr{netip.MustParseAddr("203.0.113.1")}}},
		Namespace: r.node.Do}
	for _, fn := range change {
		fn(&cfg)
	}
	r.engine, err = Open(cfg)
	fail(err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.engine.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if err := r.engine.Close(); err != nil {
			t.Error(err)
		}
	})
	r.table = session.NewTable([2]uint64{1, 2}, time.Now(), 0)
	r.groups = session.NewGroups("b", "gw")
	return r
}

func (r *rogue) dial() *tls.Conn {
	r.t.Helper()
	var c net.Conn
	err := r.node.Do(func() (err error) { c, err = net.Dial("tcp", "127.0.0.1:7788"); return err })
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { c.Close() })
	w := tls.Client(c, r.keys.config("a"))
	if err := w.Handshake(); err != nil {
		r.t.Fatal(err)
	}
	return w
}

// arrived returns when all that was written has left this end's kernel. Closing
// earlier would throw it away: there are unread answers.
func (r *rogue) arrived(w *tls.Conn) {
	r.t.Helper()
	for queued := 1; queued > 0; time.Sleep(50 * time.Microsecond) {
		raw, err := w.NetConn().(*net.TCPConn).SyscallConn()
		if err == nil {
			err = raw.Control(func(fd uintptr) { queued, err = unix.IoctlGetInt(int(fd), unix.SIOCOUTQ) })
		}
		if err != nil {
			r.t.Fatal(err)
		}
	}
}

// accept takes the engine's connection and answers its hello.
func (r *rogue) accept() *tls.Conn {
	r.t.Helper()
	return r.acceptAt("127.0.0.1:7789")
}

func (r *rogue) acceptAt(at string) *tls.Conn {
	r.t.Helper()
	var l net.Listener
	err := r.node.Do(func() (err error) { l, err = net.Listen("tcp", at); return err })
	if err != nil {
		r.t.Fatal(err)
	}
	defer l.Close()
	c, err := l.Accept()
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { c.Close() })
	w := tls.Server(c, r.keys.config(""))
	if _, err := w.Write(session.AppendHello(nil, &r.hello)); err != nil {
		r.t.Fatal(err)
	}
	return w
}

func (r *rogue) eventually(what string, ok func(Status) bool) {
	r.t.Helper()
	for end := time.Now().Add(30 * time.Second); !ok(r.engine.Status()); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			r.t.Fatalf("never: %s: %+v", what, r.engine.Status())
		}
	}
}

func rogueFlow(n uint32) session.Record {
	server := session.AddrFrom(netip.MustParseAddr("198.51.100.7"))
	var src [4]byte
	binary.BigEndian.PutUint32(src[:], 0x0a000000|n)
	return session.Record{
		Key:      session.Key{Src: session.AddrFrom(netip.AddrFrom4(src)), Dst: server, SrcPort: 1024, DstPort: 53, Proto: 17, Family: 4},
		ReplySrc: server, ReplyDst: session.AddrFrom(netip.MustParseAddr("203.0.113.1")), ReplySrcPort: 53, ReplyDstPort: uint16(1024 + n),
		Status: session.StatusSeenReply | session.StatusConfirmed, Timeout: 100,
	}
}

// A peer that dies in the middle of a frame, or of a full transfer, leaves no
// harm: what came counts until the next transfer says otherwise.
func TestPeerDiesMidFrame(t *testing.T) {
	r := newRogue(t)
	r.groups.Activate(0, 1)
	for i := range uint32(1000) {
		rec := rogueFlow(i)
		r.table.Upsert(&rec, 0, 0)
	}
	say := func(limit int) {
		s := session.NewSender(r.table, r.groups, 1, r.hello)
		s.Connect(time.Now())
		w := r.dial()
		var b []byte
		for buf := make([]byte, 0, 4096); ; {
			out := s.Fill(time.Now(), buf[:0])
			if b = append(b, out...); len(out) == 0 {
				if _, known := s.Peer(); known {
					break
				}
				s.Handle(time.Now(), session.TypeHello, session.AppendHello(nil, &session.Hello{Node: "a"})[session.HeaderLen:])
			}
		}
		if _, err := w.Write(b[:min(limit, len(b))]); err != nil {
			t.Fatal(err)
		}
		if limit < len(b) {
			r.arrived(w)
			w.NetConn().Close()
		}
	}
	say(6001)
	r.eventually("what came before the death is here", func(s Status) bool { return s.Foreign > 100 })
	r.eventually("not in sync", func(s Status) bool { return !s.InSync && s.Foreign < 1000 })
	say(1 << 30)
	r.eventually("in sync", func(s Status) bool { return s.InSync && s.Foreign == 1000 })
}

// A peer that reads and never acknowledges is sent a window, then nothing: what
// changes meanwhile waits in the table.
func TestPeerThatNeverAcknowledges(t *testing.T) {
	r := newRogue(t)
	if _, err := r.engine.Activate(context.Background(), "gw", 1); err != nil {
		t.Fatal(err)
	}
	w := r.accept()
	got := make(chan int, 1)
	go func() {
		n, buf := 0, make([]byte, 64<<10)
		for {
			k, err := w.Read(buf)
			if n += k; err != nil {
				got <- n
				return
			}
			w.Write(session.AppendHello(nil, &r.hello)) // a sign of life that says nothing
		}
	}()
	r.eventually("connected", func(s Status) bool { return s.Connected })
	r.eventually("the dump of the activation is over", func(Status) bool {
		r.engine.mu.Lock()
		defer r.engine.mu.Unlock()
		return !r.engine.dumped.IsZero()
	})
	const flows = 40000
	r.engine.mu.Lock()
	for i := range uint32(flows) {
		rec := rogueFlow(i)
		s, _, _ := r.engine.table.Upsert(&rec, 0, 0)
		r.engine.table.Mark(s, r.engine.peerSinks(), time.Now())
	}
	r.engine.kickSenders()
	r.engine.mu.Unlock()
	r.eventually("the window is full", func(s Status) bool { return s.Peers[0].Sender.Bytes > 900<<10 })
	for range 20 { // more changes, no more bytes
		r.engine.mu.Lock()
		r.engine.table.Each(1, func(s session.Slot) bool {
			r.engine.table.Mark(s, r.engine.peerSinks(), time.Now())
			return true
		})
		r.engine.kickSenders()
		r.engine.mu.Unlock()
	}
	s := r.engine.Status()
	if s.Dirty > flows || s.Lag == 0 || s.Peers[0].Sender.Bytes > 64*fillSize+4096 {
		t.Errorf("%d dirty, lag %v, %d bytes", s.Dirty, s.Lag, s.Peers[0].Sender.Bytes)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	if err := r.engine.Drain(ctx, "gw"); err == nil {
		t.Error("drained into a peer that acknowledged nothing")
	}
	w.NetConn().Close()
	<-got
	r.eventually("given up", func(s Status) bool { return !s.Connected && s.Dirty == 0 })
}

// Garbage after the handshake ends the connection and nothing else.
func TestPeerTalksNonsense(t *testing.T) {
	r := newRogue(t)
	for _, b := range [][]byte{
		bytes.Repeat([]byte{0xff}, 100),
		session.AppendHello(nil, &session.Hello{Node: "c"}), // not the name in its certificate
		append(session.AppendHello(nil, &r.hello), session.Version, byte(session.TypeBegin), 0, 0, 0, 0, 0, 0),
		{session.Version, byte(session.TypeRecords), 0, 0, 0, 0, 0, 1, 0},
	} {
		w := r.dial()
		if _, err := w.Write(b); err != nil {
			t.Fatal(err)
		}
		w.SetReadDeadline(time.Now().Add(20 * time.Second))
		if _, err := io.Copy(io.Discard, w); err != nil {
			if ne, ok := err.(net.Error); ok && ne.Timeout() {
				t.Errorf("% x: the connection stays", b[:8])
			}
		}
	}
	if s := r.engine.Status(); s.Foreign != 0 {
		t.Errorf("%d sessions", s.Foreign)
	}
}

// The tap says drained only when all that was sent has been handled.
func TestActivationReadsWhatHasArrived(t *testing.T) {
	for range 4 {
		r := newRogue(t)
		r.groups.Activate(0, 1)
		s := session.NewSender(r.table, r.groups, 1, r.hello)
		s.Connect(time.Now())
		w := r.dial()
		buf := make([]byte, 0, fillSize)
		w.Write(s.Fill(time.Now(), buf))
		s.Handle(time.Now(), session.TypeHello, session.AppendHello(nil, &session.Hello{Node: "a"})[session.HeaderLen:])
		w.Write(s.Fill(time.Now(), buf)) // an empty transfer
		r.eventually("connected", func(s Status) bool { return s.Groups[0].Holder == "b" && s.InSync })
		const flows = 3000
		for i := range uint32(flows) {
			rec := rogueFlow(i)
			slot, _, _ := r.table.Upsert(&rec, 0, 0)
			r.table.Mark(slot, s.Sink(), time.Now())
		}
		for out := s.Fill(time.Now(), buf); len(out) > 0; out = s.Fill(time.Now(), buf) {
			if _, err := w.Write(out); err != nil {
				t.Fatal(err)
			}
		}
		r.arrived(w) // the peer says no more
		rep, err := r.engine.Activate(context.Background(), "gw", 2)
		if err != nil {
			t.Fatal(err)
		}
		k := 0
		var kernel *conntrack.Kernel
		if err := r.node.Do(func() (err error) { kernel, err = conntrack.OpenKernel(); return err }); err != nil {
			t.Fatal(err)
		}
		if err := kernel.Dump(conntrack.Filter{}, func(ev *conntrack.Event) {
			if ev.Rec.DstPort == 53 {
				k++
			}
		}); err != nil {
			t.Fatal(err)
		}
		kernel.Close()
		if k != flows {
			t.Fatalf("%d of %d flows in the kernel, %+v", k, flows, rep)
		}
	}
}

// A peer that does not tell what it kept is not waited for for long.
func TestPeerThatDoesNotTellWhatItKept(t *testing.T) {
	r := newRogue(t)
	r.engine.mu.Lock()
	r.engine.cfg.Salvage = 200 * time.Millisecond
	r.engine.mu.Unlock()
	if _, err := r.engine.Activate(context.Background(), "gw", 1); err != nil {
		t.Fatal(err)
	}
	r.eventually("it may lack sessions", func(s Status) bool { return s.Groups[0].Incomplete })
	w := r.dial()
	r.hello.Groups = []session.HelloGroup{{Name: "gw"}}
	if _, err := w.Write(session.AppendHello(nil, &r.hello)); err != nil {
		t.Fatal(err)
	}
	r.eventually("it goes on without", func(s Status) bool { return !s.Groups[0].Incomplete })
}
