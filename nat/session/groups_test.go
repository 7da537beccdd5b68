package session

import (
	"testing"
	"time"
)

func TestTerms(t *testing.T) {
	type step struct {
		do   func(g *Groups) any
		want any
	}
	hear := func(term uint64, node string, active bool) func(*Groups) any {
		return func(g *Groups) any { return g.Hear(0, term, node, active) }
	}
	activate := func(term uint64) func(*Groups) any {
		return func(g *Groups) any { return g.Activate(0, term) }
	}
	own := func(g *Groups) any { return g.At(0).Own }
	for _, tt := range []struct {
		name  string
		steps []step
	}{
		{"a lower term is stale", []step{{hear(5, "a", true), Newer}, {hear(4, "c", true), Stale}, {hear(5, "a", true), Current}}},
		{"the node name breaks a tie", []step{{hear(5, "c", true), Newer}, {hear(5, "d", true), Newer}, {hear(5, "c", true), Stale}}},
		{"an activation is above all that was heard", []step{{hear(5, "a", true), Newer}, {activate(3), uint64(6)}, {hear(5, "a", true), Stale}}},
		{"the same activation twice keeps its term", []step{{activate(3), uint64(3)}, {activate(3), uint64(3)}}},
		{"a conflict does not change the own term", []step{{activate(3), uint64(3)}, {hear(9, "z", true), Newer}, {own, uint64(3)}}},
		{"the last one Active raises its term above", []step{{activate(3), uint64(3)}, {hear(9, "z", true), Newer}, {hear(9, "z", false), Newer}, {own, uint64(10)}}},
		{"so it does when the other is lost", []step{{activate(3), uint64(3)}, {hear(9, "z", true), Newer}, {func(g *Groups) any { return g.Lost("z") }, GroupSet(1)}, {own, uint64(10)}}},
		{"but not for a stranger that is lost", []step{{activate(3), uint64(3)}, {func(g *Groups) any { return g.Lost("z") }, GroupSet(0)}, {own, uint64(3)}}},
		{"a bystander knows a higher term", []step{{activate(3), uint64(3)}, {hear(7, "c", false), Newer}, {own, uint64(8)}}},
		{"a bystander with nothing new", []step{{activate(3), uint64(3)}, {hear(3, "c", false), Current}, {own, uint64(3)}}},
	} {
		g := NewGroups("b", "gw")
		for i, s := range tt.steps {
			if got := s.do(g); got != s.want {
				t.Errorf("%s: step %d: got %v, want %v", tt.name, i, got, s.want)
			}
		}
	}
}

// Both were Active while the link was cut; b's term is higher, a wins the
// election. a's records must win in the end.
func TestSplitBrainWinnerWithTheLowerTerm(t *testing.T) {
	p := newPair()
	p.ga.Activate(0, 5)
	p.gb.Activate(0, 6)
	mine, theirs := snat(1), snat(2)
	p.upsert(&mine)
	s, _, _ := p.tb.Upsert(&theirs, 0, 0)
	p.tb.SetInstalled(s, true)
	p.connect()
	p.send(1)
	if err := p.deliver(9); err != nil {
		t.Fatal(err)
	}
	// a hears b's claim on the other connection, whose frames are b's.
	back := NewReceiver(p.ta, p.ga, testScope(), Hello{Node: "a"})
	back.Connect(p.now)
	other := NewSender(p.tb, p.gb, 2, Hello{Node: "b"})
	tell := func() (kinds []NoticeKind) {
		h, _ := ParseHeader(AppendHello(nil, other.ownHello()))
		b := AppendHello(nil, other.ownHello())
		if back.Peer() != nil {
			st := p.gb.At(0)
			b = appendMark(nil, TypeTerm, mark{term: st.announced(), flags: flag(st.Active)})
			h, _ = ParseHeader(b)
		}
		if err := back.Handle(p.now, h.Type, b[HeaderLen:]); err != nil {
			t.Fatal(err)
		}
		for _, n := range back.Notices() {
			kinds = append(kinds, n.Kind)
		}
		return kinds
	}
	if k := tell(); len(k) != 2 || k[0] != NoticeConflict {
		t.Fatalf("notices %v", k)
	}
	for range 5 {
		p.send(1)
		p.deliver(9)
	}
	if p.r.Stats().Transfers != 0 || p.tb.Len() != 1 {
		t.Fatalf("b took records while it was Active: %s", p.tb.Dump())
	}
	p.gb.Deactivate(0)
	p.r.Ask(0)
	if k := tell(); len(k) != 1 || k[0] != NoticeRaised || p.ga.At(0).Own != 7 {
		t.Fatalf("notices %v, %+v", k, p.ga.At(0))
	}
	p.s.Announce(1)
	p.s.Resync(p.now, 1)
	p.settle(t)
	if got, want := p.tb.Dump(), p.ta.Dump(); got != want {
		t.Fatalf("got\n%swant\n%s", got, want)
	}
	if len(p.kernel) != 1 {
		t.Fatalf("kernel of b: %v", p.kernel)
	}
}

// A transfer that was under way when this node became Active must not sweep
// when its end arrives.
func TestTransferAcrossAnActivationDoesNotSweep(t *testing.T) {
	p := newPair()
	p.ga.Activate(0, 1)
	for i := range uint32(100) {
		r := snat(i)
		p.upsert(&r)
	}
	p.connect()
	p.buf = make([]byte, 0, 600)
	p.send(1)
	p.deliver(1)
	p.send(1) // BEGIN and the first records
	p.deliver(9)
	if !p.r.Receiving(0) {
		t.Fatal("no transfer under way")
	}
	p.gb.Activate(0, 2)
	p.r.Abandon(0)
	mine := snat(1000)
	p.tb.Upsert(&mine, 0, 0)
	p.gb.Deactivate(0)
	for range 20 {
		p.send(1)
		p.deliver(99)
	}
	if _, ok := p.tb.Lookup(&mine.Key); !ok {
		t.Fatal("swept by a transfer that began before the activation")
	}
}

// In a hand-over the old owner serves for a moment longer: what is born there
// must not be lost, and must not overwrite what the new owner knows.
func TestLateSessionsOfTheLastOwner(t *testing.T) {
	p := newPair()
	p.ga.Activate(0, 1)
	known, born := snat(1), snat(2)
	p.upsert(&known)
	p.connect()
	p.settle(t)
	p.gb.Activate(0, 2)
	p.r.AcceptLate(0, p.now.Add(time.Second))
	known.TCP.State = TCPLastAck
	p.upsert(&known)
	p.upsert(&born)
	p.send(1)
	if err := p.deliver(9); err != nil {
		t.Fatal(err)
	}
	if p.kernel[known.Key].TCP.State != TCPEstablished || p.kernel[born.Key] != born || p.r.Stats().Late != 1 {
		t.Fatalf("%v", p.kernel)
	}
	p.now = p.now.Add(time.Second)
	later := snat(3)
	p.upsert(&later)
	p.send(1)
	p.deliver(9)
	if len(p.kernel) != 2 {
		t.Fatal("taken when the time was over")
	}
}

// An owner that was restarted does not know its sessions yet. A transfer of what
// it knows would make the standby drop the others.
func TestNoTransferOfAPartialTable(t *testing.T) {
	p := newPair()
	p.ga.Activate(0, 1)
	r, later := snat(1), snat(2)
	p.upsert(&r)
	s, _, _ := p.tb.Upsert(&later, 0, 0)
	p.tb.SetInstalled(s, true)
	p.ga.SetPartial(0, true)
	p.connect()
	for range 5 {
		p.send(1)
		if err := p.deliver(9); err != nil {
			t.Fatal(err)
		}
	}
	p.now = p.now.Add(time.Second)
	if ok, _ := p.s.Synced(); ok || p.r.Synced(0) || p.tb.Len() != 1 || !p.s.Idle() || p.s.Lag(p.now) < time.Second {
		t.Fatalf("synced %v %v, %d sessions, lag %v", ok, p.r.Synced(0), p.tb.Len(), p.s.Lag(p.now))
	}
	p.upsert(&later)
	p.ga.SetPartial(0, false)
	p.settle(t)
	if p.tb.Dump() != p.ta.Dump() || p.r.Stats().Swept != 0 {
		t.Fatalf("%s%+v", p.tb.Dump(), p.r.Stats())
	}
}

// Whether a peer says that it is Active is news whatever its term is worth.
func TestClaimsAreNoticed(t *testing.T) {
	p := newPair()
	p.ga.Activate(0, 9)
	r := NewReceiver(p.ta, p.ga, testScope(), Hello{Node: "a"})
	r.Connect(p.now)
	other := NewSender(p.tb, p.gb, 2, Hello{Node: "b"})
	hello := AppendHello(nil, other.ownHello())
	if err := r.Handle(p.now, TypeHello, hello[HeaderLen:]); err != nil {
		t.Fatal(err)
	}
	r.Notices()
	for i, step := range []struct{ active, news bool }{{true, true}, {true, false}, {false, true}, {false, false}} {
		b := appendMark(nil, TypeTerm, mark{term: 3, flags: flag(step.active)})
		if err := r.Handle(p.now, TypeTerm, b[HeaderLen:]); err != nil {
			t.Fatal(err)
		}
		got := r.Notices()
		if news := len(got) == 1 && got[0].Kind == NoticeClaim; news != step.news || r.Claims(0) != step.active {
			t.Errorf("word %d, Active %v: notices %v, claims %v", i+1, step.active, got, r.Claims(0))
		}
	}
}
