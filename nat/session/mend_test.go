package session

import (
	"testing"

	"pgregory.net/rapid"
)

// six is flow n over IPv6.
func six(n uint32) Record {
	r := snat(n)
	r.Family = 6
	r.Src = Addr{0: 0xfd, 13: byte(n >> 8), 14: byte(n), 15: 1}
	r.Dst = Addr{0: 0x20, 1: 1, 15: 7}
	r.ReplySrc, r.ReplyDst = r.Dst, AddrFrom(vip6)
	return r
}

// flowOf makes flow n of either family.
func flowOf(n uint32) Record {
	if n%3 == 0 {
		return six(n)
	}
	return snat(n)
}

func synced(t failer, flows uint32) *pair {
	p := newPair()
	p.ga.Activate(0, 1)
	for i := range flows {
		r := flowOf(i)
		p.upsert(&r)
	}
	p.connect()
	p.settle(t)
	return p
}

// damage makes b's table another than a's, behind the protocol's back, and returns
// how many flows differ.
func (p *pair) damage(t *rapid.T, flows uint32) int {
	hurt := map[uint32]bool{}
	for range rapid.IntRange(1, 4).Draw(t, "damages") {
		n := rapid.Uint32Max(flows-1).Draw(t, "flow")
		if hurt[n] {
			continue
		}
		hurt[n] = true
		r := flowOf(n)
		s, known := p.tb.Lookup(&r.Key)
		switch rapid.IntRange(0, 2).Draw(t, "kind") {
		case 0: // missing
			if known {
				p.tb.Delete(s, 0, p.now)
				delete(p.kernel, r.Key)
			} else {
				hurt[n] = false
			}
		case 1: // another state, another translation
			r.ReplyDstPort, r.TCP.State = 9, TCPCloseWait
			p.tb.Upsert(&r, 0, p.tb.gen)
		case 2: // one too many
			hurt[n] = false
			n += 1 << 20
			r := flowOf(n)
			hurt[n] = true
			p.tb.Upsert(&r, 0, p.tb.gen)
		}
	}
	sum := 0
	for _, h := range hurt {
		if h {
			sum++
		}
	}
	return sum
}

// churn changes flows of a as traffic does: those from the given one on.
func (p *pair) churn(t *rapid.T, from uint32) {
	for range rapid.IntRange(0, 8).Draw(t, "changes") {
		r := flowOf(from + rapid.Uint32Max(200).Draw(t, "flow"))
		s, known := p.ta.Lookup(&r.Key)
		switch what := rapid.IntRange(0, 4).Draw(t, "change"); {
		case what == 0:
			p.delete(&r.Key)
		case what == 1 && !known:
			s, _, _ = p.ta.Upsert(&r, 0, 0)
			p.ta.SetYoung(s)
			if !p.ta.Young(s) {
				p.ta.Mark(s, p.s.Sink(), p.now) // its earlier end is not told yet
			}
		case known && p.ta.Young(s):
			p.ta.Mature(s)
			p.ta.Mark(s, p.s.Sink(), p.now)
		default:
			r.ID = rapid.Uint32Max(3).Draw(t, "id")
			r.TCP.State = TCPState(rapid.IntRange(3, 6).Draw(t, "state"))
			p.upsert(&r)
		}
	}
}

// One audit heals whatever differs, while flows go on, by a part of the transfer
// that it would take without buckets, and without the peer being out of sync
// meanwhile.
func TestAnAuditMendsWhatDiffers(t *testing.T) {
	const flows = 4000
	rapid.Check(t, func(t *rapid.T) {
		p := synced(t, flows)
		p.buf = make([]byte, 0, rapid.IntRange(1024, 16<<10).Draw(t, "buffer"))
		n := p.damage(t, flows)
		before := p.s.Stats()
		p.now = p.now.Add(AuditEvery)
		for i := 0; ; i++ {
			if rapid.IntRange(0, 3).Draw(t, "churn") == 0 && i < 50 {
				p.churn(t, flows)
			}
			p.send(rapid.IntRange(1, 3).Draw(t, "fills"))
			if err := p.deliver(rapid.IntRange(1, 5).Draw(t, "frames")); err != nil {
				t.Fatal(err)
			}
			if !p.r.Synced(0) {
				t.Fatal("not in sync meanwhile")
			}
			if i > 50 && len(p.frames) == 0 && p.s.Idle() {
				break
			}
			if i > 10000 {
				t.Fatal("never at rest")
			}
		}
		if p.matureAll(t); p.ta.Dump() != p.tb.Dump() {
			t.Fatalf("%d flows differed and do", n)
		}
		st, rs := p.s.Stats(), p.r.Stats()
		if st.Transfers != 1 || rs.Transfers != 1 {
			t.Fatalf("a whole transfer: %+v", rs)
		}
		if n > 0 && (rs.Mismatches != 1 || rs.Mends != 1 || rs.Buckets > uint64(n)) {
			t.Fatalf("%d differ: %+v", n, rs)
		}
		if n == 0 && rs.Mismatches != 0 {
			t.Fatalf("nothing differs: %+v", rs)
		}
		// A bucket holds 64 flows at most on the average; those of the worst bucket
		// beside the sums and what the churn has to say.
		if sent := st.Upserts - before.Upserts; sent > uint64(n)*150+500 {
			t.Fatalf("%d records for %d that differed", sent, n)
		}
	})
}

// matureAll makes all sessions of age and lets that arrive.
func (p *pair) matureAll(t *rapid.T) {
	p.ta.Each(1, func(s Slot) bool {
		if p.ta.Mature(s) {
			p.ta.Mark(s, p.s.Sink(), p.now)
		}
		return true
	})
	for p.s.Dirty() > 0 || len(p.frames) > 0 {
		p.send(1)
		if err := p.deliver(9); err != nil {
			t.Fatal(err)
		}
	}
}

// Nothing that goes on is taken for a difference, wherever in the stream an audit
// falls.
func TestAuditsUnderChurnFindNothing(t *testing.T) {
	const flows = 300
	rapid.Check(t, func(t *rapid.T) {
		p := synced(t, flows)
		p.buf = make([]byte, 0, 1024)
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			p.churn(t, flows)
			switch rapid.IntRange(0, 4).Draw(t, "step") {
			case 0:
				p.now = p.now.Add(AuditEvery)
			case 1:
				p.s.mending.digests |= 1 // sums as well, whatever the tally
			}
			p.send(rapid.IntRange(0, 3).Draw(t, "fills"))
			if err := p.deliver(rapid.IntRange(0, 5).Draw(t, "frames")); err != nil {
				t.Fatal(err)
			}
		}
		if rs := p.r.Stats(); rs.Mismatches != 0 || rs.Buckets != 0 || rs.Transfers != 1 {
			t.Fatalf("%+v", rs)
		}
	})
}

// A receiver that refused some records is audited in all others.
func TestRefusedRecordsExcuseTheirBucketsOnly(t *testing.T) {
	p := newPair()
	p.ga.Activate(0, 1)
	for i := range uint32(2000) {
		r := snat(i)
		if i == 7 {
			r.ReplyDst[3]++ // translated to an address that is not the group's
		}
		p.upsert(&r)
	}
	p.connect()
	p.settle(t)
	p.now = p.now.Add(AuditEvery)
	p.settle(t)
	if st := p.r.Stats(); st.Scope != 1 || st.Mismatches != 0 || st.Buckets != 0 {
		t.Errorf("what is refused is no difference: %+v", st)
	}
	gone := snat(1000)
	bad := snat(7)
	if shift := bucketBits - coarseness(1999); bucketOf(&gone.Key)>>shift == bucketOf(&bad.Key)>>shift {
		t.Fatal("choose another flow")
	}
	s, _ := p.tb.Lookup(&gone.Key)
	p.tb.Delete(s, 0, p.now)
	p.now = p.now.Add(AuditEvery)
	p.settle(t)
	if st := p.r.Stats(); p.tb.Len() != 1999 || st.Mismatches != 1 || st.Mends != 1 || st.Transfers != 1 {
		t.Errorf("%d of 1999: %+v", p.tb.Len(), st)
	}
}

// A peer that keeps no sums is audited as it was before.
func TestAuditOfAPeerWithoutBuckets(t *testing.T) {
	p := newPair()
	p.ga.Activate(0, 1)
	for i := range uint32(10) {
		r := snat(i)
		p.upsert(&r)
	}
	p.connect()
	p.send(1)
	if err := p.deliver(1); err != nil {
		t.Fatal(err)
	}
	p.r.peer.Features = 0
	p.settle(t)
	r := snat(3)
	s, _ := p.tb.Lookup(&r.Key)
	p.tb.Delete(s, 0, p.now)
	p.now = p.now.Add(AuditEvery)
	p.settle(t)
	if st := p.r.Stats(); st.Mismatches != 1 || st.Transfers != 2 || st.Buckets != 0 || p.tb.Dump() != p.ta.Dump() {
		t.Errorf("%+v\n%s", st, p.tb.Dump())
	}
}

// Where most of it differs, all is sent: as many sums and marks would not pay.
func TestMostDiffersIsAFullTransfer(t *testing.T) {
	p := synced(t, 1000)
	p.tb.Each(1, func(s Slot) bool {
		if s%2 == 0 {
			p.tb.Delete(s, 0, p.now)
		}
		return true
	})
	p.now = p.now.Add(AuditEvery)
	p.settle(t)
	if st := p.r.Stats(); st.Mismatches != 1 || st.Transfers != 2 || st.Mends != 0 || p.tb.Dump() != p.ta.Dump() {
		t.Errorf("%+v", st)
	}
}

// The sweep of a large table is cut in slices, and what comes in between them is
// not swept.
func TestSweepInSlices(t *testing.T) {
	const flows = 3 * sweepSlots / 2
	p := newPair()
	p.ga.Activate(0, 1)
	for i := range uint32(flows) {
		r := snat(i)
		p.upsert(&r)
	}
	p.connect()
	p.settle(t)
	var last Record
	for i := range uint32(30) {
		last = snat(1<<23 + i)
		last.ReplyDstPort = 5
		p.tb.Upsert(&last, 0, p.tb.gen)
	}
	p.now = p.now.Add(AuditEvery)
	slices, reborn := 0, snat(1<<23+5)
	for i := 0; p.r.Stats().Mends == 0; i++ {
		p.send(1)
		for len(p.frames) > 0 {
			h, _ := ParseHeader(p.frames)
			if err := p.r.Handle(p.now, h.Type, p.frames[HeaderLen:HeaderLen+h.Length]); err != nil {
				t.Fatal(err)
			}
			p.frames = p.frames[HeaderLen+h.Length:]
		}
		if p.r.Sweep(p.now) {
			if slices++; slices == 1 {
				p.upsert(&reborn)
			}
		}
		if err := p.answer(); err != nil || i > 10000 {
			t.Fatal(err, i)
		}
	}
	p.settle(t)
	if p.tb.Len() != flows+1 || slices == 0 {
		t.Errorf("%d flows, want %d; %d slices", p.tb.Len(), flows+1, slices)
	}
	if n, sum := p.tb.Tally(0); n != p.ta.Len() || sum != p.ta.groups[0].sum {
		t.Error("the tables differ")
	}
}

// The sums of the buckets are those of the group, however finely it is cut, and
// equal on boxes whose tables are.
func TestBucketsSumUp(t *testing.T) {
	p := synced(t, 5000)
	for b := uint8(0); b <= bucketBits; b++ {
		var sum uint64
		for i := range 1 << b {
			s := p.ta.digest(0, b, i)
			if sum += s; s != p.tb.digest(0, b, i) {
				t.Fatalf("bucket %d of 2^%d differs", i, b)
			}
		}
		if _, want := p.ta.Tally(0); sum != want {
			t.Errorf("2^%d buckets sum up to %x, want %x", b, sum, want)
		}
	}
	// Even: none has more than twice its share, of IPv6 flows of one network as well.
	for family, fn := range map[string]func(uint32) Record{"ipv4": snat, "ipv6": six} {
		var count [16]int
		for i := range uint32(16000) {
			r := fn(i)
			count[bucketOf(&r.Key)>>(bucketBits-4)]++
		}
		for i, n := range count {
			if n < 500 || n > 2000 {
				t.Errorf("%s: %d of 16000 in bucket %d of 16", family, n, i)
			}
		}
	}
}

func TestBucketListRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		bits := uint8(rapid.IntRange(0, bucketBits).Draw(t, "bits"))
		var want, got bucketSet
		for range rapid.IntRange(1, 40).Draw(t, "n") {
			want.add(rapid.IntRange(0, 1<<bits-1).Draw(t, "bucket"))
		}
		piece := rapid.IntRange(1, 50).Draw(t, "piece")
		for i := 0; i >= 0; {
			var b []byte
			b, i = appendBuckets(nil, bits, &want, i, piece)
			r := reader{b: b}
			if have, err := r.buckets(&got); err != nil || have != bits {
				t.Fatal(have, err)
			}
		}
		if got != want {
			t.Fatalf("got %v\nwant %v", got, want)
		}
	})
	for name, b := range map[string][]byte{
		"no bits": {}, "too many bits": {13}, "twice the same": {4, 1, 0}, "beyond the last": {4, 17}, "cut": {4, 0x80},
	} {
		if _, err := (&reader{b: b}).buckets(new(bucketSet)); err != ErrMalformed {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// As in a full transfer, the second mark must not overtake what is dirty when the
// cursor passes, or the standby would drop it for a moment.
func TestMendWaitsForTheQueue(t *testing.T) {
	p := newPair()
	p.ga.Activate(0, 1)
	for i := range uint32(50) {
		r := snat(i)
		p.upsert(&r)
	}
	p.connect()
	p.settle(t)
	all := bucketAsk{bits: minBucketBits}
	for i := range 1 << minBucketBits {
		all.set.add(i)
	}
	p.r.bucketAsks = append(p.r.bucketAsks, ask{0, all})
	p.buf = make([]byte, 0, 700)
	for i := 0; p.r.Stats().Mends == 0; i++ {
		for j := range uint32(40) { // more than a fill can carry
			r := snat(j)
			p.delete(&r.Key)
			r.ID += 1000 + uint32(i)
			p.upsert(&r)
		}
		p.send(1)
		if err := p.deliver(9); err != nil {
			t.Fatal(err)
		}
		if len(p.kernel) != 50 || i > 1000 {
			t.Fatalf("round %d: the kernel holds %d of 50", i, len(p.kernel))
		}
	}
	if st := p.r.Stats(); st.Swept != 0 || st.Transfers != 1 {
		t.Errorf("%+v", st)
	}
}
