package session

// fifo is the order in which dirty records became dirty, for one sink. It holds
// exactly one item for each record whose dirty bit is set, so the table bounds
// it; it gives its memory back as it drains. Positions are absolute and only
// grow, so "everything that was queued at p" is a comparison.
type fifo struct {
	chunks     []*[fifoChunk]dirtied
	spare      *[fifoChunk]dirtied
	base       uint64 // position of chunks[0][0]
	head, tail uint64
}

// dirtied tells which record, and since when in milliseconds of the table's
// clock.
type dirtied struct {
	slot Slot
	at   uint32
}

const fifoChunk = 1024

func (f *fifo) len() int { return int(f.tail - f.head) }

func (f *fifo) push(s Slot, at uint32) {
	i := f.tail - f.base
	if i == uint64(len(f.chunks))*fifoChunk {
		c := f.spare
		if f.spare = nil; c == nil {
			c = new([fifoChunk]dirtied)
		}
		f.chunks = append(f.chunks, c)
	}
	f.chunks[i/fifoChunk][i%fifoChunk] = dirtied{s, at}
	f.tail++
}

func (f *fifo) peek() (dirtied, bool) {
	if f.head == f.tail {
		return dirtied{}, false
	}
	i := f.head - f.base
	return f.chunks[i/fifoChunk][i%fifoChunk], true
}

func (f *fifo) pop() {
	f.head++
	if f.head-f.base == fifoChunk {
		f.spare = f.chunks[0]
		n := copy(f.chunks, f.chunks[1:])
		f.chunks[n] = nil
		f.chunks = f.chunks[:n]
		f.base += fifoChunk
	}
}
