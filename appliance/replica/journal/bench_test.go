package journal

import (
	"context"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"understudy/nat/session"
)

func cpu() time.Duration {
	var ru unix.Rusage
	unix.Getrusage(unix.RUSAGE_SELF, &ru)
	return time.Duration(ru.Utime.Nano() + ru.Stime.Nano())
}

// BenchmarkAppend: 100,000 flows of which 1,000 change at a time, onto a real disk with
// an fsync for every so many records.
func BenchmarkAppend(b *testing.B) {
	for _, every := range []int{1 << 15, 1 << 12, 256} {
		b.Run("fsync="+map[int]string{1 << 15: "32768", 1 << 12: "4096", 256: "256"}[every], func(b *testing.B) {
			x := newBox(b, Config{Dir: b.TempDir(), SyncRecords: every})
			x.put(0, 100_000)
			x.step(0)
			before, used, slot := x.j.Status(), cpu(), session.Slot(0)
			b.ReportAllocs()
			for b.Loop() {
				for range 1000 {
					x.table.Mark(slot, session.Sink(session.SinkDisk), x.now)
					slot = (slot + 1) % 100_000
				}
				if err := x.j.work(context.Background(), x.now, x); err != nil {
					b.Fatal(err)
				}
			}
			st, n := x.j.Status(), float64(b.N)*1000
			b.ReportMetric(float64((cpu()-used).Nanoseconds())/n, "cpu-ns/record")
			b.ReportMetric(n/b.Elapsed().Seconds(), "records/s")
			b.ReportMetric(float64(st.Fsyncs-before.Fsyncs)/b.Elapsed().Seconds(), "fsyncs/s")
			b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(max(1, st.Fsyncs-before.Fsyncs)), "µs/fsync-cycle")
		})
	}
}

// BenchmarkReplay: a snapshot of a million sessions into an empty table.
func BenchmarkReplay(b *testing.B) {
	const flows = 1_000_000
	dir := b.TempDir()
	x := newBox(b, Config{Dir: dir})
	x.put(0, flows)
	x.step(0)
	size := x.j.Status().Bytes
	for b.Loop() {
		f, err := look(dir)
		must(b, err)
		tb := session.NewTable([2]uint64{3, 4}, t0, 0)
		if d := replay(f, tb); tb.Len() != flows || d.Segment != "" {
			b.Fatalf("%d sessions, %v", tb.Len(), d)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/flows, "ns/record")
	b.ReportMetric(float64(size)/flows, "bytes/record")
}
