package splice

// before tells whether sequence number a comes before b (RFC 9293 section 3.4): they are less
// than 2^31 apart.
func before(a, b uint32) bool { return int32(a-b) < 0 }

// later returns the later of two sequence numbers.
func later(a, b uint32) uint32 {
	if before(a, b) {
		return b
	}
	return a
}
