package session

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// journalled is a node that keeps a journal, and remembers all its bytes.
type journalled struct {
	t      *Table
	g      *Groups
	j      *Journal
	at     Stamp
	now    time.Time
	kernel Kernel
	bytes  []byte // frames since the last snapshot began
	seq    uint64
	room   int
}

func newJournalled() *journalled {
	b := &journalled{t: NewTable(seed, t0, 0), g: NewGroups("a", "gw"), at: Stamp{1_000_000_000_000, 500_000}, now: t0, room: 16 << 10,
		kernel: Kernel{Boot: [16]byte{1}, Namespace: 1}}
	b.g.Activate(0, 3)
	b.j = NewJournal(b.t, b.g)
	return b
}

// journalOf has so many flows of one owner in its table, and nothing written yet.
func journalOf(flows uint32) *journalled {
	b := newJournalled()
	for i := range flows {
		r := snat(i)
		b.put(&r)
	}
	return b
}

func (b *journalled) passes(d time.Duration) {
	b.now = b.now.Add(d)
	b.at.Wall += d.Milliseconds()
	b.at.Boot += d.Milliseconds()
}

// snapshot begins one, in a segment of its own.
func (b *journalled) snapshot(resting GroupSet) {
	b.seq++
	b.j.Snapshot(b.now, b.seq)
	h := b.j.Head(b.at, b.seq, resting)
	h.Node, h.Config, h.Kernel, h.Snapshot = "a", 7, b.kernel, true
	b.bytes = AppendJournalHead(nil, &h)
}

// fill writes once, or all there is.
func (b *journalled) fill(all bool) (records int, complete bool) {
	for {
		out, n, c := b.j.Fill(b.at, make([]byte, 0, b.room))
		b.bytes = append(b.bytes, out...)
		records += n
		complete = complete || c
		if !all || len(out) == 0 {
			return records, complete
		}
	}
}

func (b *journalled) put(r *Record) {
	s, ch, err := b.t.Upsert(r, 0, 0)
	if err == nil && ch&ChangeWire != 0 {
		b.t.Mark(s, Sink(SinkDisk), b.now)
	}
}

func (b *journalled) end(k *Key) {
	if s, ok := b.t.Lookup(k); ok {
		b.t.Delete(s, Sink(SinkDisk), b.now)
	}
}

// frames takes bytes apart.
func frames(t rapid.TB, b []byte, fn func(typ JournalFrame, body []byte)) {
	t.Helper()
	for len(b) > 0 {
		n, err := JournalLength(b)
		if err != nil || n > len(b) {
			t.Fatalf("a frame of %d bytes in %d: %v", n, len(b), err)
		}
		typ, body, err := ParseJournal(b[:n])
		if err != nil {
			t.Fatal(err)
		}
		fn(typ, body)
		b = b[n:]
	}
}

// restored is what a node makes of a journal.
func restored(t rapid.TB, b []byte, now Stamp, self JournalHead, scope *Scope) (*Table, *Groups, *Restore, GroupSet) {
	t.Helper()
	tb, g := NewTable([2]uint64{3, 4}, t0, 0), NewGroups("a", "other", "gw")
	r := NewRestore(tb, g, scope, now, self)
	frames(t, b, func(typ JournalFrame, body []byte) {
		switch typ {
		case FrameHead:
			h, err := ParseJournalHead(body)
			if err != nil {
				t.Fatal(err)
			}
			r.Head(h)
		case FrameRecords:
			r.Records(body)
		}
	})
	set := r.Done()
	return tb, g, r, set
}

// rebooted is how the box finds itself after a reboot.
func (b *journalled) rebooted() JournalHead {
	return JournalHead{Node: "a", Config: 7, Kernel: Kernel{Boot: [16]byte{2}, Namespace: 1}}
}

// sum is the set of a group as text, without what only one table knows of it.
func sum(t *Table, g int) string {
	n, h := t.Tally(g)
	return fmt.Sprintf("%d %x", n, h)
}

func TestJournalRestoresTheTable(t *testing.T) {
	b := journalOf(3000)
	b.snapshot(0)
	if n, complete := b.fill(true); n != 3000 || !complete {
		t.Fatalf("%d records, complete %v", n, complete)
	}
	// A log behind it: some end, some change, some are new.
	for i := range uint32(500) {
		r := snat(i)
		b.end(&r.Key)
		r = snat(1000 + i)
		r.TCP.State = TCPFinWait
		b.put(&r)
		r = snat(5000 + i)
		b.put(&r)
	}
	if n, complete := b.fill(true); n != 1500 || complete {
		t.Fatalf("%d records, complete %v", n, complete)
	}
	now := b.at
	now.Wall += 60_000
	tb, g, r, set := restored(t, b.bytes, now, b.rebooted(), testScope2())
	if got, want := sum(tb, 1), sum(b.t, 0); got != want || set != 1<<1 || r.Stats().Restored != 3000 {
		t.Errorf("restored %s, want %s; groups %b; %+v", got, want, set, r.Stats())
	}
	if st := g.At(1); st.Term != 3 || !st.Kept || st.Active {
		t.Errorf("%+v", st)
	}
	s, _ := tb.Lookup(&[]Record{snat(2000)}[0].Key)
	var rec Record
	if tb.Record(s, &rec); rec.Timeout != 432000-60 || !tb.Restored(s) || !tb.Rests(s) || tb.Dirty(SinkKernel) != 0 {
		t.Errorf("timeout %d, %d for the kernel", rec.Timeout, tb.Dirty(SinkKernel))
	}
	h := NewHolder(0)
	h.Step(t0, tb, 1<<1)
	if h.Step(t0.Add(HoldRenew), tb, 1<<1); tb.Offer(s, t0) || tb.Dirty(SinkKernel) != 0 {
		t.Errorf("%d are for the kernel, and rest", tb.Dirty(SinkKernel))
	}
	if tb.Rouse(1 << 1); !tb.Offer(s, t0) {
		t.Error("it rests for ever")
	}
	if same, _, err := tb.Upsert(&rec, 1, 1); err != nil || tb.Restored(same) {
		t.Error("somebody vouches for it, and it is still from the journal")
	}
}

// testScope2 is testScope for the group that is second here.
func testScope2() *Scope {
	c := testScope().ScopeConfig
	c.Groups = append(c.Groups[:0:0], nil, c.Groups[0])
	return NewScope(c)
}

// Whatever happens between and during the fills, what is read back is what the table
// holds; what is read of a part of it, cut at a frame, was true once.
func TestJournalUnderChange(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := newJournalled()
		b.room = 4 << 10
		b.snapshot(0)
		history := map[Key]map[uint16]bool{} // ports that each flow had
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			switch rapid.IntRange(0, 4).Draw(t, "what") {
			case 0, 1:
				for range rapid.IntRange(1, 120).Draw(t, "n") {
					r := snat(uint32(rapid.IntRange(0, 300).Draw(t, "flow")))
					r.ReplyDstPort = uint16(20000 + rapid.IntRange(0, 3).Draw(t, "port"))
					if history[r.Key] == nil {
						history[r.Key] = map[uint16]bool{}
					}
					history[r.Key][r.ReplyDstPort] = true
					b.put(&r)
				}
			case 2:
				for range rapid.IntRange(1, 60).Draw(t, "n") {
					r := snat(uint32(rapid.IntRange(0, 300).Draw(t, "flow")))
					b.end(&r.Key)
				}
			case 3:
				b.fill(false)
			case 4:
				b.fill(true) // a reader without a complete snapshot goes on from the last one
				b.snapshot(0)
			}
		}
		b.fill(true)
		full, _, _, _ := restored(t, b.bytes, b.at, b.rebooted(), testScope2())
		if got, want := sum(full, 1), sum(b.t, 0); got != want {
			t.Fatalf("restored %s, want %s\n%s\n%s", got, want, full.Dump(), b.t.Dump())
		}
		var ends []int
		for n := 0; n < len(b.bytes); {
			l, _ := JournalLength(b.bytes[n:])
			n += l
			ends = append(ends, n)
		}
		part, _, _, _ := restored(t, b.bytes[:rapid.SampledFrom(ends).Draw(t, "cut")], b.at, b.rebooted(), testScope2())
		part.Each(^GroupSet(0), func(s Slot) bool {
			var r Record
			if part.Record(s, &r); !history[r.Key][r.ReplyDstPort] {
				t.Errorf("%s was never so", r.String())
			}
			return true
		})
	})
}

// What is said to be complete is: all that there was when the snapshot began, be it
// that it changes all the time.
func TestJournalCompleteMeansAll(t *testing.T) {
	b := newJournalled()
	b.room = 4 << 10
	for i := range uint32(1000) {
		r := snat(i)
		b.put(&r)
	}
	b.snapshot(0)
	b.fill(true)
	for i := range uint32(1000) { // the last first: the cursor is through long before the queue
		r := snat(999 - i)
		r.Mark = 1
		b.put(&r)
	}
	b.snapshot(0)
	for complete := false; !complete; {
		_, complete = b.fill(false)
	}
	tb, _, _, _ := restored(t, b.bytes, b.at, b.rebooted(), testScope2())
	if got, want := sum(tb, 1), sum(b.t, 0); got != want {
		t.Errorf("restored %s, want %s", got, want)
	}
}

// Time is reckoned by the kernel's clock within a boot, and else by that on the wall:
// when somebody has set it, sessions stay for longer or do not come back.
func TestJournalDeadlines(t *testing.T) {
	const s = 1000
	for _, tt := range []struct {
		name       string
		wall, boot int64 // passed, in ms
		sameBoot   bool
		timeout    uint32
		want       uint32 // 0: not restored
	}{
		{"ten seconds pass", 10 * s, 0, false, 100, 90},
		{"its last second", 99 * s, 0, false, 100, 1},
		{"its time is over", 100 * s, 0, false, 100, 0},
		{"a clock that was set back: not older than it was", -3600 * s, 0, false, 100, 100},
		{"a clock that was set forward: gone", 3600 * s, 0, false, 100, 0},
		{"the same boot: the wall's clock does not matter", 3600 * s, 10 * s, true, 100, 90},
		{"the same boot, set back", -3600 * s, 100 * s, true, 100, 0},
		{"a reboot: the kernel's clock does not matter", 10 * s, -400 * s, false, 100, 90},
		{"after 200 years", 200 * 365 * 86400 * s, 0, false, 1<<32 - 1, 0},
	} {
		b := newJournalled()
		r := snat(1)
		r.Timeout = tt.timeout
		b.put(&r)
		b.snapshot(0)
		b.fill(true)
		self := b.rebooted()
		if tt.sameBoot {
			self.Kernel = Kernel{Boot: b.kernel.Boot, Namespace: 99} // another table
		}
		tb, _, res, _ := restored(t, b.bytes, Stamp{b.at.Wall + tt.wall, b.at.Boot + tt.boot}, self, testScope2())
		var got Record
		if slot, ok := tb.Lookup(&r.Key); ok {
			tb.Record(slot, &got)
		}
		if got.Timeout != tt.want || tt.want == 0 && res.Stats().Expired != 1 {
			t.Errorf("%s: timeout %d, want %d; %+v", tt.name, got.Timeout, tt.want, res.Stats())
		}
	}
}

// A later word of a flow counts even if that is that it is over: the earlier one must
// not survive it.
func TestJournalLaterWordCounts(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(r *Record)
	}{
		{"its time is over", func(r *Record) { r.Timeout, r.Mark = 5, 1 }},
		{"it is closed", func(r *Record) { r.TCP.State = TCPTimeWait }},
		{"it is not ours any more", func(r *Record) { r.ReplyDst[3] = 99 }},
	} {
		b := newJournalled()
		r := snat(1)
		b.put(&r)
		b.snapshot(0)
		b.fill(true)
		tt.change(&r)
		b.put(&r)
		if n, _ := b.fill(true); n != 1 {
			t.Fatalf("%s: %d records", tt.name, n)
		}
		tb, _, _, set := restored(t, b.bytes, Stamp{b.at.Wall + 10_000, b.at.Boot}, b.rebooted(), testScope2())
		if tb.Len() != 0 || set != 0 {
			t.Errorf("%s: restored\n%s", tt.name, tb.Dump())
		}
	}
}

// Which journal counts.
func TestJournalOfWhom(t *testing.T) {
	same := func(h *JournalHead, b *journalled) { h.Kernel = b.kernel }
	for _, tt := range []struct {
		name    string
		resting GroupSet
		change  func(*JournalHead, *journalled)
		want    int
	}{
		{"rebooted", 0, func(*JournalHead, *journalled) {}, 2},
		{"the same connection table: the kernel knows", 0, same, 0},
		{"the same connection table, but they were not in it", 1, same, 2},
		{"the same boot, another table", 0, func(h *JournalHead, b *journalled) { h.Kernel = Kernel{b.kernel.Boot, 2} }, 2},
		{"another node", 0, func(h *JournalHead, _ *journalled) { h.Node = "b" }, 0},
		{"another configuration", 0, func(h *JournalHead, _ *journalled) { h.Config = 8 }, 0},
		{"a configuration that is not compared", 0, func(h *JournalHead, _ *journalled) { h.Config = 0 }, 2},
	} {
		b := newJournalled()
		one, two := snat(1), snat(2)
		b.put(&one)
		b.put(&two)
		b.snapshot(tt.resting)
		b.fill(true)
		self := b.rebooted()
		tt.change(&self, b)
		tb, g, _, _ := restored(t, b.bytes, b.at, self, testScope2())
		if tb.Len() != tt.want || (g.At(1).Term != 0) != (tt.want > 0) {
			t.Errorf("%s: %d restored, term %d", tt.name, tb.Len(), g.At(1).Term)
		}
	}
}

// What a helper expects comes back with its master, less the time that has passed.
func TestJournalKeepsExpectations(t *testing.T) {
	b := newJournalled()
	r := snat(1)
	r.Helper = NameFrom("ftp")
	s, _, _ := b.t.Upsert(&r, 0, 0)
	x := Expect{Key: r.Key, Timeout: 300, Helper: r.Helper}
	short := x
	short.SrcPort, short.Timeout = 9, 20
	b.t.SetExpects(s, []Expect{short, x})
	b.snapshot(0)
	b.fill(true)
	tb, _, _, _ := restored(t, b.bytes, Stamp{b.at.Wall + 30_000, 0}, b.rebooted(), testScope2())
	s, ok := tb.Lookup(&r.Key)
	if !ok || len(tb.Expects(s)) != 1 || !tb.Expects(s)[0].Same(&x) || tb.Expects(s)[0].Timeout != 270 {
		t.Errorf("%v %+v", ok, tb.Expects(s))
	}
}

// Any change of a bit in a frame is seen, and every cut of it.
func TestJournalFrameDamage(t *testing.T) {
	b := journalOf(3)
	b.snapshot(0)
	b.fill(true)
	frames(t, b.bytes, func(JournalFrame, []byte) {})
	first, _ := JournalLength(b.bytes)
	for _, frame := range [][]byte{b.bytes[:first], b.bytes[first : len(b.bytes)-17], b.bytes[len(b.bytes)-17:]} {
		if _, _, err := ParseJournal(frame); err != nil {
			t.Fatal(err)
		}
		for i := range len(frame) * 8 {
			bad := bytes.Clone(frame)
			bad[i/8] ^= 1 << (i % 8)
			if _, _, err := ParseJournal(bad); err != ErrTorn {
				t.Fatalf("bit %d of %x: %v", i, frame, err)
			}
		}
		for i := range frame {
			if _, _, err := ParseJournal(frame[:i]); err != ErrTorn {
				t.Fatalf("the first %d bytes: %v", i, err)
			}
		}
	}
	if _, _, err := ParseJournal(make([]byte, 4096)); err != ErrTorn {
		t.Errorf("zeros: %v", err)
	}
}

func TestJournalHeadRoundTrip(t *testing.T) {
	want := JournalHead{Node: "gw1", Config: 1<<64 - 1, Kernel: Kernel{[16]byte{1, 2, 15: 3}, 77}, Sequence: 5, Snapshot: true,
		At: Stamp{-1, 1 << 60}, Groups: []JournalGroup{{"gw", 9, true}, {strings.Repeat("x", 255), 1 << 63, false}}}
	_, body, err := ParseJournal(AppendJournalHead(nil, &want))
	if err != nil {
		t.Fatal(err)
	}
	got, err := ParseJournalHead(body)
	if err != nil || fmt.Sprint(*got) != fmt.Sprint(want) {
		t.Errorf("%v\ngot  %+v\nwant %+v", err, got, want)
	}
	for _, tt := range []struct {
		name string
		add  []byte
		want error
	}{
		{"an optional attribute passes", []byte{0x70, 1, 9}, nil},
		{"a critical one is refused", []byte{0xf0, 1, 9}, ErrCritical},
		{"cut short", []byte{headConfig, 8, 1}, ErrMalformed},
		{"too short", []byte{headConfig, 1, 1}, ErrMalformed},
	} {
		if _, err := ParseJournalHead(append(bytes.Clone(body), tt.add...)); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
		}
	}
}

// When a snapshot is due.
func TestJournalSnapshotDue(t *testing.T) {
	b := newJournalled()
	if !b.j.Due(b.now) {
		t.Error("the first one is")
	}
	b.snapshot(0)
	b.fill(true)
	b.passes(2 * SnapshotEvery)
	if b.j.Due(b.now) {
		t.Error("there is nothing, and there was nothing")
	}
	r := snat(1)
	b.put(&r)
	b.fill(true)
	if !b.j.Due(b.now) {
		t.Error("time has passed and something changed")
	}
	b.snapshot(0)
	if b.passes(2 * SnapshotEvery); b.j.Due(b.now) {
		t.Error("one is under way")
	}
	b.fill(true)
	b.snapshot(0)
	b.fill(true)
	if b.j.Due(b.now) {
		t.Error("it is just over")
	}
	b.j.Renew()
	if !b.j.Due(b.now) {
		t.Error("it was asked for")
	}
	b.snapshot(0)
	b.fill(true)
	for n := range snapshotFloor / 20_000 {
		for i := range uint32(1000) {
			r := snat(i)
			r.Mark = uint32(n)
			b.put(&r)
		}
		b.fill(true)
		b.bytes = b.bytes[:0]
	}
	if !b.j.Due(b.now) {
		t.Error("the log has outgrown the sessions")
	}
	b.j.Stop()
	if n, _ := b.fill(true); n != 0 || b.t.active.has(SinkDisk) {
		t.Error("it goes on after its end")
	}
}

func (s Sinks) has(n int) bool { return s&Sink(n) != 0 }

// A disk that stalls costs a bit a record: of a million changes one queue item is
// left, of tombstones not more than there may be, and a peer that keeps up does not
// pay for it.
func TestJournalStalls(t *testing.T) {
	b := newJournalled()
	b.t.Listen(1)
	b.snapshot(0)
	b.fill(true)
	r := snat(0)
	for i := range 10_000 {
		r.Mark = uint32(i)
		b.put(&r)
	}
	if n := b.t.Dirty(SinkDisk); n != 1 {
		t.Errorf("%d items for one record", n)
	}
	for i := range uint32(maxDead + 5000) {
		r := snat(i + 1)
		s, _, err := b.t.Upsert(&r, 0, 0)
		if err != nil {
			t.Fatal(err)
		}
		to := Sink(SinkDisk) | Sink(1)
		b.t.Mark(s, to, b.now)
		b.t.Delete(s, to, b.now)
		for { // the peer hears at once
			s, e, _, ok := b.t.take(1)
			if !ok {
				break
			}
			b.t.bury(s, e)
		}
	}
	if n := b.t.Tombstones(); n > maxDead+10 || b.t.Dirty(SinkDisk) > maxDead+10 || b.t.overflowed != Sink(SinkDisk) {
		t.Errorf("%d tombstones, overflowed %b", n, b.t.overflowed)
	}
	if n, _ := b.fill(true); n != 0 || !b.j.Due(b.now) {
		t.Errorf("what was not kept needs a snapshot; %d records without", n)
	}
	b.snapshot(0)
	b.fill(true)
	if b.j.Due(b.now) || b.t.Tombstones() != 0 || b.j.Stats().Overflows == 0 {
		t.Errorf("%d tombstones, %+v", b.t.Tombstones(), b.j.Stats())
	}
	tb, _, _, _ := restored(t, b.bytes, b.at, b.rebooted(), testScope2())
	if got, want := sum(tb, 1), sum(b.t, 0); got != want {
		t.Errorf("restored %s, want %s", got, want)
	}
}

// What a standby hears is in its journal as well.
func TestJournalOfAStandby(t *testing.T) {
	p := filled(500)
	j := NewJournal(p.tb, p.gb)
	j.Snapshot(p.now, 1)
	h := j.Head(Stamp{}, 1, 0)
	h.Node = "b"
	log := AppendJournalHead(nil, &h)
	fill := func() {
		for {
			out, _, _ := j.Fill(Stamp{}, make([]byte, 0, 16<<10))
			if log = append(log, out...); len(out) == 0 {
				return
			}
		}
	}
	fill()
	p.connect()
	p.settle(t)
	for i := range uint32(100) {
		r := snat(i)
		p.delete(&r.Key)
		r = snat(200 + i)
		r.TCP.State = TCPCloseWait
		p.upsert(&r)
	}
	p.settle(t)
	fill()
	tb, g, _, _ := restored(t, log, Stamp{}, JournalHead{Node: "b", Kernel: Kernel{Namespace: 1}}, testScope2())
	if got, want := sum(tb, 1), sum(p.tb, 0); got != want || g.At(1).Term != 1 {
		t.Errorf("restored %s, want %s; term %d", got, want, g.At(1).Term)
	}
}

// A young flow is not worth the disk's while either.
func TestJournalLeavesTheYoungOut(t *testing.T) {
	b := newJournalled()
	r := snat(1)
	s, _, _ := b.t.Upsert(&r, 0, 0)
	b.t.SetYoung(s)
	b.snapshot(0)
	if n, complete := b.fill(true); n != 0 || !complete {
		t.Errorf("%d records", n)
	}
	if b.t.Delete(s, ^Sinks(0), b.now); b.t.Dirty(SinkDisk) != 0 {
		t.Error("it hears of its end")
	}
}

// What another node has kept takes the place of what rests here, and of nothing else.
func TestKeptReplacesWhatRests(t *testing.T) {
	for _, tt := range []struct {
		name              string
		restored, present bool
		want              uint16
	}{
		{"unknown", false, false, 999},
		{"known", false, true, 20001},
		{"from the journal, in no kernel", true, false, 999},
		{"from the journal, in the kernel", true, true, 20001},
	} {
		tb, g := NewTable(seed, t0, 0), NewGroups("b", "gw")
		g.Activate(0, 1)
		g.SetIncomplete(0, true)
		r := NewReceiver(tb, g, testScope(), Hello{Node: "b"})
		rec := snat(1)
		if tt.restored || tt.present {
			s, _, _ := tb.Upsert(&rec, 0, 0)
			if tt.restored {
				tb.at(s).bits |= bitRestored
			}
			tb.SetInstalled(s, tt.present)
		}
		r.asked = 1
		rec.ReplyDstPort = 999
		if err := r.onKept(t0, 0, AppendUpsert(nil, &rec)); err != nil {
			t.Fatal(err)
		}
		s, _ := tb.Lookup(&rec.Key)
		var got Record
		if tb.Record(s, &got); got.ReplyDstPort != tt.want || tb.Restored(s) != (tt.restored && tt.present) {
			t.Errorf("%s: port %d, want %d; from the journal %v", tt.name, got.ReplyDstPort, tt.want, tb.Restored(s))
		}
	}
}
