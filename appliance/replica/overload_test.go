package replica_test

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"understudy/nat/conntrack"
	"understudy/nat/session"
)

// overloaded is a pair whose a has room for a few events only, and reads them rarely.
func overloaded(t *testing.T, ladder session.Ladder) *world {
	t.Helper()
	w := newWorld(t)
	w.a.cfg.RcvBuf = 16 * conntrack.EventBytes
	w.a.cfg.Harvest = 20 * time.Millisecond
	w.a.cfg.Ladder = ladder
	w.a.start()
	w.b.start()
	w.a.activate(1)
	eventually(t, "b is in sync", func() bool { return w.b.engine.Status().InSync && w.b.holds("a") })
	return w
}

func (b *box) step() session.Step { return b.engine.Status().Overload.Step }

// TestOverloadLadder: a storm has the engine poll, what begins and ends meanwhile is
// found by dumps, and when it is over events are heard again.
func TestOverloadLadder(t *testing.T) {
	w := overloaded(t, session.Ladder{PollFor: 3 * time.Second, PollEvery: 300 * time.Millisecond, CalmAfter: time.Second})
	if o := w.a.engine.Status().Overload; o.Step != session.Calm || o.Reason != "" || o.Since.IsZero() || o.Buffer.Size != 32*conntrack.EventBytes {
		t.Errorf("at first: %+v", o)
	}
	rs := flows(3000)
	eventually(t, "it polls", func() bool {
		if w.a.step() == session.Polling {
			return true
		}
		w.a.end(rs...)
		w.a.born(rs...)
		return false
	})
	if o := w.a.engine.Status().Overload; !strings.Contains(o.Reason, "lost 3 times") || o.Since.IsZero() {
		t.Errorf("while polling: %+v", o)
	}
	w.b.has("what dumps tell", rs...)
	heard := w.a.engine.Status().Counters.Events
	late := flow(5000, 6)
	w.a.born(late)
	w.b.has("a flow that began meanwhile", append(rs, late)...)
	if s := w.a.engine.Status(); s.Overload.Step == session.Polling && s.Counters.Events != heard {
		t.Errorf("its beginning was an event: %d, then %d", heard, s.Counters.Events)
	}
	eventually(t, "it is calm again", func() bool { return w.a.step() == session.Calm })
	last := flow(5002, 6)
	dumps := w.a.engine.Status().Counters.Dumps
	w.a.born(last)
	w.b.has("a flow that began then", append(rs, late, last)...)
	if s := w.a.engine.Status(); s.Counters.Events == heard || s.Counters.Dumps != dumps || s.Counters.Overloads == 0 {
		t.Errorf("it was not an event: %+v", s.Counters)
	}
}

// TestOverloadSparesTheAssured: while the buffer is full, changes of flows that are not
// assured are passed over, and found by a dump.
func TestOverloadSparesTheAssured(t *testing.T) {
	w := newWorld(t)
	const room = 400
	w.a.cfg.RcvBuf = room * conntrack.EventBytes / 2
	w.a.cfg.Harvest = 300 * time.Millisecond
	w.a.start()
	w.b.start()
	w.a.activate(1)
	eventually(t, "b is in sync", func() bool { return w.b.engine.Status().InSync && w.b.holds("a") })
	var plain, assured []session.Record
	for i := range uint32(room / 4) {
		r := flow(2*i+1, 17) // UDP
		assured = append(assured, r)
		r = flow(10000+2*i+1, 17)
		r.Status &^= session.StatusAssured | session.StatusSeenReply
		plain = append(plain, r)
	}
	w.a.born(plain...) // not worth a word yet
	eventually(t, "heard", func() bool { return w.a.engine.Status().Counters.Events >= uint64(len(plain)) })
	// Both kinds change, more than half of the buffer at once.
	for i := range plain {
		plain[i].Status |= session.StatusSeenReply
	}
	change := func(rs []session.Record) {
		results := make([]error, len(rs))
		must(t, w.a.kernel.Update(rs, updateAll, results))
		must(t, errors.Join(results...))
	}
	w.a.born(assured...)
	change(assured)
	change(plain)
	eventually(t, "some are passed over", func() bool { return w.a.engine.Status().Counters.Spared > 0 })
	if s := w.a.engine.Status(); s.Counters.Overruns != 0 || s.Counters.Overloads != 1 {
		t.Errorf("%+v", s.Counters)
	}
	w.b.has("all of them, in the end", append(assured, plain...)...)
	eventually(t, "calm", func() bool { return w.a.step() == session.Calm })
}

// Case 10: events are lost while a full transfer goes on.
func TestCase10EventsLostDuringATransfer(t *testing.T) {
	w := newWorld(t)
	w.a.cfg.RcvBuf = 16 * conntrack.EventBytes
	w.a.cfg.Harvest = 20 * time.Millisecond
	w.a.start()
	w.a.activate(1)
	rs := flows(20000)
	w.a.born(rs...)
	eventually(t, "a has them", func() bool { return w.a.engine.Status().Local == len(rs) })
	before := w.a.engine.Status().Counters.Overruns
	w.b.start()
	eventually(t, "the transfer has begun", func() bool { return w.b.engine.Status().Foreign > 0 })
	w.a.end(rs[:5000]...)
	more := make([]session.Record, 0, 2000)
	for i := range uint32(2000) {
		more = append(more, flow(50000+i, 17))
	}
	w.a.born(more...)
	eventually(t, "events are lost", func() bool { return w.a.engine.Status().Counters.Overruns > before })
	w.b.has("what a's kernel has", append(rs[5000:], more...)...)
	eventually(t, "in sync, of the same set", func() bool {
		a, b := w.a.engine.Status(), w.b.engine.Status()
		return b.InSync && a.Local == b.Foreign && a.Local == len(rs)-5000+len(more)
	})
}

// filled are flows of somebody else's that have filled a box's kernel. They are made when
// they are needed: there may be millions.
type filled struct {
	b *box
	n int
}

// fillBatch is how many flows are made at once.
const fillBatch = 1 << 12

// each calls fn with the flows, in batches.
func (f filled) each(fn func(rs ...session.Record)) {
	rs := make([]session.Record, 0, fillBatch)
	for i := range f.n {
		r := flow(uint32(i), 17)
		r.Src[1], r.ReplyDst[3] = 9, 99 // no address of ours, and no key of others
		r.Timeout = 3000
		if rs = append(rs, r); len(rs) == cap(rs) || i == f.n-1 {
			fn(rs...)
			rs = rs[:0]
		}
	}
}

// end makes room.
func (f filled) end() { f.each(f.b.end) }

// fill makes the box's kernel track flows of somebody else's until it tracks no more,
// but for some; they are assured, so none is dropped early. How many that are is up to
// the machine, whose nf_conntrack_max is one for all: 262,144 take a second and 100 MB.
func (b *box) fill(room int) filled {
	b.t.Helper()
	var limits conntrack.Limits
	must(b.t, b.node.Do(func() (err error) { limits, err = conntrack.ReadLimits(); return err }))
	f := filled{b, limits.Max - limits.Count - room}
	// The kernel's entries and what hangs on them have 400 bytes each.
	if need, free := f.n*400/1024, available(b.t); need > free/2 {
		b.t.Skipf("nf_conntrack_max is %d here: to fill that up takes %d MB, and %d are free", limits.Max, need/1024, free/1024)
	}
	f.each(b.born)
	return f
}

// available is the memory of this machine that nobody needs, in KiB.
func available(t *testing.T) (kib int) {
	t.Helper()
	b, err := os.ReadFile("/proc/meminfo")
	must(t, err)
	_, rest, _ := strings.Cut(string(b), "MemAvailable:")
	if _, err := fmt.Sscan(rest, &kib); err != nil {
		t.Fatalf("no MemAvailable in /proc/meminfo: %v", err)
	}
	return kib
}

// Case 13: the standby's table is full: it says that it is not ready, keeps the
// sessions in its own table, and installs them when there is room.
func TestCase13TableFullOnTheStandby(t *testing.T) {
	w := newWorld(t)
	alien := w.b.fill(10)
	w.a.start()
	w.b.start()
	w.a.activate(1)
	eventually(t, "in sync", func() bool { return w.b.engine.Status().InSync && w.b.holds("a") })
	rs := flows(200)
	w.a.born(rs...)
	eventually(t, "the kernel refuses", func() bool { return w.b.engine.Status().Counters.KernelFull > 0 })
	eventually(t, "not ready", func() bool {
		s := w.b.engine.Status()
		return !s.InSync && s.Foreign == len(rs) && strings.Contains(strings.Join(s.NotReady, "\n"), "room: the table is full")
	})
	alien.end()
	w.b.has("when there is room", rs...)
	eventually(t, "ready", func() bool { s := w.b.engine.Status(); return s.InSync && len(s.NotReady) == 0 })
}

// A standby that could not track as much as the owner does now is not ready.
func TestStandbyWithASmallerTable(t *testing.T) {
	w := newWorld(t)
	alien := flows(2000)
	for i := range alien {
		alien[i].Src[1], alien[i].ReplyDst[3] = 9, 99 // no address of ours, and room all the same
	}
	w.a.born(alien...)
	w.b.cfg.TableMax = 1000 // as if its kernel had no more
	w.a.start()
	w.b.start()
	w.a.activate(1)
	eventually(t, "not ready", func() bool {
		s := w.b.engine.Status()
		return s.Connected && !s.InSync && strings.Contains(strings.Join(s.NotReady, "\n"), "nf_conntrack_max is 1000")
	})
	eventually(t, "it knows the peer's", func() bool { return w.b.engine.Status().Peers[0].Table.Max > 1000 })
	eventually(t, "the owner knows its", func() bool { return w.a.engine.Status().Peers[0].Table.Max == 1000 })
	if s := w.a.engine.Status(); len(s.NotReady) != 0 || !s.InSync {
		t.Errorf("the owner is not ready: %q", s.NotReady)
	}
}

// Case 14: the owner's table is full. A new flow is refused, or takes the place of one
// that is not assured; whichever it is, the standby has what the owner's kernel has.
func TestCase14TableFullOnTheOwner(t *testing.T) {
	w := newWorld(t)
	alien := w.a.fill(300)
	w.a.start()
	w.b.start()
	w.a.activate(1)
	eventually(t, "in sync", func() bool { return w.b.engine.Status().InSync && w.b.holds("a") })
	var rs []session.Record
	for i := range uint32(400) {
		r := flow(i, 17)
		if i%2 == 0 {
			r.Status &^= session.StatusAssured // may be dropped early
		}
		rs = append(rs, r)
	}
	results := make([]error, len(rs))
	must(t, w.a.kernel.Install(rs, conntrack.InstallOptions{NoVerify: true}, results))
	refused := 0
	for _, err := range results {
		if err == conntrack.ErrTableFull {
			refused++
		} else {
			must(t, err)
		}
	}
	have := w.a.table()
	if refused == 0 && len(have) == len(rs) {
		t.Fatalf("none of %d refused and none dropped: the table was not full", len(rs))
	}
	t.Logf("%d refused, %d there", refused, len(have))
	list := make([]session.Record, 0, len(have))
	for _, r := range have {
		list = append(list, r)
	}
	w.b.has("what the owner's kernel has", list...)
	alien.end()
	w.a.born(flow(90000, 6))
	w.b.has("with room again", append(list, flow(90000, 6))...)
}

// Case 15: a flow that began while no daemon was there to listen is heard of when it
// changes, whatever nf_conntrack_events is: with 1 the kernel remembers for every
// flow what to tell, with 2, its default, only for those that began while somebody
// listened, or that our rules ask for.
func TestCase15DaemonRestart(t *testing.T) {
	t.Parallel()
	for _, events := range []string{"1", "2"} {
		t.Run("nf_conntrack_events="+events, func(t *testing.T) {
			g := newGateways(t, natRules)
			must(t, g.a.node.Sysctl("netfilter/nf_conntrack_events", events))
			for _, b := range []*box{g.a, g.b} {
				b.cfg.Reconcile = time.Hour // no dump makes up for it
			}
			g.runs()
			g.a.stop()
			c, s := g.connected(443)
			must(t, talkTo(c, s, "while nobody listens"))
			g.a.start()
			g.a.activate(1)
			g.b.hot(1, called(6, 443))
			eventually(t, "the dump of the activation", func() bool { return g.a.engine.Status().Counters.Dumps == 1 })
			must(t, c.Close())
			must(t, s.Close())
			eventually(t, "its end is heard of", func() bool { return len(g.b.sessionsOf(called(6, 443))) == 0 })
			if n := g.a.engine.Status().Counters.Dumps; n != 1 {
				t.Errorf("by dump number %d", n)
			}
		})
	}
}
