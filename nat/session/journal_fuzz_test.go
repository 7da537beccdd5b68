package session

import (
	"bytes"
	"testing"
)

// FuzzJournal: no bytes make a reader panic, and it takes no frame whose checksum is
// wrong, and no record that is not ours.
func FuzzJournal(f *testing.F) {
	b := journalOf(3)
	b.snapshot(1)
	b.fill(true)
	r := snat(1)
	b.end(&r.Key)
	b.fill(true)
	f.Add(b.bytes, false)
	var bodies []byte // bodies without checksums, so that the fuzzer gets behind them
	frames(f, b.bytes, func(typ JournalFrame, body []byte) {
		bodies = append(append(append(bodies, byte(typ)), byte(len(body)>>8), byte(len(body))), body...)
	})
	f.Add(bodies, true)
	scope := testScope2()
	f.Fuzz(func(t *testing.T, in []byte, bare bool) {
		tb, g := NewTable(seed, t0, 100), NewGroups("a", "other", "gw")
		res := NewRestore(tb, g, scope, b.at, JournalHead{Node: "a"})
		take := func(typ JournalFrame, body []byte) {
			switch typ {
			case FrameHead:
				if h, err := ParseJournalHead(body); err == nil {
					res.Head(h)
				}
			case FrameRecords:
				res.Records(body)
			case FrameComplete:
				ParseComplete(body)
			}
		}
		for len(in) > 0 && bare {
			if len(in) < 3 {
				break
			}
			n := min(int(in[1])<<8|int(in[2]), len(in)-3)
			take(JournalFrame(in[0]), in[3:3+n])
			in = in[3+n:]
		}
		for len(in) > 0 && !bare {
			n, err := JournalLength(in)
			if err != nil || n > len(in) {
				break
			}
			typ, body, err := ParseJournal(in[:n])
			if err != nil {
				break
			}
			if again := closeJournal(append(append([]byte{0, 0, 0, 0, 0, 0, 0, 0}, byte(typ)), body...), 0); !bytes.Equal(again, in[:n]) {
				t.Fatalf("taken for a frame: %x", in[:n])
			}
			take(typ, body)
			in = in[n:]
		}
		res.Done()
		n := 0
		tb.Each(^GroupSet(0), func(s Slot) bool {
			var r Record
			if tb.Record(s, &r); !scope.Groups(&r).Has(tb.Group(s)) || !tb.Rests(s) || r.Timeout == 0 {
				t.Fatalf("restored %s", r.String())
			}
			n++
			return true
		})
		if n != tb.Len() || tb.Tombstones() != 0 || tb.Dirty(SinkKernel) != 0 {
			t.Fatalf("%d of %d sessions, %d tombstones", n, tb.Len(), tb.Tombstones())
		}
	})
}
