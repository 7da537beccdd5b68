package session

import (
	"fmt"
	"runtime"
	"testing"
	"time"
)

func heap() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// BenchmarkTableMemory reports what a session costs, index included.
func BenchmarkTableMemory(b *testing.B) {
	for _, n := range []int{100_000, 300_000, 1_000_000} {
		for _, family := range []uint8{4, 6} {
			b.Run(map[uint8]string{4: "ipv4", 6: "ipv6"}[family]+"/flows="+size(n), func(b *testing.B) {
				for b.Loop() {
					before := heap()
					t := NewTable(seed, t0, 0)
					for i := range uint32(n) {
						r := snat(i)
						r.Family = family
						t.Upsert(&r, 0, 0)
					}
					b.ReportMetric(float64(heap()-before)/float64(n), "bytes/session")
					runtime.KeepAlive(t)
				}
			})
		}
	}
}

func size(n int) string {
	if n >= 1_000_000 {
		return "1M"
	}
	return string([]byte{byte('0' + n/100_000)}) + "00k"
}

func filled(n uint32) *pair {
	p := newPair()
	p.ga.Activate(0, 1)
	for i := range n {
		r := snat(i)
		p.upsert(&r)
	}
	return p
}

func BenchmarkTableUpsert(b *testing.B) {
	b.Run("new", func(b *testing.B) {
		b.ReportAllocs()
		t, i := NewTable(seed, t0, 0), uint32(0)
		for b.Loop() {
			if i == 1_000_000 {
				b.StopTimer()
				t, i = NewTable(seed, t0, 0), 0
				b.StartTimer()
			}
			r := snat(i)
			t.Upsert(&r, 0, 0)
			i++
		}
	})
	b.Run("changed/flows=100k", func(b *testing.B) {
		p, i := filled(100_000), uint32(0)
		b.ReportAllocs()
		for b.Loop() {
			r := snat(i % 100_000)
			r.TCP.State = TCPFinWait + TCPState(i/100_000%2)
			p.ta.Upsert(&r, 0, 0)
			i += 7919
		}
	})
	b.Run("insert-delete/flows=100k", func(b *testing.B) {
		p, i := filled(100_000), uint32(100_000)
		b.ReportAllocs()
		for b.Loop() {
			r, old := snat(i), snat(i-100_000)
			p.ta.Upsert(&r, 0, 0)
			s, _ := p.ta.Lookup(&old.Key)
			p.ta.Delete(s, 0, t0)
			i++
		}
	})
}

// BenchmarkSenderFill: a table of 100k flows of which each in turn changes.
func BenchmarkSenderFill(b *testing.B) {
	p := filled(100_000)
	p.connect()
	p.settle(b)
	var r Record
	i := Slot(0)
	b.ReportAllocs()
	for b.Loop() {
		for range 400 {
			p.ta.Mark(i, p.s.Sink(), p.now)
			i = (i + 1) % 100_000
		}
		for {
			out := p.s.Fill(p.now, p.buf[:0])
			if len(out) == 0 {
				break
			}
		}
		p.s.acknowledge(p.now, p.s.sent, p.s.sent)
	}
	_ = r
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/400, "ns/record")
}

func BenchmarkSenderTransfer(b *testing.B) {
	p := filled(100_000)
	p.connect()
	p.settle(b)
	b.ReportAllocs()
	var n int
	for b.Loop() {
		p.s.Resync(p.now, 1)
		for n = 0; ; {
			out := p.s.Fill(p.now, p.buf[:0])
			if len(out) == 0 {
				break
			}
			n += len(out)
			p.s.acknowledge(p.now, p.s.sent, p.s.sent)
		}
	}
	b.ReportMetric(float64(n)/100_000, "bytes/record")
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/100_000, "ns/record")
}

// BenchmarkReceiverApply: a frame of 400 records, alternately in two states,
// taken into a table of 100k flows and handed on to the kernel.
func BenchmarkReceiverApply(b *testing.B) {
	p := filled(100_000)
	p.connect()
	p.settle(b)
	var frames [2][]byte
	for k := range frames {
		out, start := openFrame(nil, TypeRecords)
		out = append(out, 0, 1)
		for i := range uint32(400) {
			r := snat(i * 250)
			r.TCP.State = TCPEstablished + TCPState(k)
			out = AppendUpsert(out, &r)
		}
		frames[k] = closeFrame(out, start)[HeaderLen:]
	}
	i := 0
	b.ReportAllocs()
	for b.Loop() {
		i++
		if err := p.r.Handle(p.now, TypeRecords, frames[i%2]); err != nil {
			b.Fatal(err)
		}
		for {
			n, pos := p.tb.TakeKernel(p.recs[:], p.work[:])
			p.r.Applied(pos)
			if n == 0 {
				break
			}
		}
		p.back = p.r.Reply(p.back[:0])
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/400, "ns/record")
}

// BenchmarkMuster is what the table costs a takeover whose sessions the kernel has: the
// same, however many they are.
func BenchmarkMuster(b *testing.B) {
	for _, n := range []uint32{1_000, 1_000_000} {
		b.Run(fmt.Sprintf("hot/flows=%d", n), func(b *testing.B) {
			t := NewTable(seed, t0, 0)
			for i := range n {
				r := snat(i)
				s, _, _ := t.Upsert(&r, 0, 0)
				t.SetInstalled(s, true)
			}
			for b.Loop() {
				t.Muster(1, t0, 0, time.Minute)
			}
		})
	}
}
