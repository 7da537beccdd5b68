package e2e

import (
	"errors"
	"testing"
	"time"

	"understudy/appliance/lab/pair"
)

// A box that is stopped and has no successor serves on for a while. The daemon tidies
// up when its own patience is over, which with slow adverts is earlier: the election
// then has nothing left to let go of, and must not cry that it cannot.
func TestStopWithoutASuccessor(t *testing.T) {
	s := newScene(t, pair.Options{Interval: 1300 * time.Millisecond, NoSessions: true})
	s.must(s.gw1.Start())
	s.wait("gw1 to hold the addresses", holds(s.gw1, true))
	p := s.gw1.Process()
	if err := errors.Join(p.Stop(patience), p.Err()); err != nil {
		t.Errorf("it ended with %v", err)
	}
	s.wait("nothing to be left", holds(s.gw1, false))
	if tables := s.ourTables(s.gw1); len(tables) > 0 {
		t.Errorf("tables %v are left", tables)
	}
	if lines := s.journal.of(s.gw1, `"level":"ERROR"`); len(lines) > 0 {
		t.Errorf("an orderly end wrote errors:\n%s", lines)
	}
}
