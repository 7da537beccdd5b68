package replica

import (
	"understudy/nat/conntrack"
	"understudy/nat/session"
)

// tellOwner has the owner of a session, another node, know whether this kernel has
// it. Held: e.mu.
func (e *Engine) tellOwner(g int, r *session.Record, err error) {
	why := session.RefusedKernel
	switch err {
	case nil:
		why = session.RefusedNot
	case conntrack.ErrClash:
		why = session.RefusedClash
	case conntrack.ErrTableFull:
		why = session.RefusedKernelFull
	case conntrack.ErrNotInstallable:
		return // it is not to be
	}
	holder := e.groups.At(g).Holder
	for _, p := range e.peers {
		if p.Name == holder && p.in != nil {
			p.receiver.Refused(g, r, why)
		}
	}
}
