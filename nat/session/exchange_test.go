package session

import (
	"bytes"
	"errors"
	"testing"
)

// exchanged makes a stream of n flows, and returns it with them.
func exchanged(n uint32) (b []byte, recs []Record) {
	at := Stamp{Wall: 1, Boot: 2}
	b = AppendJournalHead(nil, &JournalHead{Node: "a", At: at})
	for i := range n {
		r := snat(i)
		if i%3 == 1 {
			r.Helper, r.Mark, r.Zone = NameFrom("ftp"), 7, 3
		}
		if i%3 == 2 {
			r.Master, r.Zone = recs[i-1].Key, 3
		}
		recs = append(recs, r)
	}
	for from := 0; from < len(recs); from += 64 {
		b = AppendExchange(b, at, recs[from:min(from+64, len(recs))])
	}
	return AppendExchangeEnd(b), recs
}

// What is written of a table is read back, record by record, with its end.
func TestExchange(t *testing.T) {
	b, want := exchanged(150)
	var got []Record
	var types []JournalFrame
	frames(t, b, func(typ JournalFrame, body []byte) {
		types = append(types, typ)
		if typ != FrameRecords {
			return
		}
		bad, err := Exchanged(body, func(r *Record) { got = append(got, *r) })
		if bad != 0 || err != nil {
			t.Fatalf("%d bad, %v", bad, err)
		}
	})
	if types[0] != FrameHead || types[len(types)-1] != FrameComplete || len(types) != 5 {
		t.Fatalf("frames %v", types)
	}
	if len(got) != len(want) {
		t.Fatalf("%d records, want %d", len(got), len(want))
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("record %d: %+v, want %+v", i, got[i], want[i])
		}
	}
}

// A hundred records of the longest kind fit into a frame.
func TestExchangeFitsIntoAFrame(t *testing.T) {
	r := snat(1)
	r.Family, r.Master = 6, Key{Family: 6}
	for i := range r.Src {
		r.Src[i], r.Dst[i], r.ReplySrc[i], r.ReplyDst[i], r.Master.Src[i], r.Labels[i] = 1, 2, 3, 4, 5, 255
	}
	r.Zone, r.Mark, r.SCTP = 0xffff, 1<<31, SCTP{1, 1 << 31, 1 << 31}
	r.SeqAdj = [2]SeqAdj{{1 << 31, -1, -1}, {1 << 31, -1, -1}}
	r.Helper = NameFrom("123456789012345")
	recs := make([]Record, 100)
	for i := range recs {
		recs[i] = r
	}
	b := AppendExchange(nil, Stamp{}, recs)
	if n, err := JournalLength(b); err != nil || n != len(b) {
		t.Errorf("%d bytes: %v", len(b), err)
	}
}

// A record of another kind is left out and counted; a length that leads out of the frame
// is an error.
func TestExchangedOfNonsense(t *testing.T) {
	r := snat(1)
	head := append([]byte{0, 0}, make([]byte, 16)...)
	unknown := AppendUpsert(nil, &r)
	unknown[1] |= recReserved
	body := append(bytes.Clone(head), unknown...)
	body = AppendDelete(body, &r)
	body = AppendUpsert(body, &r)
	n := 0
	if bad, err := Exchanged(body, func(got *Record) { n++ }); bad != 2 || n != 1 || err != nil {
		t.Errorf("%d records, %d bad, %v", n, bad, err)
	}
	for cut := 1; cut < len(AppendUpsert(nil, &r)); cut++ {
		if _, err := Exchanged(body[:len(body)-cut], func(*Record) {}); !errors.Is(err, ErrMalformed) {
			t.Fatalf("%d bytes less: %v", cut, err)
		}
	}
	if _, err := Exchanged(head[:9], func(*Record) {}); !errors.Is(err, ErrMalformed) {
		t.Errorf("half a moment: %v", err)
	}
}

// FuzzExchanged: no bytes make a reader panic, and what it takes can be written again.
func FuzzExchanged(f *testing.F) {
	b, _ := exchanged(9)
	frames(f, b, func(typ JournalFrame, body []byte) {
		if typ == FrameRecords {
			f.Add(body)
		}
	})
	f.Fuzz(func(t *testing.T, body []byte) {
		var recs []Record
		Exchanged(body, func(r *Record) { recs = append(recs, *r) })
		for i := range recs {
			frame := AppendExchange(nil, Stamp{}, recs[i:i+1])
			_, again, err := ParseJournal(frame)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := Exchanged(again, func(r *Record) {
				if *r != recs[i] {
					t.Errorf("%+v came back as %+v", recs[i], *r)
				}
			}); err != nil {
				t.Fatal(err)
			}
		}
	})
}
