package splice

// pieces are what has come of a stream behind something that is missing.
type pieces struct {
	of   []piece
	size int
}

type piece struct {
	off  uint64
	data []byte
}

// put keeps bytes. What is too much is left out: it is said again.
func (l *pieces) put(off uint64, p []byte) {
	if len(p) == 0 || l.size+len(p) > aheadBytes {
		return
	}
	for _, k := range l.of {
		if k.off <= off && off+uint64(len(p)) <= k.off+uint64(len(k.data)) {
			return
		}
	}
	l.of = append(l.of, piece{off, append([]byte(nil), p...)})
	l.size += len(p)
}

// take appends what goes on behind b, of which the first byte is at an offset.
func (l *pieces) take(b []byte, first uint64) []byte {
	for more := true; more; {
		more = false
		kept := l.of[:0]
		for _, k := range l.of {
			have := first + uint64(len(b))
			if k.off > have {
				kept = append(kept, k)
				continue
			}
			l.size -= len(k.data)
			if skip := have - k.off; skip < uint64(len(k.data)) {
				b, more = append(b, k.data[skip:]...), true
			}
		}
		clear(l.of[len(kept):])
		l.of = kept
	}
	return b
}
