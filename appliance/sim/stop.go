package sim

import "understudy/vrrp"

// stage is how far an orderly end has come, as in package election.
type stage uint8

const (
	stageRunning stage = iota
	stageDrain
	stageLeave
	stageBye
)

// readEvents handles signals.
func (e *election) readEvents() {
	if e.sigterm {
		e.sigterm = false
		e.stop(true)
	}
}

func (e *election) stop(asked bool) {
	switch e.stage {
	case stageRunning:
		if asked {
			e.tell(message{kind: msgStop})
		}
		e.stage, e.until = stageDrain, e.now+drainLimit
		if !asked || !e.responsive() {
			e.handOver()
		}
	case stageDrain:
		e.handOver()
	}
	e.checkStop()
}

func (e *election) handOver() {
	e.stage, e.until = stageLeave, 0
	if e.daemon != nil && e.daemon.bye {
		return
	}
	for g := range e.n.w.sc.Groups {
		if m := &e.groups[g]; m.state == vrrp.Active && !m.leaving {
			e.step(vrrp.SetInput{Kind: vrrp.InHandOver, Group: e.n.w.sc.Groups[g].Name})
		}
	}
}

func (e *election) checkStop() {
	late := expired(e.until, e.now)
	gone := e.daemon == nil && e.spawning == 0
	bidden := e.bidden()
	switch e.stage {
	case stageDrain:
		if late || gone || bidden || !e.active() {
			e.handOver()
			e.checkStop()
		}
	case stageLeave:
		for g := range e.n.w.sc.Groups {
			if m := &e.groups[g]; !bidden && m.state == vrrp.Active && !m.leaving {
				e.step(vrrp.SetInput{Kind: vrrp.InFault, Group: e.n.w.sc.Groups[g].Name, On: true, Reason: "stopping"})
			}
		}
		if bidden || !e.active() {
			e.silence()
			e.checkStop()
		}
	case stageBye:
		if late {
			e.until = 0
		}
		if late && e.daemon != nil {
			e.n.killDaemon()
		}
		if gone {
			e.finish()
		}
	}
}

func (e *election) silence() {
	e.stage, e.until = stageBye, e.now+byeLimit
	e.step(vrrp.SetInput{Kind: vrrp.InStop, Fence: !e.responsive() && !e.bidden()})
}

func (e *election) bidden() bool { return e.daemon != nil && e.daemon.bye || e.said }

func (e *election) finish() {
	if !e.said {
		for g := range e.n.w.sc.Groups {
			e.fence(g)
		}
	}
	e.n.w.trace("%s election ends", e.n.name())
	e.n.running = false
	e.n.unitID++
	e.n.kernel.clean(e.n) // ExecStopPost
	e.n.endElection()
}
