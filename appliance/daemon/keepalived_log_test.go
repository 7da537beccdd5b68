package daemon

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"understudy/vrrp"
	"understudy/vrrp/election"
)

func TestTransitionLines(t *testing.T) {
	for _, tt := range []struct {
		name     string
		t        election.Transition
		stopping bool
		want     []string
	}{
		{"begins", election.Transition{From: vrrp.Initialize, To: vrrp.Backup, Cause: "startup"}, false, []string{"(a) Entering BACKUP STATE (init)"}},
		{"takes over", election.Transition{From: vrrp.Backup, To: vrrp.Active, Cause: "active-down"}, false,
			[]string{"(a) Receive advertisement timeout", "(a) Entering MASTER STATE", "(a) setting VIPs."}},
		{"owns", election.Transition{From: vrrp.Initialize, To: vrrp.Active, Cause: "owner"}, false, []string{"(a) Entering MASTER STATE", "(a) setting VIPs."}},
		{"goes on under another election", election.Transition{From: vrrp.Initialize, To: vrrp.Active, Cause: "resume"}, false, nil},
		{"gives up", election.Transition{From: vrrp.Active, To: vrrp.Backup, Cause: "better-active"}, false, []string{"(a) Entering BACKUP STATE", "(a) removing VIPs."}},
		{"fails", election.Transition{From: vrrp.Active, To: vrrp.Fault, Cause: "link"}, false, []string{"(a) Entering FAULT STATE", "(a) removing VIPs."}},
		{"is repaired", election.Transition{From: vrrp.Fault, To: vrrp.Backup, Cause: "repaired"}, false, []string{"(a) Entering BACKUP STATE"}},
		{"hands over", election.Transition{From: vrrp.Active, To: vrrp.Active, Leaving: true}, true, []string{"(a) sent 0 priority"}},
		{"has handed over", election.Transition{From: vrrp.Active, To: vrrp.Backup, Cause: "successor"}, true, []string{"(a) removing VIPs."}},
		{"is put off", election.Transition{From: vrrp.Backup, To: vrrp.Backup, Cause: "held"}, false, nil},
		{"ends", election.Transition{From: vrrp.Backup, To: vrrp.Initialize, Cause: "shutdown"}, true, nil},
	} {
		if d := cmp.Diff(tt.want, transitionLines("a", tt.t, tt.stopping)); d != "" {
			t.Errorf("%s: %s", tt.name, d)
		}
	}
}
