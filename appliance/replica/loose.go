package replica

import (
	"time"

	"understudy/nat/conntrack"
	"understudy/nat/session"
)

// What another node forwarded while it was Active this kernel has not seen: the
// windows it knows of TCP flows are those of before, and what it does not let
// through stalls. So after another's turn the flows get leave to ignore windows for
// a while. The flows that came from a peer have it anyway; the question is about
// entries of this kernel's own, and there are such only if this node was not told
// of the other's turn as a standby is:
//
//	both were Active            the other gives way, and our term is raised: heed
//	Active again, at once       the role came back before we could give it up: reclaimed
//	a new engine resumes        the role was never given up, or came back meanwhile, and the
//	                            table is empty: resume, and makeSure once a dump has filled it

// loosePass goes over the table and gives the flows of groups that are Active here
// leave to ignore TCP windows. For a group whose table does not show yet what the
// kernel has it goes on until it does. A strictPass ends the leave.
type loosePass struct {
	groups session.GroupSet
	cursor session.Slot
}

// loosen begins a pass for group g. Held: e.mu.
func (e *Engine) loosen(now time.Time, g int) {
	e.loosening.groups |= 1 << uint(g)
	e.loosening.cursor = 0
	e.strict[g] = now.Add(e.cfg.Strict)
	kick(e.install)
}

// resume looks, before group g is activated in the given term, whether another node
// has had it since. Held: e.mu.
func (e *Engine) resume(g int, term uint64) {
	switch {
	case !e.salvages[g].whole.IsZero():
		// This engine has had all sessions of the group, from a peer or as its owner.
	case e.groups.At(g).Term > term:
		e.loosen(time.Now(), g)
	default:
		e.unsure |= 1 << uint(g)
	}
}

// makeSure decides, when the table shows what the kernel has, what was left open by
// resume: unless every peer says that nobody has had the group since, its flows are
// loosened. Held: e.mu.
func (e *Engine) makeSure(now time.Time, groups session.GroupSet) {
	if e.loosening.groups&groups != 0 {
		e.loosening.cursor = 0 // what it has passed by it had not seen
		kick(e.install)
	}
	for g := range e.cfg.Groups {
		if !(e.unsure & groups).Has(g) {
			continue
		}
		e.unsure &^= 1 << uint(g)
		for _, p := range e.peers {
			if !p.vouches(e.cfg.Groups[g].Name, e.asked[g]) {
				e.log.Info("another node may have been Active meanwhile", "group", e.cfg.Groups[g].Name, "peer", p.Name)
				e.loosen(now, g)
				break
			}
		}
	}
}

// vouches tells whether p knows the group in this very term: it was told of it by
// who has it, and of none since. One that knows less has been away, one that
// does not answer may know anything.
func (p *peer) vouches(group string, term uint64) bool {
	h := p.receiver.Peer()
	if p.in == nil || h == nil {
		return false
	}
	for _, g := range h.Groups {
		if g.Name == group {
			return g.Term == term && !g.Active
		}
	}
	return false
}

// reclaimed: the group, which is Active here, was given up and taken again before
// this engine was told; in between another node may have had it. Held: e.mu.
func (e *Engine) reclaimed(now time.Time, g int) {
	e.loosen(now, g)
	for _, p := range e.peers {
		p.receiver.AskAgain(g)
	}
	e.beginSalvage(now, g, false)
}

// tcp copies the session at s and tells whether it is one with windows. Held:
// e.mu.
func (e *Engine) tcp(s session.Slot, r *session.Record) bool {
	e.table.Record(s, r)
	const tcp = 6
	return r.Proto == tcp
}

func (e *Engine) makeLoose() {
	for e.looseBatch() {
	}
}

func (e *Engine) looseBatch() (more bool) {
	e.kmu.Lock()
	defer e.kmu.Unlock()
	b := &e.batch
	n := 0
	e.mu.Lock()
	p := &e.loosening
	p.groups &= e.groups.Active()
	end := e.table.Slots()
	const slice = 1024
	to := min(p.cursor+slice, end)
	e.table.Range(p.cursor, to, p.groups, func(s session.Slot) bool {
		if e.table.Given(s) {
			return true // it has leave
		}
		if n == len(b.some) {
			to = s
			return false
		}
		if r := &b.some[n]; e.tcp(s, r) {
			e.table.Give(s)
			n++
		}
		return true
	})
	p.cursor = to
	if more = p.groups != 0 && to < end; !more {
		p.groups &= e.groups.Partial() // for them there is more to come
	}
	e.mu.Unlock()
	if n > 0 {
		o := conntrack.UpdateOptions{Fields: conntrack.UpdateLiberal, Liberal: true}
		if err := e.kernel.Update(b.some[:n], o, b.results[:n]); err != nil {
			e.log.Warn("window checks not lifted", "err", err)
		}
	}
	return more
}
