package election

import (
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"understudy/vrrp"
)

// stage is how far an orderly end has come.
type stage uint8

const (
	running stage = iota
	drain         // the daemon lets its peer catch up, and hands over
	leave         // handed over; serving until the successor is heard
	bye           // nothing is Active; the daemon tidies up
)

// stopping is an orderly end under way.
type stopping struct {
	stage stage
	until time.Time // of the stage; zero: bounded elsewhere
	said  bool      // the daemon has said Bye, and is gone

	orderly bool // it is over, and nothing of ours is in service any more
}

// stop begins an orderly end, or hurries one that is under way. asked: by a
// signal, so that the daemon has to be told.
func (l *loop) stop(asked bool) {
	switch l.stopping.stage {
	case running:
		l.log.Info("stopping", "signal", asked)
		l.say(NewsStopping)
		if asked {
			l.tell(Stop{})
		}
		l.stopping = stopping{stage: drain, until: l.now.Add(l.opt.DrainLimit)}
		if !asked || !l.responsive(l.now) {
			l.handOver()
		}
	case drain:
		l.handOver()
	case leave, bye: // bounded, and nothing to be gained
	}
	l.checkStop()
}

// handOver gives away what is still Active. The Set bounds it: the successor's
// first advert, or one Active_Down_Interval.
func (l *loop) handOver() {
	l.stopping.stage, l.stopping.until = leave, time.Time{}
	if l.set == nil || l.daemon != nil && l.daemon.bye {
		return // nothing is left to serve with
	}
	for i := range l.groups {
		if g := &l.groups[i]; g.state == vrrp.Active && !g.leaving {
			l.step(vrrp.SetInput{Kind: vrrp.InHandOver, Group: g.name})
		}
	}
}

// refuse takes groups out that have become Active while others were being left:
// with them the end would never come. Nobody has been served by them yet.
func (l *loop) refuse() {
	for i := range l.groups {
		if g := &l.groups[i]; g.state == vrrp.Active && !g.leaving {
			l.step(vrrp.SetInput{Kind: vrrp.InFault, Group: g.name, On: true, Reason: "stopping"})
		}
	}
}

// checkStop goes from stage to stage.
func (l *loop) checkStop() {
	late := expired(l.stopping.until, l.now)
	gone := l.daemon == nil && !l.spawning
	bidden := l.bidden()
	switch l.stopping.stage {
	case drain:
		if late || gone || bidden || !l.active() {
			l.handOver()
			l.checkStop()
		}
	case leave:
		if !bidden {
			l.refuse()
		}
		if bidden || !l.active() {
			l.silence()
			l.checkStop()
		}
	case bye:
		if late {
			l.stopping.until = time.Time{} // also if the daemon is still being started: do not spin
		}
		if late && l.daemon != nil {
			l.log.Error("daemon does not end: killed", "pid", l.daemon.pid)
			_ = unix.PidfdSendSignal(l.daemon.pidfd, unix.SIGKILL, nil, 0)
		}
		if gone {
			l.finish()
		}
	}
}

// silence ends our part in every group.
func (l *loop) silence() {
	l.stopping.stage, l.stopping.until = bye, l.now.Add(l.opt.ByeLimit)
	if l.set != nil {
		l.step(vrrp.SetInput{Kind: vrrp.InStop, Fence: !l.responsive(l.now) && !l.bidden()})
	}
}

// bidden tells that the daemon has said Bye: nothing of ours is left, so there is
// nothing to take out of service any more.
func (l *loop) bidden() bool { return l.daemon != nil && l.daemon.bye || l.said }

// finish ends the loop. A daemon that went without a Bye may have left something.
func (l *loop) finish() {
	if !l.said {
		for i := range l.groups {
			l.fence(l.groups[i].name)
		}
	}
	l.ended = true
	l.orderly = !slices.ContainsFunc(l.groups, func(g member) bool { return g.unfenced })
}
