package session

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

// What is stored is judged as the record is.
func TestStoredIsInstallableLikeTheRecord(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := genRecord(t)
		tb := NewTable(seed, t0, 0)
		s, _, err := tb.Upsert(&r, 0, 0)
		if err != nil {
			t.Fatal(err)
		}
		tb.Record(s, &r) // what of it is stored
		want := r.Installable()
		if got := tb.Offer(s, t0); got != want {
			t.Fatalf("offered %v, installable %v: %s", got, want, r.String())
		}
		if _, early := tb.early[s]; early == want {
			t.Fatalf("early %v, installable %v: %s", early, want, r.String())
		}
		if r.Installable() && !r.Resumable() || r.Replicable() && !r.Begun() {
			t.Fatalf("installable %v resumable %v replicable %v begun %v: %s", r.Installable(), r.Resumable(), r.Replicable(), r.Begun(), r.String())
		}
		tb.Delete(s, 0, t0)
		if len(tb.early) != 0 {
			t.Fatal("what has ended is still kept apart")
		}
	})
}

// unanswered is the n-th flow as a datagram that nobody has answered.
func unanswered(n uint32) Record {
	r := snat(n)
	r.Proto, r.TCP, r.Timeout = protoUDP, TCP{}, 30
	r.Status = StatusConfirmed | StatusSrcNAT
	return r
}

// told takes what the kernel is told: its flows in their order.
func told(t *Table) (keys []Key, ops []Op) {
	var recs [16]Record
	var work [16]Work
	for {
		n, _ := t.TakeKernel(recs[:], work[:])
		for i := range n {
			keys, ops = append(keys, recs[i].Key), append(ops, work[i].Op)
		}
		if n == 0 {
			return keys, ops
		}
	}
}

// Of a cold group the kernel is told nothing until it is mustered, and then masters
// before what they expected, however they are stored.
func TestMusterColdGroup(t *testing.T) {
	tb := NewTable(seed, t0, 0)
	tb.SetCold(1)
	grandchild, child, master, plain, lost := snat(1), snat(2), snat(3), snat(4), snat(5)
	grandchild.Master, child.Master = child.Key, master.Key
	stranger := snat(99)
	lost.Master = stranger.Key // nobody has it
	quiet, dial := unanswered(6), snat(7)
	dial.TCP.State = TCPSynSent
	other := snat(8)
	for i, r := range []Record{grandchild, child, master, plain, lost, quiet, dial, other} {
		g := 0
		if i == 7 {
			g = 1 // not cold
		}
		s, _, err := tb.Upsert(&r, g, 0)
		if err != nil {
			t.Fatal(err)
		}
		tb.Mark(s, Sink(SinkKernel), t0)
	}
	if keys, _ := told(tb); len(keys) != 1 || keys[0] != other.Key {
		t.Fatalf("told before: %v", keys)
	}
	n, outlived := tb.Muster(1, t0, 0, Hold)
	keys, _ := told(tb)
	at := map[Key]int{}
	for i, k := range keys {
		at[k] = i + 1
	}
	if n != 6 || len(keys) != 6 || outlived != 0 || at[dial.Key] != 0 {
		t.Errorf("%d mustered, %d outlived, told %v", n, outlived, keys)
	}
	if at[master.Key] > at[child.Key] || at[child.Key] > at[grandchild.Key] || at[lost.Key] == 0 || at[quiet.Key] == 0 {
		t.Errorf("in the order %v", at)
	}
	s, _ := tb.Lookup(&plain.Key)
	tb.SetInstalled(s, false)
	tb.Mark(s, Sink(SinkKernel), t0)
	if keys, _ := told(tb); len(keys) != 1 {
		t.Error("the group is still cold")
	}
	if n, _ := tb.Muster(1, t0, 0, Hold); n != 0 {
		t.Errorf("%d mustered that the kernel has", n)
	}
}

// What the kernel has of a cold group, from an earlier life, it is told of to its end.
func TestColdGroupKeepsWhatIsInstalled(t *testing.T) {
	tb := NewTable(seed, t0, 0)
	r := snat(1)
	s, _, _ := tb.Upsert(&r, 0, 0)
	tb.SetInstalled(s, true)
	tb.SetCold(1)
	if !tb.Offer(s, t0) {
		t.Error("not renewed")
	}
	told(tb)
	tb.Delete(s, Sink(SinkKernel), t0)
	if _, ops := told(tb); len(ops) != 1 || ops[0] != OpDelete {
		t.Errorf("%v", ops)
	}
}

// Of a cold group the kernel loses what it was to be told of, or what it has is another
// flow by now: it is not given that, and what it may have of it is taken from it.
func TestColdGroupIsNotGivenWhatChanged(t *testing.T) {
	tb := NewTable(seed, t0, 0)
	r := snat(1)
	s, _, _ := tb.Upsert(&r, 0, 0)
	tb.SetInstalled(s, true)
	tb.SetCold(1)
	tb.Offer(s, t0)
	tb.SetInstalled(s, false)
	if tb.Offer(s, t0) {
		t.Error("offered what it has lost")
	}
	if _, ops := told(tb); len(ops) != 1 || ops[0] != OpDelete || tb.Installed(s) {
		t.Errorf("told %v", ops)
	}
	if n, _ := tb.Muster(1, t0, 0, Hold); n != 1 {
		t.Error("not mustered")
	}
	if _, ops := told(tb); len(ops) != 1 || ops[0] != OpUpsert || !tb.Installed(s) {
		t.Errorf("told %v", ops)
	}
}

// In a group that is not cold, those are mustered that no standby's kernel can hold.
func TestMusterEarly(t *testing.T) {
	tb := NewTable(seed, t0, 0)
	for _, r := range []Record{snat(1), unanswered(2), unanswered(3)} {
		tb.Upsert(&r, 0, 0)
	}
	answered := unanswered(3)
	answered.Status |= StatusSeenReply
	tb.Upsert(&answered, 0, 0)
	n, _ := tb.Muster(1, t0, 0, Hold)
	want := unanswered(2)
	if keys, _ := told(tb); n != 1 || len(keys) != 1 || keys[0] != want.Key {
		t.Errorf("%d mustered: %v", n, keys)
	}
}

// A flow whose owner was silent for longer than it could last is not mustered.
func TestOutlived(t *testing.T) {
	hour, minute := snat(1), snat(2)
	hour.Timeout, minute.Timeout = 3600, 60
	for _, row := range []struct {
		silent   time.Duration
		mustered int
	}{
		{0, 2}, {Hold, 2}, {Hold + time.Second, 1}, {time.Hour, 1}, {time.Hour + time.Second, 0},
	} {
		tb := NewTable(seed, t0, 0)
		tb.SetCold(1)
		for _, r := range []Record{hour, minute} {
			tb.Upsert(&r, 0, 0)
		}
		if n, outlived := tb.Muster(1, t0, row.silent, Hold); n != row.mustered || outlived != 2-row.mustered {
			t.Errorf("silent for %v: %d mustered, %d outlived", row.silent, n, outlived)
		}
	}
}

// A tuple that begins anew while the kernel has its earlier incarnation: that is
// replaced if there is another translation, and ended if it is a handshake.
func TestEarlyIncarnationReplacesTheKernels(t *testing.T) {
	p := newPair()
	p.ga.Activate(0, 1)
	p.connect()
	answered := unanswered(3)
	answered.Status |= StatusSeenReply
	for _, r := range []Record{snat(1), snat(2), answered} {
		p.upsert(&r)
	}
	p.settle(t)
	if len(p.kernel) != 3 {
		t.Fatalf("the kernel has %d", len(p.kernel))
	}
	again := snat(1)
	again.TCP.State, again.ID, again.Status = TCPSynSent, 9, StatusConfirmed|StatusSrcNAT
	moved := snat(2)
	moved.ReplyDstPort++
	mute := unanswered(3)
	mute.ReplyDstPort += 2
	p.upsert(&again)
	p.upsert(&moved)
	p.upsert(&mute)
	p.settle(t)
	if _, ok := p.kernel[again.Key]; ok || p.tb.Len() != 3 || p.kernel[moved.Key].ReplyDstPort != moved.ReplyDstPort ||
		p.kernel[mute.Key].ReplyDstPort != mute.ReplyDstPort {
		t.Errorf("the kernel has %v, the table %d", p.kernel, p.tb.Len())
	}
}
