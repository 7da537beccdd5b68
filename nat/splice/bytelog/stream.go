package bytelog

import (
	"bytes"
	"slices"
)

// ChunkSize is in how large pieces bytes are kept and compared.
const ChunkSize = 2048

type chunk [ChunkSize]byte

// span is bytes of a stream, from and up to without.
type span struct{ from, to uint64 }

// stream is the bytes of one direction: all from its start to its length, and pieces ahead of
// that. The zero value is empty.
type stream struct {
	start  uint64   // first byte that is kept
	length uint64   // behind the last byte that has come in order
	first  uint64   // number of the first chunk
	chunks []*chunk // nil: nothing of it has come
	ahead  []span   // what has come ahead, in order; no two touch
}

// verdict is what became of data.
type verdict uint8

const (
	taken     verdict = iota
	different         // they are not what was said before
	scattered         // there are too many pieces
)

// end is behind the last byte that has come.
func (s *stream) end() uint64 {
	if n := len(s.ahead); n > 0 {
		return s.ahead[n-1].to
	}
	return s.length
}

// lacks is how many chunks have to be there, and are not, for the bytes.
func (s *stream) lacks(from, to uint64) (n int) {
	if to <= from {
		return 0
	}
	for k := from / ChunkSize; k <= (to-1)/ChunkSize; k++ {
		if i := k - s.first; len(s.chunks) == 0 || i >= uint64(len(s.chunks)) || s.chunks[i] == nil {
			n++
		}
	}
	return n
}

// hold makes room for the bytes, with chunks of the pool.
func (s *stream) hold(from, to uint64, p *pool) {
	if to <= from {
		return
	}
	if len(s.chunks) == 0 {
		s.first = s.start / ChunkSize
	}
	for k := from / ChunkSize; k <= (to-1)/ChunkSize; k++ {
		for k-s.first >= uint64(len(s.chunks)) {
			s.chunks = append(s.chunks, nil)
		}
		if s.chunks[k-s.first] == nil {
			s.chunks[k-s.first] = p.get()
		}
	}
}

// at is the rest of the chunk that has the byte, from it on.
func (s *stream) at(off uint64) []byte {
	return s.chunks[off/ChunkSize-s.first][off%ChunkSize:]
}

// same tells whether the bytes from off on, which have come, are these.
func (s *stream) same(off uint64, b []byte) bool {
	for len(b) > 0 {
		have := s.at(off)
		n := min(len(have), len(b))
		if !bytes.Equal(have[:n], b[:n]) {
			return false
		}
		off, b = off+uint64(n), b[n:]
	}
	return true
}

// agrees tells whether the bytes are those that have come already, where any have.
func (s *stream) agrees(off uint64, b []byte) bool {
	end := off + uint64(len(b))
	if from, to := max(off, s.start), min(end, s.length); from < to && !s.same(from, b[from-off:to-off]) {
		return false
	}
	for _, a := range s.ahead {
		if from, to := max(off, a.from), min(end, a.to); from < to && !s.same(from, b[from-off:to-off]) {
			return false
		}
	}
	return true
}

// put takes bytes for which there is room, and which agree. What is before the start is left out.
func (s *stream) put(off uint64, b []byte) verdict {
	if off < s.start {
		b = b[min(s.start-off, uint64(len(b))):]
		off = s.start
	}
	end := off + uint64(len(b))
	if len(b) == 0 || end <= s.length {
		return taken
	}
	if !s.note(span{off, end}) {
		return scattered
	}
	for len(b) > 0 {
		n := copy(s.at(off), b)
		off, b = off+uint64(n), b[n:]
	}
	return taken
}

// note notes that bytes have come, unless there are too many pieces.
func (s *stream) note(n span) bool {
	if n.from > s.length {
		// Among the pieces ahead: those from i to j are one with it.
		i := 0
		for i < len(s.ahead) && s.ahead[i].to < n.from {
			i++
		}
		j := i
		for j < len(s.ahead) && s.ahead[j].from <= n.to {
			n.from, n.to = min(n.from, s.ahead[j].from), max(n.to, s.ahead[j].to)
			j++
		}
		if i == j {
			if len(s.ahead) >= maxAhead {
				return false
			}
			s.ahead = slices.Insert(s.ahead, i, n)
			return true
		}
		s.ahead[i] = n
		s.ahead = slices.Delete(s.ahead, i+1, j)
		return true
	}
	s.length = max(s.length, n.to)
	j := 0
	for j < len(s.ahead) && s.ahead[j].from <= s.length {
		s.length = max(s.length, s.ahead[j].to)
		j++
	}
	s.ahead = slices.Delete(s.ahead, 0, j)
	return true
}

// read copies bytes from off on, as far as they have come in order.
func (s *stream) read(b []byte, off uint64) (n int) {
	if off < s.start {
		return 0
	}
	for n < len(b) && off < s.length {
		m := copy(b[n:], s.at(off)[:min(ChunkSize-off%ChunkSize, s.length-off)])
		n, off = n+m, off+uint64(m)
	}
	return n
}

// release gives back the chunks that have no byte from off on, and tells how many. Nothing before
// off is kept any more.
func (s *stream) release(off uint64, p *pool) (n int) {
	s.start = max(s.start, off)
	k := int(min(s.start/ChunkSize-s.first, uint64(len(s.chunks))))
	if len(s.chunks) == 0 || k <= 0 {
		return 0
	}
	for _, c := range s.chunks[:k] {
		if c != nil {
			p.put(c)
			n++
		}
	}
	s.chunks = slices.Delete(s.chunks, 0, k) // in place, so that the array does not grow for ever
	s.first += uint64(k)
	return n
}

// drop gives back all chunks, and tells how many.
func (s *stream) drop(p *pool) (n int) {
	for _, c := range s.chunks {
		if c != nil {
			p.put(c)
			n++
		}
	}
	s.chunks, s.ahead, s.start = nil, nil, s.length
	return n
}

// pool keeps chunks that are not in use, as many as a burst leaves behind.
type pool struct{ free []*chunk }

const poolKeeps = 1024

func (p *pool) get() *chunk {
	n := len(p.free)
	if n == 0 {
		return new(chunk)
	}
	c := p.free[n-1]
	p.free[n-1] = nil
	p.free = p.free[:n-1]
	return c
}

func (p *pool) put(c *chunk) {
	if len(p.free) < poolKeeps {
		p.free = append(p.free, c)
	}
}
