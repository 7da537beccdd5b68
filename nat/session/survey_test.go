package session

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// survey lets a ask b and returns what it finds.
func (p *pair) ask(t failer) map[Key]Difference {
	t.Helper()
	v, err := p.s.Survey(^GroupSet(0))
	if err != nil {
		t.Fatal(err)
	}
	again := false
	for i := 0; ; i++ {
		p.send(1)
		if err := p.deliver(3); err != nil || i > 10000 {
			t.Fatal(err, i)
		}
		for v.Step(50) {
		}
		if v.Broken() {
			t.Fatal("broken")
		}
		if v.Over() {
			if again || !v.Again() {
				break
			}
			again = true
		}
	}
	found, cut := v.Found()
	if cut {
		t.Fatal("cut")
	}
	out := map[Key]Difference{}
	for _, d := range found {
		if _, twice := out[d.Key]; twice {
			t.Fatal("found twice", d.Key)
		}
		out[d.Key] = d
	}
	return out
}

// A survey names exactly what differs, whichever way, and changes nothing; what
// goes on meanwhile is no difference.
func TestSurveyFindsWhatDiffers(t *testing.T) {
	const flows = 3000
	rapid.Check(t, func(t *rapid.T) {
		p := synced(t, flows)
		p.buf = make([]byte, 0, rapid.IntRange(1024, 16<<10).Draw(t, "buffer"))
		want := map[Key]DifferenceKind{}
		for range rapid.IntRange(0, 6).Draw(t, "differences") {
			n := rapid.Uint32Max(flows-1).Draw(t, "flow")
			r := flowOf(n)
			if _, done := want[r.Key]; done {
				continue
			}
			s, _ := p.tb.Lookup(&r.Key)
			switch rapid.IntRange(0, 2).Draw(t, "kind") {
			case 0:
				p.tb.Delete(s, 0, p.now)
				want[r.Key] = PeerLacks
			case 1:
				r.Mark = 1234
				p.tb.Upsert(&r, 0, p.tb.gen)
				want[r.Key] = PeerDiffers
			case 2:
				r = flowOf(n + 1<<20)
				if _, done := want[r.Key]; !done {
					p.tb.Upsert(&r, 0, p.tb.gen)
					want[r.Key] = PeerExtra
				}
			}
		}
		before := p.tb.Dump()
		v, err := p.s.Survey(1)
		if err != nil {
			t.Fatal(err)
		}
		churned := 0
		for i := 0; !v.Over(); i++ {
			if i < 20 && rapid.Bool().Draw(t, "churn") {
				p.churn(t, flows)
				churned++
			}
			p.send(1)
			if err := p.deliver(rapid.IntRange(1, 4).Draw(t, "frames")); err != nil || i > 10000 {
				t.Fatal(err, i)
			}
			for v.Step(rapid.IntRange(1, 500).Draw(t, "slots")) {
			}
		}
		found, _ := v.Found()
		got := map[Key]DifferenceKind{}
		for _, d := range found {
			if d.Stand != StandDirty { // on its way
				got[d.Key] = d.What
			}
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Fatalf("found %v\nwant  %v", got, want)
		}
		if churned == 0 && p.tb.Dump() != before {
			t.Fatal("a question has changed the table")
		}
	})
}

// A standby can ask as well: what it lacks is on its way, or young.
func TestSurveyByTheStandby(t *testing.T) {
	d := newDuo()
	d.ab.ga.Activate(0, 1)
	for i := range uint32(500) {
		r := snat(i)
		d.ab.upsert(&r)
	}
	d.connect()
	d.ab.settle(t)
	d.ba.send(9)
	if err := d.ba.deliver(99); err != nil {
		t.Fatal(err)
	}
	d.ba.r.SetSink(1) // a's sink of b, in a's table
	gone, late, young := snat(3), snat(1000), snat(1001)
	s, _ := d.ab.tb.Lookup(&gone.Key)
	d.ab.tb.Delete(s, 0, d.now)
	d.ab.upsert(&late) // not sent
	s, _, _ = d.ab.ta.Upsert(&young, 0, 0)
	d.ab.ta.SetYoung(s)
	found := d.ba.ask(t)
	if len(found) != 2 || found[gone.Key].What != PeerExtra || found[gone.Key].Stand != Told || found[late.Key].What != PeerExtra || found[late.Key].Stand != StandDirty {
		t.Errorf("found %+v", found)
	}
	if st := d.ab.gb.At(0); st.Active || st.Holder != "a" || d.ab.ga.At(0).Holder != "a" {
		t.Errorf("a question is no claim: %+v", st)
	}
}

// What is held back is not missing at the peer: it was not sent.
func TestSurveyOfWhatIsHeldBack(t *testing.T) {
	p := synced(t, 100)
	p.s.SetKnobs(Knobs{Every: time.Minute})
	r := snat(1000)
	p.upsert(&r)
	found := p.ask(t)
	if d := found[r.Key]; len(found) != 1 || d.What != PeerLacks || d.Stand != StandDirty {
		t.Errorf("found %+v", found)
	}
	if p.s.Held() != 1 {
		t.Error("the question has let it go")
	}
}

// More groups than one, one of which the peer does not have.
func TestSurveyOfGroups(t *testing.T) {
	p := newPair()
	p.ga = NewGroups("a", "gw", "other")
	p.s = NewSender(p.ta, p.ga, 1, Hello{Node: "a", Boot: 1})
	p.ga.Activate(0, 1)
	p.ga.Activate(1, 1)
	one, two := snat(1), snat(2)
	p.upsert(&one)
	p.ta.Upsert(&two, 1, 0)
	p.connect()
	p.settle(t)
	found := p.ask(t)
	if len(found) != 1 || found[two.Key].What != PeerLacks || found[two.Key].Group != 1 {
		t.Errorf("found %+v", found)
	}
}

func TestSurveyOfThoseWhoCannotBeAsked(t *testing.T) {
	p := newPair()
	if _, err := p.s.Survey(1); err != ErrSurvey {
		t.Errorf("not connected: %v", err)
	}
	p.connect()
	p.settle(t)
	v, err := p.s.Survey(1)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.s.Survey(1); err != nil || !v.Broken() {
		t.Errorf("another one asks: %v, broken %v", err, v.Broken())
	}
	p.s.peer.Features = 0
	if _, err := p.s.Survey(1); err != ErrSurvey {
		t.Errorf("from before there was one: %v", err)
	}
}

// What the census counts is what it names, and each flow stands for what it is.
func TestCensus(t *testing.T) {
	p := synced(t, 300)
	young, dirty, sent, refused := snat(5000), snat(5001), snat(5002), snat(5003)
	s, _, _ := p.ta.Upsert(&young, 0, 0)
	p.ta.SetYoung(s)
	refused.ReplyDst[3]++ // not the group's
	p.upsert(&refused)
	p.settle(t)
	p.upsert(&sent)
	p.send(1)
	p.upsert(&dirty)
	want := map[Key]Standing{young.Key: StandYoung, dirty.Key: StandDirty, sent.Key: StandSent, refused.Key: StandRefused}
	got := map[Key]Standing{}
	var counts Standings
	c := p.s.Census()
	for c.Step(100, &counts, func(s Slot, st Standing, why Refusal) {
		var r Record
		p.ta.Record(s, &r)
		got[r.Key] = st
		if st == StandRefused && why != RefusedScope {
			t.Errorf("refused because %v", why)
		}
	}) {
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %v\nwant %v", got, want)
	}
	if counts.Lacking() != 4 || counts[Told] != 300 {
		t.Errorf("counts %v", counts)
	}
	if p.s.Unapplied() != 1 {
		t.Errorf("%d changes on their way", p.s.Unapplied())
	}
	p.settle(t)
	counts = Standings{}
	for c := p.s.Census(); c.Step(100, &counts, nil); {
	}
	if counts.Lacking() != 2 || counts[StandYoung] != 1 || counts[StandRefused] != 1 {
		t.Errorf("when all has arrived: %v", counts)
	}
	p.s.Disconnect()
	counts = Standings{}
	for c := p.s.Census(); c.Step(100, &counts, nil); {
	}
	if counts[StandUnsynced] != 303 || counts[StandYoung] != 1 {
		t.Errorf("without a peer: %v", counts)
	}
}

// A refusal is told once, lifted when it holds no more, and forgotten with the flow.
func TestRefusals(t *testing.T) {
	p := synced(t, 10)
	told := func() string {
		s := ""
		for _, r := range p.s.refused.slots(p.ta) {
			var rec Record
			p.ta.Record(r.slot, &rec)
			s += fmt.Sprintf("%d: %v; ", rec.SrcPort, r.why)
		}
		return s
	}
	r := snat(4)
	p.r.Refused(0, &r, RefusedClash) // by the kernel
	p.r.Refused(0, &r, RefusedClash)
	p.settle(t)
	if err := p.deliver(0); err != nil || told() != fmt.Sprintf("%d: %v; ", r.SrcPort, RefusedClash) || p.s.Stats().Refused != 1 {
		t.Errorf("%v: told %q, %+v", err, told(), p.s.Stats())
	}
	r.TCP.State = TCPFinWait
	p.upsert(&r) // the table takes it as before; the kernel has not said a word
	p.settle(t)
	if told() == "" {
		t.Error("a new state in the table is no entry in the kernel")
	}
	p.r.Refused(0, &r, RefusedNot)
	if err := p.deliver(0); err != nil || told() != "" {
		t.Errorf("lifted: %q", told())
	}
	r = snat(100)
	r.ReplyDst[3]++
	p.upsert(&r)
	p.settle(t)
	if err := p.deliver(0); err != nil || told() != fmt.Sprintf("%d: %v; ", r.SrcPort, RefusedScope) {
		t.Errorf("%v: told %q", err, told())
	}
	r = snat(100)
	p.upsert(&r)
	p.settle(t)
	if err := p.deliver(0); err != nil || told() != "" {
		t.Errorf("taken after all: %q", told())
	}
}

// However many are refused, what is remembered is bounded, and the rest counted.
func TestRefusalsAreBounded(t *testing.T) {
	p := newPair()
	p.ga.Activate(0, 1)
	for i := range uint32(3 * maxRefusals) {
		r := snat(i)
		r.ReplyDst[3]++
		p.upsert(&r)
	}
	p.connect()
	p.settle(t)
	for range 100 {
		if err := p.deliver(0); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(p.s.refused.why); n != maxRefusals || len(p.r.refusals.said) != maxRefusals || p.s.refused.unnamed != 2*maxRefusals {
		t.Errorf("%d and %d by name, %d others", n, len(p.r.refusals.said), p.s.refused.unnamed)
	}
}

// The last PING of an owner says what its crash would lose; the rate is this node's
// own.
func TestOutlook(t *testing.T) {
	p := newPair()
	p.ga.Activate(0, 1)
	p.connect()
	p.settle(t)
	n := uint32(0)
	for range 80 { // 20 s of 100 flows a second
		for range 25 {
			r := snat(n)
			p.upsert(&r)
			n++
		}
		p.now = p.now.Add(PingEvery)
		p.send(9)
		if err := p.deliver(99); err != nil {
			t.Fatal(err)
		}
	}
	young := snat(1 << 20)
	s, _, _ := p.ta.Upsert(&young, 0, 0)
	p.ta.SetYoung(s)
	r := snat(n)
	p.upsert(&r)
	p.send(9) // and it does not arrive
	p.now = p.now.Add(PingEvery)
	p.send(9)
	for ping := false; !ping; { // but the ping does
		f, err := ParseHeader(p.frames)
		if err != nil {
			t.Fatal(err)
		}
		if ping = f.Type == TypePing; ping {
			if err := p.r.Handle(p.now, f.Type, p.frames[HeaderLen:HeaderLen+f.Length]); err != nil {
				t.Fatal(err)
			}
		}
		p.frames = p.frames[HeaderLen+f.Length:]
	}
	p.r.Disconnect()
	o := p.r.Outlook()
	if !o.Told || o.Young != 1 || o.Pending != 1 || o.Lag != PingEvery || o.Rate < 80 || o.Rate > 120 || !o.Heard.Equal(p.now) {
		t.Errorf("%+v", o)
	}
	o.Rate = 100
	if got := o.Lost(49 * time.Millisecond); got != 1+30 {
		t.Errorf("%d lost, want 31", got)
	}
	// One of the first version says nothing of it.
	q := newPair()
	q.connect()
	q.settle(t)
	if err := q.r.Handle(q.now, TypePing, make([]byte, 8)); err != nil || q.r.Outlook().Told {
		t.Errorf("%v %+v", err, q.r.Outlook())
	}
}

// Who finds flows by dumps does not know what began since the last one. What it says of
// its lag, and how often flows came, tells its peer how many that may be: at any moment
// between two dumps.
func TestOutlookOfWhoFindsFlowsByDumps(t *testing.T) {
	const pings, flows = 20, 3000 // between two dumps
	p := newPair()
	p.ga.Activate(0, 1)
	p.connect()
	p.settle(t)
	n := uint32(0)
	for dump := range 8 {
		for range flows {
			r := snat(n)
			p.upsert(&r)
			n++
		}
		for i := range pings {
			blind := time.Duration(i) * PingEvery
			p.now = p.now.Add(PingEvery)
			p.s.Blind(blind)
			p.send(99)
			if err := p.deliver(999); err != nil {
				t.Fatal(err)
			}
			o := p.r.Outlook()
			began := float64(flows) * float64(i) / pings
			if got := float64(o.Lost(0)); dump > 2 && i > 0 && (got < began/3-100 || got > 3*began+100) {
				t.Fatalf("%v after dump %d: %v lost, of %v that began (%+v)", blind, dump, got, began, o)
			}
		}
	}
}
