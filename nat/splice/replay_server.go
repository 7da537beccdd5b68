package splice

import "time"

// The new server's side of a replay: a small TCP, which says again what was lost (RFC 6582), or all
// from there on if nothing is heard for long (go-back-N), and acknowledges only as much as the
// client has.

func (r *Replay) onServer(now time.Time, s *Segment, out *Output) {
	switch {
	case r.phase == shaking:
		r.onWelcome(now, s, out)
	case r.phase == handing:
		r.handOn(s, false, out)
	case r.phase != running && r.phase != exchanging:
	case s.Flags&RST != 0:
		// An older connection's is before; while the entry is exchanged it is too late.
		if r.phase == running && !before(s.Seq, r.base+uint32(r.told)) {
			r.onReset(now, out)
		}
	case s.Flags&SYN != 0: // it has not got what we said to that
		r.acknowledge(true, out)
	case s.Flags&ACK != 0:
		r.onAcked(now, s, out)
		r.onData(now, s, out)
	}
}

// onReset refuses, unless what was to end an older connection at the new server has ended this one
// before it began.
func (r *Replay) onReset(now time.Time, out *Output) {
	if r.shake.odd == 0 || r.shake.odd >= strangers || r.una > 0 || r.agreed > 0 || len(r.ahead) > 0 {
		r.refuse(ServerRefuses, out)
		return
	}
	r.shake.odd++
	r.shake.tries--
	r.phase, r.una, r.next, r.sent, r.recover, r.told, r.toldEdge = shaking, 0, 0, 0, 0, 0, 0
	r.open(now, out)
}

func (r *Replay) onWelcome(now time.Time, s *Segment, out *Output) {
	switch what, why, reset := r.shake.hear(s); what {
	case unwelcome:
		if why == ScaleDiffers {
			out.ToServer = append(out.ToServer, Segment{Seq: r.client.seq(0), Ack: s.Seq + 1, Flags: RST | ACK})
		}
		r.refuse(why, out)
	case again:
		out.ToServer = append(out.ToServer, reset)
		r.open(now, out)
	case welcomed:
		r.phase, r.base, r.window, r.edge, r.resend = running, s.Seq+1, s.Window, uint64(s.Window), time.Time{}
		if s.Options.MSS != 0 {
			r.size = uint64(max(64, min(s.Options.MSS, segmentSize)))
		}
		r.further(now)
		r.acknowledge(true, out)
	}
}

// onAcked takes what the new server says about how far it is.
func (r *Replay) onAcked(now time.Time, s *Segment, out *Output) {
	off := r.client.offset(s.Ack, r.una)
	if off < int64(r.una) || off > int64(r.sent) {
		return
	}
	acked := uint64(off)
	r.window, r.tries = s.Window, 0
	edge := acked + uint64(s.Window)<<r.scaleOf(&r.server)
	switch {
	case acked > r.una:
		r.flight = min(r.flight+acked-r.una, flightMost)
		r.una, r.same, r.doubled, r.resend = acked, 0, 0, time.Time{}
		r.next = max(r.next, acked)
		r.tape.Forget(min(acked, r.client.Len))
		if r.una < r.recover { // something else was lost as well
			r.repeat(out)
		}
		r.further(now)
	case len(s.Data) == 0 && edge == r.edge && r.una < r.next:
		// Three of them: something is lost (RFC 5681 section 3.2).
		if r.same++; r.same == 3 && r.una >= r.recover {
			r.recover, r.flight = r.sent, max(r.flight/2, flightLeast)
			r.repeat(out)
		}
	}
	r.edge = edge
}

// onData takes what the new server says.
func (r *Replay) onData(now time.Time, s *Segment, out *Output) {
	if len(s.Data) == 0 && s.Flags&FIN == 0 {
		if s.Seq == r.base+uint32(r.told)-1 { // a keepalive, or a question about our window
			r.acknowledge(true, out)
		}
		return
	}
	have := r.agreed + uint64(len(r.ahead))
	off := int64(have) + int64(int32(s.Seq-r.base-uint32(have)))
	end := off + int64(len(s.Data))
	switch {
	case off > int64(have): // something before it is lost
		r.later.put(uint64(off), s.Data)
		r.acknowledge(true, out)
		return
	case end < int64(have) || end == int64(have) && s.Flags&FIN == 0:
		if end <= int64(r.told) {
			r.acknowledge(true, out)
		}
		// What it says again the client may not have got.
		if r.frozen && off >= 0 && end <= int64(r.agreed) {
			r.relay(uint64(off), s.Data, false, out)
		}
		return
	}
	fresh := s.Data[int64(have)-off:]
	if len(r.ahead)+len(fresh) > aheadBytes {
		return // it says it again
	}
	r.ahead = r.later.take(append(r.ahead, fresh...), r.agreed)
	r.aheadFin = s.Flags&FIN != 0 && end == int64(r.agreed)+int64(len(r.ahead))
	r.further(now)
}

// compare takes what the new server said and the old one had said as well. It tells whether they
// agree.
func (r *Replay) compare(out *Output) bool {
	for len(r.ahead) > 0 && (r.agreed < r.server.Len || r.opened) {
		n := uint64(len(r.ahead))
		if r.agreed < r.server.Len {
			n = min(n, r.server.Len-r.agreed)
			got, ok := r.tape.Same(r.ahead[:n])
			if !ok || got == 0 {
				r.refuse(Diverged, out)
				return false
			}
			n = uint64(got)
		}
		if r.frozen {
			r.relay(r.agreed, r.ahead[:n], false, out)
		}
		r.agreed += n
		r.ahead = append(r.ahead[:0], r.ahead[n:]...)
	}
	if r.aheadFin && r.agreed+uint64(len(r.ahead)) < r.server.Len {
		r.refuse(Short, out) // it has ended before
		return false
	}
	return true
}

// acknowledge tells the new server what the client has, if that is news or it has to be said.
func (r *Replay) acknowledge(must bool, out *Output) {
	told := max(r.told, min(r.server.Acked, r.agreed))
	// A segment more than there was, so that what is compared last need not be cut in two.
	edge := max(r.server.Len, told) + segmentSize
	if r.opened {
		edge = max(edge, r.clientEdge)
	}
	if !must && told == r.told && edge <= r.toldEdge {
		return
	}
	r.told, r.toldEdge = told, edge
	out.ToServer = append(out.ToServer, r.toServer(r.next, nil, 0, edge-told))
}

// toServer is a segment with a window of so many bytes.
func (r *Replay) toServer(off uint64, data []byte, flags Flags, window uint64) Segment {
	scale := r.scaleOf(&r.client)
	units := (window + 1<<scale - 1) >> scale
	return Segment{Seq: r.client.seq(off), Ack: r.base + uint32(r.told), Flags: ACK | flags, Window: uint16(min(units, 0xffff)), Data: data}
}

// tell sends what the new server has room for.
func (r *Replay) tell(now time.Time, out *Output) {
	r.pour(out)
	switch {
	case r.una == r.next && r.una == r.end():
		r.resend = time.Time{}
	case r.resend.IsZero():
		r.resend = now.Add(min(resendFirst<<r.doubled, resendMost))
	}
}

func (r *Replay) pour(out *Output) {
	limit := min(r.edge, r.una+r.flight, r.end())
	for r.next < limit {
		n := r.say(r.next, limit, out)
		if n == 0 {
			return
		}
		r.next += n
		r.sent = max(r.sent, r.next)
	}
}

// repeat says again what the new server waits for.
func (r *Replay) repeat(out *Output) { r.say(r.una, min(r.una+r.size, r.sent), out) }

// say sends a segment from an offset on, which ends before the limit, and tells how much it has.
func (r *Replay) say(off, limit uint64, out *Output) uint64 {
	n := min(r.size, limit-min(off, limit))
	if n == 0 {
		return 0
	}
	data := make([]byte, min(n, r.client.Len+uint64(len(r.tail))-off)) // the FIN is no byte
	got := 0
	if off < r.client.Len {
		got = r.tape.ReadAt(data[:min(uint64(len(data)), r.client.Len-off)], off)
	}
	if at := off + uint64(got); at >= r.client.Len {
		got += copy(data[got:], r.tail[at-r.client.Len:])
	}
	if got < len(data) { // it is not kept any more
		data, n = data[:got], uint64(got)
	}
	if n == 0 {
		return 0
	}
	flags := Flags(0)
	if off+n == r.end() {
		flags = PSH
		if r.client.Fin {
			flags |= FIN
		}
	}
	out.ToServer = append(out.ToServer, r.toServer(off, data, flags, r.toldEdge-r.told))
	return n
}

// again sends what was not acknowledged in time again; if all was, it asks for room.
func (r *Replay) again(now time.Time, out *Output) {
	if r.tries++; r.tries > resendTimes {
		r.refuse(ServerSilent, out)
		return
	}
	if r.frozen && r.agreed >= r.server.Len {
		// The old server may have heard things because it could say more.
		r.opened = true
	}
	r.doubled = min(r.doubled+1, 8)
	r.resend = now.Add(min(resendFirst<<r.doubled, resendMost))
	if r.una == r.next {
		out.ToServer = append(out.ToServer, r.toServer(r.una-1, nil, 0, r.toldEdge-r.told))
		return
	}
	r.recover, r.next, r.flight = 0, r.una, flightLeast
}
