package daemon

import (
	"strings"
	"testing"

	"understudy/appliance/replica"
	"understudy/nat/conntrack"
	"understudy/nat/session"
)

func TestFullness(t *testing.T) {
	peer := func(connected bool, max uint64) replica.Status {
		return replica.Status{Peers: []replica.PeerStatus{{Name: "gw2", Connected: connected, Table: session.TableSize{Max: max}}}}
	}
	for _, tt := range []struct {
		name   string
		limits conntrack.Limits
		st     replica.Status
		want   []string
	}{
		{"room", conntrack.Limits{Max: 1000, Count: 900}, peer(true, 1000), nil},
		{"nearly full", conntrack.Limits{Max: 1000, Count: 901}, peer(true, 1000), []string{"901 of at most 1000"}},
		{"no limit", conntrack.Limits{Count: 5000}, peer(true, 1000), nil},
		{"the peer has more", conntrack.Limits{Max: 1000}, peer(true, 2000), []string{"1000 here and 2000 on gw2"}},
		{"the peer has less", conntrack.Limits{Max: 1000}, peer(true, 500), nil},
		{"a peer of an older version", conntrack.Limits{Max: 1000}, peer(true, 0), nil},
		{"a peer that was there once", conntrack.Limits{Max: 1000}, peer(false, 2000), nil},
		{"both", conntrack.Limits{Max: 1000, Count: 999}, peer(true, 2000), []string{"999 of", "2000 on gw2"}},
	} {
		got := fullness(tt.limits, tt.st)
		if (got == "") != (tt.want == nil) {
			t.Errorf("%s: %q", tt.name, got)
		}
		for _, w := range tt.want {
			if !strings.Contains(got, w) {
				t.Errorf("%s: %q is not in %q", tt.name, w, got)
			}
		}
	}
}
