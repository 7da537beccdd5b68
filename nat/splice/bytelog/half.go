package bytelog

import "understudy/nat/splice"

// half is one end of a connection, and what it said.
type half struct {
	out     stream
	isn     uint32
	known   bool // its SYN was heard
	options splice.Options
	// finAt is the offset behind its last byte, if its FIN was heard.
	finAt    uint64
	finHeard bool
	// claimed is how much of it the other end has acknowledged, its FIN included; it may be more
	// than has come here.
	claimed uint64
	// edge is up to where the other end has allowed it to speak.
	edge uint64
}

func (h *half) begin(s *splice.Segment) {
	*h = half{isn: s.Seq, known: true, options: s.Options}
}

// place is the offset of a sequence number, which may be before the beginning.
func (h *half) place(seq uint32) int64 {
	return int64(h.out.length) + int64(int32(seq-(h.isn+1+uint32(h.out.length))))
}

// fin tells whether all that it had to say has come, and that there will be no more.
func (h *half) fin() bool { return h.finHeard && h.out.length == h.finAt }

// acked is how much the other end has acknowledged of what has come.
func (h *half) acked() uint64 { return min(h.claimed, h.out.length) }

// gap tells whether the other end has acknowledged what has not come.
func (h *half) gap() bool {
	n := h.out.length
	if h.fin() {
		n++
	}
	return h.claimed > n
}

// over tells whether the other end knows that there will be no more.
func (h *half) over() bool { return h.fin() && h.claimed > h.finAt }

// allows tells whether it may have said these n bytes there. One byte more than its window has is
// what a window that is closed is probed with.
func (h *half) allows(off int64, n int) bool {
	return off+int64(n) <= int64(h.edge)+1 && off >= int64(h.claimed)-window
}

// believes tells whether the other end may have acknowledged so much of it.
func (h *half) believes(ack int64) bool {
	return ack <= int64(h.edge)+2 && ack >= int64(h.claimed)-window
}

// acknowledged notes what the other end says of it.
func (h *half) acknowledged(ack int64, allowed uint64) {
	if ack < 0 {
		return
	}
	h.claimed = max(h.claimed, uint64(ack))
	h.edge = max(h.edge, uint64(ack)+allowed)
}

// Client is the client's end of a connection.
type Client struct{ half }

// ISN is the sequence number of its SYN.
func (c *Client) ISN() uint32 { return c.isn }

// Options are those of its SYN.
func (c *Client) Options() splice.Options { return c.options }

// Len is how many bytes of it have come in order, from the beginning of the connection.
func (c *Client) Len() uint64 { return c.out.length }

// Trimmed is how many of them are not kept any more: the first that can be read.
func (c *Client) Trimmed() uint64 { return c.out.start }

// ReadAt copies bytes of it from off on, and returns how many: as many as have come, and none if
// off is trimmed.
func (c *Client) ReadAt(p []byte, off uint64) int { return c.out.read(p, off) }

// FIN tells whether it has ended its direction, behind Len.
func (c *Client) FIN() bool { return c.fin() }

// Acked is how much the server has acknowledged of Len.
func (c *Client) Acked() uint64 { return c.acked() }

// Server is the server's end of a connection.
type Server struct {
	half
	digests []digest // of the chunks before the start of the stream, from number forgotten on
	// forgotten is how many digests have been given up.
	forgotten uint64
	gone      bool // the record is refused
}

// ISN is the sequence number of its SYN-ACK.
func (s *Server) ISN() uint32 { return s.isn }

// Options are those of its SYN-ACK.
func (s *Server) Options() splice.Options { return s.options }

// Len is how many bytes of it have come in order, from the beginning of the connection.
func (s *Server) Len() uint64 { return s.out.length }

// Acked is how much the client has acknowledged of Len.
func (s *Server) Acked() uint64 { return s.acked() }

// FIN tells whether it has ended its direction, behind Len.
func (s *Server) FIN() bool { return s.fin() }

// Kept is the first byte that is kept as it was, at most ChunkSize before Acked.
func (s *Server) Kept() uint64 { return s.out.start }

// ReadAt copies bytes of it from off on, and returns how many: as many as have come, and none if
// off is before Kept.
func (s *Server) ReadAt(p []byte, off uint64) int { return s.out.read(p, off) }

// Matches tells whether p is what it said from off on, as far as that is remembered: to the byte
// from Kept on, before that by whole chunks, of which p has to have all; of what it has not said
// yet nothing is known. Nothing matches if the record is refused. To compare all, see [Check].
func (s *Server) Matches(off uint64, p []byte) (ok bool) {
	if s.gone {
		return false
	}
	for len(p) > 0 && off < s.Len() {
		n := min(ChunkSize-off%ChunkSize, uint64(len(p)), s.Len()-off)
		if off >= s.out.start {
			if !s.out.same(off, p[:n]) {
				return false
			}
		} else if d, known := s.digest(off / ChunkSize); known && n == ChunkSize && d != (digest{}).add(p[:n]) {
			return false
		}
		off, p = off+n, p[n:]
	}
	return true
}

// digest is that of a chunk, if it is remembered.
func (s *Server) digest(number uint64) (digest, bool) {
	if i := number - s.forgotten; number >= s.forgotten && i < uint64(len(s.digests)) {
		return s.digests[i], true
	}
	return digest{}, false
}

// settle has whole chunks that the client has acknowledged be digests, and tells how many chunks
// that freed.
func (s *Server) settle(p *pool) int {
	to := s.acked() / ChunkSize * ChunkSize
	if to <= s.out.start {
		return 0
	}
	for off := s.out.start; off < to; off += ChunkSize {
		s.digests = append(s.digests, digest{}.add(s.out.at(off)))
	}
	return s.out.release(to, p)
}
