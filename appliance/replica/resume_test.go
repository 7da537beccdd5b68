package replica_test

import (
	"testing"
	"time"

	"understudy/nat/session"
)

// liberal tells whether the box's kernel leaves the flow's windows alone.
func (b *box) liberal(r *session.Record) bool {
	got, err := b.kernel.Get(r.Key)
	return err == nil && got.TCP.FlagsOrig&got.TCP.FlagsReply&session.TCPFlagLiberal != 0
}

// a's engine dies, b is Active for a moment, and a new engine of a goes on in the
// old term: its kernel has not seen what the flows did at b, whenever, and whether at
// all, it hears of b's turn.
func TestResumeAfterAnothersTurn(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name        string
		turn        bool // b was Active
		before, cut bool // a hears of b before it resumes; not at all
		want        bool // no window checks
	}{
		{"it hears of it first", true, true, false, true},
		{"it hears of it as it resumes", true, false, false, true},
		{"it hears nothing", true, false, true, true},
		{"there was no turn", false, true, false, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := running(t)
			old, fresh := flow(0, 6), flow(10, 6)
			w.a.born(old)
			w.b.has("hot", old)
			if w.a.liberal(&old) {
				t.Fatal("the owner's own flow is liberal: the test shows nothing")
			}
			w.a.stop()
			want := []session.Record{old}
			if tt.turn {
				w.b.activate(2)
				w.b.born(fresh)
				want = append(want, fresh)
				eventually(t, "b knows its own", func() bool { return w.b.engine.Status().Local == 2 })
				w.b.engine.Deactivate("gw")
			}
			if tt.cut {
				must(t, w.a.cable.Unplug())
			}
			w.a.start()
			if tt.before {
				eventually(t, "a has heard of b", func() bool { return w.a.engine.Status().Groups[0].Term > 0 })
			}
			w.a.activate(1) // the term that its election is in
			if tt.want {
				eventually(t, "no window check", func() bool { return w.a.liberal(&old) })
			} else {
				eventually(t, "all is compared", func() bool { return w.a.engine.Status().Counters.Dumps > 0 && w.a.engine.Status().Covered })
				if w.a.liberal(&old) {
					t.Error("without a cause the window check is lifted")
				}
			}
			if !tt.cut {
				w.a.has("with what began at b", want...)
				w.b.has("the same", want...)
			}
		})
	}
}

// The same with packets: a download goes on in its windows through b, while a's
// kernel knows those of before, and drops what is out of them.
func TestResumeUnderADownload(t *testing.T) {
	g := newGateways(t, natRules)
	g.runs()
	c, s := g.connected(443)
	g.a.nothingNew()
	b := stream(s, c)
	must(t, b.more(1<<20))
	k := g.b.hot(1, called(6, 443))[0]
	g.a.stop()
	g.b.activate(2)
	g.use(1)
	must(t, b.more(64<<20))
	g.b.engine.Deactivate("gw")
	g.use(0)
	g.a.start()
	eventually(t, "a has heard of b", func() bool { return g.a.engine.Status().Groups[0].Term > 0 })
	g.a.activate(1)
	if err := b.more(1 << 20); err != nil {
		e, _ := g.a.kernel.Get(k.Key)
		t.Errorf("%v\n%s\n%+v", err, e.String(), g.a.engine.Status())
	}
	must(t, b.end())
}

// The role came back before a slow daemon could give it up: the engine is told of
// a higher term, and of nothing between.
func TestReclaimedBeforeItWasGivenUp(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.a.cfg.Late = 10 * time.Millisecond
	w.a.start()
	w.b.start()
	w.a.activate(1)
	old, fresh := flow(0, 6), flow(10, 6)
	w.a.born(old)
	w.b.has("hot", old)
	must(t, w.a.cable.Unplug())
	w.b.activate(2)
	w.b.born(fresh)
	eventually(t, "b knows its own", func() bool { return w.b.engine.Status().Local == 2 })
	w.b.engine.Deactivate("gw")
	w.a.activate(3)
	eventually(t, "no window check", func() bool { return w.a.liberal(&old) })
	must(t, w.a.cable.Plug())
	w.a.has("with what began at b", old, fresh)
	w.b.has("the same", old, fresh)
}
