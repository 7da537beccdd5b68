package session

import "time"

// What a node that owned a group has kept of it. A node that became Active
// without all the sessions of the last owner is incomplete: it asks, and takes
// those that it does not know, before its own set replaces them. Its full
// transfers wait meanwhile, for what they lack is swept.

// AskKept makes the receiver ask the peer for the sessions that it kept of group
// g, once a connection.
func (r *Receiver) AskKept(g int) {
	bit := GroupSet(1) << uint(g)
	if r.peer == nil || r.asked&bit != 0 {
		return
	}
	r.asked |= bit
	for i, l := range r.local {
		if l == int8(g) {
			r.keptAsks |= 1 << uint(i)
			return
		}
	}
	r.told |= bit // the peer has no such group
}

// AskAgain makes the next AskKept of group g ask, whatever was asked before: the
// peer has owned the group since.
func (r *Receiver) AskAgain(g int) {
	r.asked &^= 1 << uint(g)
	r.told &^= 1 << uint(g)
}

// ToldKept tells whether the peer has answered AskKept in full.
func (r *Receiver) ToldKept(g int) bool { return r.connected && r.told.Has(g) }

// Claims tells whether the peer says that it is Active for group g, be its term
// the better one or not.
func (r *Receiver) Claims(g int) bool { return r.connected && r.claims.Has(g) }

// ClaimsAny tells whether the peer says that it is Active for a group of ours.
func (r *Receiver) ClaimsAny() bool { return r.connected && r.claims != 0 }

// onKept takes sessions that were asked for, as long as this node needs them. Of
// those it knows it knows better.
func (r *Receiver) onKept(now time.Time, g int, b []byte) error {
	switch st := r.groups.list[g]; {
	case !r.asked.Has(g) || !st.Active || !st.Incomplete:
		return nil
	case len(b) > 0:
		return r.adopt(now, g, b, &r.stats.Kept)
	}
	r.told |= 1 << uint(g)
	r.note(Notice{Kind: NoticeKept, Group: g})
	return nil
}

// fillKept sends what was kept of the groups asked for, and then for each of
// them a frame without records. A group of which another's set has come since,
// or that is Active here, has none.
func (s *Sender) fillKept(b []byte) []byte {
	t := s.table
	var have GroupSet
	for g := range s.groups.list {
		if st := &s.groups.list[g]; st.Kept && !st.Active {
			have |= 1 << uint(g)
		}
	}
	bt := batch{typ: TypeKept}
	for have &= s.kept; have != 0 && cap(b)-len(b) >= fillRoom && s.keptCursor < Slot(t.used); s.keptCursor++ {
		if e := t.at(s.keptCursor); e.bits&bitLive != 0 && have.Has(int(e.group)) {
			b = s.record(b, &bt, s.keptCursor, e)
		}
	}
	b = s.seal(b, &bt)
	if have != 0 && s.keptCursor < Slot(t.used) {
		return b
	}
	for g := 0; s.kept != 0 && cap(b)-len(b) >= markRoom; g++ {
		if s.kept.Has(g) {
			s.kept &^= 1 << uint(g)
			b = s.mark(b, TypeKept, mark{group: g, term: s.groups.list[g].announced()})
		}
	}
	return b
}
