package probe

import (
	"net/netip"
	"slices"
	"testing"
	"time"
)

func TestGap(t *testing.T) {
	base := time.Unix(1000, 0)
	at := func(ms int) time.Time { return base.Add(time.Duration(ms) * time.Millisecond) }
	for _, tc := range []struct {
		name     string
		arrivals []int // ms
		from, to int
		want     Gap
	}{
		{"the longest inside", []int{1, 2, 5, 6, 10, 11}, 0, 11, Gap{From: at(6), To: at(10)}},
		{"not one that ended before", []int{1, 9, 10, 11, 13}, 10, 13, Gap{From: at(11), To: at(13)}},
		{"nor one that begins after", []int{1, 2, 4, 5, 30}, 1, 5, Gap{From: at(2), To: at(4)}},
		{"one that began before counts whole", []int{1, 2, 9, 10}, 5, 10, Gap{From: at(2), To: at(9)}},
		{"one that ends after counts whole", []int{1, 2, 3, 50, 51}, 2, 20, Gap{From: at(3), To: at(50)}},
		{"no end", []int{1, 2, 3}, 1, 20, Gap{From: at(3), To: at(20), Open: true}},
		{"nothing at all", nil, 5, 20, Gap{From: at(5), To: at(20), Open: true}},
		{"first ever", []int{7, 8, 9}, 5, 9, Gap{From: at(5), To: at(7)}},
		{"out of order by a little", []int{1, 3, 2, 6}, 1, 6, Gap{From: at(3), To: at(6)}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			a := newArrivals(base)
			for _, ms := range tc.arrivals {
				a.add(at(ms))
			}
			if got := a.gap(at(tc.from), at(tc.to)); got != tc.want {
				t.Errorf("want %v from %v, got %v from %v", tc.want, tc.want.From, got, got.From)
			}
		})
	}
}

func TestNoiseLooksOnlyInside(t *testing.T) {
	base := time.Unix(1000, 0)
	at := func(ms int) time.Time { return base.Add(time.Duration(ms) * time.Millisecond) }
	a := newArrivals(base)
	for _, ms := range []int{1, 50, 51, 54, 60, 90} {
		a.add(at(ms))
	}
	if got := a.within(at(50), at(60)); got != 6*time.Millisecond {
		t.Errorf("want 6ms, got %v", got)
	}
	if got := a.within(at(52), at(59)); got != 0 {
		t.Errorf("one arrival alone: want 0, got %v", got)
	}
}

func TestCountsEachInItsStep(t *testing.T) {
	base := time.Unix(1000, 0)
	at := func(ms int) time.Time { return base.Add(time.Duration(ms) * time.Millisecond) }
	a := newArrivals(base)
	for _, ms := range []int{1, 10, 19, 20, 45, 59, 60, 61} {
		a.add(at(ms))
	}
	if got, want := a.counts(at(10), 10*time.Millisecond, 5), []int{2, 1, 0, 1, 1}; !slices.Equal(got, want) {
		t.Errorf("want %v, got %v", want, got)
	}
}

func TestSince(t *testing.T) {
	base := time.Unix(1000, 0)
	a := newArrivals(base)
	for _, s := range []int{1, 2, 3} {
		a.add(base.Add(time.Duration(s) * time.Second))
	}
	if got := a.since(base.Add(2 * time.Second)); got != 1 {
		t.Errorf("arrived after the second: want 1, got %d", got)
	}
}

func TestLostCountsOnlyTheStretch(t *testing.T) {
	base := time.Unix(1000, 0)
	e := newEcho(base)
	for s := range 10 {
		seq := e.next(base.Add(time.Duration(s) * time.Second))
		if s != 2 && s != 5 && s != 6 {
			e.came(seq, base.Add(time.Duration(s)*time.Second))
			e.came(seq, base.Add(time.Duration(s)*time.Second)) // a duplicate
		}
	}
	if lost, sent := e.Lost(base.Add(4*time.Second), base.Add(8*time.Second)); lost != 2 || sent != 5 {
		t.Errorf("want 2 of 5 lost, got %d of %d", lost, sent)
	}
	if m, _ := e.Missing(base.Add(4*time.Second), base.Add(8*time.Second)); len(m) != 2 || m[0] != base.Add(5*time.Second) || m[1] != base.Add(6*time.Second) {
		t.Errorf("want those of 5 s and 6 s missing, got %v", m)
	}
	if n := e.arrived.count(); n != 7 {
		t.Errorf("want 7 arrivals without the duplicates, got %d", n)
	}
}

func TestSourcesTellAReplacedTranslation(t *testing.T) {
	s := &sources{}
	a, b := netip.MustParseAddrPort("203.0.113.1:1024"), netip.MustParseAddrPort("[::ffff:203.0.113.1]:2048")
	s.note(a)
	s.note(a)
	s.note(b)
	got := s.list()
	if len(got) != 2 || got[0].Addr != "203.0.113.1:1024" || got[0].Count != 2 || got[1].Addr != "203.0.113.1:2048" {
		t.Errorf("got %v", got)
	}
}
