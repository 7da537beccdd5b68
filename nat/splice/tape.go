package splice

// Tape is what was logged of a connection, as a [Replay] reads it. Offsets count the bytes of one
// direction, from 0; a FIN counts as the byte behind the last.
type Tape interface {
	// Refusal is why the log is not whole; None: it is.
	Refusal() Reason
	Client() Half
	Server() Half
	// ReadAt reads what the client said from an offset on, and returns how much that was.
	ReadAt(p []byte, off uint64) int
	// Same compares what follows of a server's words, in order from the first, with what this one
	// said. It tells how much of it that was: all that is before Len.
	Same(p []byte) (n int, ok bool)
	// Forget has what the client said before an offset not be kept: it is not read again.
	Forget(off uint64)
}

// Half is what one end said.
type Half struct {
	ISN     uint32  // sequence number of its SYN, as the client knows it
	Options Options // of its SYN
	Len     uint64  // how many bytes it said, without a gap
	Fin     bool    // it has ended behind them
	Acked   uint64  // how much of that the other end has acknowledged
}

func (h *Half) end() uint64 {
	if h.Fin {
		return h.Len + 1
	}
	return h.Len
}

// seq is the sequence number of the byte at an offset.
func (h *Half) seq(off uint64) uint32 { return h.ISN + 1 + uint32(off) }

// offset is which byte a sequence number is of, given one that it is within 2^31 of. It is
// negative before the first.
func (h *Half) offset(seq uint32, near uint64) int64 {
	return int64(near) + int64(int32(seq-h.seq(near)))
}
