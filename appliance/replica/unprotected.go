package replica

import "understudy/nat/session"

// Unprotected counts the flows that would be lost if this node died now, by the
// reason: those of groups that are Active here. Where there are several peers, it is
// what the one lacks that has most.
type Unprotected struct {
	Peer string // whose; empty: none is configured
	// Young: their class keeps them back. Dirty: a change was not sent yet. InFlight:
	// it was, and is not acknowledged as applied. Refused: the peer or its kernel does
	// not take them. Unsynced: the peer is not connected, or has not had a full
	// transfer since: what it has of them is not known.
	Young, Dirty, InFlight, Refused, Unsynced int
	// As the last dump of this kernel saw them. Offloaded: in a flowtable; the peer
	// has them as they were. Excluded: their class is not replicated. NotReplicable:
	// not yet answered or established, or of a kind that cannot be moved.
	Offloaded, Excluded, NotReplicable int
	Classes                            []ClassFlows
}

// ClassFlows are the flows of a class that no peer is told of.
type ClassFlows struct {
	Class           string
	Young, Excluded int
}

// Total is the sum. A flow in a flowtable may count twice, if there is something
// else as well.
func (u *Unprotected) Total() int {
	return u.Young + u.Dirty + u.InFlight + u.Refused + u.Unsynced + u.Offloaded + u.Excluded + u.NotReplicable
}

// unworthy counts what a dump shows of flows that get no record.
type unworthy struct {
	excluded      map[int]int // by class
	notReplicable int
}

// note counts a flow that is not wanted. class is -1 if that is not because of one.
func (u *unworthy) note(r *session.Record, class int) {
	switch {
	case class >= 0:
		if u.excluded == nil {
			u.excluded = map[int]int{}
		}
		u.excluded[class]++
	case r.Beginning():
		u.notReplicable++
	}
}

// censusSlots is how many slots are looked at without letting anyone else at the
// table: 50 µs.
const censusSlots = 4096

// best is the peer that has most of what is Active here. Held: e.mu.
func (e *Engine) best() (best *peer) {
	lacks := func(p *peer) int { return p.sender.Dirty() + p.sender.Unapplied() }
	for _, p := range e.peers {
		synced, _ := p.sender.Synced()
		switch {
		case best == nil:
			best = p
		case synced:
			if s, _ := best.sender.Synced(); !s || lacks(p) < lacks(best) {
				best = p
			}
		}
	}
	return best
}

// Unprotected counts what a crash of this node would lose.
func (e *Engine) Unprotected() Unprotected {
	e.mu.Lock()
	u := Unprotected{Offloaded: e.offloaded, NotReplicable: e.unworthy.notReplicable}
	if e.groups.Active() == 0 {
		u.Offloaded, u.NotReplicable = 0, 0
		e.mu.Unlock()
		return u
	}
	young := e.young.Count(e.table)
	for i := range e.cfg.Classes {
		c := ClassFlows{Class: e.cfg.Classes[i].String(), Young: young[i], Excluded: e.unworthy.excluded[i]}
		u.Excluded += c.Excluded
		if c.Young+c.Excluded > 0 {
			u.Classes = append(u.Classes, c)
		}
	}
	p := e.best()
	e.mu.Unlock()
	if p == nil {
		return u
	}
	u.Peer = p.Name
	n := e.census(p, nil)
	u.Young, u.Dirty, u.InFlight = n[session.StandYoung], n[session.StandDirty], n[session.StandSent]
	u.Refused, u.Unsynced = n[session.StandRefused], n[session.StandUnsynced]
	return u
}

// census goes over the sessions of this node and calls fn, with e.mu held, for each
// that p lacks. Where it lacks none that takes no time.
func (e *Engine) census(p *peer, fn func(session.Slot, session.Standing, session.Refusal)) (n session.Standings) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if p.sender.HasAll() {
		return n
	}
	c := p.sender.Census()
	for c.Step(censusSlots, &n, fn) {
		e.mu.Unlock()
		e.mu.Lock()
	}
	return n
}
