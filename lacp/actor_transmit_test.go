package lacp

import (
	"testing"
	"time"
)

// Transmit machine (5.4.16).
func TestS5_4_16_Transmit(t *testing.T) {
	t.Run("not more than 3 in any second, and the last word is said", func(t *testing.T) {
		b := newRig(t, 1, nil)
		b.up(0)
		b.pass(5 * time.Second)
		b.sent = nil
		for i := range 20 {
			p := b.peer(0, asked&^Timeout)
			p.Partner.Key = uint16(100 + i) // it knows something else: NTT
			b.hear(0, p)
			b.pass(10 * time.Millisecond)
		}
		if len(b.sent) > 3 {
			t.Errorf("%d PDUs in 200 ms", len(b.sent))
		}
		said := len(b.sent)
		b.pass(time.Second)
		if len(b.sent) == said {
			t.Error("what was to be said was forgotten")
		}
	})
	t.Run("a change is told at once", func(t *testing.T) {
		b := newRig(t, 1, nil)
		b.up(0)
		b.keep(0, good, 4*time.Second)
		b.sent = nil
		cfg := b.a.cfg
		cfg.Ports = []PortConfig{cfg.Ports[0]}
		cfg.Ports[0].Key = 99
		b.took(b.a.Reconfigure(b.now, cfg))
		if len(b.sent) != 1 || b.sent[0].Actor.Key != 99 || b.sent[0].Actor.State.Has(Synchronization) {
			t.Errorf("%+v", b.sent)
		}
	})
	t.Run("update_NTT: what the partner knows wrongly is said again", func(t *testing.T) {
		b := newRig(t, 1, nil)
		b.up(0)
		b.keep(0, good, 4*time.Second)
		for _, change := range []func(*Info){
			func(i *Info) { i.Port++ }, func(i *Info) { i.PortPriority++ }, func(i *Info) { i.System[5]++ }, func(i *Info) { i.SystemPriority++ },
			func(i *Info) { i.Key++ }, func(i *Info) { i.State ^= Activity }, func(i *Info) { i.State ^= Timeout }, func(i *Info) { i.State ^= Synchronization },
			func(i *Info) { i.State ^= Aggregation },
		} {
			p := b.peer(0, good)
			change(&p.Partner)
			b.pass(time.Second / 2)
			b.sent = nil
			b.hear(0, p)
			if len(b.sent) == 0 {
				t.Errorf("%+v is not corrected", p.Partner)
			}
			b.pass(time.Second / 2)
			b.hear(0, b.peer(0, good))
		}
	})
	t.Run("a PDU of the version that is configured", func(t *testing.T) {
		tlv := AppendTLV(nil, TLVPortAlgorithm, []byte{0, 0x80, 0xc2, 1})
		b := newRig(t, 1, func(c *ActorConfig) { c.Version, c.Extensions = 2, tlv })
		b.up(0)
		if a, ok := b.sent[0].Algorithm(); b.sent[0].Version != 2 || !ok || a != 0x80c201 {
			t.Errorf("%+v", b.sent[0])
		}
	})
}

// Marker Responder (5.5.4).
func TestS5_5_MarkerResponder(t *testing.T) {
	b := newRig(t, 2, nil)
	ask := Marker{Version: 1, Kind: MarkerInformation, Port: 5, System: gateway, Transaction: 77}
	mark := func(m Marker) []Sending {
		return b.a.Step(b.now, ActorInput{Kind: ActFrame, Port: 1, Frame: AppendMarker(AppendHeader(nil, MAC{9}), m)})
	}
	if out := mark(ask); len(out) > 0 {
		t.Errorf("a port that is down has answered: %v", out)
	}
	b.up(1)
	b.pass(5 * time.Second)
	out := mark(ask)
	if len(out) != 1 || out[0].Port != 1 {
		t.Fatalf("%v", out)
	}
	if got, r := ParseMarker(out[0].Frame[14:]); r != ReasonNone || got != ask.Answer() {
		t.Errorf("%+v, %v", got, r)
	}
	answer := ask
	answer.Kind = MarkerResponse
	if out := mark(answer); len(out) > 0 {
		t.Errorf("an answer was answered: %v", out)
	}
	for range 100 {
		mark(ask)
	}
	if c := b.a.Port(1).Counters; c.MarkersAsked != 101 || c.MarkersSent != markersPerSecond || c.MarkersUnsaid != 101-markersPerSecond {
		t.Errorf("%+v", c)
	}
}
