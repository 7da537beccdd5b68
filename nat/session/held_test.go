package session

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// teller fills for a sender as its owner does: when it is not idle, and at its deadline.
type teller struct {
	*pair
	due  time.Time
	took int // fills
}

func newTeller(t testing.TB, k Knobs) *teller {
	p := &teller{pair: newPair()}
	p.ga.Activate(0, 1)
	p.s.SetKnobs(k)
	p.connect()
	p.settle(t)
	p.kicked()
	return p
}

// kicked is what follows a change.
func (p *teller) kicked() {
	if p.s.Idle() && !p.due.IsZero() {
		return
	}
	for before := -1; before != len(p.frames); p.took++ {
		before = len(p.frames)
		p.send(1)
	}
	p.due = p.s.Deadline(p.now)
}

// pass lets time go by, with all that becomes due meanwhile.
func (p *teller) pass(t testing.TB, d time.Duration) {
	end := p.now.Add(d)
	for n := 0; !p.due.After(end); n++ {
		if n > 100000 {
			t.Fatal("the sender's deadline stands still")
		}
		p.now = p.due
		for before := -1; before != len(p.frames); p.took++ {
			before = len(p.frames)
			p.send(1)
		}
		p.due = p.s.Deadline(p.now)
	}
	p.now = end
}

func (p *teller) change(n uint32) {
	r := snat(n)
	p.upsert(&r)
	p.kicked()
}

// arrived lets all that was sent arrive and returns how many sessions the standby has.
func (p *teller) arrived(t testing.TB) int {
	t.Helper()
	if err := p.deliver(1 << 30); err != nil {
		t.Fatal(err)
	}
	p.kicked()
	return p.tb.Len()
}

// oldest is the age of the oldest change that was not sent.
func (p *teller) oldest() (time.Duration, bool) {
	d, ok := p.s.queue().peek()
	return p.ta.since(p.now, d.at), ok
}

// Whatever the knobs and whatever happens, no change is held beyond its bound, nor more
// of them than a batch; when all is let go the peer has all; the lag counts what is held.
func TestNothingIsHeldBeyondItsBound(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		k := Knobs{Ack: rapid.SampledFrom([]Ack{AckApplied, AckReceived, AckNone}).Draw(rt, "ack")}
		if rapid.Bool().Draw(rt, "clock") {
			k.Every = time.Duration(rapid.IntRange(1, 90000).Draw(rt, "every")) * time.Millisecond
		}
		if rapid.Bool().Draw(rt, "count") {
			k.Batch = rapid.IntRange(2, 50).Draw(rt, "batch")
		}
		p := newTeller(t, k)
		check := func() {
			age, some := p.oldest()
			if some && age > k.Bound()+time.Millisecond { // of the table's clock
				rt.Fatalf("%d changes, the oldest held for %v: %+v", p.s.Dirty(), age, k)
			}
			if k.Batch > 0 && p.s.Dirty() >= k.Batch {
				rt.Fatalf("%d changes held: %+v", p.s.Dirty(), k)
			}
			if held := p.s.Held(); held != p.s.Dirty() || !k.Holds() && held > 0 {
				rt.Fatalf("%d of %d held: %+v", held, p.s.Dirty(), k)
			}
			if some && p.s.Lag(p.now) < age {
				rt.Fatalf("lag %v, held for %v", p.s.Lag(p.now), age)
			}
		}
		rt.Repeat(map[string]func(*rapid.T){
			"change": func(rt *rapid.T) {
				for range rapid.IntRange(1, 20).Draw(rt, "n") {
					p.change(rapid.Uint32Max(200).Draw(rt, "flow"))
				}
			},
			"end": func(rt *rapid.T) {
				r := snat(rapid.Uint32Max(200).Draw(rt, "flow"))
				p.delete(&r.Key)
				p.kicked()
			},
			"wait": func(rt *rapid.T) {
				p.pass(t, time.Duration(rapid.IntRange(1, 100000).Draw(rt, "ms"))*time.Millisecond)
			},
			"arrive": func(*rapid.T) { p.arrived(t) },
			"resync": func(*rapid.T) { p.s.Resync(p.now, 1); p.kicked(); p.arrived(t); p.arrived(t) },
			"":       func(*rapid.T) { p.arrived(t); check() },
		})
		p.s.Release()
		p.kicked()
		p.arrived(t)
		if got, want := p.tb.Dump(), p.ta.Dump(); got != want {
			rt.Fatalf("standby\n%sactive\n%s", got, want)
		}
		if p.s.Held() != 0 || p.s.Lag(p.now) != 0 || p.s.Behind(p.now) != 0 {
			rt.Fatalf("%d held, lag %v, behind %v", p.s.Held(), p.s.Lag(p.now), p.s.Behind(p.now))
		}
	})
}

// What each trigger does, change by change.
func TestTriggers(t *testing.T) {
	for _, row := range []struct {
		name  string
		knobs Knobs
		steps func(p *teller, has func(int))
	}{
		{"each change at once", Knobs{}, func(p *teller, has func(int)) {
			p.change(1)
			has(1)
			p.change(2)
			has(2)
		}},
		{"after a while", Knobs{Every: 100 * time.Millisecond}, func(p *teller, has func(int)) {
			p.change(1)
			p.pass(t, 60*time.Millisecond)
			p.change(2)
			has(0)
			p.pass(t, 39*time.Millisecond)
			has(0)
			p.pass(t, 2*time.Millisecond)
			has(2) // together with the one that waits
			p.change(3)
			has(2)
			p.pass(t, 101*time.Millisecond)
			has(3)
		}},
		{"a clock that is slower than pings", Knobs{Every: 10 * time.Second}, func(p *teller, has func(int)) {
			p.pass(t, 3*time.Second)
			p.change(1)
			p.pass(t, 9*time.Second)
			has(0)
			p.pass(t, 2*time.Second)
			has(1)
		}},
		{"when so many wait", Knobs{Batch: 3}, func(p *teller, has func(int)) {
			p.change(1)
			p.change(1)
			p.change(2)
			has(0) // a record that changes twice counts once
			p.change(3)
			has(3)
			p.change(4)
			has(3)
		}},
		{"at the latest when an audit may be due", Knobs{Batch: 3}, func(p *teller, has func(int)) {
			p.change(1)
			p.pass(t, AuditEvery/2)
			has(0)
			p.pass(t, AuditEvery/2+time.Millisecond)
			has(1)
		}},
		{"whichever comes first", Knobs{Every: time.Second, Batch: 3}, func(p *teller, has func(int)) {
			p.change(1)
			p.change(2)
			p.change(3)
			has(3)
			p.change(4)
			p.pass(t, time.Second+time.Millisecond)
			has(4)
		}},
		{"on its owner's word", Knobs{Every: time.Hour, Batch: 1000}, func(p *teller, has func(int)) {
			p.change(1)
			has(0)
			p.s.Release()
			p.change(2) // later than the word
			has(1)
		}},
		{"before a full transfer ends", Knobs{Every: time.Hour}, func(p *teller, has func(int)) {
			p.change(1)
			p.s.Resync(p.now, 1)
			p.kicked()
			has(1)
			if ok, _ := p.s.Synced(); !ok {
				t.Error("not in sync")
			}
			p.change(2)
			has(1)
		}},
		{"when the knobs change", Knobs{Every: time.Hour}, func(p *teller, has func(int)) {
			p.change(1)
			p.s.SetKnobs(Knobs{Every: time.Hour, Ack: AckReceived})
			p.kicked()
			has(1)
			p.change(2)
			has(1)
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			p := newTeller(t, row.knobs)
			row.steps(p, func(n int) {
				t.Helper()
				if got := p.arrived(t); got != n {
					t.Errorf("%d changes have arrived, want %d", got, n)
				}
			})
		})
	}
}

// A new connection tells everything, whatever is held back, and holds back what comes
// behind.
func TestHeldOverALostConnection(t *testing.T) {
	p := newTeller(t, Knobs{Every: time.Hour})
	p.change(1)
	p.s.Disconnect()
	p.r.Disconnect()
	p.change(2)
	p.connect()
	p.settle(t)
	p.kicked()
	if n := p.arrived(t); n != 2 {
		t.Errorf("%d have arrived", n)
	}
	p.change(3)
	if n := p.arrived(t); n != 2 || p.s.Held() != 1 {
		t.Errorf("%d have arrived, %d held", n, p.s.Held())
	}
}

// What makes a change safe: the lag goes by it, a hand-over never.
func TestWhatMakesAChangeSafe(t *testing.T) {
	for _, row := range []struct {
		ack                        Ack
		held, sent, taken, applied bool // lag at that point
	}{
		{AckApplied, true, true, true, false},
		{AckReceived, true, true, false, false},
		{AckNone, true, false, false, false},
	} {
		t.Run(row.ack.String(), func(t *testing.T) {
			p := newTeller(t, Knobs{Every: time.Second, Ack: row.ack})
			lags := func(when string, want, behind bool) {
				t.Helper()
				p.now = p.now.Add(10 * time.Millisecond)
				if got := p.s.Lag(p.now); (got > 0) != want {
					t.Errorf("%s: lag %v", when, got)
				}
				if got := p.s.Behind(p.now); (got > 0) != behind {
					t.Errorf("%s: behind %v", when, got)
				}
			}
			p.change(1)
			lags("held", row.held, true)
			p.s.Release()
			p.kicked()
			lags("sent", row.sent, true)
			frames := p.frames
			for len(frames) > 0 { // the kernel is not told yet
				h, err := ParseHeader(frames)
				if err != nil || p.r.Handle(p.now, h.Type, frames[HeaderLen:HeaderLen+h.Length]) != nil {
					t.Fatal(err)
				}
				frames = frames[HeaderLen+h.Length:]
			}
			p.frames = nil
			back := p.r.Reply(nil)
			for len(back) > 0 {
				h, err := ParseHeader(back)
				if err != nil || p.s.Handle(p.now, h.Type, back[HeaderLen:HeaderLen+h.Length]) != nil {
					t.Fatal(err)
				}
				back = back[HeaderLen+h.Length:]
			}
			lags("in the peer's table", row.taken, true)
			p.arrived(t)
			lags("in its kernel", row.applied, false)
		})
	}
}

// Without acknowledgements the sender goes on, and still knows when all is applied.
func TestNoAcknowledgementIsWaitedFor(t *testing.T) {
	p := newTeller(t, Knobs{Ack: AckNone})
	for i := range uint32(3 * window) {
		p.now = p.now.Add(time.Millisecond)
		p.change(i)
	}
	if p.s.Dirty() != 0 || p.s.Lag(p.now) != 0 {
		t.Fatalf("%d dirty, lag %v", p.s.Dirty(), p.s.Lag(p.now))
	}
	if got := p.s.Behind(p.now); got < (3*window-2)*time.Millisecond {
		t.Errorf("behind %v", got)
	}
	if err := p.deliver(2 * window); err != nil {
		t.Fatal(err)
	}
	if p.s.Behind(p.now) == 0 || p.tb.Len() == 3*window {
		t.Errorf("behind %v when %d have arrived", p.s.Behind(p.now), p.tb.Len())
	}
	p.arrived(t)
	if p.s.Behind(p.now) != 0 || p.tb.Len() != 3*window {
		t.Errorf("behind %v, %d arrived", p.s.Behind(p.now), p.tb.Len())
	}
}

// A sender that holds back is not woken for each change: once for the first.
func TestHoldingBackIsIdle(t *testing.T) {
	p := newTeller(t, Knobs{Every: time.Second, Batch: 1000})
	p.change(0)
	p.took = 0
	for i := range uint32(500) {
		p.change(i)
	}
	if p.took > 0 {
		t.Errorf("%d fills for changes that wait", p.took)
	}
	r, buf := snat(1), p.buf[:0]
	n := uint32(0)
	allocs := testing.AllocsPerRun(1000, func() {
		n++
		r.ID = n
		p.upsert(&r)
		p.s.Idle()
		p.s.Fill(p.now, buf)
		p.s.Deadline(p.now)
	})
	if allocs > 0 {
		t.Errorf("%v allocations for a change that waits", allocs)
	}
}

func TestKnobsOf(t *testing.T) {
	all := []Mode{ModeLeaderFollower, ModeIncremental, ModePeriodic, ModeLogDependency, ModeLogOptimistic, ModeActive, ModeHybrid}
	for _, m := range all {
		k, ok := KnobsOf(m, 0, 0)
		chosen, _ := KnobsOf(m, 3*time.Second, 7)
		clock := slices.Contains([]Mode{ModePeriodic, ModeLogOptimistic}, m)
		count := slices.Contains([]Mode{ModeLogDependency, ModeLogOptimistic}, m)
		if !ok || (k.Every > 0) != clock || (k.Batch > 0) != count || k.Holds() != (clock || count) {
			t.Errorf("%s: %+v, %v", m, k, ok)
		}
		if clock && chosen.Every != 3*time.Second || !clock && chosen.Every != 0 || count && chosen.Batch != 7 || !count && chosen.Batch != 0 {
			t.Errorf("%s with every and batch: %+v", m, chosen)
		}
	}
	if k, ok := KnobsOf("hybird", time.Second, 7); ok || k != (Knobs{}) {
		t.Errorf("no mode: %+v, %v", k, ok)
	}
	if k, _ := KnobsOf(ModeIncremental, 0, 0); k != (Knobs{}) {
		t.Errorf("the zero value is not incremental: %+v", k)
	}
}

func TestBound(t *testing.T) {
	for _, row := range []struct {
		knobs Knobs
		want  time.Duration
	}{
		{Knobs{}, 0}, {Knobs{Every: time.Second, Batch: 9}, time.Second}, {Knobs{Batch: 9}, AuditEvery}, {Knobs{Every: time.Hour}, AuditEvery},
	} {
		if got := row.knobs.Bound(); got != row.want {
			t.Errorf("%+v: %v, want %v", row.knobs, got, row.want)
		}
	}
}
