package replica_test

import (
	"context"
	"testing"
	"time"

	"understudy/nat/session"
)

// unheard is how many fills a sender leaves unacknowledged, see session.Sender.
const unheard = 64

// clog lets nothing through between the box and its peer, and has so much begin that
// the sender waits to be heard: some of it is not even sent. It returns what has begun,
// in the flows from number n on.
func (b *box) clog(n uint32) (rs []session.Record) {
	b.t.Helper()
	must(b.t, b.cable.Silence())
	before := b.engine.Status().Local
	sent := func() bool { return b.engine.Status().Dirty == 0 }
	for i := range 20 * unheard {
		r := flow(n+uint32(i), 6)
		b.born(r)
		rs = append(rs, r)
		// A fill each, as long as it can be.
		b.knows(before + len(rs))
		if !within(3*time.Millisecond, sent) && i >= unheard && !within(150*time.Millisecond, sent) {
			return rs
		}
	}
	b.t.Fatal("the sender is never full")
	return nil
}

// What an owner could not send before it gave the group up it sends then: a link that is
// slow for a moment loses nothing.
func TestHandOverOverASlowLink(t *testing.T) {
	w := running(t)
	w.a.calm()
	rs := flows(20)
	w.a.born(rs...)
	w.b.has("hot", rs...)
	rs = append(rs, w.a.clog(1000)...)
	w.b.activate(2)
	w.a.engine.Deactivate("gw")
	s := w.a.engine.Status()
	if s.Groups[0].Active || s.Local != 0 || s.InSync {
		t.Errorf("given up, and %+v", s)
	}
	if s.Dirty == 0 && s.Connected {
		t.Error("all was sent before: the test shows nothing")
	}
	must(t, w.a.cable.Unsilence())
	w.b.has("all that a had", rs...)
	w.a.has("the same", rs...)
	eventually(t, "it is over", func() bool {
		a, b := w.a.engine.Status(), w.b.engine.Status()
		return a.InSync && w.a.holds("b") && a.Foreign == len(rs) && b.Local == len(rs) && b.Covered && !b.Groups[0].Claimed
	})
}

// What only a dump tells is told when it has: in a mode that polls a hand-over does not
// wait for that, and loses nothing by it.
func TestHandOverBeforeTheKernelIsRead(t *testing.T) {
	w := inMode(t, knobs(session.ModePeriodic, ever, 0))
	rs := flows(50)
	release := w.a.engine.HoldDumps()
	w.a.born(rs...)
	w.b.activate(2)
	w.a.engine.Deactivate("gw")
	if s := w.a.engine.Status(); s.Groups[0].Active {
		t.Errorf("given up, and %+v", s)
	}
	w.b.still("not read yet")
	release()
	w.b.has("all that a's kernel had", rs...)
	w.a.has("the same", rs...)
	eventually(t, "a is in sync", func() bool { s := w.a.engine.Status(); return s.InSync && s.Foreign == len(rs) })
}

// The link is lost before the last owner has sent all: the new one asks for what it has
// kept as soon as it is back.
func TestHandOverAndTheLinkIsLost(t *testing.T) {
	t.Parallel()
	w := running(t)
	w.a.calm()
	rs := flows(20)
	w.a.born(rs...)
	w.b.has("hot", rs...)
	rs = append(rs, w.a.clog(1000)...)
	w.b.activate(2)
	w.a.engine.Deactivate("gw")
	eventually(t, "the link is lost", func() bool { return !w.a.engine.Status().Connected && !w.b.engine.Status().Connected })
	if s := w.b.engine.Status(); s.Groups[0].Incomplete {
		t.Errorf("what a dead one had in its last moments is missed: %+v", s)
	}
	must(t, w.a.cable.Unsilence())
	w.b.has("all that a had", rs...)
	w.a.has("the same", rs...)
}

// The role comes back while peers are still being told that it goes: it stays.
func TestTheRoleComesBackDuringAHandOver(t *testing.T) {
	w := running(t)
	w.a.calm()
	old := flow(0, 6)
	w.a.born(old)
	w.b.has("hot", old)
	rs := append(w.a.clog(1000), old)
	w.a.engine.Deactivate("gw")
	w.a.activate(3)
	if s := w.a.engine.Status(); !s.Groups[0].Active || s.Local != len(rs) {
		t.Errorf("%+v", s)
	}
	must(t, w.a.cable.Unsilence())
	w.b.has("all that a has", rs...)
	w.a.has("the same", rs...)
	// Another may have had it in between.
	eventually(t, "no window check", func() bool { return w.a.liberal(&old) })
	eventually(t, "b stands by", func() bool { s := w.b.engine.Status(); return s.InSync && w.b.holds("a") && s.Foreign == len(rs) })
	if s := w.a.engine.Status(); !s.Groups[0].Active {
		t.Errorf("%+v", s)
	}
}

// A node that ends after it has given a group up ends when its peers have heard the last
// of it.
func TestFarewell(t *testing.T) {
	t.Parallel()
	w := running(t)
	w.a.calm()
	rs := w.a.clog(1000)
	w.b.activate(2)
	w.a.engine.Deactivate("gw")
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	w.a.engine.Farewell(ctx) // in vain
	cancel()
	if ctx.Err() == nil {
		t.Error("it is said to be over before anybody has heard of it")
	}
	must(t, w.a.cable.Unsilence())
	ctx, cancel = context.WithTimeout(context.Background(), settle)
	defer cancel()
	w.a.engine.Farewell(ctx)
	w.a.stop()
	w.b.has("all that a had", rs...)
	if ctx.Err() != nil {
		t.Error("it never ends")
	}
}
