package lacp

import (
	"strings"
	"testing"
	"time"
)

// TestFindings: a healthy bond of two, what happens to it, and everything that is
// said of it: when it is raised (+), cleared (-), and how the bond is.
func TestFindings(t *testing.T) {
	const s = time.Second
	raised, cleared := map[string]bool{}, map[string]bool{}
	for _, tt := range []struct {
		name string
		do   func(w *watcher)
		want []string
	}{
		{"nothing happens", func(w *watcher) { w.run(300 * s) }, nil},

		{"a cable is pulled and put back", func(w *watcher) {
			w.wires[1].member.Carrier = false
			w.run(3 * s)
			w.wires[1].member.Carrier = true
			w.run(5 * s)
		}, []string{"0s +link_down eth1", "0s degraded", "2s +at_min_links", "3s -link_down eth1", "3s -at_min_links", "3s ok"}},

		{"the driver's monitor calls a link down that has carrier", func(w *watcher) {
			w.wires[1].member.MII = MIIDown
			w.run(s)
		}, []string{"0s +link_down eth1", "0s degraded"}},

		{"both cables are pulled", func(w *watcher) {
			w.wires[0].member.Carrier = false
			w.run(s)
			w.wires[1].member.Carrier, w.bond.Carrier = false, false
			w.run(s)
			w.wires[1].member.Carrier, w.bond.Carrier = true, true
			w.run(s)
		}, []string{"0s +link_down eth0", "0s degraded", "1s +link_down eth1", "1s +below_min_links", "1s failed",
			"2s -link_down eth1", "2s -below_min_links", "2s degraded"}},

		{"the far end falls silent: expired after 3 s, defaulted after 6 s", func(w *watcher) {
			far := w.wires[1].far
			w.wires[1].far = Info{}
			w.run(2 * s)
			w.own(1, expired)
			w.run(3 * s)
			w.own(1, defaulted)
			w.run(2 * s)
			w.wires[1].far = far
			w.own(1, good)
			w.run(s)
		}, []string{"2s +expired eth1", "2s degraded", "4s +at_min_links", "5s -expired eth1", "5s +defaulted eth1",
			"7s -at_min_links", "7s -defaulted eth1", "7s ok"}},

		{"the far end falls silent at the slow rate: 90 s and 3 s", func(w *watcher) {
			w.ends(goodSlow, goodSlow)
			w.run(s)
			w.wires[1].far = Info{}
			w.run(100 * s)
		}, []string{"1m30s +expired eth1", "1m30s degraded", "1m33s -expired eth1", "1m33s +defaulted eth1"}},

		{"the far end has not heard us in time", func(w *watcher) {
			w.far(1, expired)
			w.own(1, attached)
			w.run(3 * s)
			w.far(1, good)
			w.own(1, good)
			w.run(5 * s)
		}, []string{"0s degraded", "0s +partner_expired eth1", "2s +at_min_links", "3s -at_min_links", "5s -partner_expired eth1", "5s ok"}},

		{"the link works in one direction only", func(w *watcher) {
			w.far(1, expired)
			w.own(1, attached)
			w.run(3 * s)
			w.far(1, defaulted)
			w.run(8 * s)
			w.far(1, good)
			w.own(1, good)
			w.run(5 * s)
		}, []string{"0s degraded", "0s +partner_expired eth1", "2s +at_min_links", "3s +partner_defaulted eth1",
			"5s -partner_expired eth1", "10s +unidirectional eth1", "11s -at_min_links",
			"13s -partner_defaulted eth1", "13s -unidirectional eth1", "13s ok"}},

		// As drivers and switches do: a word each second while they wait, one when they
		// give up, and then one each 30 s. At the fast rate that is less often than we
		// would believe anything else.
		{"one direction only, at the fast rate: the far end speaks each 30 s", func(w *watcher) {
			w.deaf(1, good)
			w.far(1, good)
			w.own(1, good)
			w.run(3 * s)
		}, []string{"0s degraded", "0s +partner_expired eth1", "2s +at_min_links", "3s +partner_defaulted eth1",
			"5s -partner_expired eth1", "10s +unidirectional eth1", "1m0s +partner_churned eth1",
			"1m13s -at_min_links", "1m13s -partner_churned eth1", "1m15s -partner_defaulted eth1", "1m15s -unidirectional eth1", "1m15s ok"}},

		{"one direction only, at the slow rate", func(w *watcher) {
			w.ends(goodSlow, goodSlow)
			w.run(s)
			w.deaf(1, goodSlow)
			w.far(1, goodSlow)
			w.own(1, goodSlow)
			w.run(3 * s)
		}, []string{"1s degraded", "1s +partner_expired eth1", "3s +at_min_links", "4s +partner_defaulted eth1",
			"6s -partner_expired eth1", "11s +unidirectional eth1", "1m1s +partner_churned eth1",
			"1m14s -at_min_links", "1m14s -partner_churned eth1", "1m16s -partner_defaulted eth1", "1m16s -unidirectional eth1", "1m16s ok"}},

		{"one direction only, then none: its last word counts until the next one is overdue", func(w *watcher) {
			w.deaf(1, good)
			w.wires[1].far = Info{}
			w.run(40 * s) // the last word was 10 s before; 45 s are allowed
		}, []string{"0s degraded", "0s +partner_expired eth1", "2s +at_min_links", "3s +partner_defaulted eth1",
			"5s -partner_expired eth1", "10s +unidirectional eth1", "1m0s +partner_churned eth1",
			"1m48s +defaulted eth1", "1m50s -partner_defaulted eth1", "1m50s -unidirectional eth1"}},

		{"the far end says once that it has not heard us, and then nothing more", func(w *watcher) {
			w.far(1, expired)
			w.own(1, attached)
			w.run(s)
			w.wires[1].far = Info{}
			w.run(s)
			w.own(1, expired)
			w.run(2 * s)
			w.own(1, defaulted)
			w.run(16 * s)
		}, []string{"0s degraded", "0s +partner_expired eth1", "2s +at_min_links", "3s +expired eth1",
			"5s -partner_expired eth1", "6s -expired eth1", "6s +defaulted eth1"}},

		{"the far end says once, at the slow rate, that it has not heard us", func(w *watcher) {
			w.ends(goodSlow, goodSlow)
			w.run(s)
			w.far(1, goodSlow&^Synchronization&^Collecting&^Distributing|Expired)
			w.run(s)
			w.wires[1].far = Info{}
			w.run(28 * s)
			w.wires[1].far = Info{32768, switch1, 17, 32768, 2, goodSlow}
			w.run(3 * s)
		}, []string{"1s +partner_expired eth1", "1s degraded", "32s -partner_expired eth1", "32s ok"}},

		{"deaf, and the cable goes to a switch that has just come up", func(w *watcher) {
			w.deaf(1, good)
			w.wires[1].far = Info{32768, switch2, 17, 32768, 2, expired}
			w.run(s)
			w.wires[1].far.State = good
			w.own(1, good)
			w.run(3 * s)
		}, []string{"0s degraded", "0s +partner_expired eth1", "2s +at_min_links", "3s +partner_defaulted eth1",
			"5s -partner_expired eth1", "10s +unidirectional eth1", "1m0s +partner_churned eth1",
			"1m13s +partner_expired eth1", "1m13s +partner_changed eth1",
			"1m14s -at_min_links", "1m14s -partner_churned eth1", "1m15s -partner_defaulted eth1", "1m15s +different_partner_system eth1",
			"1m16s -partner_expired eth1", "1m16s -unidirectional eth1"}},

		{"the two directions go to different ports", func(w *watcher) {
			w.wires[0].view, w.wires[1].view = w.wires[1].own, w.wires[0].own
			w.run(11 * s)
			w.wires[0].view, w.wires[1].view = Info{}, Info{}
			w.run(3 * s)
		}, []string{"10s +unidirectional eth0", "10s +unidirectional eth1", "10s degraded", "13s -unidirectional eth0", "13s -unidirectional eth1", "13s ok"}},

		{"the far end says that the link is an individual one", func(w *watcher) {
			w.far(1, good&^Aggregation)
			w.run(4 * s)
			w.far(1, good)
			w.run(4 * s)
		}, []string{"2s +individual_link eth1", "2s degraded", "6s -individual_link eth1", "6s ok"}},

		{"our end says so", func(w *watcher) {
			w.own(1, good&^Aggregation)
			w.run(3 * s)
		}, []string{"2s +individual_link eth1", "2s degraded"}},

		{"a cable is moved to another switch", func(w *watcher) {
			w.wires[1].far.System = switch2
			w.run(4 * s)
			w.wires[1].far.System = switch1
			w.run(4 * s)
		}, []string{"0s +partner_changed eth1", "2s +different_partner_system eth1", "2s degraded",
			"6s -different_partner_system eth1", "6s ok"}},

		{"all cables go to another switch", func(w *watcher) {
			w.wires[0].far.System, w.wires[1].far.System = switch2, switch2
			w.run(301 * s)
		}, []string{"0s +partner_changed eth0", "0s +partner_changed eth1", "5m0s -partner_changed eth0", "5m0s -partner_changed eth1"}},

		{"the far end's port is in another port channel", func(w *watcher) {
			w.wires[1].far.Key = 34
			w.run(4 * s)
			w.wires[1].far.Key = 17
			w.run(4 * s)
		}, []string{"2s +different_partner_key eth1", "2s degraded", "6s -different_partner_key eth1", "6s ok"}},

		{"the driver splits the members", func(w *watcher) {
			w.bond.Aggregator, w.wires[0].member.Aggregator, w.wires[1].member.Aggregator = 1, 1, 2
			w.run(7 * s)
			w.wires[1].member.Aggregator = 1
			w.run(3 * s)
		}, []string{"0s degraded", "2s +at_min_links", "5s +aggregator_split eth1", "7s -at_min_links", "9s -aggregator_split eth1", "9s ok"}},

		{"the far end does not collect", func(w *watcher) {
			w.far(1, attached)
			w.run(6 * s)
			w.far(1, good)
			w.run(3 * s)
		}, []string{"5s +sync_but_not_collecting eth1", "5s degraded", "8s -sync_but_not_collecting eth1", "8s ok"}},

		{"the far end does not collect, for we are not in sync", func(w *watcher) {
			w.far(1, attached)
			w.own(1, detached)
			w.run(10 * s)
		}, []string{"0s degraded", "2s +at_min_links"}},

		{"we do not distribute", func(w *watcher) {
			w.own(1, good&^Distributing)
			w.run(6 * s)
			w.own(1, good)
			w.run(3 * s)
		}, []string{"0s degraded", "2s +at_min_links", "5s +not_distributing eth1", "6s -at_min_links", "8s -not_distributing eth1", "8s ok"}},

		{"the far end does not distribute", func(w *watcher) {
			w.far(1, good&^Distributing)
			w.run(6 * s)
		}, []string{"5s +not_distributing eth1", "5s degraded"}},

		{"the far end lets the link stand by; then it churns", func(w *watcher) {
			w.far(1, detached)
			w.own(1, attached)
			w.run(61 * s)
			w.far(1, good)
			w.own(1, good)
			w.run(3 * s)
		}, []string{"0s degraded", "2s +at_min_links", "5s +standby eth1", "1m0s +partner_churned eth1",
			"1m1s -at_min_links", "1m1s -partner_churned eth1", "1m1s ok", "1m3s -standby eth1"}},

		{"our end finds no aggregate", func(w *watcher) {
			w.own(1, detached)
			w.run(61 * s)
			w.own(1, good)
			w.run(s)
		}, []string{"0s degraded", "2s +at_min_links", "1m0s +actor_churned eth1", "1m1s -actor_churned eth1", "1m1s -at_min_links", "1m1s ok"}},

		{"the ends ask for different rates", func(w *watcher) {
			w.far(1, goodSlow)
			w.run(3 * s)
			w.far(1, good)
			w.run(3 * s)
		}, []string{"2s +timeout_mismatch eth1", "5s -timeout_mismatch eth1"}},

		{"both ends are passive", func(w *watcher) {
			w.ends(good&^Activity, good&^Activity)
			w.run(s)
			w.far(0, good)
			w.own(1, good)
			w.run(3 * s)
		}, []string{"0s +passive_both eth0", "0s degraded", "0s +passive_both eth1", "3s -passive_both eth0", "3s -passive_both eth1", "3s ok"}},

		{"our own PDUs come back", func(w *watcher) {
			far := w.wires[1].far
			w.wires[1].far, w.wires[1].own.State = w.wires[1].own, detached
			w.run(10 * s)
			w.wires[1].far, w.wires[1].own.State = far, good
			w.run(3 * s)
		}, []string{"0s degraded", "0s +loopback eth1", "2s +at_min_links", "10s -at_min_links", "12s -loopback eth1", "12s ok"}},

		{"members of different speed", func(w *watcher) {
			w.wires[0].member.Speed, w.wires[1].member.Speed = 10000, 1000
			w.run(6 * s)
			w.wires[1].member.Speed = 10000
			w.run(3 * s)
		}, []string{"5s +speed_mismatch eth1", "5s degraded", "8s -speed_mismatch eth1", "8s ok"}},

		{"half duplex", func(w *watcher) {
			w.wires[0].member.Speed, w.wires[1].member.Speed, w.wires[1].member.HalfDuplex = 100, 100, true
			w.run(6 * s)
		}, []string{"5s +speed_mismatch eth1", "5s degraded"}},

		{"a link goes down and up", func(w *watcher) {
			for range 4 {
				w.wires[1].member.Carrier = false
				w.poll()
				w.advance(s)
				w.wires[1].member.Carrier = true
				w.run(s)
			}
			w.run(61 * s)
		}, []string{
			"0s +link_down eth1", "0s degraded", "1s -link_down eth1", "1s ok",
			"2s +link_down eth1", "2s degraded", "3s -link_down eth1", "3s ok",
			"4s +link_down eth1", "4s degraded", "5s -link_down eth1", "5s ok",
			"6s +link_down eth1", "6s +flapping eth1", "6s degraded", "7s -link_down eth1",
			"1m6s -flapping eth1", "1m6s ok"}},

		{"the kernel counts failures that nobody saw", func(w *watcher) {
			w.wires[1].member.LinkFailures = 4
			w.run(s)
		}, []string{"0s +flapping eth1", "0s degraded"}},

		{"the driver cannot decide on an aggregator", func(w *watcher) {
			for i := range uint16(5) {
				w.wires[1].member.Aggregator = 1 + i%2
				w.run(s)
			}
		}, []string{"4s +flapping eth1", "4s degraded"}},

		{"the kernel knows of a change that no PDU of ours told", func(w *watcher) {
			x := w.wires[1]
			x.own = Info{} // nothing more is seen of it
			x.view = Info{65535, gateway, 15, 255, 2, good}
			x.member.HasStates, x.member.Actor.State = true, detached
			w.run(s)
		}, []string{"0s degraded"}},

		{"what we said before the link went down does not count", func(w *watcher) {
			x := w.wires[1]
			x.member.Carrier = false
			w.run(s)
			x.far, x.own = Info{}, Info{}
			x.member.Carrier, x.member.Active = true, false
			w.run(s)
		}, []string{"0s +link_down eth1", "0s degraded", "1s -link_down eth1", "2s +at_min_links"}},

		{"four changes in more than a minute are no flapping", func(w *watcher) {
			for range 4 {
				w.wires[1].member.LinkFailures++
				w.run(21 * s)
			}
		}, nil},

		{"a flood", func(w *watcher) {
			for range 11 {
				w.speak()
			}
			w.run(7 * s)
		}, []string{"0s +flood eth0", "0s degraded", "0s +flood eth1", "5s -flood eth0", "5s -flood eth1", "5s ok"}},

		{"min_links of the driver", func(w *watcher) {
			w.bond.MinLinks = 2
			w.run(s)
			w.wires[1].member.Carrier, w.bond.Carrier = false, false
			w.run(s)
		}, []string{"1s +link_down eth1", "1s +below_min_links", "1s failed"}},

		{"the bond is down though its members would do", func(w *watcher) {
			w.bond.Carrier = false
			w.run(s)
			w.bond.Carrier = true
			w.run(s)
		}, []string{"0s +bond_down", "0s failed", "1s -bond_down", "1s ok"}},

		{"a member with a finding leaves the bond", func(w *watcher) {
			w.wires[1].member.Carrier = false
			w.run(s)
			w.wires = w.wires[:1]
			w.run(s)
		}, []string{"0s +link_down eth1", "0s degraded", "1s -link_down eth1", "1s ok"}},

		{"the bond goes", func(w *watcher) {
			w.wires[1].member.Carrier = false
			w.run(s)
			w.step(Input{Kind: InGone})
		}, []string{"0s +link_down eth1", "0s degraded", "1s -link_down eth1", "1s unknown"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := healthy(t, ModeLACP, 2)
			tt.do(w)
			w.want(tt.want...)
			for _, line := range w.log {
				if name, ok := strings.CutPrefix(strings.Fields(line)[1], "+"); ok {
					raised[name] = true
				} else if name, ok := strings.CutPrefix(name, "-"); ok {
					cleared[name] = true
				}
			}
			if len(w.m.Status().Findings) != len(w.is) {
				t.Errorf("the status has %v, raised are %v", w.m.Status().Findings, w.is)
			}
		})
	}
	for _, k := range Kinds() {
		if !raised[k.String()] || !cleared[k.String()] {
			t.Errorf("%v is raised: %v, cleared: %v", k, raised[k.String()], cleared[k.String()])
		}
	}
}
