package e2e

import (
	"context"
	"errors"
	"fmt"
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
		s.wait(when, func(context.Context) error {
			if got := s.status(s.gw1).Sessions.Filtered; got != want {
				return fmt.Errorf("filtered is %v", got)
			}
			return nil
		})
	}
	filtered("alone", true)
	var l *conntrack.Listener
	s.must(s.gw1.Do(func() (err error) { l, err = conntrack.OpenListener(conntrack.ListenerConfig{}); return err }))
	filtered("with a socket that hears nothing", true)
	s.must(l.Join(conntrack.GroupDestroy))
	filtered("with somebody who hears of ends", false)
	s.udp(pair.InsideHost, 4444)
	s.reload(s.gw1, "mode = \"incremental\"\nfilter = \"on\"")
	s.wait("what was asked for", func(context.Context) error {
		if !s.status(s.gw1).Sessions.Filtered {
			return errors.New("not filtered")
		}
		return nil
	})
	s.reload(s.gw1, "mode = \"incremental\"")
	filtered("with somebody still", false)
	s.must(l.Close())
	filtered("alone again", true)
}
