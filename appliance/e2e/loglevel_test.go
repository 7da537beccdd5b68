package e2e

import (
	"context"
	"errors"
	"testing"

	"understudy/appliance/lab/pair"
)

// What a running node logs is changed, in both of its processes, also for one that is
// started in place of a dead one; and is not changed by nonsense.
func TestLogLevelAtRunTime(t *testing.T) {
	s := newScene(t, pair.Options{})
	s.settle()
	if got := s.ok(s.gw1, "log-level"); got != "info\n" {
		t.Errorf("the level is %q", got)
	}
	if a := s.cli(s.gw1, "log-level", "loud"); a.code != 2 {
		t.Errorf("a level that is none: exit code %d\n%s", a.code, a.out)
	}
	quiet := len(s.journal.of(s.gw1, `"level":"DEBUG"`))
	s.ok(s.gw1, "log-level", "debug")
	if got := s.ok(s.gw1, "log-level"); got != "debug\n" {
		t.Errorf("the level is %q", got)
	}
	said := func(n int) func(context.Context) error {
		return func(context.Context) error {
			if len(s.journal.of(s.gw1, `"msg":"log level"`)) < n {
				return errors.New("not said by both")
			}
			return nil
		}
	}
	s.wait("both processes to log at another level", said(2))
	if quiet > 0 {
		t.Errorf("%d debug messages before", quiet)
	}
	s.ok(s.gw1, "failover") // the daemon has something to say
	s.settled(s.gw2)
	s.wait("debug messages", func(context.Context) error {
		if len(s.journal.of(s.gw1, `"level":"DEBUG"`, `"msg":"transition"`)) == 0 {
			return errors.New("none")
		}
		return nil
	})
	pid := s.kill(s.gw1, "daemon")
	s.wait("another daemon", replaced(s.gw1, pid, "daemon"))
	s.settled(s.gw2)
	if got := s.ok(s.gw1, "log-level"); got != "debug\n" {
		t.Errorf("after a restart of the daemon the level is %q", got)
	}
	s.ok(s.gw1, "log-level", "error")
	before := len(s.journal.of(s.gw1, `"level":"INFO"`))
	s.ok(s.gw1, "reload")
	if n := len(s.journal.of(s.gw1, `"level":"INFO"`)); n > before {
		t.Errorf("%d records of level info at level error", n-before)
	}
}
