package session

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// linked is a sender and a receiver that have greeted each other.
func linked(t interface{ Fatal(...any) }) (s *Sender, r *Receiver, now time.Time) {
	now = time.Unix(1000, 0)
	ta, tb := NewTable([2]uint64{1, 2}, now, 16), NewTable([2]uint64{1, 2}, now, 16)
	ga, gb := NewGroups("a", "g"), NewGroups("b", "g")
	s, r = NewSender(ta, ga, 1, Hello{Node: "a", Boot: 1}), NewReceiver(tb, gb, &Scope{}, Hello{Node: "b", Boot: 2})
	s.Connect(now)
	r.Connect(now)
	for range 2 {
		if err := eachFrame(s.Fill(now, make([]byte, 0, 16<<10)), func(typ Type, b []byte) error { return r.Handle(now, typ, b) }); err != nil {
			t.Fatal(err)
		}
		if err := eachFrame(r.Reply(nil), func(typ Type, b []byte) error { return s.Handle(now, typ, b) }); err != nil {
			t.Fatal(err)
		}
	}
	return s, r, now
}

// eachFrame calls fn for each frame.
func eachFrame(b []byte, fn func(Type, []byte) error) error {
	for len(b) > 0 {
		h, err := ParseHeader(b)
		if err != nil {
			return err
		}
		if err := fn(h.Type, b[HeaderLen:HeaderLen+h.Length]); err != nil {
			return err
		}
		b = b[HeaderLen+h.Length:]
	}
	return nil
}

// TestAViewArrivesWhole: of any size, in whatever fills there is room for; a newer one in
// place of one that is under way; and nothing is said unasked.
func TestAViewArrivesWhole(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s, r, now := linked(t)
		if s.Looked() || !s.Idle() {
			t.Fatal("asked for nothing")
		}
		r.Look()
		if err := eachFrame(r.Reply(nil), func(typ Type, b []byte) error { return s.Handle(now, typ, b) }); err != nil {
			t.Fatal(err)
		}
		if !s.Looked() || s.Looked() {
			t.Fatal("not asked, or twice")
		}
		var last []byte
		for range rapid.IntRange(1, 4).Draw(t, "views") {
			last = make([]byte, rapid.SampledFrom([]int{1, 511, 512, 8 << 10, 8<<10 + 1, 40000, MaxView}).Draw(t, "size"))
			for i := range last {
				last[i] = byte(rand.Uint32())
			}
			s.Show(last)
			if s.Idle() {
				t.Fatal("idle, with a view to tell")
			}
			for range rapid.IntRange(0, 60).Draw(t, "fills") {
				if err := eachFrame(s.Fill(now, make([]byte, 0, 16<<10)), func(typ Type, b []byte) error { return r.Handle(now, typ, b) }); err != nil {
					t.Fatal(err)
				}
			}
		}
		for n := 0; !s.Idle(); n++ {
			if n > 100 {
				t.Fatal("no end of it")
			}
			if err := eachFrame(s.Fill(now, make([]byte, 0, 16<<10)), func(typ Type, b []byte) error { return r.Handle(now, typ, b) }); err != nil {
				t.Fatal(err)
			}
		}
		if !bytes.Equal(r.View(), last) {
			t.Fatalf("%d bytes arrived of %d", len(r.View()), len(last))
		}
		if s.sent != r.received {
			t.Fatalf("views are counted: %d, %d", s.sent, r.received)
		}
	})
}

// TestAViewIsBounded: what cannot be one ends the connection, and holds nothing.
func TestAViewIsBounded(t *testing.T) {
	piece := func(serial, size, at uint64, n int) []byte {
		b := binary.AppendUvarint(nil, serial)
		b = binary.AppendUvarint(b, size)
		b = binary.AppendUvarint(b, at)
		return append(b, make([]byte, n)...)
	}
	for name, c := range map[string][][]byte{
		"too large":         {piece(1, MaxView+1, 0, 10)},
		"a hole":            {piece(1, 100, 0, 10), piece(1, 100, 20, 10)},
		"beyond its end":    {piece(1, 15, 0, 10), piece(1, 15, 10, 10)},
		"far beyond":        {piece(1, 100, 1<<63, 10)},
		"from the middle":   {piece(2, 100, 10, 10)},
		"nothing":           {piece(1, 100, 0, 0)},
		"another's middle":  {piece(1, 100, 0, 10), piece(2, 100, 10, 10)},
		"cut in its header": {{0x80}},
	} {
		t.Run(name, func(t *testing.T) {
			_, r, now := linked(t)
			for i, b := range c {
				err := r.Handle(now, TypeView, b)
				if last := i == len(c)-1; last != errors.Is(err, ErrMalformed) {
					t.Errorf("piece %d: %v", i, err)
				}
			}
			if r.View() != nil {
				t.Error("a view of it")
			}
		})
	}
	// One that begins anew is the same view, from its beginning.
	_, r, now := linked(t)
	for _, n := range []int{10, 20} {
		if err := r.Handle(now, TypeView, piece(1, 20, 0, n)); err != nil {
			t.Fatal(err)
		}
	}
	if len(r.View()) != 20 {
		t.Errorf("%d bytes", len(r.View()))
	}
	s, _, _ := linked(t)
	s.Show(make([]byte, MaxView+1))
	s.Show(nil)
	if !s.Idle() {
		t.Error("tells what it must not")
	}
}
