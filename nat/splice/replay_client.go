package splice

import "time"

// The client's side of a replay: what it says while its flow is frozen, and what it is told.

func (r *Replay) onClient(now time.Time, s *Segment, out *Output) {
	if r.phase == handing {
		r.handOn(s, true, out)
		return
	}
	if s.Flags&RST != 0 {
		if r.phase != exchanging { // then it is too late, and the client says it again
			r.refuse(Closing, out)
		}
		return
	}
	if s.Flags&(SYN|ACK) != ACK {
		return
	}
	from := r.client.offset(s.Seq, r.had())
	if from < 0 || uint64(from) >= r.end()+nearby { // a keepalive of one that has said nothing is before the first
		if from != -1 {
			return
		}
		from = 0
	}
	switch acked := r.server.offset(s.Ack, r.server.Acked); {
	case acked > int64(max(r.server.Len, r.agreed)):
		if r.phase == exchanging {
			return
		}
		r.refuse(Halfway, out) // it has more than was logged
		return
	case acked >= int64(r.server.Acked):
		if uint64(acked) > r.server.Acked {
			r.further(now)
		}
		r.server.Acked = uint64(acked)
		r.clientEdge = r.server.Acked + uint64(s.Window)<<r.scaleOf(&r.client)
		r.heard, r.ask = true, time.Time{}
	}
	r.hold(s, uint64(from))
}

// scaleOf is the window scale of an end.
func (r *Replay) scaleOf(h *Half) uint8 {
	if !r.shake.scaled {
		return 0
	}
	return min(h.Options.Scale, 14) // RFC 7323 section 2.3
}

// hold keeps what goes on where the client has been heard.
func (r *Replay) hold(s *Segment, from uint64) {
	have := r.end()
	if r.client.Fin || from > have || from+uint64(len(s.Data)) < have {
		return
	}
	fresh := s.Data[have-from:]
	if len(r.tail)+len(fresh) > tailBytes {
		return // it says it again
	}
	r.tail = append(r.tail, fresh...)
	r.client.Fin = s.Flags&FIN != 0
}

// relay hands the client what it may not have got of what a server said.
func (r *Replay) relay(from uint64, p []byte, fin bool, out *Output) {
	if skip := r.server.Acked - min(r.server.Acked, from); skip > 0 {
		if skip >= uint64(len(p)) {
			return
		}
		from, p = from+skip, p[skip:]
	}
	for len(p) > 0 || fin {
		n := min(len(p), segmentSize)
		flags := PSH
		if fin && n == len(p) {
			flags, fin = PSH|FIN, false
		}
		out.ToClient = append(out.ToClient, r.toClient(from, append([]byte(nil), p[:n]...), flags))
		from, p = from+uint64(n), p[n:]
	}
}

func (r *Replay) toClient(off uint64, data []byte, flags Flags) Segment {
	return Segment{Seq: r.server.seq(off), Ack: r.client.seq(r.had()), Flags: ACK | flags, Window: r.window, Data: data}
}
