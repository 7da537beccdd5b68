package session

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

// Whatever happens to the sessions and however often the connection is lost in
// the middle of a frame or of a transfer, after it settles both tables and the
// standby's kernel are equal.
func TestBothSidesAgreeAfterLossyReconnects(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := newPair()
		p.ga.Activate(0, 1)
		// What the standby holds from an earlier life is swept.
		for i := range uint32(rapid.IntRange(0, 20).Draw(t, "stale")) {
			r := snat(i * 3)
			s, _, _ := p.tb.Upsert(&r, 0, 0)
			p.tb.SetInstalled(s, true)
			p.kernel[r.Key] = r
		}
		flow := rapid.Uint32Max(60)
		t.Repeat(map[string]func(*rapid.T){
			"upsert": func(t *rapid.T) {
				for range rapid.IntRange(1, 20).Draw(t, "n") {
					r := snat(flow.Draw(t, "flow"))
					r.TCP.State = TCPState(rapid.IntRange(3, 6).Draw(t, "state"))
					r.ReplyDstPort = uint16(rapid.IntRange(1, 3).Draw(t, "port"))
					r.ID = rapid.Uint32Max(3).Draw(t, "id")
					p.upsert(&r)
				}
			},
			"delete":  func(t *rapid.T) { r := snat(flow.Draw(t, "flow")); p.delete(&r.Key) },
			"connect": func(*rapid.T) { p.connect() },
			"cut":     func(*rapid.T) { p.s.Disconnect(); p.r.Disconnect(); p.frames = nil },
			"send":    func(*rapid.T) { p.buf = make([]byte, 0, 1024); p.send(1) },
			"resync":  func(*rapid.T) { p.s.Resync(p.now, 1) },
			"deliver": func(t *rapid.T) {
				if err := p.deliver(rapid.IntRange(1, 3).Draw(t, "frames")); err != nil {
					t.Fatal(err)
				}
			},
			"": func(*rapid.T) { p.now = p.now.Add(time.Millisecond) },
		})
		p.connect()
		for i := 0; ; i++ {
			p.send(1)
			ok, _ := p.s.Synced()
			if ok && len(p.frames) == 0 && p.s.Idle() {
				break
			}
			if err := p.deliver(1); err != nil || i > 10000 {
				t.Fatal(err, i)
			}
		}
		if got, want := p.tb.Dump(), p.ta.Dump(); got != want {
			t.Fatalf("standby\n%sactive\n%s", got, want)
		}
		kernel := NewTable(seed, t0, 0)
		for _, r := range p.kernel {
			// A new ID alone is nothing to a kernel, which has its own; and a
			// connection that closes can wait.
			if s, ok := p.ta.Lookup(&r.Key); ok {
				var now Record
				p.ta.Record(s, &now)
				r.ID, r.TCP.State = now.ID, now.TCP.State
			}
			kernel.Upsert(&r, 0, 0)
		}
		if got, want := kernel.Dump(), p.ta.Dump(); got != want {
			t.Fatalf("kernel\n%sactive\n%s", got, want)
		}
		if !p.r.Synced(0) || p.s.Lag(p.now) != 0 || p.r.Stats().Mismatches != 0 {
			t.Fatalf("synced %v lag %v %+v", p.r.Synced(0), p.s.Lag(p.now), p.r.Stats())
		}
		if p.ta.Tombstones() != 0 || p.tb.Tombstones() != 0 {
			t.Fatalf("tombstones left: %d and %d", p.ta.Tombstones(), p.tb.Tombstones())
		}
	})
}

func TestLagIsTheAgeOfTheOldestUnapplied(t *testing.T) {
	p := newPair()
	p.ga.Activate(0, 1)
	p.connect()
	p.settle(t)
	r := snat(1)
	p.upsert(&r)
	p.now = p.now.Add(40 * time.Millisecond)
	if got := p.s.Lag(p.now); got != 40*time.Millisecond {
		t.Errorf("dirty: lag %v", got)
	}
	p.send(1)
	p.now = p.now.Add(40 * time.Millisecond)
	if got := p.s.Lag(p.now); got != 80*time.Millisecond {
		t.Errorf("sent, not applied: lag %v", got)
	}
	if err := p.deliver(9); err != nil || p.s.Lag(p.now) != 0 {
		t.Errorf("applied: lag %v, %v", p.s.Lag(p.now), err)
	}
}

func TestSlowPeerCoalesces(t *testing.T) {
	p := newPair()
	p.ga.Activate(0, 1)
	p.connect()
	p.settle(t)
	for i := range uint32(200000) { // the peer reads nothing
		r := snat(i % 1000)
		r.ID = i
		p.upsert(&r)
		p.send(1)
	}
	if got := len(p.frames); got > window*cap(p.buf) {
		t.Errorf("%d bytes in flight", got)
	}
	if p.s.Dirty() > 1000 {
		t.Errorf("%d dirty of 1000", p.s.Dirty())
	}
	p.settle(t)
	if p.ta.Dump() != p.tb.Dump() {
		t.Error("the tables differ")
	}
}

func TestRefusesWhatIsOutsideTheScope(t *testing.T) {
	p := newPair()
	p.ga.Activate(0, 1)
	foreign, public, plain, ok := snat(1), snat(2), snat(3), snat(4)
	foreign.ReplyDst[3]++                                         // translated to an address that is not ours
	copy(public.Src[:], []byte{8, 8, 8, 8})                       // a source that is not inside
	plain.ReplyDst, plain.ReplyDstPort = plain.Src, plain.SrcPort // not translated
	for _, r := range []Record{foreign, public, plain, ok} {
		p.upsert(&r)
	}
	p.connect()
	p.settle(t)
	if st := p.r.Stats(); p.tb.Len() != 1 || st.Scope != 3 {
		t.Errorf("took %d, refused %d", p.tb.Len(), st.Scope)
	}
}

func TestAuditFindsADifferenceAndMendsIt(t *testing.T) {
	p := newPair()
	p.ga.Activate(0, 1)
	for i := range uint32(10) {
		r := snat(i)
		p.upsert(&r)
	}
	p.connect()
	p.settle(t)
	r := snat(3)
	s, _ := p.tb.Lookup(&r.Key)
	p.tb.Delete(s, 0, p.now)
	p.now = p.now.Add(AuditEvery)
	p.settle(t)
	if st := p.r.Stats(); st.Mismatches != 1 || st.Mends != 1 || st.Transfers != 1 || p.tb.Dump() != p.ta.Dump() {
		t.Errorf("%+v\n%s", st, p.tb.Dump())
	}
}

func TestUnknownFrames(t *testing.T) {
	p := newPair()
	p.connect()
	p.settle(t)
	if err := p.r.Handle(p.now, 0x7f, []byte{1}); err != nil || p.r.Stats().UnknownFrames != 1 {
		t.Errorf("optional: %v", err)
	}
	if err := p.r.Handle(p.now, 0xff, nil); err != ErrType {
		t.Errorf("critical: %v", err)
	}
	p.r.Connect(p.now)
	if err := p.r.Handle(p.now, TypeTerm, nil); err != ErrOrder {
		t.Errorf("before hello: %v", err)
	}
}

// A session that is deleted and born again while the cursor has passed its slot
// is dirty; END must not overtake it, or the standby would drop it for a moment.
func TestEndWaitsForTheQueue(t *testing.T) {
	p := newPair()
	p.ga.Activate(0, 1)
	for i := range uint32(50) {
		r := snat(i)
		p.upsert(&r)
	}
	p.connect()
	p.settle(t)
	p.s.Resync(p.now, 1)
	p.buf = make([]byte, 0, 700)
	for i := 0; !p.r.Synced(0) || p.r.Stats().Transfers < 2; i++ {
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
}

// A goal is reached when the peer has received what there was to hear, whatever has been
// added since; on another connection there is nothing to wait for.
func TestGoals(t *testing.T) {
	p := newPair()
	p.ga.Activate(0, 1)
	p.connect()
	p.settle(t)
	g := p.s.Goal()
	if !p.s.Reached(&g) || !p.s.Heard() {
		t.Fatalf("nothing waits, and it is not reached: heard %v", p.s.Heard())
	}
	for i := range uint32(3) {
		r := snat(i)
		p.upsert(&r)
	}
	if g = p.s.Goal(); p.s.Reached(&g) || p.s.Heard() {
		t.Errorf("nothing is written: heard %v", p.s.Heard())
	}
	p.send(1)
	if p.s.Reached(&g) {
		t.Error("what is written has not arrived")
	}
	r := snat(9)
	p.upsert(&r)
	if err := p.deliver(9); err != nil || !p.s.Reached(&g) || p.s.Heard() {
		t.Errorf("three have arrived, another one is not written: heard %v, %v", p.s.Heard(), err)
	}
	p.send(1)
	if g = p.s.Goal(); p.s.Reached(&g) || p.s.Heard() {
		t.Errorf("all are written, and one has not arrived: heard %v", p.s.Heard())
	}
	if err := p.deliver(9); err != nil || !p.s.Reached(&g) || !p.s.Heard() {
		t.Errorf("all have arrived: heard %v, %v", p.s.Heard(), err)
	}
	r.ID++
	for _, cut := range []func(){p.s.Disconnect, func() { p.s.Connect(p.now) }} {
		p.connect()
		p.settle(t)
		r.ID++
		p.upsert(&r)
		g = p.s.Goal()
		if cut(); !p.s.Reached(&g) {
			t.Error("what never comes is waited for")
		}
	}
}
