package journal

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"understudy/nat/session"
)

func TestWhatIsWrittenIsRead(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "deep", "sessions")
	b := newBox(t, Config{Dir: dir})
	b.put(0, 5000)
	b.step(0)
	b.same("a snapshot", dir)
	b.end(0, 1000)
	b.put(7000, 7500)
	b.step(100 * time.Millisecond)
	b.same("a log behind it", dir)
	if got := segments(t, dir); !slices.Equal(got, []string{"0000000000000001.journal"}) {
		t.Errorf("files %q", got)
	}
	for path, want := range map[string]fs.FileMode{dir: 0o700 | fs.ModeDir, filepath.Join(dir, "0000000000000001.journal"): 0o600, filepath.Join(dir, lockName): 0o600} {
		info, err := os.Stat(path)
		must(t, err)
		if info.Mode() != want {
			t.Errorf("%s has mode %v, want %v", path, info.Mode(), want)
		}
	}
	st := b.j.Status()
	if st.State != Writing || st.Records != 5000+1500 || st.Bytes < 6500*17 || st.LastError != "" {
		t.Errorf("%+v", st)
	}
}

// Reading and writing go on where the last program has stopped; what it wrote is there
// until a snapshot has replaced it.
func TestTheNextProgram(t *testing.T) {
	dir := t.TempDir()
	b := newBox(t, Config{Dir: dir})
	b.put(0, 100)
	b.step(0)
	b.j.finish(b.now, b)
	must(t, b.j.Close())

	next := newBox(t, Config{Dir: dir})
	found, err := next.j.Look()
	must(t, err)
	if h := found.Newest(); h == nil || h.Node != "a" || h.Sequence != 1 || !h.Snapshot {
		t.Errorf("head %+v", h)
	}
	replay(found, next.table)
	next.same("read", dir)
	next.want = Leave
	next.step(time.Second)
	next.same("nothing is to be written", dir)
	next.want = Write
	next.put(200, 300)
	next.step(time.Second)
	next.same("a snapshot has replaced it", dir)
	if got := segments(t, dir); !slices.Equal(got, []string{"0000000000000002.journal"}) {
		t.Errorf("files %q", got)
	}
	next.want = Drop
	next.step(time.Second)
	if got := segments(t, dir); len(got) != 0 || next.j.Status().State != Idle {
		t.Errorf("files %q, %+v", got, next.j.Status())
	}
	next.step(time.Second)
	next.want = Write
	next.step(time.Second)
	next.same("written again", dir)
}

// Snapshots bound what is on the disk, whatever is logged.
func TestDiskUseIsBounded(t *testing.T) {
	dir := t.TempDir()
	b := newBox(t, Config{Dir: dir, SegmentSize: 1 << 20})
	b.put(0, 20_000)
	var most int64
	files := 0
	for range 100 {
		b.step(100 * time.Millisecond)
		b.put(0, 20_000) // 700 kB
		most, files = max(most, b.j.Status().Bytes), max(files, len(segments(t, dir)))
	}
	b.step(100 * time.Millisecond)
	b.same("after 70 MB", dir)
	if most > 8<<20 || most < 2<<20 {
		t.Errorf("at most %d bytes", most)
	}
	segs := segments(t, dir)
	if segs[0] == "0000000000000001.journal" || files < 3 || files > 9 {
		t.Errorf("files %q, at most %d", segs, files)
	}
	for _, name := range segs {
		info, err := os.Stat(filepath.Join(dir, name))
		must(t, err)
		if info.Size() > 1<<20+fillSize {
			t.Errorf("%s has %d bytes", name, info.Size())
		}
	}
}

func TestFsyncs(t *testing.T) {
	b := newBox(t, Config{Dir: t.TempDir(), SyncRecords: 1000})
	b.put(0, 100)
	b.step(0)
	fsyncs := func() uint64 { return b.j.Status().Fsyncs }
	for _, tt := range []struct {
		name    string
		pass    time.Duration
		records uint32
		pace    time.Duration
		want    uint64
	}{
		{"a few records", 100 * time.Millisecond, 10, 0, 0},
		{"a few more, after a second", time.Second, 10, 0, 1},
		{"nothing, after a second", time.Second, 0, 0, 0},
		{"many", 100 * time.Millisecond, 1000, 0, 1},
		{"the mode's pace", 300 * time.Millisecond, 10, 250 * time.Millisecond, 1},
		{"the mode's slower pace", 2 * time.Second, 10, 10 * time.Second, 0},
	} {
		before := fsyncs()
		b.pace = tt.pace
		b.put(0, tt.records)
		b.step(tt.pass)
		if got := fsyncs() - before; got != tt.want {
			t.Errorf("%s: %d fsyncs, want %d", tt.name, got, tt.want)
		}
	}
}

// A power cut may end the file at any byte. What is in whole frames is read, and
// nothing else; the next reader finds nothing wrong any more.
func TestCutAtEveryByte(t *testing.T) {
	dir := t.TempDir()
	b := newBox(t, Config{Dir: dir})
	var states []string // by the number of frames that are whole
	b.put(0, 3)
	b.step(0)
	empty := session.NewTable([2]uint64{}, t0, 0).Dump()
	states = append(states, empty, empty, b.table.Dump(), b.table.Dump()) // head, records, complete
	for i := range uint32(2) {
		b.put(10+i, 11+i)
		b.end(i, i+1)
		b.step(100 * time.Millisecond)
		states = append(states, b.table.Dump())
	}
	const name = "0000000000000001.journal"
	whole, err := os.ReadFile(filepath.Join(dir, name))
	must(t, err)
	var ends []int
	for n := 0; n < len(whole); {
		k, err := session.JournalLength(whole[n:])
		must(t, err)
		n += k
		ends = append(ends, n)
	}
	if len(ends) != len(states)-1 {
		t.Fatalf("%d frames, want %d", len(ends), len(states)-1)
	}
	for _, tail := range []struct {
		name  string
		bytes []byte
	}{{"cut", nil}, {"zeros behind", make([]byte, 100)}, {"old bytes behind", bytes.Repeat([]byte{0, 0, 0, 9, 1, 2}, 20)}} {
		dir := t.TempDir()
		for n := range len(whole) + 1 {
			content := append(bytes.Clone(whole[:n]), tail.bytes...)
			must(t, os.WriteFile(filepath.Join(dir, name), content, 0o600))
			frames := 0
			for frames < len(ends) && ends[frames] <= n {
				frames++
			}
			good := 0
			if frames > 0 {
				good = ends[frames-1]
			}
			f, err := look(dir)
			must(t, err)
			tb := session.NewTable([2]uint64{3, 4}, t0, 0)
			d := replay(f, tb)
			if tb.Dump() != states[frames] {
				t.Fatalf("%s at byte %d, %d frames whole: restored\n%s", tail.name, n, frames, tb.Dump())
			}
			damaged := good != len(content) || good == 0
			if damaged != (d.Segment != "") || damaged && (d.Offset != int64(good) || d.Lost != int64(len(content)-good) || !d.Tail) {
				t.Fatalf("%s at byte %d: %s", tail.name, n, damageString(d))
			}
			must(t, f.Cut(d))
			again, d := restore(t, dir)
			if again.Dump() != states[frames] || d.Segment != "" {
				t.Fatalf("%s at byte %d, cut off: %s", tail.name, n, damageString(d))
			}
		}
	}
}

// longJournal has many segments: a snapshot, a log, a second snapshot that is not
// complete. It returns what there was when each was begun.
func longJournal(t *testing.T) (dir string, b *box, states []string) {
	dir = t.TempDir()
	b = newBox(t, Config{Dir: dir, SegmentSize: 2000})
	b.put(0, 100)
	b.step(0)
	for i := range uint32(300) {
		if n := len(segments(t, dir)); n > len(states) {
			for len(states) < n {
				states = append(states, b.table.Dump())
			}
		}
		b.put(1000+10*i, 1010+10*i)
		b.step(10 * time.Millisecond)
	}
	if len(states) < 10 {
		t.Fatalf("%d segments", len(states))
	}
	return dir, b, states
}

// A damaged segment in the middle: what is before it counts, and how much is lost is
// said.
func TestDamageInTheMiddle(t *testing.T) {
	dir, b, _ := longJournal(t)
	b.same("undamaged", dir)
	segs, err := list(dir)
	must(t, err)
	const hit = 7
	damages := []struct {
		name   string
		damage func(path string)
		whole  bool // frames of the segment in front of the damage count
	}{
		{"a flipped bit", func(path string) { flip(t, path, segs[hit].size/2) }, true},
		{"its head", func(path string) { flip(t, path, 12) }, false},
		{"emptied", func(path string) { must(t, os.Truncate(path, 0)) }, false},
		{"missing", func(path string) { must(t, os.Remove(path)) }, false},
	}
	for _, tt := range damages {
		broken := t.TempDir()
		must(t, os.CopyFS(filepath.Join(broken, "x"), os.DirFS(dir)))
		broken = filepath.Join(broken, "x")
		before := t.TempDir() // the journal up to the damage
		for i := range hit {
			copyFile(t, segs[i].path, filepath.Join(before, filepath.Base(segs[i].path)))
		}
		want, _ := restore(t, before)
		tt.damage(filepath.Join(broken, filepath.Base(segs[hit].path)))
		got, d := restore(t, broken)
		if d.Segment == "" || d.Tail || d.Lost < sizeOf(segs[hit+1:]) || d.Lost > sizeOf(segs[hit:]) {
			t.Errorf("%s: %v, lost %d", tt.name, d, d.Lost)
		}
		if !tt.whole && got.Dump() != want.Dump() || got.Len() < want.Len() || got.Len() >= b.table.Len() {
			t.Errorf("%s: %d restored, want %d", tt.name, got.Len(), want.Len())
		}
		f, err := look(broken)
		must(t, err)
		must(t, f.Cut(d))
		again, d := restore(t, broken)
		if again.Dump() != got.Dump() || d.Segment != "" {
			t.Errorf("%s, cut off: %d restored, want %d; %v", tt.name, again.Len(), got.Len(), d)
		}
	}
}

func flip(t *testing.T, path string, at int64) {
	t.Helper()
	b, err := os.ReadFile(path)
	must(t, err)
	b[at] ^= 1
	must(t, os.WriteFile(path, b, 0o600))
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	b, err := os.ReadFile(from)
	must(t, err)
	must(t, os.WriteFile(to, b, 0o600))
}

// A snapshot that is not complete does not count as one; that what was before it is
// damaged does not matter when it is.
func TestWhereAReaderBegins(t *testing.T) {
	dir, b, _ := longJournal(t)
	d := &disk{room: 5000}
	b.j.w.create = d.create
	b.book.Renew()
	b.now = b.now.Add(time.Second)
	if err := b.j.work(ctx, b.now, b); !errors.Is(err, unix.ENOSPC) {
		t.Fatalf("a snapshot on a full disk: %v", err)
	}
	// As after a power cut: nobody has tidied up.
	tb, damage := restore(t, dir)
	if got, want := tb.Dump(), b.table.Dump(); got != want || damage.Segment == "" || !damage.Tail {
		t.Errorf("%d restored, want %d; %v", tb.Len(), b.table.Len(), damage)
	}
	f, err := look(dir)
	must(t, err)
	if f.base != 0 || len(f.segs) < 12 {
		t.Errorf("begins with %d of %d", f.base, len(f.segs))
	}

	dir, b, _ = longJournal(t)
	old, err := list(dir)
	must(t, err)
	keep := t.TempDir()
	for _, s := range old {
		copyFile(t, s.path, filepath.Join(keep, filepath.Base(s.path)))
	}
	b.book.Renew()
	b.step(time.Second)
	for _, s := range old { // nobody has removed what the snapshot has replaced, and the disk is bad
		copyFile(t, filepath.Join(keep, filepath.Base(s.path)), s.path)
	}
	flip(t, old[3].path, 500)
	b.same("a complete snapshot", dir)
}

// Nothing of it is there, or nothing of ours.
func TestLookAtNothing(t *testing.T) {
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "1.journal"), []byte("no"), 0o600))
	must(t, os.WriteFile(filepath.Join(dir, "README"), []byte("no"), 0o600))
	for _, d := range []string{dir, filepath.Join(dir, "nothing")} {
		j := New(Config{Dir: d})
		if f, err := j.Look(); f != nil || err != nil {
			t.Errorf("%s: %v, %v", d, f, err)
		}
		must(t, j.Close())
	}
	must(t, os.WriteFile(filepath.Join(dir, segmentName(9)), []byte("no journal at all"), 0o600))
	f, err := look(dir)
	must(t, err)
	if f.Newest() != nil {
		t.Error("a head out of nothing")
	}
	b := newBox(t, Config{Dir: dir})
	b.put(0, 10)
	b.step(0)
	b.same("and it is replaced", dir)
	if left, err := os.ReadDir(dir); err != nil || len(left) != 4 { // the two, the lock, the segment
		t.Errorf("%v, %v", left, err)
	}
}

// The disk is full: told once, tried with growing pauses, what was there stays for as
// long as it is of use; when there is room again all is as it should be.
func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	d := &disk{room: 60_000}
	b := newBox(t, Config{Dir: dir, Create: d.create})
	b.put(0, 1000)
	b.step(0)
	b.same("it fits", dir)
	tries := d.files
	b.put(1000, 3000)
	b.step(100 * time.Millisecond)
	st := b.j.Status()
	if st.State != Failing || st.Failures != 1 || !strings.Contains(st.LastError, "no space left") || b.stops == 0 {
		t.Errorf("%+v, %d stops", st, b.stops)
	}
	if n := b.table.Dirty(session.SinkDisk); n != 0 {
		t.Errorf("%d records wait for a disk that fails", n)
	}
	tb, damage := restore(t, dir)
	if tb.Len() < 1000 || damage.Segment != "" {
		t.Errorf("%d sessions of before, %v", tb.Len(), damage)
	}
	for range 25 * 10 {
		b.step(100 * time.Millisecond)
	}
	if tries = d.files - tries; tries < 3 || tries > 6 {
		t.Errorf("%d tries in 25 s", tries)
	}
	if tb, _ := restore(t, dir); tb.Len() < 1000 {
		t.Errorf("%d sessions of before are left after 25 s", tb.Len())
	}
	for range 60 * 10 {
		b.step(100 * time.Millisecond)
	}
	if got := segments(t, dir); len(got) != 0 {
		t.Errorf("what is too old to be of use takes room: %q", got)
	}
	if n := strings.Count(b.log.String(), "level=WARN"); n != 1 {
		t.Errorf("told %d times:\n%s", n, &b.log)
	}
	d.room = 1 << 20
	for range 90 * 10 {
		b.step(100 * time.Millisecond)
	}
	b.same("there is room again", dir)
	if st := b.j.Status(); st.State != Writing || st.LastError == "" {
		t.Errorf("%+v", st)
	}
	if !strings.Contains(b.log.String(), "again") {
		t.Errorf("nobody was told that it works:\n%s", &b.log)
	}
}

// Whatever fails, in whichever place: it is counted, and heals.
func TestFailures(t *testing.T) {
	for _, tt := range []struct {
		name  string
		fail  func(dir string, d *disk)
		heal  func(dir string, d *disk)
		words string
	}{
		{"an error of the device", func(_ string, d *disk) { d.err = unix.EIO }, func(_ string, d *disk) { d.err = nil }, "input/output"},
		{"fsync fails", func(_ string, d *disk) { d.sync = unix.EIO }, func(_ string, d *disk) { d.sync = nil }, "input/output"},
		{"read-only", func(_ string, d *disk) { d.err = unix.EROFS }, func(_ string, d *disk) { d.err = nil }, "read-only"},
		{"the directory is gone", func(dir string, d *disk) { os.RemoveAll(dir); d.err = unix.ENOENT },
			func(_ string, d *disk) { d.err = nil }, "no such file"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "j")
			d := &disk{room: 1 << 40}
			b := newBox(t, Config{Dir: dir, Create: d.create})
			b.put(0, 100)
			b.step(0)
			tt.fail(dir, d)
			b.put(100, 200)
			b.step(time.Second)
			if st := b.j.Status(); st.State != Failing || !strings.Contains(st.LastError, tt.words) {
				t.Errorf("%+v", st)
			}
			tt.heal(dir, d)
			b.put(200, 300)
			for range 30 {
				b.step(100 * time.Millisecond)
			}
			b.same("healed", dir)
			if st := b.j.Status(); st.State != Writing {
				t.Errorf("%+v", st)
			}
		})
	}
}

// Two programs never write into one directory.
func TestOneProgramADirectory(t *testing.T) {
	dir := t.TempDir()
	one, two := newBox(t, Config{Dir: dir}), newBox(t, Config{Dir: dir})
	one.put(0, 100)
	one.step(0)
	two.step(0)
	if _, err := two.j.Look(); err == nil || two.j.Status().State != Failing || !strings.Contains(two.j.Status().LastError, "another program") {
		t.Errorf("%v, %+v", err, two.j.Status())
	}
	one.same("undisturbed", dir)
	one.j.finish(one.now, one)
	must(t, one.j.Close())
	two.put(0, 50)
	two.step(2 * time.Second)
	two.same("its turn", dir)
}

// A disk that does not answer holds nobody up, at the end neither.
func TestStalledDisk(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		d := &disk{room: 1 << 40, stall: make(chan struct{})}
		b := newBox(t, Config{Dir: dir, Create: d.create})
		b.put(0, 10)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { defer close(ended); b.j.Run(ctx, b) }()
		time.Sleep(10 * time.Second)
		b.put(0, 10)
		if st := b.j.Status(); st.Records != 0 {
			t.Errorf("%+v", st)
		}
		cancel()
		<-ended // or the test never ends
		close(d.stall)
		synctest.Wait()
	})
}

// At an orderly end nothing is left in memory.
func TestEndWritesTheRest(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		b := newBox(t, Config{Dir: dir})
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { defer close(ended); b.j.Run(ctx, b) }()
		time.Sleep(time.Second)
		b.put(0, 100)
		cancel()
		<-ended
		b.same("ended", dir)
	})
}

func TestThisKernel(t *testing.T) {
	one, err := ThisKernel()
	must(t, err)
	two, err := ThisKernel()
	must(t, err)
	if one != two || one == (session.Kernel{}) {
		t.Errorf("%+v, then %+v", one, two)
	}
	at, err := StampOf(time.Now())
	must(t, err)
	if at.Boot <= 0 || at.Wall <= 0 {
		t.Errorf("%+v", at)
	}
}

// FuzzScan: no file makes a reader panic, and what it hands on has a checksum that is
// right, as whoever computes it anew sees.
func FuzzScan(f *testing.F) {
	dir := f.TempDir()
	b := newBox(f, Config{Dir: dir})
	b.put(0, 5)
	b.step(0)
	b.end(0, 2)
	b.step(100 * time.Millisecond)
	file, err := os.ReadFile(filepath.Join(dir, segmentName(1)))
	must(f, err)
	f.Add(file)
	f.Add(file[:len(file)-3])
	f.Add([]byte{})
	f.Add(make([]byte, 300))
	f.Fuzz(func(t *testing.T, in []byte) {
		at := 0
		whole, err := scan(bytes.NewReader(in), func(typ session.JournalFrame, body []byte) error {
			n, err := session.JournalLength(in[at:])
			if err != nil || n > len(in)-at {
				t.Fatalf("a frame of %d bytes at %d of %d: %v", n, at, len(in), err)
			}
			again, want, err := session.ParseJournal(in[at : at+n])
			if err != nil || again != typ || !bytes.Equal(want, body) {
				t.Fatalf("at %d: type %#x, %v", at, typ, err)
			}
			at += n
			return nil
		})
		if int64(at) != whole || err == nil && at != len(in) || err != nil && !errors.Is(err, session.ErrTorn) {
			t.Fatalf("%d bytes whole, %d seen, of %d: %v", whole, at, len(in), err)
		}
	})
}
