package replica_test

import (
	"testing"
	"time"
)

// b has just booted, its session link is down, and it becomes Active all the
// same: a, the last owner, must not take its empty set for the truth.
func TestActivationBeforeASessionArrived(t *testing.T) {
	w := newWorld(t)
	w.a.start()
	w.a.activate(1)
	rs := flows(3000)
	w.a.born(rs...)
	eventually(t, "a knows them", func() bool { return w.a.engine.Status().Local == len(rs) })
	must(t, w.b.cable.Unplug())
	w.b.start()
	w.b.activate(2)
	incomplete := func() bool { return w.b.engine.Status().Groups[0].Incomplete }
	if !incomplete() {
		t.Error("b is not aware that it may lack sessions")
	}
	// b's own are newer: one flow it translates otherwise, one has the public port
	// of another.
	other, thief, own := rs[0], rs[1], flow(9000, 6)
	other.ReplyDstPort = 60000
	thief.SrcPort = 9
	w.b.born(other, thief, own)
	w.a.engine.Deactivate("gw")
	must(t, w.b.cable.Plug())
	want := append(rs[2:], other, thief, own)
	w.b.has("what a kept, where nothing of b is in the way", want...)
	w.a.has("b's set", want...)
	eventually(t, "b is complete", func() bool { return !incomplete() })
	if c := w.b.engine.Status().Counters; c.Salvaged != uint64(len(rs)-1) || c.Clashes != 1 {
		t.Errorf("%d salvaged, %d clashes", c.Salvaged, c.Clashes)
	}
	// From now on its set counts.
	must(t, w.b.cable.Unplug())
	eventually(t, "the cut is noticed", func() bool { return !w.b.engine.Status().Connected })
	w.b.end(own)
	must(t, w.b.cable.Plug())
	w.a.has("swept", want[:len(want)-1]...)
}

// Nobody has owned the group: there is nothing to wait for.
func TestColdStartIsComplete(t *testing.T) {
	w := newWorld(t)
	w.a.start()
	w.b.start()
	up := func() bool { return w.a.engine.Status().InSync && w.b.engine.Status().InSync }
	eventually(t, "they know each other", up)
	w.a.activate(1)
	if s := w.a.engine.Status(); s.Groups[0].Incomplete {
		t.Errorf("%+v", s)
	}
	eventually(t, "in sync", func() bool { return up() && w.b.holds("a") })
}

// A takeover from a dead peer whose sessions are all here lacks nothing that
// anybody could tell.
func TestTakeoverFromTheDeadIsComplete(t *testing.T) {
	w := running(t)
	rs := flows(10)
	w.a.born(rs...)
	w.b.has("hot", rs...)
	w.a.stop()
	eventually(t, "the link is down", func() bool { return !w.b.engine.Status().InSync })
	w.b.activate(2)
	if s := w.b.engine.Status(); s.Groups[0].Incomplete {
		t.Errorf("%+v", s)
	}
	w.b.end(rs[0])
	w.a.start()
	w.a.has("what ended meanwhile is swept", rs[1:]...)
	w.b.has("and does not come back", rs[1:]...)
}

// A peer that loses its power goes on claiming the group as far as its connection
// tells.
func TestTheDeadAreNoRivals(t *testing.T) {
	t.Parallel()
	w := running(t)
	must(t, w.a.cable.Unplug())
	w.b.activate(2)
	eventually(t, "the connection ends", func() bool {
		s := w.b.engine.Status()
		if s.Groups[0].Incomplete {
			t.Fatalf("taken for a rival: %+v", s)
		}
		return !s.Connected
	})
}

// a was Active all the time and knows nothing of b's turn, which is over when
// they meet again.
func TestAnotherWasActiveMeanwhile(t *testing.T) {
	t.Parallel()
	w := running(t)
	rs := flows(10)
	w.a.born(rs...)
	w.b.has("hot", rs...)
	must(t, w.b.cable.Unplug())
	eventually(t, "the cut is noticed", func() bool { return !w.a.engine.Status().Connected && !w.b.engine.Status().InSync })
	w.b.activate(2)
	theirs := flow(100, 6)
	w.b.born(theirs)
	eventually(t, "b knows it", func() bool { return w.b.engine.Status().Local == len(rs)+1 })
	w.b.engine.Deactivate("gw")
	must(t, w.b.cable.Plug())
	w.a.has("what began at the other", append(rs, theirs)...)
	w.b.has("the same", append(rs, theirs)...)
}

// b took over with all sessions, but a does not give way as in a hand-over: what
// begins there meanwhile is taken in the end.
func TestRivalGivesWayLate(t *testing.T) {
	w := newWorld(t)
	w.b.cfg.Late = 10 * time.Millisecond
	w.a.start()
	w.b.start()
	w.a.activate(1)
	r, late := flow(1, 6), flow(2, 6)
	w.a.born(r)
	w.b.has("hot", r)
	eventually(t, "in sync", func() bool { return w.b.engine.Status().InSync })
	w.b.activate(2)
	eventually(t, "b hears that a goes on", func() bool { return w.b.engine.Status().Groups[0].Incomplete })
	w.a.born(late)
	eventually(t, "a knows it", func() bool { return w.a.engine.Status().Local == 2 })
	w.a.engine.Deactivate("gw")
	w.b.has("what began at a", r, late)
	w.a.has("the same", r, late)
	eventually(t, "b is complete", func() bool { return !w.b.engine.Status().Groups[0].Incomplete })
}
