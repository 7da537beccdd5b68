package session

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func genExpect(t *rapid.T, r *Record) (x Expect) {
	x.Key = Key{Proto: rapid.Uint8().Draw(t, "xproto"), Family: r.Family, Zone: r.Zone,
		SrcPort: rapid.Uint16().Draw(t, "xsport"), DstPort: rapid.Uint16().Draw(t, "xdport")}
	n := addrSize(r.Family)
	for _, a := range []*Addr{&x.Src, &x.Dst, &x.MaskSrc} {
		copy(a[:n], rapid.SliceOfN(rapid.Byte(), n, n).Draw(t, "xaddr"))
	}
	x.MaskPort = rapid.Uint16().Draw(t, "xmask")
	if x.NAT = rapid.Bool().Draw(t, "xnat"); x.NAT {
		copy(x.NATAddr[:n], rapid.SliceOfN(rapid.Byte(), n, n).Draw(t, "xto"))
		x.NATPort = rapid.Uint16().Draw(t, "xtoport")
	}
	x.NATDir = rapid.Uint8Max(1).Draw(t, "xdir")
	x.Class, x.Flags, x.Timeout = rapid.Uint8().Draw(t, "xclass"), rapid.Uint8().Draw(t, "xflags"), rapid.Uint32().Draw(t, "xtime")
	x.Helper = NameFrom(rapid.SampledFrom([]string{"", "ftp", "sip"}).Draw(t, "xhelper"))
	x.Fn = FnFrom(rapid.SampledFrom([]string{"", "nat-follow-master", "sip"}).Draw(t, "xfn"))
	return x
}

// What a flow expects goes with its record, and a version that does not know it
// reads the rest.
func TestExpectRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := genRecord(t)
		var want, got []Expect
		for range rapid.IntRange(0, MaxExpects).Draw(t, "n") {
			want = append(want, genExpect(t, &r))
		}
		var have Record
		b := body(appendUpsert(nil, &r, want, Stand{}))
		if op, err := parseRecord(b, &have, &got, nil); err != nil || op != OpUpsert || have != r || !slices.Equal(got, want) {
			t.Fatalf("%v %v\ngot  %v\nwant %v", op, err, got, want)
		}
		if _, err := ParseRecord(b, &have); err != nil || have != r {
			t.Fatalf("without them: %v", err)
		}
		for i := range b { // what is cut short is refused, or was a shorter record
			got = got[:0]
			if _, err := parseRecord(b[:i], &have, &got, nil); err == nil && len(got) > len(want) {
				t.Fatalf("%d bytes make %d of %d", i, len(got), len(want))
			}
		}
	})
}

// A change of what a flow expects reaches the peer and its kernel, and the end of
// the flow ends it.
func TestExpectsFollowTheirMaster(t *testing.T) {
	p := newPair()
	p.ga.Activate(0, 1)
	master := snat(1)
	master.Helper = NameFrom("ftp")
	p.upsert(&master)
	p.connect()
	p.settle(t)
	data := Expect{Key: Key{Src: master.Dst, Dst: master.ReplyDst, DstPort: 2000, Proto: protoTCP, Family: 4}, Helper: master.Helper}
	s, _ := p.ta.Lookup(&master.Key)
	set := func(xs ...Expect) {
		if p.ta.SetExpects(s, xs) {
			p.ta.Mark(s, p.s.Sink(), p.now)
		}
	}
	set(data)
	delete(p.kernel, master.Key)
	p.settle(t)
	at, _ := p.tb.Lookup(&master.Key)
	if xs := p.tb.Expects(at); len(xs) != 1 || !xs[0].Same(&data) || p.kernel[master.Key] == (Record{}) {
		t.Fatalf("the peer expects %v, its kernel was told %v", xs, p.kernel[master.Key])
	}
	older := data
	older.Timeout = 7
	set(older)
	if p.s.Dirty() != 0 {
		t.Error("time that passes is news")
	}
	set()
	p.settle(t)
	if xs := p.tb.Expects(at); len(xs) != 0 {
		t.Fatalf("the peer expects %v", xs)
	}
	set(data)
	p.settle(t)
	p.delete(&master.Key)
	p.settle(t)
	if p.ta.Expecting() != 0 || p.tb.Expecting() != 0 {
		t.Errorf("%d and %d sessions that are over expect something", p.ta.Expecting(), p.tb.Expecting())
	}
}
