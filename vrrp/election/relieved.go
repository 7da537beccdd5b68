package election

import (
	"time"

	"understudy/vrrp"
)

// relieved is an election that makes way for another one, which waits for it to go. It
// says goodbye to nobody: the other one goes on where this one was, if the last advert is
// younger than two intervals. So it goes right after adverts.
type relieved struct {
	since time.Time // zero: it does not
}

// hurry is when it goes whatever the adverts are: those of several groups need not
// come together.
func (l *loop) hurry() time.Time {
	if l.relieved.since.IsZero() {
		return time.Time{}
	}
	longest := time.Duration(0)
	for i := range l.routes {
		longest = max(longest, l.routes[i].interval)
	}
	return l.relieved.since.Add(2 * longest)
}

// relieveNow goes, if this is the moment.
func (l *loop) relieveNow() {
	if l.relieved.since.IsZero() || l.ended || l.stopping.stage != running {
		return
	}
	if !expired(l.hurry(), l.now) {
		for i := range l.groups {
			g := &l.groups[i]
			if g.state != vrrp.Active {
				continue
			}
			// Three quarters of what there is at most are left.
			if p, ok := l.board.Read(g.name, l.now); !ok || g.leaving || 2*p.ResumeUntil < 3*p.Interval {
				return
			}
		}
	}
	l.log.Info("making way for another election", "waited", l.now.Sub(l.relieved.since))
	l.ended = true
	// From here on nothing is said by this process. To close its sockets takes the kernel
	// longer than there is: the other one must not wait for that.
	if l.opt.Relieved != nil {
		l.opt.Relieved()
	}
	if l.daemon != nil {
		l.daemon.conn.close()
		l.daemon.mute = true
	}
}
