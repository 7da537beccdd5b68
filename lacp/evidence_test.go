package lacp

import (
	"strings"
	"testing"
	"time"
)

// Which of two partners is the wrong one: the kernel knows, else the most, else
// time.
func TestWhoIsWrong(t *testing.T) {
	for _, tt := range []struct {
		name    string
		members int
		prepare func(w *watcher)
		want    string
	}{
		{"of two the later one", 2, func(w *watcher) { w.wires[1].far.System = switch2 }, "eth1"},
		{"of two the later one, the first", 2, func(w *watcher) { w.wires[0].far.System = switch2 }, "eth0"},
		{"the few", 3, func(w *watcher) { w.wires[0].far.System, w.wires[1].far.System = switch2, switch2 }, "eth2"},
		{"whom the kernel does not use", 2, func(w *watcher) {
			w.wires[1].far.System, w.bond.PartnerMAC = switch2, switch2
		}, "eth0"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := healthy(t, ModeLACP, tt.members)
			tt.prepare(w)
			w.run(3 * time.Second)
			for i := range w.wires {
				name := w.wires[i].member.Interface
				if got := strings.Contains(strings.Join(w.of(name), " "), "different_partner_system"); got != (name == tt.want) {
					t.Errorf("%s: %v, and the wrong one is %s", name, w.of(name), tt.want)
				}
			}
		})
	}
}

// TestEvidence: the bits and values that a person needs.
func TestEvidence(t *testing.T) {
	for _, tt := range []struct {
		kind Kind
		do   func(w *watcher)
		want []string
	}{
		{KindOtherSystem, func(w *watcher) { w.wires[1].far.System = switch2 }, []string{"00:1c:73:bb:00:02 port 2 key 17", "eth0 lead to 00:1c:73:aa:00:01"}},
		{KindOtherKey, func(w *watcher) { w.wires[1].far.Key = 34 }, []string{"key 34", "eth0 lead to key 17"}},
		{KindPartnerExpired, func(w *watcher) { w.far(1, expired) }, []string{"00:1c:73:aa:00:01 port 2", "0x87 (activity|timeout_short|aggregation|expired)"}},
		{KindUnidirectional, func(w *watcher) { w.far(1, defaulted) }, []string{"we hear 00:1c:73:aa:00:01", "0x47"}},
		{KindUnidirectional, func(w *watcher) { w.wires[1].view = w.wires[0].own }, []string{"hears 52:54:00:10:00:01 port 1", "this is 52:54:00:10:00:01 port 2"}},
		{KindTimeoutMismatch, func(w *watcher) { w.far(1, goodSlow) }, []string{"each second", "each 30 s"}},
		{KindPartnerChanged, func(w *watcher) { w.wires[1].far.System = switch2 }, []string{"from 00:1c:73:aa:00:01 to 00:1c:73:bb:00:02"}},
		{KindDefaulted, func(w *watcher) { w.wires[1].far = Info{} }, []string{"no PDU for 6s; 00:1c:73:aa:00:01 was there before"}},
		{KindSplit, func(w *watcher) {
			w.bond.Aggregator, w.wires[1].member.Aggregator = 1, 2
		}, []string{"aggregator 2, and 1 is the active one"}},
		{KindBelowMinLinks, func(w *watcher) {
			w.bond.MinLinks, w.wires[1].member.Carrier = 2, false
		}, []string{"1 of 2 members carry, 2 have to; not eth1"}},
		{KindFlapping, func(w *watcher) { w.wires[1].member.LinkFailures = 9 }, []string{"4 changes in 0s"}},
		{KindLoopback, func(w *watcher) { w.wires[1].far = w.wires[1].own }, []string{"our own system 52:54:00:10:00:01"}},
	} {
		t.Run(tt.kind.String(), func(t *testing.T) {
			w := healthy(t, ModeLACP, 2)
			tt.do(w)
			w.run(11 * time.Second)
			for _, f := range w.m.Status().Findings {
				if f.Kind != tt.kind {
					continue
				}
				for _, want := range tt.want {
					if !strings.Contains(f.Detail(), want) {
						t.Errorf("%s\nlacks %q", f.Detail(), want)
					}
				}
				return
			}
			t.Errorf("not found: %v", w.is)
		})
	}
}
