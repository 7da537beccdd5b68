package replica

import (
	"fmt"
	"time"

	"understudy/nat/conntrack"
	"understudy/nat/session"
)

// lookAtTable reads how large this kernel's table is, and has peers told of it by
// their next connections.
func (e *Engine) lookAtTable() {
	var l conntrack.Limits
	if err := e.cfg.Namespace(func() (err error) { l, err = conntrack.ReadLimits(); return err }); err != nil {
		e.log.Warn("size of the connection table not read", "err", err)
		return
	}
	if e.cfg.TableMax > 0 {
		l.Max = e.cfg.TableMax
	}
	size := session.TableSize{Max: uint64(max(l.Max, 0)), Buckets: uint64(max(l.Buckets, 0)), Count: uint64(max(l.Count, 0))}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.ready.size = size
	for _, p := range e.peers {
		p.sender.SetTableSize(size)
		p.receiver.SetTableSize(size)
	}
}

// room tells whether this kernel's table is too small for the sessions of peers:
// smaller than what they have, or full when it was given some since the last look.
func (e *Engine) room() (lacks []string) {
	e.lookAtTable()
	e.mu.Lock()
	defer e.mu.Unlock()
	refused := e.counters.KernelFull != e.ready.full
	e.ready.full = e.counters.KernelFull
	have, theirs := e.ready.size.Max, uint64(0)
	for g := range e.cfg.Groups {
		if !e.groups.Active().Has(g) {
			n, _ := e.table.Tally(g)
			theirs += uint64(n)
		}
	}
	for _, p := range e.peers {
		if h := p.receiver.Peer(); p.in != nil && h != nil && p.receiver.ClaimsAny() {
			theirs = max(theirs, h.Table.Count)
		}
	}
	switch {
	case have != 0 && theirs > have:
		lacks = append(lacks, fmt.Sprintf("room for %d connections: nf_conntrack_max is %d", theirs, have))
	case refused:
		lacks = append(lacks, fmt.Sprintf("room: the table is full with nf_conntrack_max = %d", have))
	}
	return lacks
}

// tellFull has the installer's refusals looked at soon. Held: e.mu.
func (e *Engine) tellFull() {
	if e.counters.KernelFull == e.ready.full+1 { // the first since the last look
		e.lookForRoom()
	}
}

// lookForRoom has readiness looked at. Held: e.mu.
func (e *Engine) lookForRoom() {
	e.ready.due = time.Time{}
	kick(e.dump)
}
