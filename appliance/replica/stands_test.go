package replica_test

import (
	"net/netip"
	"slices"
	"testing"

	"understudy/appliance/replica"
	"understudy/nat/session"
)

// How connections stand reaches the standby with their records, and outlives the owner; who is not the owner, or
// is wrong about the server, tells nobody anything. News from the kernel, and an audit, leave it.
func TestStandsReachTheStandby(t *testing.T) {
	w := running(t)
	rs := flows(6)
	w.a.born(rs...)
	w.b.has("born", rs...)
	server := func(r *session.Record) netip.AddrPort {
		return netip.AddrPortFrom(r.ReplySrc.Netip(r.Family), r.ReplySrcPort)
	}
	standing := func(r *session.Record, end uint32) replica.Standing {
		return replica.Standing{Key: r.Key, Server: server(r), Stand: session.Stand{Mode: session.ByPosition, Known: true, End: end, Acked: 2, Window: 3}}
	}
	byKey := func(a, b replica.Standing) int { return a.Key.Compare(&b.Key) }
	are := func(b *box, want ...replica.Standing) func() bool {
		slices.SortFunc(want, byKey)
		return func() bool {
			have := b.engine.Stands("gw")
			slices.SortFunc(have, byKey)
			return slices.Equal(have, want)
		}
	}
	first, third := standing(&rs[0], 100), standing(&rs[2], 300)
	elsewhere, unknown := standing(&rs[4], 500), standing(&rs[5], 600)
	elsewhere.Server = netip.AddrPortFrom(elsewhere.Server.Addr(), 1)
	unknown.SrcPort = 9
	w.b.engine.SetStands([]replica.Standing{third})
	w.a.engine.SetStands([]replica.Standing{first, third, elsewhere, unknown})
	eventually(t, "the standby is told", are(w.b, first, third))
	if !are(w.a, first, third)() {
		t.Errorf("the owner has %+v", w.a.engine.Stands("gw"))
	}
	class := session.StandClass{Called: rs[0].Dst, Port: 443, Family: 4, Mode: session.ByPosition, Known: true}
	if got := w.b.engine.Standing(); len(got) != 1 || got[class] != 2 {
		t.Errorf("the standby counts %v", got)
	}
	old := third
	old.End, old.Old = 1, true
	w.a.engine.SetStands([]replica.Standing{old})
	if !are(w.a, first, third)() {
		t.Errorf("what is old takes the place of what was told: %+v", w.a.engine.Stands("gw"))
	}
	third.End++
	w.a.engine.SetStands([]replica.Standing{third})
	rs[0].Mark = 7
	must(t, w.a.kernel.Update(rs[:1], updateAll, make([]error, 1)))
	eventually(t, "news from the kernel", func() bool {
		h, ok := w.b.table()[rs[0].Key]
		return ok && h.Mark == 7 && are(w.b, first, third)()
	})
	w.a.end(rs[2])
	eventually(t, "one is over", are(w.b, first))
	w.a.stop()
	w.b.activate(2)
	if !are(w.b, first)() {
		t.Errorf("the next owner has %+v", w.b.engine.Stands("gw"))
	}
	first.Stand = session.Stand{Mode: session.ByPosition, Why: 3}
	w.b.engine.SetStands([]replica.Standing{first})
	w.a.start()
	eventually(t, "the first owner is told in full", are(w.a, first))
}
