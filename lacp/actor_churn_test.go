package lacp

import (
	"testing"
	"time"
)

// Churn Detection machines (5.4.17).
func TestS5_4_17_Churn(t *testing.T) {
	b := newRig(t, 1, nil)
	b.up(0)
	want := func(what string, actor, partner Churn) {
		t.Helper()
		if p := b.a.Port(0); p.ActorChurn != actor || p.PartnerChurn != partner {
			t.Errorf("%s: actor %v, partner %v; want %v, %v", what, p.ActorChurn, p.PartnerChurn, actor, partner)
		}
	}
	b.pass(ChurnDetection - 1)
	want("before 60 s", ChurnMonitor, ChurnMonitor)
	b.pass(1)
	want("after 60 s", Churning, Churning)
	b.keep(0, asked, 3*time.Second)
	want("our end in sync", NoChurn, Churning)
	b.keep(0, good, time.Second)
	want("both in sync", NoChurn, NoChurn)
	b.keep(0, asked, 59*time.Second)
	want("partner out of sync", NoChurn, ChurnMonitor)
	b.keep(0, asked, time.Second)
	want("for 60 s", NoChurn, Churning)
	b.step(ActorInput{Kind: ActLink, Port: 0})
	want("down", ChurnMonitor, ChurnMonitor)
	b.pass(2 * ChurnDetection)
	want("down, and that is no churn", ChurnMonitor, ChurnMonitor)
}
