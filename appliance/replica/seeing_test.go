package replica_test

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"understudy/appliance/replica"
	"understudy/nat/session"
)

// byWhy counts what a diff names.
func byWhy(d replica.Diff) map[string]int {
	m := map[string]int{}
	for i := range d.Flows {
		m[d.Flows[i].What.String()+" "+d.Flows[i].Why]++
	}
	return m
}

func (b *box) diff() replica.Diff {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), settle)
	defer cancel()
	d, err := b.engine.Diff(ctx, "")
	must(b.t, err)
	return d
}

// outside is a flow of a client that the standby does not take for one inside.
func outside(n uint32) session.Record {
	r := flow(n, 6)
	r.Src = session.AddrFrom(netip.MustParseAddr("10.128.0.1"))
	return r
}

// What would be lost if the active node died now is what a comparison with the peer
// names, each for the same reason; and when there is nothing, neither has anything
// to say.
func TestUnprotectedIsWhatTheDiffNames(t *testing.T) {
	w := newWorld(t)
	w.a.cfg.Classes = session.Policy{
		{Proto: 17, Ports: []session.Ports{{First: 443, Last: 443}}, MinAge: time.Hour},
		{Proto: 17, Ports: []session.Ports{{First: 9000, Last: 9000}}, Never: true},
	}
	w.a.cfg.Reconcile = 300 * time.Millisecond
	w.b.cfg.Inside = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/9")}
	w.a.start()
	w.b.start()
	w.a.activate(1)
	var good, young, far []session.Record
	for i := range uint32(30) {
		good = append(good, flow(2*i, 6))
	}
	for i := range uint32(5) {
		young = append(young, flow(1000+i, 17))
	}
	for i := range uint32(3) {
		far = append(far, outside(2000+i))
	}
	never := flow(3000, 17)
	never.DstPort, never.ReplySrcPort = 9000, 9000
	asked := flow(3001, 17) // and not answered
	asked.Status = session.StatusConfirmed
	w.a.born(good...)
	w.a.born(young...)
	w.a.born(far...)
	w.a.born(never, asked)
	w.b.has("all but those", good...)
	want := replica.Unprotected{Peer: "b", Young: 5, Refused: 3, Excluded: 1, NotReplicable: 1}
	var u replica.Unprotected
	if !within(settle, func() bool {
		u = w.a.engine.Unprotected()
		return u.Young == want.Young && u.Refused == want.Refused && u.Excluded == want.Excluded && u.NotReplicable == want.NotReplicable && u.Total() == 10
	}) {
		t.Fatalf("unprotected %+v", u)
	}
	if len(u.Classes) != 2 || u.Classes[0] != (replica.ClassFlows{Class: "udp 443", Young: 5}) || u.Classes[1] != (replica.ClassFlows{Class: "udp 9000", Excluded: 1}) {
		t.Errorf("classes %+v", u.Classes)
	}
	d := w.a.diff()
	if m := byWhy(d); len(d.Flows) != u.Young+u.Dirty+u.InFlight+u.Refused || m["lacks young"] != 5 || m["lacks refused"] != 3 || !d.Asked || d.Peer != "b" {
		t.Errorf("the diff names %v", m)
	}
	for i := range d.Flows {
		if f := &d.Flows[i]; f.Why == "refused" && !strings.Contains(f.Detail, "outside") || f.Group != "gw" {
			t.Errorf("%s: %q", f.String(), f.Detail)
		}
	}
	// Seen from the other side there is more than it has.
	if m := byWhy(w.b.diff()); len(m) != 1 || m["extra missing"] != 3 {
		t.Errorf("the standby's diff names %v", m)
	}
	if u := w.b.engine.Unprotected(); u.Total() != 0 {
		t.Errorf("a standby has nothing to lose: %+v", u)
	}
	w.a.end(far...)
	w.a.end(young...)
	w.a.end(never, asked)
	eventually(t, "nothing is unprotected", func() bool { u := w.a.engine.Unprotected(); return u.Total() == 0 })
	if a, b := w.a.diff(), w.b.diff(); len(a.Flows)+len(b.Flows) != 0 {
		t.Errorf("a: %v, b: %v", byWhy(a), byWhy(b))
	}
	w.b.stop()
	eventually(t, "without a peer none is protected", func() bool { u := w.a.engine.Unprotected(); return u.Unsynced == len(good) })
	if _, err := w.a.engine.Diff(context.Background(), "b"); !errors.Is(err, replica.ErrNotConnected) {
		t.Errorf("diff: %v", err)
	}
	if _, err := w.a.engine.Diff(context.Background(), "c"); !errors.Is(err, replica.ErrUnknownPeer) {
		t.Errorf("diff: %v", err)
	}
}

// A diff under load names nothing that is only on its way, and disturbs nothing.
func TestDiffUnderLoad(t *testing.T) {
	w := running(t)
	w.a.born(flows(2000)...)
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for i := uint32(0); ; i++ {
			select {
			case <-stop:
				return
			default:
				w.a.born(flow(10000+i, 6))
			}
		}
	}()
	for range 3 {
		d := w.a.diff()
		for i := range d.Flows {
			if f := &d.Flows[i]; f.What != session.PeerLacks || f.Why == "missing" {
				t.Errorf("%v %s: %s", f.What, f.Why, f.String())
			}
		}
	}
	close(stop)
	<-stopped
	eventually(t, "equal at rest", func() bool { return len(w.a.diff().Flows)+len(w.b.diff().Flows) == 0 })
	if s := w.b.engine.Status().Peers[0].Receiver; s.Mismatches != 0 || s.Transfers != 1 {
		t.Errorf("%+v", s)
	}
}

// The report of a takeover: what was in the kernel, what came then, and what the
// last owner had told nobody of, by its own last word.
func TestTakeoverReport(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.a.cfg.Classes = session.Policy{{Proto: 17, MinAge: time.Hour}}
	w.a.start()
	w.b.start()
	if r := w.a.activate(1); r.LostEstimate > 0 || r.Sessions != 0 {
		t.Errorf("the first owner there ever was, whether it knows of the other or not yet: %+v", r)
	}
	var hot []session.Record
	for i := range uint32(200) {
		hot = append(hot, flow(2*i, 6))
	}
	w.a.born(hot...)
	for i := range uint32(7) {
		w.a.born(flow(1001+2*i, 17))
	}
	w.b.has("hot", hot...)
	eventually(t, "young ones are held back", func() bool { return w.a.engine.Unprotected().Young == 7 })
	eventually(t, "the owner says so with a sign of life", func() bool { return w.b.engine.YoungOf("a") == 7 })
	w.a.stop()
	r := w.b.activate(2)
	if r.Sessions != 200 || r.Hot != 200 || r.Installed != 0 || r.Refused+r.Clashes != 0 || r.LostEstimate < 7 || r.LostEstimate > 20 || r.Heard <= 0 {
		t.Errorf("%+v", r)
	}
	all := w.b.engine.Takeovers()
	if len(all) != 1 || all[0].From != "a" || all[0].Group != "gw" || all[0].Report != r || all[0].Late != 0 {
		t.Errorf("%+v", all)
	}
	w.a.start()
	eventually(t, "a has them", func() bool { return w.a.engine.Status().InSync && w.a.holds("b") })
	w.a.has("again", hot...)
	for i := range uint64(20) {
		from, to := w.b, w.a
		if i%2 == 1 {
			from, to = to, from
		}
		from.engine.Deactivate("gw")
		eventually(t, "nobody is Active", func() bool { return to.holds("") && to.engine.Status().InSync })
		if r := to.activate(3 + i); r.LostEstimate != 0 || r.Hot != 200 || r.Installed != 0 {
			t.Errorf("handed over: %+v", r)
		}
		eventually(t, "the other follows", func() bool { return from.engine.Status().InSync && from.holds(to.name) })
	}
	if all := w.b.engine.Takeovers(); len(all) != 11 || all[0].Term < all[10].Term {
		t.Errorf("%d reports: %+v", len(all), all)
	}
}

// A connection of which the standby was told nothing is named when it goes on there.
func TestTakeoverReportNamesTheLost(t *testing.T) {
	g := newGateways(t, natChain)
	g.a.cfg.Classes = session.Policy{{Proto: 6, Ports: []session.Ports{{First: 80, Last: 80}}, MinAge: time.Hour}}
	serve(t, g.server, "tcp", serverIP+":80")
	serve(t, g.server, "tcp", serverIP+":81")
	g.runs()
	lost, kept := dialFrom(t, g.client, "tcp", serverIP+":80"), dialFrom(t, g.client, "tcp", serverIP+":81")
	must(t, talk(lost, "one"))
	must(t, talk(kept, "one"))
	g.b.hot(1, called(6, 81))
	g.dies()
	must(t, talk(kept, "two"))
	must(t, talk(lost, "two")) // the kernel lets it in, for nothing is translated
	fresh := dialFrom(t, g.client, "tcp", serverIP+":81")
	must(t, talk(fresh, "one"))
	var all []replica.Takeover
	eventually(t, "the report names it", func() bool { all = g.b.engine.Takeovers(); return all[0].LostCount > 0 })
	if l := all[0].Lost; len(l) != 1 || l[0].Key.DstPort != 80 || all[0].LostCount != 1 {
		t.Errorf("lost: %+v", l)
	}
}

// However many connections are met in their middle, each is named, and once.
func TestTakeoverReportNamesEachOnce(t *testing.T) {
	w := newWorld(t)
	w.a.start()
	w.a.activate(1)
	var keys []session.Key
	for i := range uint32(1000) {
		keys = append(keys, flow(i, 6).Key)
	}
	w.a.engine.NoteUnknown(keys[:600])
	w.a.engine.NoteUnknown(keys) // what was met stays known for a while
	lost := w.a.engine.Takeovers()[0]
	if lost.LostCount != 1000 || len(lost.Lost) != 1000 {
		t.Errorf("%d are lost, %d named", lost.LostCount, len(lost.Lost))
	}
}
