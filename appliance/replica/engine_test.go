package replica_test

import (
	"context"
	"testing"
	"time"

	"understudy/nat/session"
)

func TestHotInstall(t *testing.T) {
	w := running(t)
	rs := flows(300)
	w.a.born(rs...)
	w.b.has("flows of the owner are in the standby's kernel", rs...)
	k := rs[0].Key
	got, err := w.b.kernel.Get(k)
	must(t, err)
	if got.TCP.WScaleOrig != 7 || got.TCP.WScaleReply != 9 || got.TCP.FlagsOrig&session.TCPFlagLiberal == 0 || got.Timeout < 590 {
		t.Errorf("installed as %s timeout %d", got.String(), got.Timeout)
	}
	w.a.end(rs[:100]...)
	w.b.has("ended flows leave the standby", rs[100:]...)
	eventually(t, "no lag", func() bool { s := w.a.engine.Status(); return s.Lag == 0 && s.Dirty == 0 && s.Connected })
	if s, f := w.a.engine.Status(), w.b.engine.Status(); s.Local != 200 || s.Foreign != 0 || f.Foreign != 200 || f.Local != 0 {
		t.Errorf("a: %d local %d foreign, b: %d local %d foreign", s.Local, s.Foreign, f.Local, f.Foreign)
	}
}

func TestTakeoverInstallsNothing(t *testing.T) {
	w := running(t)
	rs := flows(500)
	w.a.born(rs...)
	w.b.has("hot", rs...)
	eventually(t, "and counted", func() bool { return w.a.engine.Status().Lag == 0 })
	w.a.stop()
	r := w.b.activate(1)
	if r.Installed != 0 || r.Term != 2 {
		t.Errorf("report %+v", r)
	}
	w.b.has("taken over", rs...)
	eventually(t, "reconciled", func() bool { return w.b.engine.Status().Counters.Dumps > 0 })
	if s := w.b.engine.Status(); s.Local != 500 || s.Counters.Swept != 0 {
		t.Errorf("%d local, %d swept", s.Local, s.Counters.Swept)
	}
	if r, _ := find(w.b, rs[0].Key); r.TCP.FlagsOrig != rs[0].TCP.FlagsOrig {
		t.Errorf("what installing adds to a flow is taken for the flow's own: %s", r.String())
	}
	w.b.end(rs[0])
	more := flow(1000, 17)
	w.b.born(more)
	eventually(t, "the new owner hears its kernel", func() bool {
		_, ok := find(w.b, rs[0].Key)
		_, ok2 := find(w.b, more.Key)
		return !ok && ok2
	})
}

func find(b *box, k session.Key) (rec session.Record, ok bool) {
	b.engine.Sessions(func(s *sessionView) bool {
		if s.Key == k {
			rec, ok = s.Record, true
		}
		return !ok
	})
	return rec, ok
}

func TestLeftoversAreInstalledAtTakeover(t *testing.T) {
	w := running(t)
	rs := flows(400)
	w.a.born(rs...)
	w.b.has("hot", rs...)
	// The kernel of the standby loses all; the events of that are in its socket
	// when the takeover comes.
	w.a.stop()
	w.b.end(rs...)
	if r := w.b.activate(2); r.Installed == 0 {
		t.Log("the standby was quicker than the test") // its own loop did it
	}
	if d := w.b.differs(rs); d != "" {
		t.Errorf("when the activation returns the kernel %s", d)
	}
}

func TestDestroyOnTheStandbyIsReinstalled(t *testing.T) {
	w := running(t)
	rs := flows(50)
	w.a.born(rs...)
	w.b.has("hot", rs...)
	w.b.end(rs[:20]...)
	eventually(t, "the losses are heard", func() bool { return w.b.engine.Status().Counters.Reinstalled >= 20 })
	w.b.has("installed again", rs...)
}

func TestResyncSweeps(t *testing.T) {
	w := running(t)
	rs := flows(200)
	w.a.born(rs...)
	w.b.has("hot", rs...)
	must(t, w.a.cable.Unplug())
	eventually(t, "the cut is noticed", func() bool { return !w.a.engine.Status().Connected && !w.b.engine.Status().InSync })
	w.a.end(rs[:50]...)
	more := flow(5000, 6)
	w.a.born(more)
	w.b.has("a cut changes nothing", rs...)
	must(t, w.a.cable.Plug())
	w.b.has("healed", append(rs[50:], more)...)
	eventually(t, "in sync", func() bool { return w.b.engine.Status().InSync })
}

func TestOwnerRestarted(t *testing.T) {
	w := running(t)
	rs := flows(100)
	w.a.born(rs...)
	w.b.has("hot", rs...)
	w.a.stop()
	w.a.end(rs[:30]...) // nobody listens
	w.a.start()
	w.a.activate(1)
	w.b.has("the dump tells what events did not", rs[30:]...)
	if c := w.b.engine.Status().Counters; c.Removed != 30 {
		t.Errorf("the standby removed %d sessions, 30 were over", c.Removed)
	}
}

func TestReturnerWithAStaleTable(t *testing.T) {
	w := newWorld(t)
	w.a.start()
	w.a.activate(1)
	good, moved, clash := flow(1, 6), flow(2, 6), flow(3, 17)
	w.a.born(good, moved, clash)
	// The returner's kernel: one flow nobody has, one with another translation,
	// one that holds another's public port, and one that is not ours at all.
	gone, old, thief, alien := flow(4, 17), moved, clash, flow(6, 17)
	old.ReplyDstPort = 60000
	thief.SrcPort = 9
	alien.ReplyDst[3] = 99
	w.b.born(gone, old, thief, alien)
	w.b.start()
	w.b.has("only what the owner has", good, moved, clash)
	if _, err := w.b.kernel.Get(alien.Key); err != nil {
		t.Errorf("a flow of another address: %v", err)
	}
}

// In sync is what a node may take over with: not before its kernel has forgotten an
// earlier life, as what the kernel of an owner has is told to all others.
func TestInSyncIsWithoutLeftovers(t *testing.T) {
	w := newWorld(t)
	w.a.start()
	w.a.activate(1)
	rs := flows(50)
	w.a.born(rs...)
	w.b.born(flows(10_000)[50:]...)
	w.b.start()
	for deadline := time.Now().Add(settle); !w.b.engine.Status().InSync; time.Sleep(100 * time.Microsecond) {
		if time.Now().After(deadline) {
			t.Fatal("not in sync")
		}
	}
	if d := w.b.differs(rs); d != "" {
		t.Errorf("in sync, and the kernel %s", d)
	}
	w.b.activate(2)
	eventually(t, "what the kernel has is its own", func() bool { return w.b.engine.Status().Counters.Dumps > 0 })
	if s := w.b.engine.Status(); s.Local != len(rs) {
		t.Errorf("%d sessions of its own, want %d", s.Local, len(rs))
	}
}

// Traffic that reached the standby made an entry; a flow of the owner then gets
// the same public port.
func TestStrayInTheWay(t *testing.T) {
	w := running(t)
	r := flow(1, 17)
	w.a.born(r)
	w.b.has("hot", r)
	want, stray := flow(2, 6), flow(2, 6)
	stray.SrcPort = 9
	w.b.born(stray)
	w.a.born(want)
	w.b.has("the owner's flow takes its place", r, want)
}

func TestHandOverAndBack(t *testing.T) {
	w := running(t)
	rs := flows(200)
	w.a.born(rs...)
	boxes := []*box{w.a, w.b}
	for i := range 4 {
		from, to := boxes[i%2], boxes[(i+1)%2]
		to.has("before", rs...)
		ctx, cancel := context.WithTimeout(context.Background(), settle)
		must(t, from.engine.Drain(ctx, "gw"))
		cancel()
		if r := to.activate(uint64(i + 2)); r.Installed != 0 {
			t.Errorf("hand-over %d: %+v", i, r)
		}
		late := flow(uint32(3000+i), 6) // born at the old owner, which still serves
		from.born(late)
		rs = append(rs, late)
		to.has("the late flow too", rs...)
		from.engine.Deactivate("gw")
		eventually(t, "in sync", func() bool { s := from.engine.Status(); return s.InSync && s.Groups[0].Holder == to.name })
		more := flow(uint32(4000+i), 17)
		to.born(more)
		rs = append(rs, more)
		from.has("after", rs...)
		if s := from.engine.Status(); s.Foreign != len(rs) {
			t.Errorf("hand-over %d: %d sessions, want %d", i, s.Foreign, len(rs))
		}
	}
}

func TestTermConflict(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	must(t, w.a.cable.Unplug())
	w.a.start()
	w.b.start()
	w.a.activate(5)
	w.b.activate(6)
	mine, theirs := flow(1, 6), flow(2, 6)
	both, thief := flow(3, 17), mine
	w.a.born(mine, both)
	both.ReplyDstPort, thief.SrcPort = 60000, 9
	w.b.born(theirs, both, thief)
	both = flow(3, 17)
	must(t, w.a.cable.Plug())
	eventually(t, "the conflict is seen", func() bool { return w.a.engine.Status().Counters.Conflicts > 0 })
	claimed := func(b *box) func() bool { return func() bool { return b.engine.Status().Groups[0].Claimed } }
	eventually(t, "each sees the other's claim, whoever has the higher term", func() bool { return claimed(w.a)() && claimed(w.b)() })
	if w.a.engine.Status().Covered || w.b.engine.Status().Covered {
		t.Error("one that is Active itself has taken a transfer")
	}
	w.b.engine.Deactivate("gw") // the election has decided for the lower term
	eventually(t, "it has let go, and has everything", func() bool { s := w.a.engine.Status(); return !s.Groups[0].Claimed && s.Covered })
	w.a.has("the one left Active keeps its own, and takes what has no place in the way", mine, both, theirs)
	w.b.has("and the other follows", mine, both, theirs)
	if s := w.a.engine.Status().Groups[0]; s.Term <= 6 || !s.Active || s.Holder != "a" {
		t.Errorf("%+v", s)
	}
}

func TestHoldIsRenewed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.b.cfg.Hold, w.b.cfg.Renew = 4*time.Second, 500*time.Millisecond
	w.a.start()
	w.b.start()
	w.a.activate(1)
	r := flow(1, 17)
	w.a.born(r)
	w.b.has("hot", r)
	before := w.b.engine.Status().Counters.Renewed
	short := r
	short.Timeout = 1 // the owner's view does not matter to the standby's hold
	must(t, w.b.kernel.Update([]session.Record{short}, updateTimeout, make([]error, 1)))
	eventually(t, "renewed", func() bool { return w.b.engine.Status().Counters.Renewed > before+2 })
	got, err := w.b.kernel.Get(r.Key)
	if err != nil || got.Timeout < 3 {
		t.Errorf("timeout %d, %v", got.Timeout, err)
	}
}

func TestWindowCheckComesBack(t *testing.T) {
	w := newWorld(t)
	w.b.cfg.Strict = 10 * time.Millisecond
	w.a.start()
	w.b.start()
	w.a.activate(1)
	known, unknown := flow(0, 6), flow(2, 6)
	unknown.TCP.WScaleOrig, unknown.TCP.WScaleReply, unknown.TCP.FlagsOrig, unknown.TCP.FlagsReply = 0, 0, 0, 0
	w.a.born(known, unknown)
	w.b.has("hot", known, unknown)
	w.a.stop()
	w.b.activate(2)
	eventually(t, "strict again", func() bool { c := w.b.engine.Status().Counters; return c.Strict == 1 && c.Liberal == 1 })
	eventually(t, "so in the kernel", func() bool {
		k, err := w.b.kernel.Get(known.Key)
		u, err2 := w.b.kernel.Get(unknown.Key)
		return err == nil && err2 == nil && k.TCP.FlagsOrig&session.TCPFlagLiberal == 0 && k.TCP.WScaleOrig == 7 &&
			u.TCP.FlagsOrig&session.TCPFlagLiberal != 0
	})
}

func TestOverrunIsHealedByADump(t *testing.T) {
	w := newWorld(t)
	w.a.cfg.RcvBuf = 4096 // a few events
	w.a.cfg.Harvest = 20 * time.Millisecond
	w.a.start()
	w.b.start()
	w.a.activate(1)
	rs := flows(2000)
	w.a.born(rs...)
	eventually(t, "events are lost", func() bool { return w.a.engine.Status().Counters.Overruns > 0 })
	w.b.has("all the same", rs...)
	before := w.a.engine.Status().Counters
	w.a.end(rs[:1500]...)
	eventually(t, "more are lost", func() bool { return w.a.engine.Status().Counters.Overruns > before.Overruns })
	w.b.has("what ended unheard is swept", rs[1500:]...)
	if s := w.a.engine.Status().Counters; s.Swept == before.Swept {
		t.Errorf("%+v", s)
	}
}
