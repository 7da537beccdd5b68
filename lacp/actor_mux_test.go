package lacp

import (
	"testing"
	"time"
)

// Mux machine (5.4.15), with coupled control and with independent control.
func TestS5_4_15_Mux(t *testing.T) {
	const sync = asked | Synchronization
	t.Run("DETACHED, WAITING for 2 s, ATTACHED, COLLECTING_DISTRIBUTING", func(t *testing.T) {
		b := newRig(t, 1, nil)
		b.up(0)
		b.want("up", 0, PartnerExpired, Detached, asked|Defaulted|Expired)
		b.hear(0, b.peer(0, asked))
		b.want("heard", 0, PartnerCurrent, Waiting, asked)
		b.pass(AggregateWait - 1)
		b.want("before 2 s", 0, PartnerCurrent, Waiting, asked)
		b.pass(1)
		b.want("after 2 s", 0, PartnerCurrent, Attached, sync)
		b.hear(0, b.peer(0, sync))
		b.want("partner in sync", 0, PartnerCurrent, CollectingDistributing, good)
		b.hear(0, b.peer(0, asked))
		b.want("partner not in sync", 0, PartnerCurrent, Attached, sync)
	})
	t.Run("COLLECTING, and DISTRIBUTING when the partner collects", func(t *testing.T) {
		b := newRig(t, 1, func(c *ActorConfig) { c.Independent = true })
		b.up(0)
		b.hear(0, b.peer(0, asked))
		b.pass(AggregateWait)
		b.hear(0, b.peer(0, sync))
		b.want("partner in sync", 0, PartnerCurrent, MuxCollecting, sync|Collecting)
		b.hear(0, b.peer(0, sync|Collecting))
		b.want("partner collects", 0, PartnerCurrent, MuxDistributing, good)
		b.hear(0, b.peer(0, sync))
		b.want("partner does not collect", 0, PartnerCurrent, MuxCollecting, sync|Collecting)
		b.hear(0, b.peer(0, sync|Collecting))
		b.hear(0, b.peer(0, asked))
		b.want("partner not in sync", 0, PartnerCurrent, Attached, sync)
	})
	t.Run("to DETACHED and WAITING from every state when the group changes", func(t *testing.T) {
		for _, independent := range []bool{false, true} {
			for _, s := range []State{asked, sync, sync | Collecting} {
				b := newRig(t, 1, func(c *ActorConfig) { c.Independent = independent })
				b.up(0)
				b.keep(0, s, 4*time.Second)
				p := b.peer(0, s)
				p.Actor.Key = 99
				b.sent = nil
				b.hear(0, p)
				b.want("another key", 0, PartnerCurrent, Waiting, asked)
			}
		}
	})
	t.Run("ATTACHED to DETACHED when it is to stand by", func(t *testing.T) {
		b := newRig(t, 2, func(c *ActorConfig) { c.MaxLinks, c.Ports[0].Priority = 1, 1 })
		b.up(1)
		b.keep(1, good, 4*time.Second)
		b.up(0)
		b.hear(0, b.peer(0, good))
		if p := b.a.Port(1); p.Mux != Waiting || p.Selected != StandbyPort || p.Actor.State.Has(Synchronization) {
			t.Errorf("%+v", p)
		}
	})
	t.Run("Ready: links that come within the wait join together", func(t *testing.T) {
		b := newRig(t, 2, nil)
		b.up(0, 1)
		b.hear(0, b.peer(0, good))
		b.pass(time.Second)
		b.hear(0, b.peer(0, good))
		b.hear(1, b.peer(1, good))
		b.pass(2*time.Second - 1)
		if x, y := b.a.Port(0).Mux, b.a.Port(1).Mux; x != Waiting || y != Waiting {
			t.Errorf("%v %v before the second has waited", x, y)
		}
		b.hear(0, b.peer(0, good))
		b.pass(1)
		if x, y := b.a.Port(0).Mux, b.a.Port(1).Mux; x != CollectingDistributing || y != x {
			t.Errorf("%v %v after it has", x, y)
		}
	})
}
