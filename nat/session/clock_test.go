package session

import (
	"bytes"
	"testing"
	"time"
)

// Case 52: nothing that nodes say to each other depends on what time it is, on either
// of them: with clocks that are hours apart, and with one that is set back and forth
// between frames, the same octets pass.
func TestCase52NoTimeOfDayOnTheWire(t *testing.T) {
	said := func(ours, theirs func(step int) time.Duration) []byte {
		start := t0.Add(ours(0))
		ta, tb := NewTable(seed, start, 0), NewTable(seed, t0.Add(theirs(0)), 0)
		ga, gb := NewGroups("a", "g"), NewGroups("b", "g")
		ga.Activate(0, 1)
		s := NewSender(ta, ga, 1, Hello{Node: "a", Boot: 1})
		r := NewReceiver(tb, gb, testScope(), Hello{Node: "b", Boot: 2})
		s.Connect(start)
		r.Connect(t0.Add(theirs(0)))
		var wire []byte
		for step := range 400 {
			// The sender's durations are of its monotonic clock, which nobody sets.
			now := start.Add(time.Duration(step) * time.Millisecond)
			rec := snat(uint32(step % 50))
			rec.ID = uint32(step)
			slot, _, err := ta.Upsert(&rec, 0, 0)
			if err != nil {
				t.Fatal(err)
			}
			ta.Mark(slot, s.Sink(), now)
			out := s.Fill(now, make([]byte, 0, 4096))
			wire = append(wire, out...)
			for len(out) > 0 {
				h, err := ParseHeader(out)
				if err != nil {
					t.Fatal(err)
				}
				if err := r.Handle(t0.Add(theirs(step)), h.Type, out[HeaderLen:HeaderLen+h.Length]); err != nil {
					t.Fatal(err)
				}
				out = out[HeaderLen+h.Length:]
			}
			r.Applied(tb.KernelQueue())
			back := r.Reply(nil)
			wire = append(wire, back...)
			for len(back) > 0 {
				h, err := ParseHeader(back)
				if err != nil {
					t.Fatal(err)
				}
				if err := s.Handle(now, h.Type, back[HeaderLen:HeaderLen+h.Length]); err != nil {
					t.Fatal(err)
				}
				back = back[HeaderLen+h.Length:]
			}
		}
		if ta.Dump() != tb.Dump() || !r.Synced(0) {
			t.Error("the tables differ")
		}
		return wire
	}
	same := func(d time.Duration) func(int) time.Duration { return func(int) time.Duration { return d } }
	want := said(same(0), same(0))
	if len(want) < 10000 {
		t.Fatalf("%d octets", len(want))
	}
	for name, got := range map[string][]byte{
		"an hour ahead":        said(same(time.Hour), same(0)),
		"an hour behind":       said(same(0), same(time.Hour)),
		"years apart":          said(same(-10*8760*time.Hour), same(10*8760*time.Hour)),
		"set back and forth":   said(same(0), func(n int) time.Duration { return []time.Duration{0, time.Hour, -time.Hour}[n%3] }),
		"the sender's was set": said(same(-time.Hour), func(n int) time.Duration { return []time.Duration{0, -time.Hour}[n%2] }),
	} {
		if !bytes.Equal(got, want) {
			t.Errorf("%s: other octets", name)
		}
	}
}
