package replica_test

import (
	"testing"

	"understudy/nat/session"
)

// Case 43: the same tuple in two zones is two flows, each in its own.
func TestCase43Zones(t *testing.T) {
	w := running(t)
	one, two, none := flow(2, 6), flow(2, 6), flow(2, 6)
	one.Zone, two.Zone = 1, 2
	two.ReplyDstPort, two.Mark = 30000, 9
	w.a.born(one, two, none)
	w.b.has("each of them", one, two, none)
	w.a.end(one)
	w.b.has("the others stay", two, none)
	w.a.stop()
	if r := w.b.activate(2); r.Installed != 0 {
		t.Errorf("%d had still to be installed", r.Installed)
	}
	eventually(t, "the dump knows them", func() bool { s := w.b.engine.Status(); return s.Counters.Dumps > 0 && s.Local == 2 })
	w.b.has("after the takeover", two, none)
}

// Case 44: what goes by a flow's mark and labels goes on by them. The other gateway
// would not set them itself: the packets that it sees are none that begin a flow.
func TestCase44MarksAndLabels(t *testing.T) {
	g := newGateways(t, natRules+`
table inet byflow {
	chain pre { type filter hook prerouting priority filter; ct state new ct mark set 7; ct state new ct label set 5; }
	chain forward { type filter hook forward priority filter + 20; policy drop
		ct state new accept
		ct mark 7 ct label 5 accept
	}
}`)
	g.runs()
	g.b.nothingNew()
	serve(t, g.server, "tcp", serverIP+":80")
	serve(t, g.server, "udp", serverIP+":53")
	tcp, udp := dialFrom(t, g.client, "tcp", serverIP+":80"), dialFrom(t, g.client, "udp", serverIP+":53")
	must(t, talk(tcp, "one"))
	must(t, talk(udp, "one"))
	want := session.Labels{0: 1 << 5}
	for _, s := range append(g.b.hot(1, called(6, 80)), g.b.hot(1, called(17, 53))...) {
		if s.Mark != 7 || s.Labels != want {
			t.Errorf("replicated as %s", s.String())
		}
		if e, err := g.b.kernel.Get(s.Key); err != nil || e.Mark != 7 || e.Labels != want {
			t.Errorf("in the kernel as %s, %v", e.String(), err)
		}
	}
	g.dies()
	if err := talk(tcp, "two"); err != nil {
		t.Errorf("TCP: %v", err)
	}
	if err := talk(udp, "two"); err != nil {
		t.Errorf("UDP: %v", err)
	}
}

// A kernel without a rule that uses labels keeps none: the flow goes on without.
func TestLabelsThatAKernelCannotKeep(t *testing.T) {
	w := running(t)
	w.a.nft(`table inet l { chain c { type filter hook forward priority filter; ct label 1 counter
	} }`)
	r := flow(2, 6)
	r.Labels[3] = 4
	w.a.born(r)
	eventually(t, "a has its labels", func() bool { have, ok := find(w.a, r.Key); return ok && have.Labels == r.Labels })
	w.b.has("without", r)
	if e, err := w.b.kernel.Get(r.Key); err != nil || e.Labels != (session.Labels{}) {
		t.Fatalf("b keeps labels: %s %v", e.String(), err)
	}
	r.Mark = 5
	must(t, w.a.kernel.Update([]session.Record{r}, updateAll, make([]error, 1)))
	eventually(t, "updates reach it", func() bool { e, err := w.b.kernel.Get(r.Key); return err == nil && e.Mark == 5 })
}
