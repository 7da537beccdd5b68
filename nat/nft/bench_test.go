package nft

import (
	"fmt"
	"net/netip"
	"testing"
)

func BenchmarkApply(b *testing.B) {
	for _, n := range []int{100, 10_000, 100_000} {
		p := manyForwards(n)
		b.Run(fmt.Sprintf("load/forwards=%d", n), func(b *testing.B) {
			l := newLab(b)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := l.a.Apply(p); err != nil {
					b.Fatal(err)
				}
				b.StopTimer()
				l.must(l.a.Clean())
				b.StartTimer()
			}
		})
		b.Run(fmt.Sprintf("reload/forwards=%d", n), func(b *testing.B) {
			l := newLab(b)
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				p.Forwards[n/2].To = netip.AddrPortFrom(inside, uint16(i)|1)
				if _, err := l.a.Apply(p); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkOpenCloseGate(b *testing.B) {
	l := newLab(b)
	l.apply(config())
	b.ReportAllocs()
	for b.Loop() {
		l.must(l.a.OpenGate(allOfGroup))
		l.must(l.a.CloseGate(allOfGroup))
	}
}
