package replica_test

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"understudy/appliance/replica"
	"understudy/appliance/replica/journal"
	"understudy/nat/conntrack"
	"understudy/nat/session"
)

// keeps makes the box write its sessions to a disk of its own.
func (b *box) keeps(when replica.JournalWhen) {
	b.cfg.Journal = replica.JournalConfig{Dir: filepath.Join(b.t.TempDir(), "sessions"), When: when}
}

func (b *box) journal() replica.JournalStatus { return b.engine.Status().Journal }

// wrote waits until so many records are in the box's files.
func (b *box) wrote(records uint64) {
	b.t.Helper()
	if !within(settle, func() bool { return b.journal().Records >= records }) {
		b.t.Fatalf("%s: written: %+v, want %d records", b.name, b.journal(), records)
	}
}

// powerCut ends the box: nothing is left but what was in its files at that moment. Then
// it boots, with the rules.
func (b *box) powerCut(rules string) {
	b.t.Helper()
	disk := filepath.Join(b.t.TempDir(), "after")
	must(b.t, os.CopyFS(disk, os.DirFS(b.cfg.Journal.Dir)))
	b.stop()
	b.cfg.Journal.Dir = disk
	b.kernel.Close()
	must(b.t, b.node.Reboot())
	must(b.t, b.node.Do(func() (err error) { b.kernel, err = conntrack.OpenKernel(); return err }))
	if rules != "" {
		b.nft(rules)
	}
}

// Both boxes lose their power in the middle of connections, and boot: from what is on
// their disks the connections go on.
func TestCase04PowerCutOfBoth(t *testing.T) {
	for _, tt := range []struct {
		name  string
		first func(g *gateways) (serves *box, i int) // starts what comes back
	}{
		{"both come back, the owner first", func(g *gateways) (*box, int) { g.a.start(); g.b.start(); return g.a, 0 }},
		{"both come back, the standby serves", func(g *gateways) (*box, int) { g.b.start(); g.a.start(); return g.b, 1 }},
		{"the owner alone comes back", func(g *gateways) (*box, int) { g.a.start(); return g.a, 0 }},
		{"the standby alone comes back", func(g *gateways) (*box, int) { g.b.start(); return g.b, 1 }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g := newGateways(t, natRules)
			g.a.keeps(replica.JournalAlways)
			g.b.keeps(replica.JournalAlways)
			g.runs()
			serve(t, g.server, "tcp", serverIP+":80")
			serve(t, g.server, "udp", serverIP+":53")
			var conns []net.Conn
			for i := range 8 {
				network, port := "tcp", ":80"
				if i%2 == 1 {
					network, port = "udp", ":53"
				}
				c := dialFrom(t, g.client, network, serverIP+port)
				must(t, talk(c, "before"))
				conns = append(conns, c)
			}
			kinds := func(s *sessionView) bool { return s.DstPort == 80 || s.DstPort == 53 }
			g.b.hot(len(conns), kinds)
			g.a.wrote(uint64(len(conns)))
			g.b.wrote(uint64(len(conns)))
			g.a.powerCut(natRules)
			g.b.powerCut(natRules)

			serves, i := tt.first(g)
			if got := serves.journal(); got.Restored != len(conns) {
				t.Fatalf("restored: %+v", got)
			}
			if n := len(serves.table()); n != 0 {
				t.Errorf("%d entries in the kernel before anybody is Active", n)
			}
			if r := serves.activate(1); r.Installed != len(conns) || r.Term < 2 {
				t.Errorf("%+v", r)
			}
			serves.nothingNew()
			g.use(i)
			for i, c := range conns {
				if err := talk(c, fmt.Sprintf("after %d", i)); err != nil {
					t.Errorf("%s: %v", c.LocalAddr(), err)
				}
			}
			eventually(t, "reconciled, and nothing lost", func() bool {
				s := serves.engine.Status()
				return s.Counters.Dumps > 0 && s.Local == len(conns) && !s.Groups[0].Incomplete || s.Local == len(conns) && !s.Connected
			})
			other := g.a
			if serves == g.a {
				other = g.b
			}
			if strings.HasPrefix(tt.name, "both") {
				other.hot(len(conns), kinds)
			}
		})
	}
}

// alone is a box without its peer, in the hybrid mode: it writes to disk.
func alone(t *testing.T) (*world, []session.Record) {
	t.Helper()
	w := newWorld(t)
	w.a.keeps(replica.JournalAuto)
	w.a.cfg.Knobs.Disk = session.DiskAlone
	w.a.start()
	w.a.activate(1)
	rs := flows(300)
	w.a.born(rs...)
	w.a.wrote(300)
	return w, rs
}

func TestAloneWritesToDisk(t *testing.T) {
	t.Parallel()
	w, rs := alone(t)
	if got := w.a.journal(); got.State != journal.Writing || got.Restored != 0 || got.Outcome != "" {
		t.Errorf("%+v", got)
	}
	w.a.powerCut("")
	w.a.start()
	if got := w.a.journal(); got.State != journal.Idle || got.Restored != 300 {
		t.Errorf("%+v", got)
	}
	if s := w.a.engine.Status(); s.Groups[0].Term != 1 || s.Foreign != 300 {
		t.Errorf("%+v", s.Groups)
	}
	w.a.activate(1)
	w.a.has("restored", rs...)
	w.a.end(rs[:100]...)
	// Alone again: it goes on writing, and what has ended is over for good.
	w.a.wrote(200)
	eventually(t, "the end of a third is known", func() bool { return w.a.engine.Status().Local == 200 })
	w.a.powerCut("")
	w.a.start()
	w.a.activate(1)
	w.a.has("restored once more", rs[100:]...)
}

// Where the mode says nothing of a disk, there is none; nor where the key says so.
func TestNothingIsWrittenWithoutNeed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.a.keeps(replica.JournalAuto)
	w.b.keeps(replica.JournalOff)
	w.b.cfg.Knobs.Disk = session.DiskAlways
	for _, b := range []*box{w.a, w.b} {
		b.start()
		b.activate(1)
		b.born(flows(10)...)
	}
	time.Sleep(1500 * time.Millisecond) // longer than it would take
	for _, b := range []*box{w.a, w.b} {
		if _, err := os.Stat(b.cfg.Journal.Dir); !os.IsNotExist(err) || b.journal().State != replica.JournalUnused {
			t.Errorf("%s: %v, %+v", b.name, err, b.journal())
		}
	}
}

// The daemon alone was restarted: what ended meanwhile does not come back.
func TestSameKernelNeedsNoJournal(t *testing.T) {
	w, rs := alone(t)
	w.a.stop()
	w.a.end(rs[:50]...)
	w.a.start()
	if got := w.a.journal(); got.Restored != 0 || !strings.Contains(got.Outcome, "not needed") {
		t.Errorf("%+v", got)
	}
	w.a.activate(1)
	w.a.has("as the kernel had it", rs[50:]...)
	eventually(t, "so does the table", func() bool { return w.a.engine.Status().Local == 250 })
}

func TestJournalOfAnotherConfiguration(t *testing.T) {
	w := newWorld(t)
	w.a.keeps(replica.JournalAlways)
	w.a.cfg.Hash = 7
	w.a.start()
	w.a.activate(1)
	w.a.born(flows(10)...)
	w.a.wrote(10)
	w.a.powerCut("")
	w.a.cfg.Hash = 8
	w.a.start()
	if got := w.a.journal(); got.Restored != 0 || !strings.Contains(got.Outcome, "other addresses or mappings") {
		t.Errorf("%+v", got)
	}
	w.a.activate(1)
	w.a.has("nothing is restored")
}

// A flow whose address is not configured any more is refused by itself, where hashes
// are not compared.
func TestJournalOfFormerAddresses(t *testing.T) {
	w := newWorld(t)
	w.a.keeps(replica.JournalAlways)
	other := vip.Next()
	w.a.cfg.Groups[0].Addresses = append(w.a.cfg.Groups[0].Addresses, other)
	w.a.start()
	w.a.activate(1)
	stays, goes := flow(1, 6), flow(2, 6)
	goes.ReplyDst = session.AddrFrom(other)
	w.a.born(stays, goes)
	w.a.wrote(2)
	w.a.powerCut("")
	w.a.cfg.Groups[0].Addresses = w.a.cfg.Groups[0].Addresses[:1]
	w.a.start()
	if got := w.a.journal(); got.Restored != 1 || !strings.Contains(got.Outcome, "1 out of scope") {
		t.Errorf("%+v", got)
	}
	w.a.activate(1)
	w.a.has("what is still ours", stays)
}

// Both have a journal, and that of the one which becomes Active is the older one: what
// the other has kept counts, and of the older what is not in its way.
func TestNewerJournalOfThePeerWins(t *testing.T) {
	w := newWorld(t)
	w.a.keeps(replica.JournalAlways)
	w.b.keeps(replica.JournalAlways)
	must(t, w.b.cable.Unplug())
	moved, robbed, old := flow(1, 6), flow(2, 6), flow(3, 17)
	w.a.start()
	w.a.activate(1)
	w.a.born(moved, robbed, old)
	w.a.wrote(3)
	w.a.stop()
	// b has taken over, and serves for longer.
	now, thief := moved, robbed
	now.ReplyDstPort = 60000
	thief.SrcPort = 9
	w.b.start()
	w.b.activate(5)
	w.b.born(now, thief)
	w.b.wrote(2)
	w.a.powerCut("")
	w.b.powerCut("")
	must(t, w.b.cable.Plug())
	w.b.start()
	w.a.start()
	eventually(t, "a has heard of a later term", func() bool { return w.a.engine.Status().Groups[0].Term == 5 })
	if w.a.journal().Restored != 3 || w.b.journal().Restored != 2 {
		t.Fatalf("restored %+v and %+v", w.a.journal(), w.b.journal())
	}
	if r := w.a.activate(1); r.Installed != 0 || r.Term != 6 {
		t.Errorf("nobody was asked: %+v", r)
	}
	w.a.has("what b kept, and what is not in its way", now, thief, old)
	w.b.has("so does b", now, thief, old)
}

// If whoever had the later term cannot be asked, the older journal is better than
// nothing.
func TestOlderJournalIsBetterThanNothing(t *testing.T) {
	w := newWorld(t)
	w.a.keeps(replica.JournalAlways)
	w.a.cfg.Salvage = 500 * time.Millisecond
	w.a.start()
	w.a.activate(1)
	rs := flows(20)
	w.a.born(rs...)
	w.a.wrote(20)
	w.a.powerCut("")
	w.a.start()
	w.a.engine.SetTerm("gw", 9)
	if r := w.a.activate(1); r.Installed != 0 || r.Term != 10 {
		t.Errorf("%+v", r)
	}
	w.a.has("after a while", rs...)
}

// A peer that is Active has what counts: of the journal nothing is left, in the kernel
// least of all.
func TestRestoredStandbyFollowsTheOwner(t *testing.T) {
	w := newWorld(t)
	w.b.keeps(replica.JournalAlways)
	w.a.start()
	w.b.start()
	w.a.activate(1)
	rs := flows(100)
	w.a.born(rs...)
	w.b.has("hot", rs...)
	w.b.wrote(100)
	w.b.powerCut("")
	w.a.end(rs[:60]...)
	w.b.start()
	if got := w.b.journal(); got.Restored != 100 {
		t.Fatalf("%+v", got)
	}
	w.b.has("what lives", rs[60:]...)
	if c := w.b.engine.Status().Counters; c.Installed > 40 || c.Removed > 0 {
		t.Errorf("sessions of the journal were in the kernel: %+v", c)
	}
}

// Flows that others expected come behind these, however many there are.
func TestMastersAreRestoredFirst(t *testing.T) {
	w := newWorld(t)
	w.a.keeps(replica.JournalAlways)
	w.a.start()
	w.a.activate(1)
	var masters, children []session.Record
	for i := range uint32(200) {
		m, c := flow(2*i, 6), flow(2*i+1, 6)
		c.Master = m.Key
		masters, children = append(masters, m), append(children, c)
	}
	// Others leave their places in the table to the children, in front of the masters.
	others := flows(1200)[1000:]
	w.a.born(others...)
	w.a.wrote(200)
	w.a.born(masters...)
	w.a.wrote(400)
	w.a.end(others...)
	w.a.wrote(600)
	w.a.born(children...)
	w.a.wrote(800)
	w.a.powerCut("")
	w.a.start()
	w.a.activate(1)
	w.a.has("restored", append(masters, children...)...)
	for _, c := range children {
		if e, err := w.a.kernel.Get(c.Key); err != nil || e.Master != c.Master {
			t.Fatalf("%v %v, want master %v", err, e.Master, c.Master)
		}
	}
	if c := w.a.engine.Status().Counters; c.Bare != 0 {
		t.Errorf("%d installed without their masters", c.Bare)
	}
}

// Packets reach a box that has booted before its group is Active there, and make
// entries that nobody answers: they are in the way. An entry that was answered is newer
// than the journal.
func TestStraysBeforeTheActivation(t *testing.T) {
	w := newWorld(t)
	w.a.keeps(replica.JournalAlways)
	w.a.start()
	w.a.activate(1)
	plain, moved, robbed, live := flow(1, 17), flow(2, 17), flow(3, 17), flow(4, 17)
	w.a.born(plain, moved, robbed, live)
	w.a.wrote(4)
	w.a.powerCut("")
	stray, thief, newer := moved, robbed, live
	stray.ReplyDstPort, thief.SrcPort, newer.ReplyDstPort = 60000, 9, 60001
	stray.Status, thief.Status = session.StatusConfirmed, session.StatusConfirmed
	w.a.born(stray, thief, newer)
	w.a.start()
	if w.a.journal().Restored != 4 {
		t.Fatalf("%+v", w.a.journal())
	}
	w.a.activate(1)
	w.a.has("of the journal what nothing newer has the place of", plain, moved, robbed, newer)
	eventually(t, "so it is in the table", func() bool {
		r, ok := find(w.a, newer.Key)
		s := w.a.engine.Status()
		return s.Counters.Dumps > 0 && s.Local == 4 && ok && r.ReplyDstPort == 60001
	})
}

// fragile is a disk that can be full.
type fragile struct{ full atomic.Bool }

func (d *fragile) create(path string) (journal.File, error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	return &fragileFile{f, d}, err
}

type fragileFile struct {
	*os.File
	disk *fragile
}

func (f *fragileFile) Write(b []byte) (int, error) {
	if !f.disk.full.Load() {
		return f.File.Write(b)
	}
	n, _ := f.File.Write(b[:len(b)/2]) // in the middle of a frame
	return n, unix.ENOSPC
}

// The disk is full, and replication does not notice; what is torn by that is cut off.
func TestCase54FullDiskAndTornTail(t *testing.T) {
	w := newWorld(t)
	d := &fragile{}
	w.a.keeps(replica.JournalAlways)
	w.a.cfg.Journal.Create = d.create
	w.a.start()
	w.b.start()
	w.a.activate(1)
	rs := flows(900)
	w.a.born(rs[:300]...)
	w.a.wrote(300)
	d.full.Store(true)
	w.a.born(rs[300:600]...)
	w.b.has("a full disk is not the peer's affair", rs[:600]...)
	eventually(t, "it is noticed", func() bool { return w.a.journal().State == journal.Failing })
	if got := w.a.journal(); got.LastError == "" || got.Failures == 0 {
		t.Errorf("%+v", got)
	}
	d.full.Store(false)
	eventually(t, "and heals", func() bool { return w.a.journal().State == journal.Writing })
	w.a.born(rs[600:]...)
	w.b.has("all the time", rs...)
	eventually(t, "all is on the disk", func() bool { return w.a.engine.DiskDirty() == 0 })
	w.a.powerCut("")
	// The last thing that was written is cut: the power went in the middle of it.
	files, err := filepath.Glob(filepath.Join(w.a.cfg.Journal.Dir, "*.journal"))
	must(t, err)
	last := files[len(files)-1]
	info, err := os.Stat(last)
	must(t, err)
	must(t, os.Truncate(last, info.Size()-1))
	w.a.cfg.Journal.Create = nil
	w.a.start()
	got := w.a.journal()
	if got.Restored < 600 || !strings.Contains(got.Outcome, "bytes lost") {
		t.Errorf("%+v", got)
	}
}

// A reload that changes the configuration makes a journal that fits it.
func TestReconfigureRenewsTheJournal(t *testing.T) {
	w := newWorld(t)
	w.a.keeps(replica.JournalAlways)
	w.a.cfg.Hash = 7
	w.a.start()
	w.a.activate(1)
	rs := flows(10)
	w.a.born(rs...)
	w.a.wrote(10)
	next := w.a.cfg
	next.Hash = 8
	must(t, w.a.engine.Reconfigure(next))
	w.a.wrote(20) // a snapshot
	w.a.cfg.Hash = 8
	w.a.powerCut("")
	w.a.start()
	w.a.activate(1)
	w.a.has("restored", rs...)
}
