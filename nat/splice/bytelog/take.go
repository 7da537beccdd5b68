package bytelog

import (
	"time"

	"understudy/nat/splice"
)

// maxScale is the largest window scale (RFC 7323 section 2.2).
const maxScale = 14

// fromClient takes a segment of the client's.
func (l *Log) fromClient(now time.Time, r *Record, s *splice.Segment) {
	c := &r.Client.half
	switch {
	case s.Flags&splice.SYN != 0:
		l.syn(now, r, s)
	case r.why != None:
		l.counts.Unknown++
		if s.Flags&splice.RST != 0 {
			l.end(r, None)
		}
	case s.Flags&splice.RST != 0:
		if off := c.place(s.Seq); off == int64(c.out.length) || off == int64(c.claimed) {
			l.end(r, Closed)
			return
		}
		l.counts.Outside++
	case !r.Server.known:
		l.counts.Outside++
	default:
		if l.segment(now, r, c, &r.Server.half, s, r.clientScale()) && r.list == &l.opening {
			l.opening.remove(r)
			l.open.add(r)
			l.room(r, 0)
		}
	}
}

// syn takes a SYN of the ends of a record: the same again, or of another connection.
func (l *Log) syn(now time.Time, r *Record, s *splice.Segment) {
	switch {
	case s.Flags&(splice.ACK|splice.RST|splice.FIN) != 0:
		l.counts.Outside++
	case s.Seq == r.Client.isn && r.why == None:
	case r.why != None || !r.Server.known:
		l.end(r, Closed)
		l.begin(now, r.Ends, s)
	default:
		// It is one if the server agrees.
		r.again = &opening{segment: *s}
		r.again.segment.Data = nil
		if len(s.Data) > 0 {
			l.refuse(r, BadOptions)
		}
	}
}

// fromServer takes a segment of the server's.
func (l *Log) fromServer(now time.Time, r *Record, s *splice.Segment) {
	h := &r.Server.half
	switch {
	case r.why != None:
		l.counts.Unknown++
		if s.Flags&splice.RST != 0 {
			l.end(r, None)
		}
	case s.Flags&splice.SYN != 0:
		l.synAck(now, r, s)
	case s.Flags&splice.RST != 0:
		if !h.known && s.Ack == r.Client.isn+1 || h.known && (h.place(s.Seq) == int64(h.out.length) || h.place(s.Seq) == int64(h.claimed)) {
			l.end(r, Closed)
			return
		}
		l.counts.Outside++
	case !h.known:
		l.counts.Outside++
	default:
		before := h.out.length
		off := h.place(s.Seq)
		if l.segment(now, r, h, &r.Client.half, s, r.serverScale()) && r.why == None &&
			off >= 0 && uint64(off) <= before && !r.Client.gap() && off+int64(len(s.Data)) >= int64(before) {
			// It goes on where it was, and acknowledges nothing that is not here.
			r.epoch = l.epoch
		}
	}
}

// synAck takes the server's answer to a SYN.
func (l *Log) synAck(now time.Time, r *Record, s *splice.Segment) {
	switch {
	case s.Flags&(splice.ACK|splice.RST|splice.FIN) != splice.ACK:
		l.counts.Outside++
	case r.again != nil && s.Ack == r.again.segment.Seq+1:
		syn := r.again.segment
		l.end(r, Closed)
		l.answered(l.begin(now, r.Ends, &syn), s)
	case s.Ack != r.Client.isn+1:
		l.counts.Outside++
	case !r.Server.known:
		l.answered(r, s)
	case s.Seq == r.Server.isn: // again
	case r.list == &l.opening: // it has forgotten its first answer
		l.answered(r, s)
	default:
		l.counts.Outside++
	}
}

func (l *Log) answered(r *Record, s *splice.Segment) {
	if r.why != None {
		return
	}
	l.counts.Segments++
	r.Server.begin(s)
	r.Server.edge, r.Client.edge = uint64(r.window), uint64(s.Window)
	if a, b := r.Client.options, s.Options; len(s.Data) > 0 || b.Scaled && !a.Scaled || b.SACK && !a.SACK || b.Stamped && !a.Stamped {
		l.refuse(r, BadOptions)
	}
}

// clientScale is how the windows that the client announces are scaled, serverScale the server's.
func (r *Record) clientScale() uint8 { return r.scale(r.Client.options.Scale) }
func (r *Record) serverScale() uint8 { return r.scale(r.Server.options.Scale) }

func (r *Record) scale(n uint8) uint8 {
	if !r.Client.options.Scaled || !r.Server.options.Scaled {
		return 0
	}
	return min(n, maxScale)
}

// segment takes one without SYN and RST, by which an end says something and acknowledges what the
// other said, and tells whether it is believed.
func (l *Log) segment(now time.Time, r *Record, from, to *half, s *splice.Segment, scale uint8) bool {
	off, ack := from.place(s.Seq), to.place(s.Ack)
	if s.Flags&splice.URG != 0 {
		l.refuse(r, BadOptions)
		return false
	}
	if s.Flags&splice.ACK == 0 || !from.allows(off, len(s.Data)) || !to.believes(ack) {
		l.counts.Outside++
		if r.epoch != l.epoch {
			l.refuse(r, Lost) // it went on, who knows how
		}
		return false
	}
	if !l.data(r, from, off, s) {
		return false
	}
	to.acknowledged(ack, uint64(s.Window)<<scale)
	if freed := r.Server.settle(&l.pool); freed > 0 {
		r.freed(freed * (ChunkSize - digestCost))
	}
	l.counts.Segments++
	if r.Client.over() && r.Server.over() {
		l.end(r, Closed)
		return true
	}
	if !r.missing.IsZero() || to.gap() {
		l.mind(now, r)
	}
	return true
}

// data takes what a segment says, and tells whether it is believed.
func (l *Log) data(r *Record, from *half, off int64, s *splice.Segment) bool {
	b := s.Data
	fin := off + int64(len(b))
	if from.finHeard && len(b) > 0 && fin > int64(from.finAt) || s.Flags&splice.FIN != 0 && (from.finHeard && fin != int64(from.finAt) || fin < int64(from.out.end())) {
		// It goes on behind its end, or ends before what it has said.
		l.counts.Differing++
		if fin >= int64(from.claimed) {
			l.refuse(r, Differs)
		}
		return false
	}
	if off < 0 {
		b = b[min(-off, int64(len(b))):]
		off = 0
	}
	if len(b) > 0 {
		if !from.out.agrees(uint64(off), b) {
			l.counts.Differing++
			// What the other end has acknowledged it does not take again.
			if known := min(uint64(len(b)), max(from.claimed, uint64(off))-uint64(off)); !from.out.agrees(uint64(off)+known, b[known:]) {
				l.refuse(r, Differs)
			}
			return false
		}
		begin, end := max(uint64(off), from.out.start), uint64(off)+uint64(len(b))
		if end > from.out.start+uint64(l.cfg.PerConnection) && uint64(off) > from.out.length {
			l.counts.Scattered++
			return true
		}
		if lacks := from.out.lacks(begin, end); lacks > 0 && !l.room(r, lacks*ChunkSize) {
			return false
		}
		from.out.hold(begin, end, &l.pool)
		before := from.out.length
		if from.out.put(uint64(off), b) == scattered {
			l.counts.Scattered++
		}
		if from == &r.Client.half {
			l.counts.Bytes += from.out.length - before
		}
	}
	if s.Flags&splice.FIN != 0 && fin >= 0 {
		from.finAt, from.finHeard = uint64(fin), true
	}
	return true
}
