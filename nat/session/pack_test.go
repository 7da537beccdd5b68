package session

import (
	"bytes"
	"math/rand/v2"
	"testing"
)

// someRecords is the payload of a RECORDS frame with records of all kinds, many of
// which have something in common.
func someRecords(rng *rand.Rand, n int) []byte {
	b := []byte{3, 0x81, 0x02} // group, term
	for range n {
		r := snat(rng.Uint32N(50))
		switch rng.IntN(8) {
		case 0:
			r.Mark = rng.Uint32N(3)
		case 1:
			r.Family = 6
		case 2:
			r.Zone = 7
		case 3:
			r.Proto, r.TCP = protoUDP, TCP{}
		case 4:
			r.ReplySrc, r.ReplySrcPort = r.Src, uint16(rng.UintN(2))
		case 5:
			r.ReplyDst, r.ReplyDstPort = r.Src, r.SrcPort
		case 6:
			r.Helper = NameFrom("ftp")
		}
		if rng.IntN(3) == 0 {
			r.ID = 0 // it does not travel
			b = AppendDelete(b, &r)
		} else {
			b = AppendUpsert(b, &r)
		}
	}
	return b
}

// What is packed and unpacked is what it was.
func TestPackedFrameStandsForRecords(t *testing.T) {
	for seed := range uint64(300) {
		rng := rand.New(rand.NewPCG(seed, 1))
		records := someRecords(rng, 1+rng.IntN(200))
		packed, ok := appendPacked([]byte("before"), records)
		if !ok {
			if len(packed) != len("before") {
				t.Fatalf("seed %d: %d bytes of nothing", seed, len(packed))
			}
			continue
		}
		got, err := appendUnpacked([]byte("front"), packed[len("before"):])
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		if !bytes.Equal(got[len("front"):], records) {
			t.Fatalf("seed %d:\nwant %x\ngot  %x", seed, records, got[len("front"):])
		}
	}
}

func TestPackedSizes(t *testing.T) {
	r := snat(1)
	r.ReplyDstPort = r.SrcPort // the kernel keeps a port where it can
	one := AppendUpsert(AppendUpsert(nil, &r), &r)
	next := snat(2)
	next.ReplyDstPort = next.SrcPort
	payload := AppendUpsert(append([]byte{0, 1}, one...), &next)
	packed, ok := appendPacked(nil, payload)
	if !ok {
		t.Fatal("not packed")
	}
	before, _ := appendPacked(nil, append([]byte{0, 1}, one...))
	if n := len(packed) - len(before); n > 20 {
		t.Errorf("an upsert of another flow takes %d bytes", n)
	}
	with, _ := appendPacked(nil, AppendDelete(payload, &r))
	if n := len(with) - len(packed); n > 13 {
		t.Errorf("a deletion takes %d bytes", n)
	}
}

// One that is not a frame of records is left alone, and so is one that would grow.
func TestNotPacked(t *testing.T) {
	six := snat(1)
	six.Family = 6
	for name, b := range map[string][]byte{
		"cut off":        AppendUpsert([]byte{0, 1}, &six)[:20],
		"nothing":        nil,
		"nothing to win": AppendUpsert([]byte{0, 1}, &six),
	} {
		if got, ok := appendPacked([]byte{9}, b); ok || len(got) != 1 {
			t.Errorf("%s: got %x, %v", name, got, ok)
		}
	}
}

func TestMalformedPacked(t *testing.T) {
	for name, b := range map[string][]byte{
		"unknown flags":        {0, 1, packWhole | 1},
		"no protocol":          {0, 1, 0},
		"unknown reply flags":  {0, 1, recProtoTCP, 0x40},
		"a deletion with tail": {0, 1, recProtoTCP | recDelete | packTail, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12},
		"cut off":              {0, 1, recProtoTCP, packReplyDst, 1, 2, 3},
		"no term":              {0},
	} {
		if _, err := appendUnpacked(nil, b); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	// Each a few bytes, and a long tail that all of them have in common.
	b := []byte{0, 1, recProtoTCP, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 1, 2, 3, 4, 0x80, 0x08}
	b = append(b, make([]byte, 1024)...)
	for range 200 {
		b = append(b, recProtoTCP|packTail|packSrc|packDst|packDport, 0, 1, 1, 1, 2, 3, 4)
	}
	if got, err := appendUnpacked(nil, b); err == nil || len(got) > MaxFrame+maxPacked+16 {
		t.Errorf("a frame grows to %d bytes, %v", len(got), err)
	}
}

// Both ends of a link that can do it tell each other the same as those that cannot.
func TestPackedLink(t *testing.T) {
	for _, packed := range []bool{false, true} {
		p := newPair()
		p.ga.Activate(0, 1)
		p.connect()
		p.send(1)
		if err := p.deliver(1); err != nil {
			t.Fatal(err)
		}
		if !packed {
			p.s.peer.Features = 0 // of a version that did not know it
		}
		for i := range uint32(500) {
			r := snat(i)
			p.upsert(&r)
		}
		p.settle(t)
		if p.ta.Dump() != p.tb.Dump() || p.tb.Len() != 500 {
			t.Errorf("packed %v: the tables differ", packed)
		}
		if got := p.s.Stats().Packed > 0; got != packed {
			t.Errorf("packed %v: %d frames are", packed, p.s.Stats().Packed)
		}
	}
}

func FuzzUnpack(f *testing.F) {
	rng := rand.New(rand.NewPCG(1, 2))
	for n := range 20 {
		if b, ok := appendPacked(nil, someRecords(rng, n)); ok {
			f.Add(b)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		records, err := appendUnpacked(nil, b)
		if err != nil {
			return
		}
		// Whoever made it, it is a frame of records, and it can be packed again.
		again, ok := appendPacked(nil, records)
		if !ok {
			return
		}
		back, err := appendUnpacked(nil, again)
		if err != nil || len(back) != len(records) {
			t.Errorf("%x packed is %x: %v", records, again, err)
		}
	})
}

func BenchmarkPack(b *testing.B) {
	records := []byte{0, 1}
	for i := range uint32(200) {
		r := snat(i)
		records = AppendUpsert(records, &r)
		records = AppendDelete(records, &r)
	}
	var packed, back []byte
	b.ReportAllocs()
	for b.Loop() {
		packed, _ = appendPacked(packed[:0], records)
		back, _ = appendUnpacked(back[:0], packed)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/400, "ns/record")
	b.ReportMetric(float64(len(packed))/200, "bytes/life")
}
