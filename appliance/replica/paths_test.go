package replica_test

import (
	"net/netip"
	"testing"
	"time"

	"understudy/appliance/lab"
)

// twoPaths is a world whose boxes have a second segment for their sessions.
func twoPaths(t *testing.T) (w *world, second [2]*lab.Link) {
	t.Helper()
	w = newWorld(t)
	seg := lab.NewT(t).Segment("sync1")
	at := func(n string) netip.AddrPort { return netip.MustParseAddrPort("10.254.0." + n + ":7788") }
	for i, b := range []*box{w.a, w.b} {
		own, other := []string{"1", "2"}[i], []string{"2", "1"}[i]
		l, err := b.node.Join(seg, "sync1", "10.254.0."+own+"/24")
		must(t, err)
		second[i] = l
		b.cfg.Also = []netip.AddrPort{at(own)}
		b.cfg.Peers[0].Also = []netip.AddrPort{at(other)}
		b.cfg.Return = 300 * time.Millisecond
	}
	return w, second
}

// on tells whether the box tells its peer at the preferred address, or at the other.
func (b *box) on(preferred bool) bool {
	p := b.engine.Status().Peers[0]
	return p.Connected && p.Preferred == preferred
}

// The preferred path fails: the link goes on over the other one. When it is back, so
// is the link, and nothing is told twice, and nobody is out of sync for it.
func TestPathsFallBackAndReturn(t *testing.T) {
	t.Parallel()
	w, second := twoPaths(t)
	w.a.start()
	w.b.start()
	w.a.activate(1)
	rs := flows(500)
	w.a.born(rs...)
	w.b.has("hot", rs...)
	both := func(preferred bool) func() bool {
		return func() bool { return w.a.on(preferred) && w.b.on(preferred) && w.b.engine.Status().InSync }
	}
	eventually(t, "both on the preferred path", both(true))

	must(t, w.a.cable.Unplug())
	eventually(t, "both on the other path", both(false))
	more := flow(5000, 6)
	w.a.born(more)
	w.b.has("replicated on the other path", append(rs, more)...)
	if at := w.a.engine.Status().Peers[0].Addr; at != netip.MustParseAddrPort("10.254.0.2:7788") {
		t.Errorf("a tells its peer at %v", at)
	}

	before := w.a.engine.Status().Peers[0].Sender
	must(t, w.a.cable.Plug())
	all := append(rs, more)
	n := uint32(6000)
	for end := time.Now().Add(settle); !both(true)(); n++ {
		if time.Now().After(end) {
			t.Fatalf("not back: %+v", w.a.engine.Status())
		}
		r := flow(n, 6)
		w.a.born(r)
		all = append(all, r)
		if !w.b.engine.Status().InSync {
			t.Fatal("out of sync meanwhile")
		}
		time.Sleep(2 * time.Millisecond)
	}
	w.b.has("whatever began meanwhile", all...)
	w.a.end(all[:100]...)
	w.b.has("and ended", all[100:]...)
	if now := w.a.engine.Status().Peers[0].Sender; now.Transfers != before.Transfers {
		t.Errorf("%d full transfers, were %d", now.Transfers, before.Transfers)
	}

	// Without the other path nothing is missing.
	must(t, second[0].Unplug())
	last := flow(9000, 17)
	w.a.born(last)
	w.b.has("on the preferred path", append(all[100:], last)...)
	if now := w.a.engine.Status().Peers[0].Sender; now.Transfers != before.Transfers {
		t.Errorf("%d full transfers, were %d", now.Transfers, before.Transfers)
	}
}

// An address of a path that is not there when the engine opens is no hindrance, and
// is used when it is.
func TestPathThatIsNotThereYet(t *testing.T) {
	w, second := twoPaths(t)
	for i, l := range second {
		must(t, l.DelAddr(netip.MustParsePrefix([]string{"10.254.0.1/24", "10.254.0.2/24"}[i])))
	}
	w.a.start()
	w.b.start()
	w.a.activate(1)
	eventually(t, "in sync", func() bool { return w.b.engine.Status().InSync && w.b.holds("a") })
	for i, l := range second {
		must(t, l.AddAddr(netip.MustParsePrefix([]string{"10.254.0.1/24", "10.254.0.2/24"}[i])))
	}
	must(t, w.a.cable.Unplug())
	eventually(t, "on the other path", func() bool { return w.a.on(false) && w.b.on(false) && w.b.engine.Status().InSync })
}

// The session goes over whichever path is left, however often that changes.
func TestPathsFailInTurn(t *testing.T) {
	t.Parallel()
	w, second := twoPaths(t)
	w.a.start()
	w.b.start()
	w.a.activate(1)
	rs := flows(50)
	w.a.born(rs...)
	w.b.has("hot", rs...)
	for i := range 4 {
		cable := []*lab.Link{w.a.cable, second[0]}[i%2]
		must(t, cable.Unplug())
		r := flow(uint32(5000+i), 6)
		w.a.born(r)
		rs = append(rs, r)
		w.b.has("with one path", rs...)
		must(t, cable.Plug())
		eventually(t, "in sync", func() bool { return w.a.engine.Status().Connected && w.b.engine.Status().InSync })
	}
}
