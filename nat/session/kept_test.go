package session

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

// duo is two nodes with a link each way: the records of a go over ab, those of b
// over ba.
type duo struct {
	ab, ba *pair
	now    time.Time
}

func newDuo() *duo {
	d := &duo{ab: newPair(), ba: newPair(), now: t0}
	ba := d.ba
	ba.ta, ba.tb, ba.ga, ba.gb = d.ab.tb, d.ab.ta, d.ab.gb, d.ab.ga
	ba.s = NewSender(ba.ta, ba.ga, 1, Hello{Node: "b", Boot: 2})
	ba.r = NewReceiver(ba.tb, ba.gb, testScope(), Hello{Node: "a", Boot: 1})
	return d
}

// activate makes b Active as a node does that cannot know whether it has all.
func (d *duo) activate() {
	g := d.ab.gb
	g.Activate(0, 2)
	g.SetIncomplete(0, true)
	d.ab.r.Abandon(0)
}

// step does what b's owner would, and ends when a has said what it kept.
func (d *duo) step() {
	g, r := d.ab.gb, d.ab.r
	if !g.At(0).Incomplete || r.Peer() == nil || r.Claims(0) {
		return
	}
	if r.AskKept(0); r.ToldKept(0) {
		g.SetIncomplete(0, false)
		d.ba.s.Resync(d.now, 1)
	}
}

func (d *duo) connect() {
	d.ab.connect()
	d.ba.connect()
}

func (d *duo) cut() {
	for _, p := range []*pair{d.ab, d.ba} {
		p.s.Disconnect()
		p.r.Disconnect()
		p.frames = nil
	}
}

func (d *duo) exchange(t *rapid.T, frames int) {
	for _, p := range []*pair{d.ab, d.ba} {
		p.send(1)
		if err := p.deliver(frames); err != nil {
			t.Fatal(err)
		}
	}
	d.step()
}

// b becomes Active with any part of a's sessions, and with newer ones of its own.
// However often the link is lost, nothing that only a had is, b's own win, and
// in the end a has b's set.
func TestWhatOnlyTheLastOwnerHadIsKept(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := newDuo()
		d.ab.buf, d.ba.buf = make([]byte, 0, 1024), make([]byte, 0, 1024)
		d.ab.ga.Activate(0, 1)
		flow := rapid.Uint32Max(60)
		for range rapid.IntRange(0, 60).Draw(t, "sessions of a") {
			r := snat(flow.Draw(t, "flow"))
			d.ab.upsert(&r)
		}
		cutOrNot := func(t *rapid.T) {
			switch rapid.IntRange(0, 6).Draw(t, "link") {
			case 0:
				d.cut()
			case 1:
				d.connect()
			default:
				d.exchange(t, rapid.IntRange(1, 3).Draw(t, "frames"))
			}
		}
		for range rapid.IntRange(0, 10).Draw(t, "steps before") {
			cutOrNot(t)
		}
		want := map[Key]Record{}
		have := func(tb *Table) {
			tb.Each(1, func(s Slot) bool {
				var r Record
				tb.Record(s, &r)
				want[r.Key] = r
				return true
			})
		}
		overlap := rapid.Bool().Draw(t, "both Active for a while")
		if !overlap {
			d.ab.ga.Deactivate(0)
		}
		d.activate()
		for range rapid.IntRange(0, 10).Draw(t, "steps") {
			if rapid.Bool().Draw(t, "b's own") {
				r := snat(flow.Draw(t, "flow"))
				r.ReplyDstPort = 9
				d.ba.upsert(&r)
			}
			if rapid.Bool().Draw(t, "and a's") && overlap {
				r := snat(flow.Draw(t, "flow"))
				d.ab.upsert(&r)
			}
			cutOrNot(t)
		}
		if overlap {
			d.ab.ga.Deactivate(0)
			d.ab.s.Announce(1)
			d.ba.r.Ask(0)
		}
		have(d.ab.ta)
		have(d.ab.tb)
		for range rapid.IntRange(0, 10).Draw(t, "steps after") {
			cutOrNot(t)
		}
		d.connect()
		for i := 0; d.ab.gb.At(0).Incomplete || !d.ba.r.Synced(0); i++ {
			if d.exchange(t, 9); i > 1000 {
				t.Fatalf("never in sync: %+v", d.ab.gb.At(0))
			}
		}
		for range 10 {
			d.exchange(t, 9)
		}
		all := NewTable(seed, t0, 0)
		for _, r := range want {
			all.Upsert(&r, 0, 0)
		}
		if got := d.ab.tb.Dump(); got != all.Dump() {
			t.Fatalf("b has\n%swant\n%s", got, all.Dump())
		}
		if got := d.ab.ta.Dump(); got != all.Dump() {
			t.Fatalf("a has\n%swant\n%s", got, all.Dump())
		}
		if d.ab.ga.At(0).Kept {
			t.Fatal("a takes its records for its own still")
		}
	})
}

// A node whose records are another's already has nothing of its own to tell: what
// is missing there is over.
func TestAStandbyHasKeptNothing(t *testing.T) {
	d := newDuo()
	d.ba.ga.Activate(0, 1)
	r := snat(1)
	d.ba.upsert(&r)
	d.connect()
	d.ba.settle(t)
	if d.ab.ta.Len() != 1 {
		t.Fatal("a has not the session")
	}
	d.ba.delete(&r.Key) // while a cannot hear it
	d.ba.s.Disconnect()
	d.ab.gb.SetIncomplete(0, true) // b is started again
	for range 5 {
		d.ab.send(1)
		if err := d.ab.deliver(9); err != nil {
			t.Fatal(err)
		}
		d.ab.r.AskKept(0)
	}
	if !d.ab.r.ToldKept(0) || d.ab.tb.Len() != 0 {
		t.Fatalf("told %v: %s", d.ab.r.ToldKept(0), d.ab.tb.Dump())
	}
}

// What is not asked for is not taken: the frames of it are no claim, and no way
// around one.
func TestKeptRecordsNobodyAskedFor(t *testing.T) {
	d := newDuo()
	d.ab.ga.Activate(0, 1)
	r := snat(1)
	d.ab.upsert(&r)
	d.ab.ga.Deactivate(0)
	d.connect()
	d.ab.send(9)
	d.ab.deliver(9)
	d.ab.s.kept = 1
	for _, active := range []bool{false, true} {
		if active {
			d.ab.gb.Activate(0, 2)
		}
		d.ab.send(9)
		if err := d.ab.deliver(9); err != nil || d.ab.tb.Len() != 0 || d.ab.r.ToldKept(0) {
			t.Fatalf("active %v: %v, %s", active, err, d.ab.tb.Dump())
		}
	}
}
