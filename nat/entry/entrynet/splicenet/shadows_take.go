package splicenet

import (
	"time"

	"understudy/nat/splice"
)

// take gives up the shadow of a connection to who has it go on there; nil: there is none at that
// server. None is begun until it is released.
func (s *Shadows) take(f splice.Flow) *shadow {
	s.mu.Lock()
	defer s.mu.Unlock()
	ends := splice.Ends{Server: f.From, Client: f.Client}
	s.busy[ends] = true
	h := s.of[ends]
	if h == nil || h.with.Server != f.To {
		return nil
	}
	h.taken = true
	delete(s.of, h.ends)
	delete(s.without, h.ends)
	return h
}

// release tells that what became of a connection is decided.
func (s *Shadows) release(f splice.Flow) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.busy, splice.Ends{Server: f.From, Client: f.Client})
}

// rest is what has come since a shadow was taken.
func (s *Shadows) rest(h *shadow) []*splice.Segment {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drop(s.deliver(time.Now()))
	s.mail.close(h)
	out := h.late
	h.late = nil
	return out
}
