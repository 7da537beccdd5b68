package election

import (
	"errors"
	"log/slog"

	"understudy/vrrp"
)

// messageBound is how many messages are taken in one turn: the ports come first
// again after them.
const messageBound = 64

// readDaemon handles what the daemon says, and its end.
func (l *loop) readDaemon() {
	exited := l.fds[fdProcess].Revents != 0
	// Its last words count: they say whether it has tidied up.
	for n := 0; l.daemon != nil && !l.daemon.mute && (n < messageBound || exited); n++ {
		b, err := l.daemon.conn.receive()
		if err != nil {
			if !errors.Is(err, ErrLost) {
				l.log.Warn("link to the daemon", "error", err)
			}
			l.onEOF()
			break
		}
		if b == nil {
			break
		}
		l.daemon.beat = l.now
		if kind(b[0]) == kindBeat {
			continue // nothing to decode, nothing to allocate
		}
		m, err := Unmarshal(b)
		if err != nil {
			l.log.Error("message from the daemon", "error", err)
			continue
		}
		l.onMessage(m)
	}
	if l.daemon != nil && exited {
		l.onGone()
	}
}

func (l *loop) onMessage(m Message) {
	if c, ok := m.(Configure); ok {
		var told Configured
		if err := l.configure(c.Config); err != nil {
			told.Error = err.Error()
			l.log.Error("configuration refused", "error", err)
		}
		l.tell(told)
		return
	}
	if l.set == nil {
		l.log.Error("message before the configuration")
		return
	}
	switch m := m.(type) {
	case Ready:
		l.onReady()
	case Fence:
		l.fences.set(m)
	case Eligible:
		l.step(vrrp.SetInput{Kind: vrrp.InEligible, Group: m.Group, OK: m.OK, Reason: m.Reason})
	case Fault:
		l.onFault(m)
	case Weight:
		l.step(vrrp.SetInput{Kind: vrrp.InWeight, Group: m.Group, Weight: m.Weight})
	case Guard:
		l.onGuard(m.Config)
	case Neighbour:
		l.neighbour = m.State
	case Overlap:
		l.step(vrrp.SetInput{Kind: vrrp.InOverlap, Group: m.Group, OK: m.OK})
	case Announced:
		l.onAnnounced(m.Group)
	case HandOver:
		l.step(vrrp.SetInput{Kind: vrrp.InHandOver, Group: m.Group})
	case Term:
		if i, ok := l.index[m.Group]; ok {
			l.board.Heard(i, m.Term)
		}
		l.step(vrrp.SetInput{Kind: vrrp.InTerm, Group: m.Group, Term: m.Term, Raise: m.Raise})
	case Resume:
		l.onResume(m)
	case Budget:
		l.grace, l.daemon.leave = l.now.Add(m.For), true
		l.log.Info("daemon announces an absence", "for", m.For)
	case Dumping:
		l.keepApart(true)
	case Dumped:
		l.keepApart(false)
	case StatsRequest:
		l.tell(l.snapshot(l.now))
	case Reloaded:
		l.say(NewsReloaded)
	case Relieve:
		l.relieved.since = l.now
	case LogLevel:
		if l.opt.Level != nil {
			l.opt.Level.Set(slog.Level(m.Level))
			l.log.Warn("log level", "level", slog.Level(m.Level)) // at any of them but one
		}
	case Stop:
		l.stop(false)
	case Bye:
		l.daemon.bye = true
		l.fences.forget() // they name what is gone
		l.stop(false)
	}
}

// onFault merges the daemon's faults with our own: the Set knows one a group.
func (l *loop) onFault(m Fault) {
	for i := range l.groups {
		g := &l.groups[i]
		if m.Group != "" && m.Group != g.name {
			continue
		}
		g.fault, g.faultStale = "", false
		if m.On {
			g.fault = m.Reason
			if g.fault == "" {
				g.fault = "fault"
			}
		}
		if !l.lost {
			l.step(vrrp.SetInput{Kind: vrrp.InFault, Group: g.name, On: m.On, Reason: g.fault})
		}
	}
}

// onResume goes on where a dead election was, if its last advert is young enough
// and the daemon has not let go by now.
func (l *loop) onResume(m Resume) {
	i, ok := l.index[m.Group]
	if !ok {
		return
	}
	if !l.board.mayResume(m.Group, l.now) {
		l.log.Warn("too late to resume", "group", m.Group)
		l.board.claim(m.Group, claimFenced) // the daemon's own guard may still be due, when we are Active again
		l.fence(m.Group)
		l.board.State(i, vrrp.Initialize, false, m.Term)
		l.step(vrrp.SetInput{Kind: vrrp.InTerm, Group: m.Group, Term: m.Term})
		return
	}
	l.groups[i].announced = true // by the daemon that asks for this
	l.step(vrrp.SetInput{Kind: vrrp.InResume, Group: m.Group, Term: m.Term})
	l.groups[i].announced = l.groups[i].state == vrrp.Active
	l.resumed = l.resumed || l.groups[i].state == vrrp.Active
}
