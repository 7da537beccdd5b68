package session

// slab is a store of equal values in chunks that never move: growing copies
// nothing and the collector finds no pointer in them. Index 0 means none, so
// the first value is 1.
type slab[T any] struct {
	chunks []*[slabChunk]T
	free   []uint32
	used   uint32
}

const slabChunk = 256

func (s *slab[T]) take(v T) uint32 {
	if n := len(s.free); n > 0 {
		i := s.free[n-1]
		s.free = s.free[:n-1]
		*s.at(i) = v
		return i
	}
	if s.used%slabChunk == 0 {
		s.chunks = append(s.chunks, new([slabChunk]T))
	}
	s.used++
	*s.at(s.used) = v
	return s.used
}

func (s *slab[T]) at(i uint32) *T {
	if i == 0 {
		return nil
	}
	i--
	return &s.chunks[i/slabChunk][i%slabChunk]
}

func (s *slab[T]) put(i uint32) {
	if i != 0 {
		s.free = append(s.free, i)
	}
}
