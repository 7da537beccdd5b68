package replica_test

import (
	"context"
	"testing"
	"time"

	"understudy/appliance/replica"
	"understudy/nat/session"
)

// ever is longer than a test takes: what waits for it does not come by itself.
const ever = time.Hour

var allModes = []session.Mode{session.ModeIncremental, session.ModeHybrid, session.ModeLeaderFollower, session.ModePeriodic,
	session.ModeLogDependency, session.ModeLogOptimistic, session.ModeActive}

func knobs(m session.Mode, every time.Duration, batch int) session.Knobs {
	k, _ := session.KnobsOf(m, every, batch)
	return k
}

// inMode is a pair that runs, a Active, by the knobs; what a's activation reads and
// tells is over.
func inMode(t *testing.T, k session.Knobs) *world {
	t.Helper()
	w := newWorld(t)
	w.a.cfg.Knobs, w.b.cfg.Knobs = k, k
	w.runMode()
	return w
}

func (w *world) runMode() {
	w.t.Helper()
	w.a.start()
	w.b.start()
	w.a.activate(1)
	eventually(w.t, "b is in sync", func() bool { return w.b.engine.Status().InSync && w.b.holds("a") })
	w.a.calm()
}

// calm waits until a's activation is over: its kernel is read, its peer has all.
func (b *box) calm() {
	b.t.Helper()
	eventually(b.t, "the activation is over", func() bool {
		s := b.engine.Status()
		return s.Counters.Dumps > 0 && s.Covered && s.Dirty == 0
	})
}

// knows waits until the owner has n sessions.
func (b *box) knows(n int) {
	b.t.Helper()
	eventually(b.t, "the owner knows its sessions", func() bool { return b.engine.Status().Local == n })
}

// still checks that the box's kernel has the flows that it should have, and that this
// stays so while the peers say something to each other.
func (b *box) still(why string, want ...session.Record) {
	b.t.Helper()
	b.has(why, want...)
	time.Sleep(2 * session.PingEvery) // two pings at least: the link is used
	if d := b.differs(want); d != "" {
		b.t.Fatalf("%s: %s: %s", why, b.name, d)
	}
}

// handsOver gives the group from a to b as an operator would.
func (w *world) handsOver(from, to *box, term uint64) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), settle)
	defer cancel()
	must(w.t, from.engine.Drain(ctx, "gw"))
	to.activate(term)
	from.engine.Deactivate("gw")
}

// In every mode a hand-over loses nothing: what waits, what was not found yet, and what
// begins before the other one serves.
func TestHandOverLosesNothingInAnyMode(t *testing.T) {
	for _, m := range allModes {
		t.Run(string(m), func(t *testing.T) {
			t.Parallel()
			w := inMode(t, knobs(m, ever, 60000))
			rs := flows(300)
			w.a.born(rs...)
			ctx, cancel := context.WithTimeout(context.Background(), settle)
			defer cancel()
			must(t, w.a.engine.Drain(ctx, "gw"))
			w.b.has("drained", rs...)
			late := flow(3000, 6)
			w.a.born(late) // it still serves
			rs = append(rs, late)
			w.b.has("the late flow too", rs...)
			w.b.activate(2)
			later := flow(3002, 6)
			w.a.born(later)
			rs = append(rs, later)
			w.a.engine.Deactivate("gw")
			w.b.has("and the last one", rs...)
			eventually(t, "a is in sync", func() bool { s := w.a.engine.Status(); return s.InSync && w.a.holds("b") })
			// And back, by the mode of b.
			w.b.knows(len(rs))
			more := flow(4000, 17)
			w.b.born(more)
			rs = append(rs, more)
			w.handsOver(w.b, w.a, 3)
			w.a.has("back again", rs...)
		})
	}
}

// A better node takes over by itself: what waits and what was not found yet is told
// as the other one gives up.
func TestPreemptionLosesNothingInAnyMode(t *testing.T) {
	for _, m := range allModes {
		t.Run(string(m), func(t *testing.T) {
			t.Parallel()
			w := inMode(t, knobs(m, ever, 60000))
			rs := flows(300)
			w.a.born(rs...)
			w.b.activate(2)
			w.a.engine.Deactivate("gw")
			w.b.has("all", rs...)
			eventually(t, "a is in sync", func() bool { s := w.a.engine.Status(); return s.InSync && s.Foreign == len(rs) })
		})
	}
}

// A hand-over that is none leaves the mode as it was.
func TestDrainWithoutHandOverEnds(t *testing.T) {
	t.Parallel()
	w := inMode(t, knobs(session.ModeLogOptimistic, ever, 60000))
	rs := flows(10)
	w.a.born(rs...)
	w.a.knows(len(rs))
	w.b.still("held back")
	ctx, cancel := context.WithTimeout(context.Background(), settle)
	defer cancel()
	must(t, w.a.engine.Drain(ctx, "gw"))
	w.b.has("drained", rs...)
	if n := w.a.engine.Status().Held; n != 0 {
		t.Errorf("%d held after the drain", n)
	}
	n := uint32(2000)
	if !within(3*settle, func() bool {
		n++
		w.a.born(flow(n, 6))
		return within(100*time.Millisecond, func() bool { return w.a.engine.Status().Held > 0 })
	}) {
		t.Error("the hand-over never ends")
	}
}

func TestModeIncremental(t *testing.T) {
	for _, m := range []session.Mode{session.ModeIncremental, session.ModeHybrid} {
		t.Run(string(m), func(t *testing.T) {
			w := inMode(t, knobs(m, ever, 60000))
			rs := flows(100)
			w.a.born(rs...)
			w.b.has("each at once", rs...)
			if s := w.a.engine.Status(); s.Held != 0 || s.Allowed != 0 {
				t.Errorf("%d held, a lag of %v allowed", s.Held, s.Allowed)
			}
		})
	}
}

// A leader tells of a flow with its first packet, of any age; nobody's kernel has it
// until it is answered, or until a takeover if datagrams can go on.
func TestModeLeaderFollower(t *testing.T) {
	w := newWorld(t)
	w.a.cfg.Knobs = knobs(session.ModeLeaderFollower, 0, 0)
	w.a.cfg.Classes = session.Policy{{MinAge: ever}}
	mute, dial, good := flow(1, 17), flow(2, 6), flow(4, 6)
	mute.Status, mute.Timeout = session.StatusConfirmed, 30
	dial.Status = session.StatusConfirmed
	w.a.born(dial)
	dial.TCP.State = session.TCPSynSent // no entry can be made like that
	must(t, w.a.kernel.Update([]session.Record{dial}, updateAll, make([]error, 1)))
	w.runMode()
	w.a.born(mute, good)
	eventually(t, "all are in b's table", func() bool { return w.b.engine.Status().Foreign == 3 })
	w.b.still("that which is established is in its kernel", good)
	eventually(t, "all are applied", func() bool { s := w.a.engine.Status(); return s.Lag == 0 && s.Dirty == 0 })
	dial.TCP.State, dial.Status = session.TCPEstablished, good.Status
	must(t, w.a.kernel.Update([]session.Record{dial}, updateAll, make([]error, 1)))
	w.b.has("now the other is", good, dial)
	w.a.stop()
	if r := w.b.activate(2); r.Installed != 1 {
		t.Errorf("%+v", r)
	}
	if d := w.b.differs([]session.Record{good, dial, mute}); d != "" {
		t.Errorf("after the takeover b %s", d)
	}
	if e, err := w.b.kernel.Get(mute.Key); err != nil || e.Timeout > 60 {
		t.Errorf("what nobody has answered is held for %d s, %v", e.Timeout, err)
	}
}

// In incremental mode the same flows go nowhere: what makes the difference is the mode.
func TestOthersTellOfAnsweredFlowsOnly(t *testing.T) {
	w := inMode(t, session.Knobs{})
	mute, good := flow(1, 17), flow(4, 6)
	mute.Status = session.StatusConfirmed
	w.a.born(mute, good)
	w.b.still("the established one", good)
	if n := w.b.engine.Status().Foreign; n != 1 {
		t.Errorf("%d in b's table", n)
	}
}

// The time-line: what begins and ends is not listened to, and found by dumps; only what
// differs is sent.
func TestModePeriodic(t *testing.T) {
	t.Parallel()
	w := inMode(t, knobs(session.ModePeriodic, 300*time.Millisecond, 0))
	before := w.a.engine.Status()
	rs := flows(200)
	w.a.born(rs...)
	w.b.has("found by a dump", rs...)
	eventually(t, "several more", func() bool { return w.a.engine.Status().Counters.Dumps > before.Counters.Dumps+4 })
	s := w.a.engine.Status()
	if n := s.Counters.Events - before.Counters.Events; n != 0 {
		t.Errorf("%d events were read", n)
	}
	p, q := s.Peers[0].Sender, before.Peers[0].Sender
	if p.Upserts-q.Upserts != 200 || p.Deletes != q.Deletes || p.Transfers != q.Transfers {
		t.Errorf("sent %+v, before %+v", p, q)
	}
	if s.Allowed < 300*time.Millisecond {
		t.Errorf("a lag of %v allowed", s.Allowed)
	}
	w.a.end(rs[:50]...)
	w.b.has("ends too", rs[50:]...)
}

// What a crash loses in periodic mode is what has begun since the last reading, and the
// lag says how long ago that is.
func TestModePeriodicLosesWhatItHasNotRead(t *testing.T) {
	w := newWorld(t)
	w.a.cfg.Knobs = knobs(session.ModePeriodic, ever, 0)
	early := flows(100)
	w.a.born(early...)
	w.runMode()
	w.b.has("read at the activation", early...)
	w.a.born(flow(5000, 6), flow(5001, 17))
	first := w.a.engine.Status().Lag
	eventually(t, "the lag grows", func() bool { return w.a.engine.Status().Lag > first+100*time.Millisecond })
	w.b.still("not read", early...)
	w.a.stop()
	w.b.activate(2)
	if d := w.b.differs(early); d != "" {
		t.Errorf("after the crash b %s", d)
	}
}

// Dumps go on beside installs: a node that is Active for a group and stands by for
// another.
func TestModePeriodicBesideInstalls(t *testing.T) {
	w := newWorld(t)
	other := session.AddrFrom(newVIP)
	for _, b := range []*box{w.a, w.b} {
		b.cfg.Knobs = knobs(session.ModePeriodic, 200*time.Millisecond, 0)
		b.cfg.Groups = append(b.cfg.Groups, replica.Group{Name: "two", Addresses: append(b.cfg.Groups[0].Addresses[:0:0], newVIP)})
	}
	w.runMode()
	if _, err := w.b.engine.Activate(context.Background(), "two", 1); err != nil {
		t.Fatal(err)
	}
	mine, theirs := flows(500), flows(500)
	for i := range theirs {
		theirs[i].ReplyDst = other
		theirs[i].SrcPort += 20000
	}
	for i := range 10 {
		w.a.born(mine[i*50 : i*50+50]...)
		w.b.born(theirs[i*50 : i*50+50]...)
	}
	w.b.has("a's flows on b", mine...)
	eventually(t, "b's flows on a", func() bool { return w.a.all(newVIP) == 500 })
	w.a.end(mine[:200]...)
	w.b.end(theirs[:200]...)
	w.b.has("a's ends on b", mine[200:]...)
	eventually(t, "b's ends on a", func() bool { return w.a.all(newVIP) == 300 })
	for _, b := range []*box{w.a, w.b} {
		if s := b.engine.Status(); s.Local != 300 || s.Foreign != 300 || s.Counters.Reinstalled != 0 {
			t.Errorf("%s: %d local, %d foreign, %+v", b.name, s.Local, s.Foreign, s.Counters)
		}
	}
}

// The log by dependencies: so many changes wait, until one of them depends on others.
func TestModeLogDependency(t *testing.T) {
	w := inMode(t, knobs(session.ModeLogDependency, 0, 10))
	rs := flows(40)
	w.a.born(rs[:9]...)
	w.a.knows(9)
	w.b.still("nine wait")
	s := w.a.engine.Status()
	if s.Held != 9 || s.Dirty != 9 || s.Lag <= 0 || s.Allowed != session.AuditEvery {
		t.Errorf("%d held, %d dirty, lag %v of %v", s.Held, s.Dirty, s.Lag, s.Allowed)
	}
	w.a.born(rs[9])
	w.b.has("with the tenth all go", rs[:10]...)
	w.a.born(rs[10:13]...)
	w.a.knows(13)
	w.b.still("three more wait", rs[:10]...)
	child := rs[14]
	child.Master = rs[12].Key
	w.a.born(child)
	w.b.has("a related flow takes along what it depends on", append(rs[:13:13], child)...)
	if e, err := w.b.kernel.Get(child.Key); err != nil || e.Master != rs[12].Key {
		t.Errorf("installed as %s, %v", e.String(), err)
	}
	lost := rs[20:29]
	w.a.born(lost...)
	w.a.knows(14 + len(lost))
	w.a.stop()
	w.b.activate(2)
	if d := w.b.differs(append(rs[:13:13], child)); d != "" {
		t.Errorf("less than a batch is lost, but b %s", d)
	}
}

// The same with what a helper has read of: FTP's data connection is expected by the
// kernel of the standby as soon as it is announced.
func TestModeLogDependencyExpectation(t *testing.T) {
	g := newGateways(t, helperRules)
	g.a.cfg.Knobs = knobs(session.ModeLogDependency, 0, 60000)
	g.runs()
	f := g.ftp()
	g.a.knows(1)
	if n := g.b.engine.Status().Foreign; n != 0 {
		t.Errorf("%d have arrived before anything depends on them", n)
	}
	f.command("PASV")
	f.answer("227 Entering Passive Mode (198,51,100,9,7,208)")
	g.expects(1)
}

// The optimistic log: changes wait for a while, or for others; the owner never waits.
func TestModeLogOptimistic(t *testing.T) {
	t.Parallel()
	w := inMode(t, knobs(session.ModeLogOptimistic, 700*time.Millisecond, 50))
	rs := flows(200)
	// How often it told, for so many that came in so little time.
	before := w.a.engine.Status().Peers[0].Sender.Frames
	w.a.born(rs[:20]...)
	w.b.has("after a while", rs[:20]...)
	if n := w.a.engine.Status().Peers[0].Sender.Frames - before; n > 2 {
		t.Errorf("%d frames for what came at once", n)
	}
	w.a.born(rs[20:]...)
	w.b.has("a full batch and the rest", rs...)
	if s := w.a.engine.Status(); s.Allowed != 700*time.Millisecond {
		t.Errorf("a lag of %v allowed", s.Allowed)
	}
}

func TestModeLogOptimisticLosesWhatWaits(t *testing.T) {
	w := inMode(t, knobs(session.ModeLogOptimistic, ever, 50))
	rs := flows(80)
	w.a.born(rs[:50]...)
	w.b.has("a batch", rs[:50]...)
	w.a.born(rs[50:]...)
	w.a.knows(80)
	w.b.still("thirty wait", rs[:50]...)
	if s := w.a.engine.Status(); s.Held != 30 || s.Lag <= 0 {
		t.Errorf("%d held, lag %v", s.Held, s.Lag)
	}
	w.a.stop()
	w.b.activate(2)
	if d := w.b.differs(rs[:50]); d != "" {
		t.Errorf("after the crash b %s", d)
	}
}

// A reload changes the mode while flows go on: from any to any, and none is lost.
func TestReconfigureChangesTheMode(t *testing.T) {
	t.Parallel()
	w := inMode(t, session.Knobs{})
	n := uint32(0)
	var rs []session.Record
	reload := func(b *box, m session.Mode, cold bool) {
		t.Helper()
		b.cfg.Knobs, b.cfg.Cold = knobs(m, ever, 60000), cold
		before := b.engine.Status().Counters.Dumps
		must(t, b.engine.Reconfigure(b.cfg))
		if b == w.a {
			eventually(t, "the owner has read its kernel", func() bool { return b.engine.Status().Counters.Dumps > before })
		}
	}
	distinct := []session.Mode{session.ModeIncremental, session.ModeLeaderFollower, session.ModePeriodic, session.ModeLogDependency, session.ModeLogOptimistic}
	for _, from := range distinct {
		for _, to := range distinct {
			for _, m := range []session.Mode{from, to} {
				reload(w.a, m, false)
				more := make([]session.Record, 50)
				for i := range more {
					more[i] = flow(n, 6)
					n++
				}
				rs = append(rs, more...)
				events := w.a.engine.Status().Counters.Events
				w.a.born(more...)
				if m != session.ModePeriodic { // none of them is left for the next mode
					eventually(t, string(m+" listens"), func() bool { return w.a.engine.Status().Counters.Events >= events+uint64(len(more)) })
				}
				switch m {
				case session.ModeLogDependency, session.ModeLogOptimistic:
					eventually(t, string(m+" holds back"), func() bool { return w.a.engine.Status().Held > 0 })
				case session.ModePeriodic:
					// One or two of those before may be read only now.
					if within(50*time.Millisecond, func() bool { return w.a.engine.Status().Counters.Events > events+25 }) {
						t.Errorf("%s after %s listens to events", m, from)
					}
				}
			}
			reload(w.a, session.ModeIncremental, false)
			w.b.has(string(from+" to "+to), rs...)
		}
	}
	if s := w.b.engine.Status(); s.Counters.Removed != 0 || s.Foreign != len(rs) {
		t.Errorf("%d foreign of %d, %+v", s.Foreign, len(rs), s.Counters)
	}
	// What was told of unanswered flows is taken back by a mode that does not.
	mute := flow(n, 17)
	mute.Status = session.StatusConfirmed
	w.a.born(mute)
	reload(w.a, session.ModeLeaderFollower, false)
	eventually(t, "told", func() bool { return w.b.engine.Status().Foreign == len(rs)+1 })
	reload(w.a, session.ModeIncremental, false)
	eventually(t, "taken back", func() bool { return w.b.engine.Status().Foreign == len(rs) })
	// Where a standby keeps them can be changed as well.
	reload(w.b, session.ModeIncremental, true)
	late := flow(n+1, 6)
	w.a.born(late)
	eventually(t, "in b's table", func() bool { return w.b.engine.Status().Foreign == len(rs)+1 })
	w.b.still("not in its kernel", rs...)
	reload(w.b, session.ModeIncremental, false)
	w.b.has("now it is", append(rs, late)...)
}
