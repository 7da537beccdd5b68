package bytelog

import "hash/crc32"

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// digest is of the bytes of a chunk: two cyclic sums of 32 bits by different polynomials. What it
// guards against is a server that answers differently, not one that forges.
type digest struct{ a, b uint32 }

func (d digest) add(p []byte) digest {
	return digest{crc32.Update(d.a, castagnoli, p), crc32.Update(d.b, crc32.IEEETable, p)}
}

// Check compares output that is regenerated, in order from the beginning, with all that a
// server said. Its zero value is at the beginning. It may be used while the record grows.
type Check struct {
	off uint64
	sum digest // of the chunk that off is in
}

// At is how many bytes have been compared.
func (c *Check) At() uint64 { return c.off }

// Next compares the bytes that follow with what the server said, as far as it had said
// anything: n of them are compared and done with, those behind are to be given again when
// the server has said more. What is known by its digest only is compared when the chunk is
// whole, so output of which everything was the same is known to be so at the end of the server's, and not
// before. ok is false if something was different, which is final, or if the record is refused.
func (c *Check) Next(s *Server, p []byte) (n int, ok bool) {
	if s.gone {
		return 0, false
	}
	for n < len(p) && c.off < s.Len() {
		stop := min(s.Len(), (c.off/ChunkSize+1)*ChunkSize)
		part := p[n:]
		part = part[:min(uint64(len(part)), stop-c.off)]
		if c.off >= s.out.start && !s.out.same(c.off, part) {
			return n, false
		}
		c.sum = c.sum.add(part)
		c.off, n = c.off+uint64(len(part)), n+len(part)
		if c.off%ChunkSize == 0 {
			if d, known := s.digest(c.off/ChunkSize - 1); known && d != c.sum {
				return n, false
			}
			c.sum = digest{}
		}
	}
	return n, true
}
