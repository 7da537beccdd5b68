package journal

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"understudy/nat/session"
)

var (
	t0  = time.Unix(1_700_000_000, 0)
	vip = netip.MustParseAddr("203.0.113.1")
	ctx = context.Background()
)

// flow is the n-th of many TCP flows whose source is translated to vip.
func flow(n uint32) session.Record {
	var src [4]byte
	binary.BigEndian.PutUint32(src[:], 0x0a000000|n>>14)
	server := session.AddrFrom(netip.AddrFrom4([4]byte{198, 51, 100, byte(7 + n/40000)}))
	return session.Record{
		Key: session.Key{Src: session.AddrFrom(netip.AddrFrom4(src)), Dst: server,
			SrcPort: uint16(1024 + n&0x3fff), DstPort: 443, Proto: 6, Family: 4},
		ReplySrc: server, ReplyDst: session.AddrFrom(vip), ReplySrcPort: 443, ReplyDstPort: uint16(20000 + n%40000), ID: 77*n + 1,
		Status: session.StatusSeenReply | session.StatusAssured | session.StatusConfirmed, Timeout: 432000,
		TCP: session.TCP{State: session.TCPEstablished, WScaleOrig: 7, WScaleReply: 9, FlagsOrig: 0x23, FlagsReply: 0x23},
	}
}

func scope() *session.Scope {
	return session.NewScope(session.ScopeConfig{Groups: [][]netip.Addr{{vip}}})
}

// box is a node with sessions, as the journal sees it.
type box struct {
	t     testing.TB
	mu    sync.Mutex
	table *session.Table
	book  *session.Journal
	want  Want
	pace  time.Duration
	now   time.Time
	stops int

	j   *Journal
	log bytes.Buffer
}

func newBox(t testing.TB, cfg Config) *box {
	b := &box{t: t, table: session.NewTable([2]uint64{1, 2}, t0, 0), want: Write, now: t0}
	g := session.NewGroups("a", "gw")
	g.Activate(0, 1)
	b.book = session.NewJournal(b.table, g)
	cfg.Logger = slog.New(slog.NewTextHandler(&b.log, nil))
	b.j = New(cfg)
	t.Cleanup(func() { b.j.Close() })
	return b
}

func (b *box) Wants(time.Time) (Want, time.Duration) { return b.want, b.pace }

func (b *box) Due(now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.book.Due(now)
}

func (b *box) Stop() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.stops++
	b.book.Stop()
}

// stamp is always the same moment: nothing gets old here.
var stamp = session.Stamp{Wall: t0.UnixMilli()}

func (b *box) Head(now time.Time, sequence uint64, snapshot bool) session.JournalHead {
	b.mu.Lock()
	defer b.mu.Unlock()
	if snapshot {
		b.book.Snapshot(now, sequence)
	}
	h := b.book.Head(stamp, sequence, 0)
	h.Node, h.Snapshot = "a", snapshot
	h.Kernel.Boot[0] = 1
	return h
}

func (b *box) Fill(now time.Time, buf []byte) ([]byte, int, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.book.Fill(stamp, buf)
}

// step lets time pass and the journal work.
func (b *box) step(d time.Duration) {
	b.now = b.now.Add(d)
	b.j.step(ctx, b.now, b)
}

func (b *box) put(from, to uint32) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i := from; i < to; i++ {
		r := flow(i)
		s, _, err := b.table.Upsert(&r, 0, 0)
		must(b.t, err)
		b.table.Mark(s, session.Sink(session.SinkDisk), b.now)
	}
}

func (b *box) end(from, to uint32) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i := from; i < to; i++ {
		r := flow(i)
		if s, ok := b.table.Lookup(&r.Key); ok {
			b.table.Delete(s, session.Sink(session.SinkDisk), b.now)
		}
	}
}

// same checks that the journal in dir says what the box has.
func (b *box) same(why, dir string) {
	b.t.Helper()
	tb, damage := restore(b.t, dir)
	if got, want := tb.Dump(), b.table.Dump(); got != want || damage.Segment != "" {
		b.t.Errorf("%s: restored %d sessions, want %d; damage: %v", why, tb.Len(), b.table.Len(), damage)
	}
}

// restore reads the journal in dir.
func restore(t testing.TB, dir string) (*session.Table, Damage) {
	t.Helper()
	f, err := look(dir)
	must(t, err)
	tb := session.NewTable([2]uint64{3, 4}, t0, 0)
	if f == nil {
		return tb, Damage{}
	}
	return tb, replay(f, tb)
}

func replay(f *Found, tb *session.Table) Damage {
	r := session.NewRestore(tb, session.NewGroups("a", "gw"), scope(), stamp, session.JournalHead{Node: "a"})
	d := f.Replay(func(h *session.JournalHead, t session.JournalFrame, body []byte) error {
		switch t {
		case session.FrameHead:
			r.Head(h)
		case session.FrameRecords:
			r.Records(body)
		}
		return nil
	})
	r.Done()
	return d
}

// segments names the files of the journal in dir.
func segments(t testing.TB, dir string) (names []string) {
	t.Helper()
	segs, err := list(dir)
	must(t, err)
	for _, s := range segs {
		names = append(names, filepath.Base(s.path))
	}
	return names
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// disk is one of limited size that can fail.
type disk struct {
	room  int64 // bytes left
	err   error // of every write; nil: as room says
	sync  error // of every fsync
	stall chan struct{}
	files int
}

func (d *disk) create(path string) (File, error) {
	if d.err != nil {
		return nil, d.err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	d.files++
	return &limited{f, d}, nil
}

type limited struct {
	*os.File
	disk *disk
}

func (f *limited) Write(b []byte) (int, error) {
	d := f.disk
	if d.stall != nil {
		<-d.stall
	}
	if d.err != nil {
		return 0, d.err
	}
	n := min(int64(len(b)), d.room)
	d.room -= n
	k, err := f.File.Write(b[:n])
	if err == nil && n < int64(len(b)) {
		err = &os.PathError{Op: "write", Path: f.Name(), Err: unix.ENOSPC}
	}
	return k, err
}

func (f *limited) Sync() error {
	if f.disk.sync != nil {
		return f.disk.sync
	}
	return f.File.Sync()
}

func damageString(d Damage) string {
	return fmt.Sprintf("offset %d lost %d tail %v", d.Offset, d.Lost, d.Tail)
}
