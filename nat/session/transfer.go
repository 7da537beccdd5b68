package session

// A full transfer: BEGIN for each group, all its live records, END for each.
// The cursor skips what is dirty, for the queue sends it; END waits until the
// queue has passed the point where it was when the cursor was through.

func (s *Sender) beginWalk(b []byte) []byte {
	s.walking = s.wanted & s.groups.whole()
	s.wanted &^= s.walking
	s.cursor, s.walked = 0, false
	s.generation++
	for g := range s.groups.list {
		if s.walking.Has(g) {
			n, _ := s.table.Tally(g)
			b = s.mark(b, TypeBegin, mark{group: g, term: s.groups.list[g].announced(), generation: s.generation, count: uint64(n)})
		}
	}
	s.stats.Transfers++
	return b
}

func (s *Sender) fillWalk(b []byte) []byte {
	t := s.table
	whole := s.groups.whole()
	s.wanted |= s.walking &^ whole // held back in the middle: begun again later
	s.walking &= whole
	if !s.walked {
		bt := batch{typ: TypeRecords}
		for cap(b)-len(b) >= fillRoom && s.cursor < Slot(t.used) {
			e := t.at(s.cursor)
			if e.bits&(bitLive|bitYoung) == bitLive && e.dirty&s.Sink() == 0 && s.walking.Has(int(e.group)) {
				b = s.record(b, &bt, s.cursor, e)
			}
			s.cursor++
		}
		b = s.seal(b, &bt)
		if s.cursor < Slot(t.used) {
			return b
		}
		s.walked, s.barrier = true, t.sinks[s.sink].tail
	}
	if t.sinks[s.sink].head < s.barrier {
		return b
	}
	return s.endWalk(b)
}

func (s *Sender) endWalk(b []byte) []byte {
	// With the queue empty the peer holds exactly our set when it reads this.
	exact := s.Dirty() == 0
	for g := range s.groups.list {
		if !s.walking.Has(g) {
			continue
		}
		if cap(b)-len(b) < markRoom {
			return b
		}
		n, sum := s.table.Tally(g)
		b = s.mark(b, TypeEnd, mark{group: g, term: s.groups.list[g].announced(), generation: s.generation,
			flags: flag(exact), count: uint64(n), sum: sum})
		s.walkEnd = s.sent
		s.walking &^= 1 << uint(g)
	}
	return b
}
