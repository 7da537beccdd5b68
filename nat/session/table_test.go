package session

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

// genRecord draws from few keys, so that they meet again, and any content.
func genRecord(t *rapid.T) Record {
	r := Record{Key: Key{Family: rapid.SampledFrom([]uint8{4, 6}).Draw(t, "family"),
		Proto: rapid.SampledFrom([]uint8{1, 6, 17, 47, 58, 132}).Draw(t, "proto"), Zone: uint16(rapid.IntRange(0, 1).Draw(t, "zone"))}}
	addr := func(name string) (a Addr) {
		n := 4
		if r.Family == 6 {
			n = 16
		}
		copy(a[:n], []byte{10, 0, 0, byte(rapid.IntRange(0, 2).Draw(t, name)), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, byte(rapid.IntRange(0, 2).Draw(t, name))})
		return a
	}
	port := func(name string) uint16 {
		return rapid.SampledFrom([]uint16{0, 1, 0x0800, 0x8000, 65535}).Draw(t, name)
	}
	r.Src, r.Dst, r.ReplySrc, r.ReplyDst = addr("src"), addr("dst"), addr("rsrc"), addr("rdst")
	r.SrcPort, r.DstPort, r.ReplySrcPort, r.ReplyDstPort = port("sport"), port("dport"), port("rsport"), port("rdport")
	r.ID, r.Timeout, r.Mark = rapid.Uint32().Draw(t, "id"), rapid.Uint32().Draw(t, "timeout"), rapid.Uint32Max(1).Draw(t, "mark")
	r.Status = Status(rapid.Uint16().Draw(t, "status"))
	if rapid.Bool().Draw(t, "tcp") {
		r.TCP = TCP{State: TCPState(rapid.Uint8().Draw(t, "state")), WScaleOrig: rapid.Uint8Max(15).Draw(t, "ws"),
			WScaleReply: rapid.Uint8Max(15).Draw(t, "wr"), FlagsOrig: rapid.Uint8().Draw(t, "fo"), FlagsReply: rapid.Uint8().Draw(t, "fr")}
	}
	if rapid.Bool().Draw(t, "sctp") {
		r.SCTP = SCTP{rapid.Uint8().Draw(t, "ss"), rapid.Uint32().Draw(t, "so"), rapid.Uint32().Draw(t, "sr")}
	}
	if rapid.Bool().Draw(t, "adj") {
		r.Labels[rapid.IntRange(0, 15).Draw(t, "label")] = rapid.Uint8().Draw(t, "labels")
		r.Helper = NameFrom(rapid.SampledFrom([]string{"", "ftp", "a-name-of-15-by"}).Draw(t, "helper"))
		if rapid.Bool().Draw(t, "related") {
			r.Master = Key{Src: addr("msrc"), Dst: addr("mdst"), SrcPort: port("msport"), DstPort: 21, Proto: 6, Family: r.Family, Zone: r.Zone}
		}
		r.SeqAdj[rapid.IntRange(0, 1).Draw(t, "dir")] = SeqAdj{rapid.Uint32().Draw(t, "pos"), rapid.Int32().Draw(t, "before"), rapid.Int32().Draw(t, "after")}
	}
	return r
}

// The table is a map, with tombstones until its sinks have heard.
func TestTableIsAMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		tb := NewTable(seed, t0, 40)
		tb.Listen(1)
		model, told := map[Key]Record{}, map[Key]Record{}
		hear := func() {
			if s, e, _, ok := tb.take(1); ok {
				var r Record
				e.unpack(&r, tb.wide.at(e.wide), tb.aside.at(e.aside))
				if e.bits&bitDead != 0 {
					delete(told, r.Key)
				} else {
					told[r.Key] = r
				}
				tb.bury(s, e)
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"upsert": func(t *rapid.T) {
				r := genRecord(t)
				old, had := model[r.Key]
				s, ch, err := tb.Upsert(&r, 0, 0)
				if err != nil {
					if tb.Len()+tb.Tombstones() < 40 {
						t.Fatalf("refused at %d + %d", tb.Len(), tb.Tombstones())
					}
					return
				}
				if had && old == r && ch != 0 || !had && ch&ChangeNew == 0 || had && ch&ChangeNew != 0 ||
					had && ch&ChangeBinding != 0 == old.SameBinding(&r) || had && ch&ChangeID != 0 != (old.ID != r.ID) {
					t.Fatalf("change %b: %v -> %v", ch, old.String(), r.String())
				}
				tb.Mark(s, Sink(1), t0)
				model[r.Key] = r
			},
			"delete": func(t *rapid.T) {
				for k := range model {
					s, ok := tb.Lookup(&k)
					if !ok {
						t.Fatal("lost", k)
					}
					tb.Delete(s, Sink(1), t0)
					delete(model, k)
					return
				}
			},
			"hear": func(*rapid.T) { hear() },
			"": func(t *rapid.T) {
				if tb.Len() != len(model) {
					t.Fatalf("%d live, want %d", tb.Len(), len(model))
				}
				for k, want := range model {
					s, ok := tb.Lookup(&k)
					if !ok {
						t.Fatal("lost", k)
					}
					var got Record
					if tb.Record(s, &got); got != want {
						t.Fatalf("got %v\nwant %v", got.String(), want.String())
					}
				}
			},
		})
		for tb.Dirty(1) > 0 {
			hear()
		}
		if tb.Tombstones() != 0 || len(told) != len(model) {
			t.Fatalf("%d tombstones, told of %d, want %d", tb.Tombstones(), len(told), len(model))
		}
		for k, want := range model {
			if got := told[k]; got != want {
				t.Fatalf("told %v\nwant %v", got.String(), want.String())
			}
		}
		for k := range model {
			s, _ := tb.Lookup(&k)
			tb.Delete(s, 0, t0)
		}
		n, sum := tb.Tally(0)
		if n != 0 || sum != 0 || len(tb.wide.free) != int(tb.wide.used) || len(tb.aside.free) != int(tb.aside.used) {
			t.Fatalf("empty table: tally %d %#x, wide %d of %d free, aside %d of %d free", n, sum,
				len(tb.wide.free), tb.wide.used, len(tb.aside.free), tb.aside.used)
		}
	})
}

func TestTallyIsEqualForEqualSets(t *testing.T) {
	a, b := NewTable(seed, t0, 0), NewTable([2]uint64{9, 9}, t0, 0)
	for i := range uint32(1000) {
		r := snat(i)
		a.Upsert(&r, 0, 0)
		r = snat(999 - i)
		r.Timeout = i
		b.Upsert(&r, 0, 0)
	}
	_, sa := a.Tally(0)
	n, sb := b.Tally(0)
	if n != 1000 || sa != sb {
		t.Fatalf("tallies %#x and %#x of %d", sa, sb, n)
	}
	r := snat(5)
	r.TCP.State = TCPFinWait
	b.Upsert(&r, 0, 0)
	if _, sb = b.Tally(0); sa == sb {
		t.Fatal("a changed state does not change the tally")
	}
}

func TestDumpLosesToEventsSinceItBegan(t *testing.T) {
	tb := NewTable(seed, t0, 0)
	for i := range uint32(4) {
		r := snat(i)
		tb.Upsert(&r, 0, 0)
	}
	gen := tb.NextGeneration()
	tb.KeepTombstones(true)
	changed, gone, again := snat(0), snat(1), snat(2)
	s1, _ := tb.Lookup(&gone.Key)
	tb.Identify(s1, 4711) // it was a peer's until now
	changed.TCP.State = TCPFinWait
	tb.Upsert(&changed, 0, gen)
	for _, k := range []Key{gone.Key, again.Key} {
		s, _ := tb.Lookup(&k)
		tb.Delete(s, 0, t0)
	}
	// The dump shows 0 and 1 as they were, 2 born again, and 3 not at all.
	again.ID++
	gone.ID = 4711
	for _, r := range []Record{snat(0), gone, again} {
		if _, _, err := tb.Reconcile(&r, 0, gen); err != nil {
			t.Fatal(err)
		}
	}
	tb.Sweep(1, gen, func(s Slot) { tb.Delete(s, 0, t0) })
	tb.KeepTombstones(false)
	want := NewTable(seed, t0, 0)
	want.Upsert(&changed, 0, 0)
	want.Upsert(&again, 0, 0)
	if got, want := tb.Dump(), want.Dump(); got != want || tb.Tombstones() != 0 {
		t.Fatalf("got\n%swant\n%s%d tombstones", got, want, tb.Tombstones())
	}
}

func TestClosingIsNoNewsToAKernel(t *testing.T) {
	tb := NewTable(seed, t0, 0)
	for _, tt := range []struct {
		name   string
		change func(*Record)
		want   Change
	}{
		{"new", func(*Record) {}, ChangeWire},
		{"the same", func(*Record) {}, 0},
		{"a younger timeout", func(r *Record) { r.Timeout = 1 }, 0},
		{"FIN", func(r *Record) { r.TCP.State = TCPFinWait }, ChangeClosing},
		{"over", func(r *Record) { r.TCP.State = TCPTimeWait }, ChangeState},
		{"established again", func(r *Record) { r.TCP.State = TCPEstablished }, ChangeState},
		{"mark", func(r *Record) { r.Mark = 1 }, ChangeState},
		{"last ACK and scale", func(r *Record) { r.TCP.State, r.TCP.WScaleOrig = TCPLastAck, 1 }, ChangeState | ChangeClosing},
		{"sequence adjustment", func(r *Record) { r.SeqAdj[0].OffsetAfter = 1 }, ChangeState},
		{"another port", func(r *Record) { r.ReplyDstPort++ }, ChangeBinding},
		{"another incarnation", func(r *Record) { r.ID++ }, ChangeID},
	} {
		r := snat(1)
		if s, ok := tb.Lookup(&r.Key); ok {
			tb.Record(s, &r)
		}
		tt.change(&r)
		if _, ch, _ := tb.Upsert(&r, 0, 0); ch != tt.want {
			t.Errorf("%s: %b, want %b", tt.name, ch, tt.want)
		}
	}
}

func TestSlowPeerGetsATransferInsteadOfTombstones(t *testing.T) {
	tb := NewTable(seed, t0, 0)
	tb.Listen(1)
	for i := range uint32(maxDead + 1000) {
		r := snat(i)
		s, _, _ := tb.Upsert(&r, 0, 0)
		tb.Delete(s, Sink(1), t0)
	}
	if tb.Tombstones() > maxDead+1 || tb.overflowed != Sink(1) {
		t.Fatalf("%d tombstones, overflowed %b", tb.Tombstones(), tb.overflowed)
	}
	tb.Ignore(1)
	if tb.Tombstones() != 0 {
		t.Fatalf("%d tombstones wait for nobody", tb.Tombstones())
	}
}

func TestDeletionReachesAKernelThatIsBeingTold(t *testing.T) {
	tb := NewTable(seed, t0, 0)
	r := snat(1)
	s, _, _ := tb.Upsert(&r, 0, 0)
	tb.Mark(s, Sink(SinkKernel), t0)
	var recs [1]Record
	var work [1]Work
	if n, _ := tb.TakeKernel(recs[:], work[:]); n != 1 || work[0].Installed || work[0].Op != OpUpsert {
		t.Fatalf("%d %+v", n, work)
	}
	if !tb.Installed(s) {
		t.Fatal("not installed while the kernel is being told")
	}
	tb.Delete(s, Sink(SinkKernel), t0)
	if n, _ := tb.TakeKernel(recs[:], work[:]); n != 1 || work[0].Op != OpDelete {
		t.Fatalf("%d %+v", n, work)
	}
}

// In each period the cursor meets every record once, however many there are and
// however unevenly it is called.
func TestHolderGoesRound(t *testing.T) {
	for _, count := range []int{1, 7, 299, 5000, 20000} {
		tb := NewTable(seed, t0, 0)
		for i := range uint32(count) {
			r := snat(i)
			tb.Upsert(&r, 0, 0)
		}
		h := NewHolder(0)
		var recs [64]Record
		var work [64]Work
		total, most := 0, 0
		now := t0
		for step := 0; now.Sub(t0) < 3*HoldRenew; step++ {
			n := h.Step(now, tb, 1)
			total, most = total+n, max(most, n)
			for n > 0 {
				n, _ = tb.TakeKernel(recs[:], work[:])
			}
			now = now.Add(time.Duration(50+step%100) * time.Millisecond)
		}
		if total < 3*count-3-count/50 || total > 3*count+3 {
			t.Errorf("%d records: renewed %d in three periods", count, total)
		}
		if most > count/1000+2 {
			t.Errorf("%d records: %d in one step", count, most)
		}
	}
}
