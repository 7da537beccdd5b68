package election

import (
	"testing"

	"understudy/vrrp"
)

// A daemon that dies while we stop is not replaced: what it has given up and perhaps
// not removed is fenced at once, and what is Active serves on.
func TestDeathInAStopFencesWhatWasGivenUp(t *testing.T) {
	c := newCable(t)
	for _, x := range []struct {
		name  string
		stage stage
		state vrrp.State
		want  uint64
	}{
		{"not stopping: the next daemon sees to it", running, vrrp.Backup, 0},
		{"stopping", leave, vrrp.Backup, 1},
		{"stopping, and still Active", leave, vrrp.Active, 0},
	} {
		within(c[0], func() {
			l, say := loopHere(t, configOf(200))
			say(Ready{})
			l.stopping.stage, l.groups[0].state = x.stage, x.state
			before := l.fences.stats.Fences
			l.daemon.pidfd, l.daemon.conn = -1, &conn{fd: -1}
			l.onExit(reaped{daemon: l.daemon})
			if got := l.fences.stats.Fences - before; got != x.want {
				t.Errorf("%s: %d fences, want %d", x.name, got, x.want)
			}
		})
	}
}
