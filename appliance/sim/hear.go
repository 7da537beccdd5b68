package sim

import "understudy/vrrp"

// messageBound is how many messages are taken in one turn.
const messageBound = 64

// readDaemon handles what the daemon says, and its end.
func (e *election) readDaemon() {
	n := e.n
	for i := 0; e.daemon != nil && !e.daemon.mute && (i < messageBound || e.daemon.exited) && n.e == e; i++ {
		if !n.up.ready(n.w.now, n.stalled) {
			break
		}
		m, ok := n.up.take()
		if !ok {
			e.daemon.mute = true
			if !e.daemon.bye {
				e.down()
			}
			break
		}
		if !e.daemon.flowing && !e.daemon.exited && !n.dHung {
			e.daemon.flowing = true
		}
		e.onMessage(&m)
	}
	if n.e == e && e.daemon != nil && e.daemon.exited {
		e.bury()
	}
}

func (e *election) onMessage(m *message) {
	sc := e.n.w.sc
	switch m.kind {
	case msgConfigure:
		e.configure(m.cfg)
		e.tell(message{kind: msgConfigured, cfg: m.cfg})
	case msgReady:
		e.onReady()
	case msgFence:
		e.groups[m.group].fence, e.groups[m.group].fenced = m.mask, true
	case msgEligible:
		e.groups[m.group].refrains = !m.ok
		e.step(vrrp.SetInput{Kind: vrrp.InEligible, Group: sc.Groups[m.group].Name, OK: m.ok, Reason: m.reason})
	case msgFault:
		g := &e.groups[m.group]
		g.fault, g.faultStale = "", false
		if m.ok {
			g.fault = m.reason
		}
		if !e.lost {
			e.step(vrrp.SetInput{Kind: vrrp.InFault, Group: sc.Groups[m.group].Name, On: m.ok, Reason: g.fault})
		}
	case msgWeight:
		e.groups[m.group].weight = int(m.wait)
		e.step(vrrp.SetInput{Kind: vrrp.InWeight, Group: sc.Groups[m.group].Name, Weight: int(m.wait)})
	case msgOverlap:
		e.groups[m.group].overlap = m.ok
		e.step(vrrp.SetInput{Kind: vrrp.InOverlap, Group: sc.Groups[m.group].Name, OK: m.ok})
	case msgHandOver:
		e.step(vrrp.SetInput{Kind: vrrp.InHandOver, Group: sc.Groups[m.group].Name})
	case msgTerm:
		s := &e.n.board.slots[m.group]
		s.highest = max(s.highest, m.term)
		e.step(vrrp.SetInput{Kind: vrrp.InTerm, Group: sc.Groups[m.group].Name, Term: m.term, Raise: m.ok})
	case msgResume:
		e.onResume(m)
	case msgBudget:
		e.grace = e.now + m.wait
	case msgStop:
		e.stop(false)
	case msgBye:
		e.daemon.bye = true
		for g := range e.groups {
			e.groups[g].fence, e.groups[g].fenced = 0, false
		}
		e.stop(false)
	}
}

// onResume goes on where a dead election was, if that is not too long ago.
func (e *election) onResume(m *message) {
	name := e.n.w.sc.Groups[m.group].Name
	s := &e.n.board.slots[m.group]
	if !s.mayResume(e.now) {
		s.take(claimFenced)
		e.fence(m.group)
		s.note(vrrp.Initialize, false, m.term)
		e.step(vrrp.SetInput{Kind: vrrp.InTerm, Group: name, Term: m.term})
		return
	}
	e.step(vrrp.SetInput{Kind: vrrp.InResume, Group: name, Term: m.term})
	e.resumed = e.resumed || e.groups[m.group].state == vrrp.Active
}

// adopt is the start of an election that a daemon has started: first of all the
// configuration.
func (e *election) adopt() bool {
	n := e.n
	for n.up.ready(n.w.now, n.stalled) {
		m, ok := n.up.take()
		if !ok {
			n.killElection() // the daemon that started us is gone
			return false
		}
		if m.kind == msgConfigure {
			e.configure(m.cfg)
			e.everReady = true
			e.daemon.since = e.now
			e.daemon.flowing = !n.dHung
			e.daemon.beat = e.now
			return true
		}
	}
	n.eWake = max(n.up.next(n.stalled), n.w.now)
	return false
}
