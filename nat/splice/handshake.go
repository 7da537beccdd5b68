package splice

import "time"

// handshake opens a connection at the new server in the client's name.
type handshake struct {
	isn   uint32 // sequence number of the SYN
	offer Options
	// scaled and scale are what the old server agreed on, and the new one has to.
	scaled bool
	scale  uint8

	tries, odd int
	// Which older connection was reset, by its acknowledgement, and at which try.
	reset   uint32
	resetAt int
}

// hearing is what a segment of the new server's means to a handshake.
type hearing uint8

const (
	ignored  hearing = iota
	again            // an older connection was reset, and the SYN is to be sent anew
	welcomed         // the connection is there
	unwelcome
)

// syn is the segment that begins it, and how long an answer is waited for; ok is false if it was
// sent often enough.
func (h *handshake) syn() (s Segment, wait time.Duration, ok bool) {
	if h.tries == openTimes {
		return Segment{}, 0, false
	}
	wait = openAgain << h.tries
	h.tries++
	return Segment{Seq: h.isn, Flags: SYN, Window: 0xffff, Options: h.offer}, wait, true
}

// hear takes what the new server says to the SYN. Of an older connection of the same ends, which
// the server may know (RFC 5961 section 4), out is the reset. That is said once a try: the server
// may have answered to several SYN, and another reset would end what the next one has begun.
func (h *handshake) hear(s *Segment) (what hearing, why Reason, out Segment) {
	acked := h.isn + 1
	switch {
	case s.Flags&RST != 0:
		if s.Ack == acked || s.Flags&ACK == 0 && s.Seq == acked {
			return unwelcome, ServerRefuses, out
		}
	case s.Flags&(SYN|ACK) == ACK:
		if h.odd > 0 && (h.reset == s.Ack && h.resetAt == h.tries || s.Ack == acked && h.reset != acked) {
			break // said before, or by the new one, which is half open
		}
		if h.odd++; h.odd <= strangers {
			h.reset, h.resetAt = s.Ack, h.tries
			h.tries--
			return again, None, Segment{Seq: s.Ack, Flags: RST}
		}
	case s.Flags&(SYN|ACK) != SYN|ACK || s.Ack != acked:
	case s.Options.Scaled != h.scaled || s.Options.Scaled && s.Options.Scale != h.scale:
		return unwelcome, ScaleDiffers, out
	default:
		return welcomed, None, out
	}
	return ignored, None, out
}
