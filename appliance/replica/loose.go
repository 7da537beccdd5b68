package replica

import (
	"time"

	"understudy/nat/conntrack"
	"understudy/nat/session"
)

// loosePass goes over the table once and gives the flows of groups that are
// Active here leave to ignore TCP windows, after another node was Active for them
// as well: this kernel has not seen what passed there. A strictPass ends it.
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
	if p.cursor = to; p.cursor >= end {
		p.groups = 0
	}
	more = p.groups != 0
	e.mu.Unlock()
	if n > 0 {
		o := conntrack.UpdateOptions{Fields: conntrack.UpdateLiberal, Liberal: true}
		if err := e.kernel.Update(b.some[:n], o, b.results[:n]); err != nil {
			e.log.Warn("window checks not lifted", "err", err)
		}
	}
	return more
}
