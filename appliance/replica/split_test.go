package replica_test

import (
	"testing"
	"time"

	"understudy/nat/session"
)

// Case 49: the link between two nodes is cut, both are Active, and flows begin on both:
// some of one have a public port of another's, one is on both, otherwise. Whoever goes on
// when they meet again, be its term the higher one or not, has the flows of both, but for
// those that its own are in the way of. That is so whether it was apart for long or not,
// and however quickly the other one gives way.
func TestCase49SplitBrain(t *testing.T) {
	for _, tt := range []struct {
		name   string
		higher bool // the term of who goes on
		long   bool // until nothing of before is waited for any more
	}{
		{"the lower term goes on", false, false},
		{"the higher term goes on", true, false},
		{"the lower term goes on, after a long time", false, true},
		{"the higher term goes on, after a long time", true, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := running(t)
			common := flows(20)
			w.a.born(common...)
			w.b.has("hot", common...)
			eventually(t, "in sync", func() bool { return w.b.engine.Status().InSync })
			must(t, w.a.cable.Unplug())
			eventually(t, "the cut is noticed", func() bool { return !w.a.engine.Status().Connected && !w.b.engine.Status().Connected })
			w.b.activate(2)
			began := time.Now()
			mine, theirs, both, alone := flow(100, 6), flow(200, 6), flow(300, 17), flow(400, 6)
			thief, otherwise := mine, both
			thief.SrcPort, otherwise.ReplyDstPort = 9, 60000
			w.a.born(mine, both, alone)
			w.b.born(theirs, otherwise, thief)
			w.a.knows(len(common) + 3)
			w.b.knows(len(common) + 3)
			if tt.long {
				// What began at the last owner is taken for 4 s, what it kept asked for for 30.
				time.Sleep(time.Until(began.Add(4100 * time.Millisecond)))
				w.b.engine.EndSalvage()
			}
			winner, loser, want := w.a, w.b, append(common, alone, mine, both, theirs)
			if tt.higher {
				winner, loser, want = w.b, w.a, append(common, alone, thief, otherwise, theirs)
			}
			must(t, w.a.cable.Plug())
			eventually(t, "they meet", func() bool { return winner.engine.Status().Groups[0].Claimed })
			loser.engine.Deactivate("gw")
			winner.has("the flows of both", want...)
			loser.has("the same", want...)
			eventually(t, "in sync", func() bool {
				s, l := winner.engine.Status(), loser.engine.Status()
				return s.Covered && !s.Groups[0].Claimed && !s.Groups[0].Incomplete && l.InSync && loser.holds(winner.name) && l.Foreign == len(want)
			})
		})
	}
}

// The link flaps while both are Active: what each knows of the other's claim is of the
// connection before, and the flows of both are there in the end all the same.
func TestSplitBrainAndAFlappingLink(t *testing.T) {
	t.Parallel()
	w := running(t)
	want := flows(20)
	w.a.born(want...)
	w.b.has("hot", want...)
	must(t, w.a.cable.Unplug())
	eventually(t, "the cut is noticed", func() bool { return !w.a.engine.Status().Connected && !w.b.engine.Status().Connected })
	w.b.activate(2)
	apart := func(b *box) func() bool { return func() bool { return !b.engine.Status().Groups[0].Claimed } }
	for n := range uint32(3) {
		mine, theirs := flow(100+n, 6), flow(200+n, 6)
		w.a.born(mine)
		w.b.born(theirs)
		want = append(want, mine, theirs)
		must(t, w.a.cable.Plug())
		eventually(t, "each sees the other", func() bool { return !apart(w.a)() && !apart(w.b)() })
		if n < 2 {
			must(t, w.a.cable.Unplug())
			eventually(t, "and loses it", func() bool { return apart(w.a)() && apart(w.b)() })
		}
	}
	w.a.engine.Deactivate("gw")
	w.b.has("the flows of both", want...)
	w.a.has("the same", want...)
	var held int
	w.b.engine.Sessions(func(s *sessionView) bool {
		if s.Status&session.StatusSeenReply != 0 {
			held++
		}
		return true
	})
	if held != len(want) {
		t.Errorf("%d sessions, want %d", held, len(want))
	}
}
