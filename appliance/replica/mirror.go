package replica

import (
	"time"

	"understudy/nat/session"
)

// Where peers see the packets themselves ([session.Knobs.Mirror]), their kernels make
// the flows that they translate as this one does, and end them: of these only full
// transfers tell, when a link begins and when an audit finds a difference. Other flows
// are told of as they change.

// alike tells whether all nodes make the same of a flow that they see all packets of: it
// is not translated, or called at an address of ours, or it has kept its port.
// Helpers choose ports by themselves.
func (e *Engine) alike(r *session.Record) bool {
	if r.Helper != (session.Name{}) || r.Master.Family != 0 {
		return false
	}
	if _, port, ok := r.SNAT(); ok && port != r.SrcPort {
		return false
	}
	if _, _, ok := r.DNAT(); ok {
		_, ours := e.scope.Translated(r)
		return ours
	}
	return true
}

// sinksOf are the peers that are told of the session at s as it changes, and the disk.
// Held: e.mu.
func (e *Engine) sinksOf(s session.Slot) session.Sinks {
	if !e.cfg.Knobs.Mirror {
		return e.peerSinks()
	}
	var r session.Record
	if e.table.Record(s, &r); e.alike(&r) {
		return session.Sink(session.SinkDisk)
	}
	return e.peerSinks()
}

// saw takes note that the kernel of a standby has ended a flow whose packets it saw; the
// owner's has as well. If it has not, an audit tells. Held: e.mu.
func (e *Engine) saw(s session.Slot) (over bool) {
	if !e.cfg.Knobs.Mirror {
		return false
	}
	var r session.Record
	if e.table.Record(s, &r); !e.alike(&r) {
		return false
	}
	e.table.Delete(s, session.Sink(session.SinkDisk), time.Now())
	return true
}
