package lacp

import (
	"testing"
	"time"
)

// Receive machine (802.1AX-2008, 5.4.12).
func TestS5_4_12_Receive(t *testing.T) {
	t.Run("PORT_DISABLED to EXPIRED when the port comes up, DEFAULTED 3 s later", func(t *testing.T) {
		b := newRig(t, 1, nil)
		b.want("down", 0, PortDisabled, Detached, asked|Defaulted)
		b.up(0)
		b.want("up", 0, PartnerExpired, Detached, asked|Defaulted|Expired)
		b.pass(ShortTimeout - 1)
		b.want("before 3 s", 0, PartnerExpired, Detached, asked|Defaulted|Expired)
		b.pass(1)
		b.want("after 3 s", 0, PartnerDefaulted, Detached, asked|Defaulted)
	})
	t.Run("EXPIRED and DEFAULTED to CURRENT by a PDU", func(t *testing.T) {
		for _, wait := range []time.Duration{0, ShortTimeout} {
			b := newRig(t, 1, nil)
			b.up(0)
			b.pass(wait)
			b.hear(0, b.peer(0, asked))
			b.want("heard", 0, PartnerCurrent, Waiting, asked)
			if p := b.a.Port(0).Partner; p != (Info{200, gateway, 15, 255, 1, asked}) {
				t.Errorf("partner %+v", p)
			}
		}
	})
	t.Run("CURRENT to EXPIRED 3 s after the last PDU, by our short timeout, and DEFAULTED 3 s later", func(t *testing.T) {
		b := newRig(t, 1, nil)
		b.up(0)
		b.hear(0, b.peer(0, asked))
		b.pass(time.Second)
		b.hear(0, b.peer(0, good))
		b.pass(ShortTimeout - 1)
		b.want("before 3 s", 0, PartnerCurrent, CollectingDistributing, good)
		b.pass(1)
		b.want("after 3 s", 0, PartnerExpired, Attached, asked|Synchronization|Expired)
		if p := b.a.Port(0).Partner; p.System != gateway || p.State.Has(Synchronization) {
			t.Errorf("partner %+v: known, not in sync", p)
		}
		b.pass(ShortTimeout)
		b.want("after 6 s", 0, PartnerDefaulted, Detached, asked|Defaulted)
		if p := b.a.Port(0).Partner; p != (Info{}) {
			t.Errorf("partner %+v, want what is configured", p)
		}
	})
	t.Run("an expired partner is spoken to each second, whatever it had asked for", func(t *testing.T) {
		b := newRig(t, 1, nil)
		b.up(0)
		b.keep(0, goodSlow, 4*time.Second)
		if p := b.a.Port(0); p.Pace != SlowPace {
			t.Fatalf("%v", p.Pace)
		}
		b.pass(2 * time.Second)
		if p := b.a.Port(0); p.Receive != PartnerExpired || p.Pace != FastPace || !p.Partner.State.Has(Timeout) {
			t.Errorf("%v, %v, partner %v", p.Receive, p.Pace, p.Partner.State)
		}
	})
	t.Run("our long timeout is 90 s", func(t *testing.T) {
		b := newRig(t, 1, func(c *ActorConfig) { c.Fast = false })
		b.up(0)
		b.hear(0, b.peer(0, asked))
		b.pass(LongTimeout - 1)
		if r := b.a.Port(0).Receive; r != PartnerCurrent {
			t.Errorf("%v before 90 s", r)
		}
		b.pass(1)
		if r := b.a.Port(0).Receive; r != PartnerExpired {
			t.Errorf("%v after 90 s", r)
		}
	})
	t.Run("to PORT_DISABLED from every state", func(t *testing.T) {
		for _, wait := range []time.Duration{0, ShortTimeout, 2 * ShortTimeout, 3 * ShortTimeout} {
			b := newRig(t, 1, nil)
			b.up(0)
			b.keep(0, good, wait/2)
			b.pass(wait - wait/2)
			b.step(ActorInput{Kind: ActLink, Port: 0})
			if p := b.a.Port(0); p.Receive != PortDisabled || p.Mux != Detached || p.Selected != Unselected || p.Partner.State.Has(Synchronization) {
				t.Errorf("after %v: %+v", wait, p)
			}
			b.hear(0, b.peer(0, good))
			if p := b.a.Port(0); p.Receive != PortDisabled || p.Counters.Received != 0 && wait == 0 {
				t.Errorf("a port that is down has heard something: %+v", p)
			}
		}
	})
	t.Run("LACP_DISABLED where the port does not speak LACP", func(t *testing.T) {
		b := newRig(t, 1, func(c *ActorConfig) { c.Ports[0].Disabled = true })
		b.up(0)
		b.hear(0, b.peer(0, good))
		b.pass(time.Minute)
		b.want("disabled", 0, LACPDisabled, Detached, asked|Defaulted)
		if len(b.sent) > 0 {
			t.Errorf("it has sent %d PDUs", len(b.sent))
		}
		b.a.cfg.Ports[0].Disabled = false
		cfg := b.a.cfg
		cfg.Ports = []PortConfig{cfg.Ports[0]}
		b.took(b.a.Reconfigure(b.now, cfg))
		b.want("enabled", 0, PartnerExpired, Detached, asked|Defaulted|Expired)
	})
	t.Run("port_moved: a partner that is at another port now is forgotten at the old one", func(t *testing.T) {
		b := newRig(t, 2, nil)
		b.up(0, 1)
		b.hear(0, b.peer(0, good))
		b.step(ActorInput{Kind: ActLink, Port: 0})
		if p := b.a.Port(0).Partner; p.System != gateway {
			t.Fatalf("partner %+v: it may come back", p)
		}
		moved := b.peer(1, good)
		moved.Actor.Port = 1
		b.hear(1, moved)
		if p := b.a.Port(0).Partner; p != (Info{}) {
			t.Errorf("partner %+v, want none", p)
		}
	})
}

// recordPDU (5.4.9): the partner is in sync only with the very port that it knows.
func TestS5_4_9_RecordPDU(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*PDU)
		sync   bool
	}{
		{"well", func(*PDU) {}, true},
		{"it knows another port", func(p *PDU) { p.Partner.Port = 9 }, false},
		{"it knows another system", func(p *PDU) { p.Partner.System = switch2 }, false},
		{"it knows another key", func(p *PDU) { p.Partner.Key = 1 }, false},
		{"it knows another port priority", func(p *PDU) { p.Partner.PortPriority = 1 }, false},
		{"it knows another system priority", func(p *PDU) { p.Partner.SystemPriority = 1 }, false},
		{"it takes us for individual", func(p *PDU) { p.Partner.State &^= Aggregation }, false},
		{"it is individual: whom it knows does not matter", func(p *PDU) { p.Actor.State &^= Aggregation; p.Partner.Port = 9 }, true},
		{"it is passive, and knows that we are active", func(p *PDU) { p.Actor.State &^= Activity }, true},
		{"it is passive, and takes us for passive: nobody would keep the link", func(p *PDU) {
			p.Actor.State &^= Activity
			p.Partner.State &^= Activity
		}, false},
		{"it is not in sync", func(p *PDU) { p.Actor.State &^= Synchronization }, false},
	} {
		b := newRig(t, 1, nil)
		b.up(0)
		p := b.peer(0, good)
		tt.change(&p)
		b.hear(0, p)
		if got := b.a.Port(0).Partner.State.Has(Synchronization); got != tt.sync {
			t.Errorf("%s: in sync %v, want %v", tt.name, got, tt.sync)
		}
	}
}

// update_Selected (5.4.9): another partner is another group; another state is not.
func TestS5_4_9_UpdateSelected(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*PDU)
		leaves bool
	}{
		{"the same", func(*PDU) {}, false},
		{"another state", func(p *PDU) { p.Actor.State = goodSlow }, false},
		{"another system", func(p *PDU) { p.Actor.System = switch2 }, true},
		{"another system priority", func(p *PDU) { p.Actor.SystemPriority = 1 }, true},
		{"another key", func(p *PDU) { p.Actor.Key = 1 }, true},
		{"another port", func(p *PDU) { p.Actor.Port = 9 }, true},
		{"another port priority", func(p *PDU) { p.Actor.PortPriority = 9 }, true},
		{"individual", func(p *PDU) { p.Actor.State &^= Aggregation }, true},
	} {
		b := newRig(t, 1, nil)
		b.up(0)
		b.keep(0, good, 3*time.Second)
		p := b.peer(0, good)
		tt.change(&p)
		b.hear(0, p)
		if got := b.a.Port(0).Mux != CollectingDistributing; got != tt.leaves {
			t.Errorf("%s: it is %v, has left %v, want %v", tt.name, b.a.Port(0).Mux, got, tt.leaves)
		}
	}
}
