package lacp

import (
	"testing"
	"time"
)

// A bond that comes up is not failed for it.
func TestBondComesUp(t *testing.T) {
	const s = time.Second
	for _, tt := range []struct {
		name string
		do   func(w *watcher)
		want []string
	}{
		{"all is well at once", func(w *watcher) { w.run(s) }, []string{"0s degraded", "0s ok"}},
		{"the far ends take their time", func(w *watcher) {
			w.ends(expired, expired)
			w.run(s)
			w.ends(attached, attached)
			w.run(2 * s)
			w.ends(good, good)
			w.run(10 * s)
		}, []string{"3s degraded", "3s ok"}},
		{"the far ends had given up waiting for us", func(w *watcher) {
			w.ends(defaulted, expired)
			w.run(2 * s)
			w.ends(good, good)
			w.run(2 * s)
		}, []string{"2s degraded", "2s ok"}},
		// A far end at the slow rate has nothing to say for 30 s.
		{"we look at a bond that has been well for long, at the slow rate", func(w *watcher) {
			w.known(goodSlow)
			w.ends(goodSlow, goodSlow)
			later := w.wires[1].far
			w.wires[1].far = Info{}
			w.run(28 * s)
			w.wires[1].far = later
			w.run(8 * s)
		}, []string{"0s ok"}},
		{"the same, and one falls silent before it was heard", func(w *watcher) {
			w.known(goodSlow)
			w.ends(goodSlow, goodSlow)
			w.wires[1].far = Info{}
			w.run(10 * s)
			w.own(1, expired&^Timeout)
			w.wires[1].member.Actor.State = expired &^ Timeout
			w.run(3 * s)
			w.own(1, defaulted&^Timeout)
			w.wires[1].member.Actor.State = defaulted &^ Timeout
			w.run(3 * s)
		}, []string{"0s ok", "10s +expired eth1", "10s degraded", "12s +at_min_links", "13s -expired eth1", "13s +defaulted eth1"}},
		{"we look at a team that has been well for long, at the slow rate", func(w *watcher) {
			for i := range w.wires {
				w.wires[i].member.Active = true
				w.far(i, goodSlow)
				w.own(i, goodSlow)
			}
			later := w.wires[1].far
			w.wires[1].far = Info{}
			w.run(28 * s)
			w.wires[1].far = later
			w.run(8 * s)
		}, []string{"0s ok"}},
		{"one link is deaf from the start", func(w *watcher) {
			w.deaf(1, good)
			w.far(1, good)
			w.own(1, good)
			w.run(3 * s)
		}, []string{"0s degraded", "2s +at_min_links", "3s +partner_expired eth1", "3s +partner_defaulted eth1",
			"5s -partner_expired eth1", "10s +unidirectional eth1", "1m0s +partner_churned eth1",
			"1m13s -at_min_links", "1m13s -partner_churned eth1", "1m15s -partner_defaulted eth1", "1m15s -unidirectional eth1", "1m15s ok"}},
		{"nobody speaks LACP", func(w *watcher) {
			for i := range w.wires {
				w.wires[i].far = Info{}
				w.own(i, defaulted)
			}
			w.run(8 * s)
		}, []string{"6s +defaulted eth0", "6s +defaulted eth1", "6s +below_min_links", "6s failed"}},
		{"nobody speaks LACP, not even we", func(w *watcher) {
			for i := range w.wires {
				w.wires[i].far, w.wires[i].own = Info{}, Info{}
				w.wires[i].member.HasStates, w.wires[i].member.Actor.State = true, defaulted&^Activity
			}
			w.run(34 * s)
		}, []string{"6s +defaulted eth0", "6s +defaulted eth1", "6s +below_min_links", "6s failed",
			"33s -defaulted eth0", "33s -defaulted eth1", "33s +passive_both eth0", "33s +passive_both eth1"}},
		{"the bond's own carrier comes last", func(w *watcher) {
			w.known(good)
			w.bond.Carrier = false
			w.run(4 * s)
			w.bond.Carrier = true
			w.run(s)
		}, []string{"4s ok"}},
		{"the bond's own carrier never comes", func(w *watcher) {
			w.known(good)
			w.bond.Carrier = false
			w.run(8 * s)
		}, []string{"6s +bond_down", "6s failed"}},
		{"there is no carrier", func(w *watcher) {
			w.wires[0].member.Carrier, w.wires[1].member.Carrier, w.bond.Carrier = false, false, false
			w.run(8 * s)
		}, []string{"0s +link_down eth0", "0s +link_down eth1", "6s +below_min_links", "6s failed"}},
		{"the capture does not work, and the kernel says that all is well", func(w *watcher) {
			w.known(good)
			w.unheard()
			w.run(100 * s)
		}, []string{"0s ok"}},
		{"the capture does not work, and the kernel says that one is not", func(w *watcher) {
			w.known(good)
			w.unheard()
			w.wires[1].member.Partner.State = expired
			w.wires[1].member.Actor.State = attached
			w.run(4 * s)
			w.wires[1].member.Actor.State = defaulted
			w.run(4 * s)
		}, []string{"0s degraded", "2s +at_min_links", "3s +partner_expired eth1", "6s -partner_expired eth1", "6s +defaulted eth1"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWatcher(t, ModeLACP, 2)
			for _, x := range w.wires {
				x.member.Active = false
			}
			tt.do(w)
			w.want(tt.want...)
		})
	}
}

// Bonds that do not speak LACP are judged by their links; what a switch says is
// nothing to them.
func TestOtherModes(t *testing.T) {
	for _, mode := range []Mode{ModeActiveBackup, ModeBalance, ModeUnknown} {
		t.Run(mode.String(), func(t *testing.T) {
			w := healthy(t, mode, 3)
			w.frame("eth0", false, &PDU{Version: 1, Actor: Info{System: switch1, State: expired}})
			w.frame("eth0", false, &PDU{Version: 1, Actor: Info{System: switch2, State: expired}})
			w.wires[0].member.MII = MIIDown
			w.run(time.Second)
			w.wires[1].member.Carrier = false
			w.run(time.Second)
			w.wires[2].member.Carrier, w.bond.Carrier = false, false
			w.run(time.Second)
			w.want("0s +link_down eth0", "0s degraded", "1s +link_down eth1", "2s +link_down eth2", "2s +below_min_links", "2s failed")
		})
	}
	t.Run("speed does not matter to active-backup", func(t *testing.T) {
		w := healthy(t, ModeActiveBackup, 2)
		w.wires[0].member.Speed, w.wires[1].member.Speed = 10000, 1000
		w.run(10 * time.Second)
		w.want()
	})
	t.Run("active-backup without an active member", func(t *testing.T) {
		w := healthy(t, ModeActiveBackup, 2)
		w.bond.Carrier = false
		w.run(time.Second)
		w.want("0s +bond_down", "0s failed")
	})
}
