package replica

import (
	"time"

	"understudy/nat/conntrack"
	"understudy/nat/session"
)

// strictBatches is how many batches of updates one upkeep makes: 10,000 flows a
// second.
const strictBatches = 16

// strictPass goes over the table once, some time after an activation, and gives
// the flows that were installed with leave to ignore TCP windows their check
// back: by now the kernel has seen their windows. Those whose scale is unknown
// keep the leave.
type strictPass struct {
	groups session.GroupSet
	cursor session.Slot
}

func (e *Engine) makeStrict(now time.Time) {
	e.mu.Lock()
	for g, at := range e.strict {
		if !at.IsZero() && !now.Before(at) {
			e.strict[g] = time.Time{}
			e.passing.groups |= 1 << uint(g)
			e.passing.cursor = 0
		}
	}
	due := e.passing.groups != 0
	e.mu.Unlock()
	for i := 0; due && i < strictBatches; i++ {
		due = e.strictBatch()
	}
}

func (e *Engine) strictBatch() (more bool) {
	e.kmu.Lock()
	defer e.kmu.Unlock()
	b := &e.batch
	n := 0
	e.mu.Lock()
	p := &e.passing
	p.groups &= e.groups.Active()
	const slice = 1024
	end := min(p.cursor+slice, e.table.Slots())
	e.table.Range(p.cursor, end, p.groups, func(s session.Slot) bool {
		if p.cursor = s; n == len(b.some) {
			return false
		}
		p.cursor = s + 1
		if !e.table.Given(s) {
			return true
		}
		e.table.Forget(s)
		r := &b.some[n]
		if e.table.Record(s, r); r.Proto != 6 {
			return true
		}
		if !conntrack.WindowScaleKnown(&r.TCP) {
			e.counters.Liberal++
			return true
		}
		n++
		return true
	})
	if n < len(b.some) {
		p.cursor = end
	}
	if p.cursor >= e.table.Slots() {
		p.groups = 0
	}
	more = p.groups != 0
	e.counters.Strict += uint64(n)
	e.mu.Unlock()
	if n > 0 {
		o := conntrack.UpdateOptions{Fields: conntrack.UpdateTCPOptions}
		if err := e.kernel.Update(b.some[:n], o, b.results[:n]); err != nil {
			e.log.Warn("window checks not restored", "err", err)
		}
	}
	return more
}
