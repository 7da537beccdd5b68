package session

// index finds a slot by the hash of its key: open addressing with linear
// probing. It is cut into shards that grow one by one, so that no single insert
// rehashes the whole table. A word is 8 bits of the hash, which save most looks
// at a wrong entry, and the slot + 1; 0 is empty.
type index [256]shard

type shard struct {
	words []uint32 // a power of two
	count int
}

// A hash is used from both ends: bits 0-31 for the place in the shard, 48-55
// for the shard, 56-63 for the tag.
func tag(h uint64) uint32              { return uint32(h >> 56) }
func (x *index) shard(h uint64) *shard { return &x[uint8(h>>48)] }
func (s *shard) home(h uint64) uint32  { return uint32(h) & uint32(len(s.words)-1) }
func (s *shard) next(i uint32) uint32  { return (i + 1) & uint32(len(s.words)-1) }
func (s *shard) place(h uint64, w uint32) {
	i := s.home(h)
	for s.words[i] != 0 {
		i = s.next(i)
	}
	s.words[i] = w
}

func (x *index) add(t *Table, h uint64, slot Slot) {
	sh := x.shard(h)
	if 5*(sh.count+1) > 4*len(sh.words) {
		old := sh.words
		sh.words = make([]uint32, max(8, 2*len(old)))
		for _, w := range old {
			if w != 0 {
				sh.place(t.hashOf(w), w)
			}
		}
	}
	sh.place(h, tag(h)<<24|uint32(slot)+1)
	sh.count++
}

// hashOf recomputes the hash of the key a word stands for.
func (t *Table) hashOf(w uint32) uint64 {
	e := t.at(Slot(w&MaxRecords - 1))
	return e.hashKey(t.seed, t.wide.at(e.wide))
}

// remove takes a slot out and closes the gap, so that a probe may always stop
// at the first empty word.
func (x *index) remove(t *Table, h uint64, slot Slot) {
	sh := x.shard(h)
	want := tag(h)<<24 | uint32(slot) + 1
	i := sh.home(h)
	for sh.words[i] != want {
		i = sh.next(i)
	}
	sh.count--
	mask := uint32(len(sh.words) - 1)
	for j := sh.next(i); sh.words[j] != 0; j = sh.next(j) {
		// The word at j may fill the gap at i unless its home lies behind the gap.
		if home := sh.home(t.hashOf(sh.words[j])); (j-home)&mask >= (j-i)&mask {
			sh.words[i] = sh.words[j]
			i = j
		}
	}
	sh.words[i] = 0
}
