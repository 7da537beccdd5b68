package e2e

import (
	"testing"

	"understudy/appliance/lab/pair"
	"understudy/nat/conntrack"
)

// While another program hears connection events, the kernel makes all of them, as
// without us; with filter = "on" it does not.
func TestEventsAreLeftToOthersWhoListen(t *testing.T) {
	s := newScene(t, pair.Options{})
	s.settle()
	filtered := func(when string, want bool) {
		t.Helper()
		s.ok(s.gw1, "reload")
		if got := s.status(s.gw1).Sessions.Filtered; got != want {
			t.Errorf("%s: filtered is %v", when, got)
		}
	}
	filtered("alone", true)
	var l *conntrack.Listener
	s.must(s.gw1.Do(func() (err error) { l, err = conntrack.OpenListener(conntrack.ListenerConfig{}); return err }))
	filtered("with a socket that hears nothing", true)
	s.must(l.Join(conntrack.GroupDestroy))
	filtered("with somebody who hears of ends", false)
	s.udp(pair.InsideHost, 4444)
	s.reload(s.gw1, "mode = \"incremental\"\nfilter = \"on\"")
	if !s.status(s.gw1).Sessions.Filtered {
		t.Error("asked for, and not filtered")
	}
	s.reload(s.gw1, "mode = \"incremental\"")
	filtered("with somebody still", false)
	s.must(l.Close())
	filtered("alone again", true)
}
