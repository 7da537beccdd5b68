package session

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

func TestOverloadLadder(t *testing.T) {
	lost, quiet := Load{Lost: true, Owed: true}, Load{}
	type look struct {
		at   time.Duration
		load Load
		want Step
	}
	for _, tt := range []struct {
		name  string
		looks []look
	}{
		{"calm stays calm", []look{{0, quiet, Calm}, {1, Load{Fill: 0.5}, Calm}, {2, Load{Behind: behindLong}, Calm}}},
		{"a full buffer, and back after a while", []look{
			{0, Load{Fill: 0.51}, Sparing},
			{time.Second, Load{Fill: 0.2}, Sparing}, // not empty yet
			{2 * time.Second, quiet, Sparing},
			{5 * time.Second, quiet, Sparing}, // four seconds since the last bad sign
			{6 * time.Second, quiet, Calm},
		}},
		{"peers behind", []look{{0, Load{Behind: 2 * time.Second}, Sparing}, {6 * time.Second, quiet, Calm}}},
		{"what was passed over is looked up before it is calm", []look{
			{0, Load{Fill: 0.9}, Sparing},
			{time.Minute, Load{Owed: true}, Sparing},
			{61 * time.Second, quiet, Calm},
		}},
		{"a gap, straight from calm", []look{{0, lost, Gap}, {time.Second, Load{Owed: true}, Gap}, {4 * time.Second, quiet, Gap}, {5 * time.Second, quiet, Calm}}},
		{"two gaps are not yet often", []look{{0, lost, Gap}, {time.Second, lost, Gap}, {7 * time.Second, quiet, Calm}}},
		{"three, too far apart", []look{{0, lost, Gap}, {20 * time.Second, lost, Gap}, {31 * time.Second, lost, Gap}}},
		{"three within thirty seconds", []look{
			{0, lost, Gap}, {10 * time.Second, lost, Gap}, {30 * time.Second, lost, Polling},
			{31 * time.Second, lost, Polling}, // endings are lost too: dumps make up for it
			{59 * time.Second, quiet, Polling},
			{60 * time.Second, quiet, Gap}, // events are tried again
			{64 * time.Second, Load{Owed: true}, Gap},
			{65 * time.Second, Load{Owed: true}, Gap},
			{66 * time.Second, quiet, Calm},
		}},
		{"tried too early: twice as long", []look{
			{0, lost, Gap}, {1 * time.Second, lost, Gap}, {2 * time.Second, lost, Polling},
			{32 * time.Second, quiet, Gap},
			{33 * time.Second, lost, Gap}, {34 * time.Second, lost, Gap}, {35 * time.Second, lost, Polling},
			{94 * time.Second, quiet, Polling}, {95 * time.Second, quiet, Gap},
			// Well for longer than that: as at first.
			{101 * time.Second, quiet, Calm},
			{300 * time.Second, lost, Gap}, {301 * time.Second, lost, Gap}, {302 * time.Second, lost, Polling},
			{332 * time.Second, quiet, Gap},
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			begin := time.Unix(1000, 0)
			o := NewOverload(begin, Ladder{})
			for i, l := range tt.looks {
				before := o.Step()
				if changed := o.Judge(begin.Add(l.at), l.load); changed != (before != o.Step()) {
					t.Errorf("look %d: changed %v from %v to %v", i, changed, before, o.Step())
				}
				if o.Step() != l.want {
					t.Fatalf("look %d, after %v: %v (%s), want %v", i, l.at, o.Step(), o.Reason(), l.want)
				}
				if (o.Reason() == "") != (o.Step() == Calm) {
					t.Errorf("look %d: %v for the reason %q", i, o.Step(), o.Reason())
				}
			}
		})
	}
}

// TestOverloadProperties: whatever happens, it is never calm while a dump is owed
// that it asked for, does not come down faster than it may, and comes down.
func TestOverloadProperties(t *testing.T) {
	ladder := Ladder{}.orDefault()
	calmAfter, pollFor := ladder.CalmAfter, ladder.PollFor
	rnd := rand.New(rand.NewPCG(3, 4))
	for range 300 {
		now := time.Unix(1000, 0)
		o := NewOverload(now, Ladder{})
		var lastLost, lastBad time.Time
		for range 400 {
			now = now.Add(time.Duration(rnd.IntN(4000)) * time.Millisecond)
			l := Load{Fill: rnd.Float64() * rnd.Float64(), Lost: rnd.IntN(12) == 0, Owed: rnd.IntN(3) == 0}
			if rnd.IntN(10) == 0 {
				l.Behind = time.Duration(rnd.IntN(3000)) * time.Millisecond
			}
			before, since := o.Step(), o.Since()
			changed := o.Judge(now, l)
			if l.Lost {
				lastLost = now
			}
			if l.Lost || l.Fill > calmFill || l.Behind > behindLong {
				lastBad = now
			}
			step := o.Step()
			switch {
			case l.Lost && step < Gap:
				t.Fatalf("%v after events were lost", step)
			case changed && step == Calm && (l.Owed || now.Sub(lastBad) < calmAfter):
				t.Fatalf("calm %v after a bad sign, owed %v", now.Sub(lastBad), l.Owed)
			case step == Polling && before != Polling && now != lastLost:
				t.Fatal("polling, and nothing was lost")
			case before == Polling && step != Polling && (step != Gap || now.Sub(since) < pollFor):
				t.Fatalf("from polling to %v after %v", step, now.Sub(since))
			case (l.Fill > sparingFill || l.Behind > behindLong) && step == Calm:
				t.Fatalf("calm under %+v", l)
			case changed != (step != before), changed && o.Since() != now:
				t.Fatalf("changed %v, since %v at %v", changed, o.Since(), now)
			}
		}
		for range 1000 {
			now = now.Add(time.Second)
			o.Judge(now, Load{})
		}
		if o.Step() != Calm {
			t.Fatalf("%v after a thousand calm seconds", o.Step())
		}
	}
}

func TestOverloadWords(t *testing.T) {
	for s, want := range map[Step]string{Calm: "calm", Sparing: "sparing", Gap: "gap", Polling: "polling"} {
		if s.String() != want {
			t.Errorf("%d is %q", s, s)
		}
	}
	o := NewOverload(time.Unix(0, 0), Ladder{})
	o.Judge(time.Unix(1, 0), Load{Fill: 0.75})
	if !strings.Contains(o.Reason(), "75%") {
		t.Errorf("reason %q", o.Reason())
	}
}

func TestOverloadAllocatesNothingWhileCalm(t *testing.T) {
	now := time.Unix(1, 0)
	o := NewOverload(now, Ladder{})
	if n := testing.AllocsPerRun(100, func() { o.Judge(now, Load{Fill: 0.01}) }); n != 0 {
		t.Errorf("%v allocations a look", n)
	}
}

func TestOverloadPollEvery(t *testing.T) {
	o := NewOverload(time.Unix(0, 0), Ladder{})
	for took, want := range map[time.Duration]time.Duration{0: 3 * time.Second, 100 * time.Millisecond: 3 * time.Second, 2 * time.Second: 8 * time.Second} {
		if got := o.PollEvery(took); got != want {
			t.Errorf("after a dump of %v: %v, want %v", took, got, want)
		}
	}
}
