package replica_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"log/slog"
	"net/netip"
	"testing"
	"time"

	"understudy/appliance/lab"
	"understudy/appliance/replica"
	"understudy/nat/conntrack"
	"understudy/nat/session"
)

var (
	vip    = netip.MustParseAddr("203.0.113.1")
	secret = bytes.Repeat([]byte{7}, 32)
)

const settle = 30 * time.Second

// world is two boxes on a segment for their sessions.
type world struct {
	t    *testing.T
	a, b *box
}

// box is a node with a kernel of its own, and an engine that can be restarted.
type box struct {
	t      *testing.T
	name   string
	node   *lab.Node
	cable  *lab.Link
	kernel *conntrack.Kernel // the test's own hand, a stranger to the engine
	cfg    replica.Config
	engine *replica.Engine
	stop   func()
}

func newWorld(t *testing.T) *world {
	t.Helper()
	bs := newBoxes(t, "a", "b")
	return &world{t: t, a: bs[0], b: bs[1]}
}

// newBoxes makes boxes of these names, at 10.255.0.1 and so on, each with all others
// as its peers.
func newBoxes(t *testing.T, names ...string) (bs []*box) {
	t.Helper()
	l := lab.NewT(t)
	seg := l.Segment("sync")
	at := func(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, 255, 0, byte(i + 1)}) }
	for i, name := range names {
		n := l.Node(name)
		b := &box{t: t, name: name, node: n, cable: l.Join(n, seg, "sync0", at(i).String()+"/24")}
		must(t, n.Sysctl("netfilter/nf_conntrack_events", "1"))
		must(t, n.Do(func() (err error) { b.kernel, err = conntrack.OpenKernel(); return err }))
		t.Cleanup(func() { b.kernel.Close() })
		b.cfg = replica.Config{Node: name, Listen: netip.AddrPortFrom(at(i), 7788),
			Secrets: [][]byte{secret}, Groups: []replica.Group{{Name: "gw", Addresses: []netip.Addr{vip}}},
			Inside:    []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")},
			Namespace: n.Do, Logger: slog.New(slog.NewTextHandler(testWriter{t, name}, &slog.HandlerOptions{Level: slog.LevelDebug}))}
		for k, peer := range names {
			if k != i {
				b.cfg.Peers = append(b.cfg.Peers, replica.Peer{Name: peer, Addr: netip.AddrPortFrom(at(k), 7788)})
			}
		}
		bs = append(bs, b)
	}
	return bs
}

// start runs the engine until the test ends or stop.
func (b *box) start() {
	b.t.Helper()
	e, err := replica.Open(b.cfg)
	must(b.t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- e.Run(ctx) }()
	stopped := false
	b.engine = e
	b.stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; err != nil {
			b.t.Errorf("%s: run: %v", b.name, err)
		}
		if err := e.Close(); err != nil {
			b.t.Errorf("%s: close: %v", b.name, err)
		}
	}
	b.t.Cleanup(b.stop)
}

// running starts both, with a Active and b in sync.
func running(t *testing.T) *world {
	t.Helper()
	w := newWorld(t)
	w.a.start()
	w.b.start()
	w.a.activate(1)
	eventually(t, "b is in sync", func() bool { return w.b.engine.Status().InSync && w.b.holds("a") })
	return w
}

func (b *box) holds(node string) bool { return b.engine.Status().Groups[0].Holder == node }

func (b *box) activate(term uint64) replica.Report {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), settle)
	defer cancel()
	r, err := b.engine.Activate(ctx, "gw", term)
	must(b.t, err)
	return r
}

// flow is the n-th of many flows of a client whose source is translated.
func flow(n uint32, proto uint8) session.Record {
	var src [4]byte
	binary.BigEndian.PutUint32(src[:], 0x0a000000|n>>14)
	// A public port serves one flow to each server.
	server := session.AddrFrom(netip.AddrFrom4([4]byte{198, 51, 100, byte(7 + n/40000)}))
	r := session.Record{
		Key: session.Key{Src: session.AddrFrom(netip.AddrFrom4(src)), Dst: server,
			SrcPort: uint16(1024 + n&0x3fff), DstPort: 443, Proto: proto, Family: 4},
		ReplySrc: server, ReplyDst: session.AddrFrom(vip), ReplySrcPort: 443, ReplyDstPort: uint16(20000 + n%40000),
		Status: session.StatusSeenReply | session.StatusAssured | session.StatusConfirmed, Timeout: 300,
	}
	if proto == 6 {
		r.TCP = session.TCP{State: session.TCPEstablished, WScaleOrig: 7, WScaleReply: 9, FlagsOrig: 0x03, FlagsReply: 0x03}
	}
	return r
}

func flows(n int) (rs []session.Record) {
	for i := range uint32(n) {
		rs = append(rs, flow(i, []uint8{6, 17}[i%2]))
	}
	return rs
}

// born puts flows into the kernel as traffic would.
func (b *box) born(rs ...session.Record) {
	b.t.Helper()
	results := make([]error, len(rs))
	must(b.t, b.kernel.Install(rs, conntrack.InstallOptions{NoVerify: true}, results))
	for i, err := range results {
		if err != nil {
			b.t.Fatalf("%s: %v: %v", b.name, rs[i].String(), err)
		}
	}
}

func (b *box) end(rs ...session.Record) {
	b.t.Helper()
	var keys []session.Key
	for _, r := range rs {
		keys = append(keys, r.Key)
	}
	must(b.t, b.kernel.Delete(keys, make([]error, len(keys))))
}

// table reads the kernel's entries back.
func (b *box) table() map[session.Key]session.Record {
	b.t.Helper()
	m := map[session.Key]session.Record{}
	for {
		err := b.kernel.Dump(conntrack.Filter{}, func(ev *conntrack.Event) {
			if ev.Rec.ReplyDst.Netip(4) == vip || ev.Rec.Dst.Netip(4) == vip {
				m[ev.Rec.Key] = ev.Rec
			}
		})
		if err == nil {
			return m
		}
		clear(m)
	}
}

// has waits until the box's kernel has exactly these flows, translated alike.
func (b *box) has(why string, want ...session.Record) {
	b.t.Helper()
	var diff string
	ok := within(settle, func() bool { diff = b.differs(want); return diff == "" })
	if !ok {
		b.t.Fatalf("%s: %s: %s\n%+v", why, b.name, diff, b.engine.Status())
	}
}

func (b *box) differs(want []session.Record) string {
	have := b.table()
	for i := range want {
		w := &want[i]
		h, ok := have[w.Key]
		switch {
		case !ok:
			return "lacks " + w.String()
		case !h.SameBinding(w):
			return "translates otherwise: " + h.String()
		case h.Status&session.StatusSrcNAT == 0:
			return "does not translate: " + h.String()
		}
		delete(have, w.Key)
	}
	for _, h := range have {
		return fmt.Sprintf("has %d too many, as %s", len(have), h.String())
	}
	return ""
}

func within(d time.Duration, ok func() bool) bool {
	for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(2 * time.Millisecond) {
		if ok() {
			return true
		}
	}
	return ok()
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	if !within(settle, ok) {
		t.Fatalf("never: %s", what)
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

type testWriter struct {
	t    testing.TB
	name string
}

func (w testWriter) Write(b []byte) (int, error) {
	w.t.Logf("%s: %s", w.name, bytes.TrimSpace(b))
	return len(b), nil
}
