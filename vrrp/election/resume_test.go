package election

import (
	"testing"
	"time"

	"understudy/vrrp"
)

// An election that comes too late to resume lets go, and for good: the daemon's own
// guard, due long ago while the daemon was stopped, must not do that once more when
// the group is Active here again.
func TestTooLateToResumeIsFencedOnce(t *testing.T) {
	c := newCable(t)
	within(c[0], func() {
		l, say := loopHere(t, configOf(200))
		offer := func(until time.Time) {
			l.board.State(0, vrrp.Active, false, 7)
			l.board.Advert(0, until.Add(-2*interval), until, interval)
			l.board.open("gw") // as the daemon does that starts us
		}
		now := time.Now()
		offer(now.Add(-time.Millisecond))
		say(Resume{Group: "gw", Term: 7})
		if l.groups[0].state == vrrp.Active || l.fences.stats.Fences != 1 {
			t.Errorf("state %v, %d fences, want one", l.groups[0].state, l.fences.stats.Fences)
		}
		if l.board.claim("gw", claimFenced) {
			t.Error("the daemon may fence again")
		}
		offer(now.Add(time.Hour))
		say(Resume{Group: "gw", Term: 7})
		if l.groups[0].state != vrrp.Active || l.board.claim("gw", claimFenced) {
			t.Errorf("in time: state %v, or the daemon may fence", l.groups[0].state)
		}
	})
}
