package lacp

import (
	"encoding/binary"
	"testing"
	"time"
)

// rig is an actor of so many ports: every transition of its machines
// can be reached from here.
type rig struct {
	t    *testing.T
	a    *Actor
	now  time.Time
	sent []PDU
}

func newRig(t *testing.T, ports int, change func(*ActorConfig)) *rig {
	cfg := ActorConfig{System: switch1, SystemPriority: 100, Fast: true}
	for i := range ports {
		cfg.Ports = append(cfg.Ports, PortConfig{MAC: MAC{0, 0, 0, 0, 0, byte(i + 1)}, Number: uint16(i + 1), Priority: 10, Key: 7})
	}
	if change != nil {
		change(&cfg)
	}
	return &rig{t: t, a: NewActor(cfg), now: epoch}
}

func (b *rig) step(in ActorInput) {
	b.t.Helper()
	b.took(b.a.Step(b.now, in))
	if at := b.a.Deadline(); in.Kind == ActTick && !at.IsZero() && !at.After(b.now) {
		b.t.Fatalf("a tick at %v left the deadline at %v", b.now.Sub(epoch), at.Sub(epoch))
	}
}

func (b *rig) took(out []Sending) {
	b.t.Helper()
	for _, s := range out {
		var p PDU
		if r := Parse(s.Frame[14:], &p); r != ReasonNone && s.Frame[14] == byte(SubtypeLACP) {
			b.t.Fatalf("sent what is refused for %v", r)
		}
		if MAC(s.Frame) != Group || MAC(s.Frame[6:]) != b.a.cfg.Ports[s.Port].MAC || binary.BigEndian.Uint16(s.Frame[12:]) != EtherType {
			b.t.Errorf("header %x", s.Frame[:14])
		}
		b.sent = append(b.sent, p)
	}
}

// pass lets time pass, deadline by deadline.
func (b *rig) pass(d time.Duration) {
	b.t.Helper()
	for end := b.now.Add(d); ; {
		at := b.a.Deadline()
		if at.IsZero() || at.After(end) {
			b.now = end
			return
		}
		b.now = latest(b.now, at)
		b.step(ActorInput{Kind: ActTick})
	}
}

func (b *rig) up(ports ...int) {
	for _, p := range ports {
		b.step(ActorInput{Kind: ActLink, Port: p, Up: true})
	}
}

// peer is what a well partner says to a port, that has the given state.
func (b *rig) peer(port int, s State) PDU {
	return PDU{Version: 1, Actor: Info{200, gateway, 15, 255, uint16(port + 1), s}, Partner: b.a.Port(port).Actor}
}

func (b *rig) hear(port int, p PDU) {
	b.t.Helper()
	b.step(ActorInput{Kind: ActFrame, Port: port, Frame: Append(AppendHeader(nil, MAC{9}), &p)})
}

// keep has the peer say it for so long, each second.
func (b *rig) keep(port int, s State, d time.Duration) {
	b.t.Helper()
	for end := b.now.Add(d); b.now.Before(end); b.pass(time.Second) {
		b.hear(port, b.peer(port, s))
	}
}

func (b *rig) want(what string, port int, r Receive, m Mux, s State) {
	b.t.Helper()
	if p := b.a.Port(port); p.Receive != r || p.Mux != m || p.Actor.State != s {
		b.t.Errorf("%s: %v %v %v, want %v %v %v", what, p.Receive, p.Mux, p.Actor.State, r, m, s)
	}
}

const asked = Activity | Timeout | Aggregation // of the rig's actor
