package session

import "testing"

func TestJournalAllocatesNothing(t *testing.T) {
	b := journalOf(1000)
	b.snapshot(0)
	b.fill(true)
	buf := make([]byte, 0, 64<<10)
	slot := Slot(0)
	n := testing.AllocsPerRun(100, func() {
		for range 400 {
			b.t.Mark(slot, Sink(SinkDisk), b.now)
			slot = (slot + 1) % 1000
		}
		if _, records, _ := b.j.Fill(b.at, buf); records != 400 {
			t.Fatalf("%d records", records)
		}
	})
	if n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// BenchmarkJournalFill: a table of 100k flows of which each in turn changes.
func BenchmarkJournalFill(b *testing.B) {
	j := journalOf(100_000)
	j.snapshot(0)
	j.fill(true)
	buf := make([]byte, 0, 64<<10)
	slot := Slot(0)
	b.ReportAllocs()
	size := 0
	for b.Loop() {
		for range 1000 {
			j.t.Mark(slot, Sink(SinkDisk), j.now)
			slot = (slot + 1) % 100_000
		}
		for {
			out, n, _ := j.j.Fill(j.at, buf)
			if size += len(out); n == 0 {
				break
			}
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1000, "ns/record")
	b.ReportMetric(float64(size)/float64(b.N)/1000, "bytes/record")
}

// BenchmarkJournalSnapshot: all of a table, again and again.
func BenchmarkJournalSnapshot(b *testing.B) {
	const flows = 100_000
	j := journalOf(flows)
	buf := make([]byte, 0, 64<<10)
	b.ReportAllocs()
	size := 0
	for b.Loop() {
		j.j.Snapshot(j.now, 1)
		for {
			out, n, _ := j.j.Fill(j.at, buf)
			if size += len(out); n == 0 {
				break
			}
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/flows, "ns/record")
	b.ReportMetric(float64(size)/float64(b.N)/flows, "bytes/record")
}
