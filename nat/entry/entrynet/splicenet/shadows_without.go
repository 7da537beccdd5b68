package splicenet

import (
	"net/netip"
	"slices"
	"time"

	"understudy/nat/splice"
)

// Pauses until a connection is replayed all along that is not.
const (
	// shadowAgain is of one that was, and that failed; twice as long each time.
	shadowAgain    = 2 * time.Second
	shadowAgainMax = 10 * time.Minute
	// shadowUnfit is until the kernel is asked again of one that was no entry point's.
	shadowUnfit = 5 * time.Second
	// shadowTries is how often it is tried, unless it went well for a while.
	shadowTries = 5
	shadowWell  = time.Minute
)

// without is a connection that is not replayed all along.
type without struct {
	why   splice.Reason
	tries int
	next  time.Time
	tried []netip.AddrPort // servers that say something else
	seen  bool
}

// triedAt tells whether a server says something else.
func (w *without) triedAt(server netip.AddrPort) bool {
	return w != nil && slices.Contains(w.tried, server)
}

// put notes why a connection is not replayed, until when.
func (s *Shadows) put(of splice.Ends, why splice.Reason, next time.Time) {
	w := s.without[of]
	if w == nil {
		w = &without{}
		s.without[of] = w
	}
	w.why, w.next, w.seen = why, next, true
}

// over notes why a connection is not replayed any more, and until when.
func (s *Shadows) over(h *shadow, now time.Time, why splice.Reason) {
	delete(s.of, h.ends)
	s.mail.close(h)
	w := &without{why: why, tries: h.tries + 1, seen: true}
	if now.Sub(h.began) > shadowWell {
		w.tries = 1
	}
	if was := s.without[h.ends]; was != nil {
		w.tried = was.tried
	}
	switch why {
	case splice.Closing:
		return // there is nothing to be protected
	case splice.Gone:
		w.tries-- // that is not its fault
		h.deaf = !h.foreign
	case splice.ServerSilent:
		h.deaf = true
	case splice.Diverged, splice.Short, splice.ScaleDiffers:
		w.tried = append(w.tried, h.with.Server)
	}
	s.counts.Dropped[why]++
	if w.next = now.Add(min(shadowAgain<<min(w.tries, 10), shadowAgainMax)); h.deaf && why == splice.Gone {
		w.next = now // another can take its place
	}
	s.without[h.ends] = w
}
