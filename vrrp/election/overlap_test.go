package election

import (
	"net/netip"
	"testing"
	"time"

	"understudy/vrrp"
)

// A better Active is heard: with the daemon's leave the group serves on for a moment.
// A daemon that is gone cannot vouch for anybody.
func TestOverlapNeedsALivingDaemon(t *testing.T) {
	c := newCable(t)
	better := vrrp.Advert{Version: 3, VRID: 51, Priority: 250, Interval: interval}
	within(c[0], func() {
		for _, dead := range []bool{false, true} {
			l, say := loopHere(t, configOf(200))
			say(Ready{})
			l.come(t, "the role", l.is(vrrp.Active))
			say(Overlap{Group: "gw", OK: true})
			if dead {
				l.down()
			}
			l.now = time.Now()
			l.apply(l.now, l.set.Step(l.now, vrrp.SetInput{Kind: vrrp.InAdvert, Src: netip.MustParseAddr("10.0.0.3"), Advert: &better}))
			if g := l.groups[0]; g.leaving == dead || (g.state == vrrp.Active) == dead {
				t.Errorf("daemon dead %v: state %v, leaving %v", dead, g.state, g.leaving)
			}
			if p, _ := l.board.Read("gw", time.Now()); p.ResumeUntil > 0 {
				t.Error("it could be resumed")
			}
		}
	})
}
