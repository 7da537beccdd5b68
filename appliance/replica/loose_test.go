package replica_test

import (
	"testing"

	"understudy/nat/session"
)

// Both were Active for a while, and the second gives way: the first has the flows
// that began there, and does not check windows that it has not seen.
func TestWinnerOfASplit(t *testing.T) {
	t.Parallel()
	w := running(t)
	old, fresh := flow(0, 6), flow(10, 6)
	w.a.born(old)
	w.b.has("hot", old)
	liberal := func(b *box, r session.Record) bool {
		got, err := b.kernel.Get(r.Key)
		return err == nil && got.TCP.FlagsOrig&got.TCP.FlagsReply&session.TCPFlagLiberal != 0
	}
	if liberal(w.a, old) {
		t.Fatal("the owner's own flow is liberal: the test shows nothing")
	}
	must(t, w.a.cable.Unplug())
	w.b.activate(2)
	w.b.born(fresh)
	must(t, w.a.cable.Plug())
	eventually(t, "a hears of the other", func() bool { return w.a.engine.Status().Counters.Conflicts > 0 })
	w.b.engine.Deactivate("gw")
	eventually(t, "a claims the group again", func() bool { g := w.a.engine.Status().Groups[0]; return g.Holder == "a" && g.Term > 2 })
	w.a.has("what began at b", old, fresh)
	w.b.has("what b gave away", old, fresh)
	eventually(t, "no window check at a", func() bool { return liberal(w.a, old) && liberal(w.a, fresh) })
}
