package lacp

import (
	"testing"
	"time"
)

// What an actor has no use for is counted.
func TestActorRefuses(t *testing.T) {
	for _, v := range vectors(t) {
		b := newRig(t, 1, nil)
		b.up(0)
		b.step(ActorInput{Kind: ActFrame, Frame: v.Frame})
		c := b.a.Port(0).Counters
		for _, r := range Reasons() {
			if got := c.Refused[r]; (got == 1) != (r.String() == v.Reason) {
				t.Errorf("%s: %d refused for %v", v.Name, got, r)
			}
		}
		// The vectors' switch is this one.
		if own := v.pdu != nil && v.Reason == "" && v.pdu.Actor.System == switch1; own != (c.Looped == 1) {
			t.Errorf("%s: looped %d", v.Name, c.Looped)
		}
	}
	b := newRig(t, 1, nil)
	b.step(ActorInput{Kind: ActFrame, Frame: []byte{1}})
	b.step(ActorInput{Kind: ActFrame, Port: 7})
	b.step(ActorInput{Kind: ActLink, Port: -1, Up: true})
	if c := b.a.Port(0).Counters; c.Refused[ReasonTruncated] != 1 {
		t.Errorf("%+v", c)
	}
}

func TestActorAllocatesNothing(t *testing.T) {
	b := newRig(t, 2, nil)
	b.up(0, 1)
	b.keep(0, good, 4*time.Second)
	p := b.peer(0, good)
	frame := Append(AppendHeader(nil, MAC{9}), &p)
	sent := 0
	if n := testing.AllocsPerRun(100, func() {
		b.now = b.now.Add(time.Second)
		sent += len(b.a.Step(b.now, ActorInput{Kind: ActFrame, Frame: frame}))
		sent += len(b.a.Step(b.now, ActorInput{Kind: ActTick}))
	}); n != 0 || sent < 100 {
		t.Errorf("%v allocations, %d frames", n, sent)
	}
}

func TestWords(t *testing.T) {
	for _, tt := range []struct{ got, want string }{
		{PartnerCurrent.String(), "current"}, {Receive(99).String(), "unknown"},
		{FastPace.String(), "fast"}, {Pace(99).String(), "unknown"},
		{StandbyPort.String(), "standby"}, {Selected(99).String(), "unknown"},
		{CollectingDistributing.String(), "collecting_distributing"}, {Mux(99).String(), "unknown"},
		{Churning.String(), "churned"}, {Churn(99).String(), "unknown"},
		{BondDegraded.String(), "degraded"}, {BondState(99).String(), "unknown"},
		{ModeActiveBackup.String(), "active-backup"}, {Mode(99).String(), "unknown"},
		{Severity(99).String(), "unknown"},
	} {
		if tt.got != tt.want {
			t.Errorf("%q, want %q", tt.got, tt.want)
		}
	}
}
