package splicenet

import (
	"net/netip"
	"time"

	"understudy/nat/splice"
	"understudy/nat/splice/bytelog"
)

// shadowDoubt is how long packets may be missing in the log: they may still come, and a loss that was of
// others is told from one that was of this one by what its server says next.
const shadowDoubt = 5 * time.Second

// shadow is a connection that is replayed all along.
type shadow struct {
	ends    splice.Ends // at its server
	with    splice.Ends // at the new one
	entry   netip.AddrPort
	record  *bytelog.Record
	machine *splice.Replay
	isn     uint32
	began   time.Time
	tries   int
	doubt   time.Time // since when packets may be missing
	dirty   bool
	taken   bool
	foreign bool              // somebody else has begun a connection of these ends
	deaf    bool              // its new server may not have heard that it is over
	late    []*splice.Segment // what has come since it was taken
}

// deliver hands out what was heard, and returns what is over then.
func (s *Shadows) deliver(now time.Time) (gone []*shadow) {
	letters := s.mail.take()
	for i := range letters {
		l := &letters[i]
		switch h := l.of; {
		case h.taken:
			if l.kind == words {
				h.late = append(h.late, &l.segment)
			}
		case s.of[h.ends] != h:
		case l.kind == words:
			gone = s.stepped(gone, h, now, splice.Input{Kind: splice.InServer, Segment: &l.segment})
		case l.kind == foreign:
			h.foreign = true
			gone = s.stepped(gone, h, now, splice.Input{Kind: splice.InGone})
		default:
			gone = s.logged(gone, h, now)
		}
	}
	return gone
}

// logged has a shadow look at the log, unless something may still come that is missing there.
func (s *Shadows) logged(gone []*shadow, h *shadow, now time.Time) []*shadow {
	var why bytelog.Reason
	s.log.With(func(*bytelog.Log) { why = h.record.Refusal() })
	if why == bytelog.Gap || why == bytelog.Lost {
		if h.doubt.IsZero() {
			h.doubt = now
		}
		if now.Sub(h.doubt) < shadowDoubt {
			return gone
		}
	} else {
		h.doubt = time.Time{}
	}
	return s.stepped(gone, h, now, splice.Input{Kind: splice.InLogged})
}

// stepped is step, which notes what is over.
func (s *Shadows) stepped(gone []*shadow, h *shadow, now time.Time, in splice.Input) []*shadow {
	if s.of[h.ends] == h && s.step(h, now, in) != splice.None {
		return append(gone, h)
	}
	return gone
}

// step applies an event. Of one that is over the reason is noted.
func (s *Shadows) step(h *shadow, now time.Time, in splice.Input) splice.Reason {
	out := h.machine.Step(now, in)
	for i := range out.ToServer {
		s.send(h.with.Client, h.with.Server, &out.ToServer[i])
	}
	if out.Refused == splice.None {
		return splice.None
	}
	s.over(h, now, out.Refused)
	return out.Refused
}

// drop has the kernel forget what is over, and the log what was said there. What the kernel does
// not forget now it forgets after a while.
func (s *Shadows) drop(gone []*shadow) {
	if len(gone) == 0 {
		return
	}
	var over, deaf []splice.Ends
	s.log.With(func(l *bytelog.Log) {
		for _, h := range gone {
			h.record.Follow(false)
			l.End(h.with)
			if h.deaf {
				deaf = append(deaf, h.with)
			} else {
				over = append(over, h.with)
			}
		}
	})
	if len(over) > 0 {
		_ = s.table.Unshadow(over)
	}
	if len(deaf) > 0 {
		_ = s.table.Silence(deaf)
	}
}
