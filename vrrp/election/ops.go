package election

import (
	"time"

	"understudy/vrrp"
)

// step gives the Set an input, and does what it asks for.
func (l *loop) step(in vrrp.SetInput) { l.apply(l.now, l.decide(in)) }

// decide gives the Set an input. A recording has it before anything is done.
func (l *loop) decide(in vrrp.SetInput) vrrp.SetOutput {
	out := l.set.Step(l.now, in)
	if l.opt.Tape != nil { // else nothing is allocated
		l.opt.Tape.Do(l.now, "step", in, out, l.set)
	}
	return out
}

// apply does what the Set asks for, in its order, and tells what it has noticed.
func (l *loop) apply(now time.Time, out vrrp.SetOutput) {
	defer l.notice(out.Notices)
	for i := range out.Ops {
		op := &out.Ops[i]
		switch op.Kind {
		case vrrp.OpSend:
			l.send(now, op)
		case vrrp.OpGateClose:
			if err := l.fences.closeGate(op.Group); err != nil {
				// It must not wait for this: a better Active is there, or the link is
				// gone. The addresses go next.
				l.log.Error("gate not closed", "group", op.Group, "error", err)
			}
		case vrrp.OpFence:
			l.fence(op.Group)
		case vrrp.OpTransition:
			l.onTransition(now, op)
		case vrrp.OpDrop: // the Set has counted it
		}
	}
}

// send puts an advert on the wire.
func (l *loop) send(now time.Time, op *vrrp.Op) {
	routes := l.routes
	if op.Old {
		routes = l.old.routes
	}
	r := &routes[op.Router]
	if r.port.port == nil || !op.Old && !l.set.Source(op.Router).IsValid() {
		r.port.sendErrors++
		return
	}
	if !l.transmit(r, op) {
		return
	}
	if op.Priority > 0 {
		r.sent = now
		if !op.Old {
			l.post(now, r.group)
		}
	}
}

// transmit sends an advert to the group, or to each of the peers, and tells
// whether it has gone to anybody.
func (l *loop) transmit(r *route, op *vrrp.Op) (sent bool) {
	peers := l.set.Peers(*op)
	if len(peers) == 0 {
		l.packet = l.set.AppendPacket(l.packet[:0], *op)
		sent = r.port.port.SendGroup(l.source(r, op), r.to, l.packet) == nil
		if !sent {
			r.port.sendErrors++
		}
		return sent
	}
	for i := range peers {
		to := peers[i].Address
		if !op.Old && to == l.set.Source(op.Router) {
			continue // one list for all nodes
		}
		l.packet = l.set.AppendPacketTo(l.packet[:0], *op, to)
		if r.port.port.SendTo(to, l.packet) != nil {
			r.port.sendErrors++
			continue
		}
		sent = true
	}
	return sent
}

// post notes on the board how long a group could be resumed after our death.
func (l *loop) post(now time.Time, group int) {
	g := &l.groups[group]
	if g.state != vrrp.Active || g.leaving {
		return
	}
	last, until, interval := now, time.Time{}, time.Duration(0)
	for _, i := range g.routers {
		r := &l.routes[i]
		if r.sent.IsZero() {
			return
		}
		if r.sent.Before(last) {
			last = r.sent
		}
		if t := r.sent.Add(2 * r.interval); until.IsZero() || t.Before(until) {
			until = t
		}
		interval = max(interval, r.interval)
	}
	l.board.Advert(group, last, until, interval)
}

func (l *loop) onTransition(now time.Time, op *vrrp.Op) {
	if i, ok := l.index[op.Group]; ok {
		g := &l.groups[i]
		if op.To != vrrp.Active {
			g.announced = false
		} else if op.From != vrrp.Active {
			g.since = now
		}
		g.state, g.term, g.leaving = op.To, op.Term, op.Leaving
		if op.To == vrrp.Active {
			l.fences.spare(op.Group) // before the daemon hears of it
		}
		l.board.State(i, op.To, op.Leaving, op.Term)
		l.post(now, i)
	}
	l.guard.Stir(now)
	l.log.Info("transition", "group", op.Group, "from", op.From, "state", op.To, "cause", op.Cause, "term", op.Term, "leaving", op.Leaving)
	l.tell(Transition{Group: op.Group, From: op.From, To: op.To, Term: op.Term, Cause: op.Cause, Leaving: op.Leaving,
		Decided: MonotonicNow(), Heard: l.set.Heard(now, op.Group)})
	if op.From == vrrp.Active && op.To != vrrp.Active && !l.responsive(now) {
		// Nobody else is going to take the addresses away.
		if err := l.fences.remove(op.Group); err != nil {
			l.log.Error("addresses not removed", "group", op.Group, "error", err)
		}
		l.tell(Fenced{Group: op.Group})
	}
}

// fence takes a group out of service without the daemon, and tells it.
func (l *loop) fence(group string) {
	done := l.fences.run(group)
	err := done.err()
	if i, ok := l.index[group]; ok {
		l.groups[i].unfenced = err != nil
	}
	told := Fenced{Group: group}
	if err != nil {
		told.Error = err.Error()
	}
	switch {
	case done.remove != nil:
		l.log.Error("FENCE FAILED: this box may still answer for addresses that it gives up", "group", group, "error", err)
	case err != nil: // somebody has removed our table, perhaps
		l.log.Error("the gate was not closed, but the addresses are gone", "group", group, "error", err)
	default:
		l.log.Warn("fenced", "group", group, "took", l.fences.stats.LastRun)
	}
	l.tell(told)
}

// tell sends to the daemon, if there is one. What does not fit is counted, and
// the whole state goes out later instead.
func (l *loop) tell(m Message) {
	if l.daemon == nil || l.daemon.mute {
		return // it will be told how things stand when it attaches
	}
	b, err := Marshal(m)
	if err != nil {
		l.log.Error("message not sent", "error", err)
		return
	}
	if !l.daemon.conn.send(b) {
		l.undelivered++
		l.owe(m)
	}
}

// owe remembers what a full socket has swallowed.
func (l *loop) owe(m Message) {
	switch m.(type) {
	case Stop:
		l.owed.stop = true
	case Reload:
		l.owed.reload = true
	case Found:
		l.owed.found = true
	case Stats, Configured, Request, Inferior: // the one who asked will ask again
		return
	default:
		l.owed.state = true
	}
	l.owed.retry = l.now.Add(50 * time.Millisecond)
}

// debt is what the daemon has to be told yet.
type debt struct {
	state, stop, reload, found bool
	retry                      time.Time
}

func (l *loop) pay() {
	d := l.owed
	l.owed = debt{}
	if d.state {
		l.tell(l.attached())
	}
	if d.found {
		l.tell(l.findings())
	}
	if d.reload {
		l.tell(Reload{})
	}
	if d.stop {
		l.tell(Stop{})
	}
}

func (l *loop) attached() Attached {
	a := Attached{Resumed: l.resumed, Groups: []GroupState{}}
	for _, g := range l.groups {
		a.Groups = append(a.Groups, GroupState{Group: g.name, State: g.state, Term: g.term, Leaving: g.leaving})
	}
	return a
}

// active tells whether any group is.
func (l *loop) active() bool {
	for i := range l.groups {
		if l.groups[i].state == vrrp.Active {
			return true
		}
	}
	return false
}
