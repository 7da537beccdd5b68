package session

// index finds a slot by the hash of its key: open addressing with linear
// probing. It is cut into shards that grow one by one, so that no single insert
// rehashes the whole table. A word is 40 bits of the hash and the slot + 1; 0 is
// empty. So much of the hash stands in it that neither a probe nor the removal of a
// word nor the growth of a shard looks at an entry: each look would be a miss of the
// processor's cache.
type index [256]shard

type shard struct {
	words []uint64 // a power of two
	count int
}

// A hash is used from both ends: bits 0-31 for the place in the shard, 48-55
// for the shard. Bits 0-39 are in the word.
const slotBits = 24

func word(h uint64, s Slot) uint64     { return h<<slotBits | uint64(s) + 1 }
func slotOf(w uint64) Slot             { return Slot(w&MaxRecords - 1) }
func alike(w, h uint64) bool           { return w>>slotBits == h<<slotBits>>slotBits }
func (x *index) shard(h uint64) *shard { return &x[uint8(h>>48)] }
func (s *shard) home(h uint64) uint32  { return uint32(h) & uint32(len(s.words)-1) }
func (s *shard) next(i uint32) uint32  { return (i + 1) & uint32(len(s.words)-1) }

func (s *shard) place(w uint64) {
	i := s.home(w >> slotBits)
	for s.words[i] != 0 {
		i = s.next(i)
	}
	s.words[i] = w
}

func (x *index) add(h uint64, slot Slot) {
	sh := x.shard(h)
	if 5*(sh.count+1) > 4*len(sh.words) {
		old := sh.words
		sh.words = make([]uint64, max(8, 2*len(old)))
		for _, w := range old {
			if w != 0 {
				sh.place(w)
			}
		}
	}
	sh.place(word(h, slot))
	sh.count++
}

// remove takes a slot out and closes the gap, so that a probe may always stop
// at the first empty word.
func (x *index) remove(h uint64, slot Slot) {
	sh := x.shard(h)
	i := sh.home(h)
	for want := word(h, slot); sh.words[i] != want; {
		i = sh.next(i)
	}
	sh.count--
	mask := uint32(len(sh.words) - 1)
	for j := sh.next(i); sh.words[j] != 0; j = sh.next(j) {
		// The word at j may fill the gap at i unless its home lies behind the gap.
		if home := sh.home(sh.words[j] >> slotBits); (j-home)&mask >= (j-i)&mask {
			sh.words[i] = sh.words[j]
			i = j
		}
	}
	sh.words[i] = 0
}
