package session

import (
	"encoding/binary"
	"math/bits"
)

// A group's records fall into buckets by a hash of their key that is the same on
// every box. The table keeps the sum of the contents of each bucket, as it keeps
// that of the whole group, so an audit that finds the whole different can find
// the part that is. Kept up to date rather than counted when asked for: the sums
// must be those of one position of the stream, and a million records take 20 ms
// to go over, for which nobody may have to wait.

// Buckets is how many buckets the table keeps of a group: 32 KiB of sums, for a
// group that has ever had a record.
const (
	Buckets    = 1 << bucketBits
	bucketBits = 12
)

// Fewer and larger ones are compared where there are few records: of each
// that differs all records are sent again, so they are to have about as many
// bytes as the sums of all.
const (
	minBucketBits = 4
	bucketRecords = 64 // in a bucket, up to 2^18 records in all
)

// coarseness returns the number of bits that name a bucket among n records.
func coarseness(n int) uint8 {
	b := uint8(minBucketBits)
	for b < bucketBits && n>>b > bucketRecords {
		b++
	}
	return b
}

// keyHash is what hashContent begins with: of the key alone, but for the later
// bytes of IPv6 addresses.
func (e *entry) keyHash() uint64 {
	return fold(join(e.src, e.dst)^mul0, ports(e.sport, e.dport, e.zone, uint16(e.proto)<<8|uint16(e.bits&bitSix))^mul1)
}

// bucket is the bucket of e's key, below Buckets.
func (e *entry) bucket(w *wide) int {
	h := e.keyHash()
	if e.bits&bitSix != 0 {
		h = fold(h^binary.BigEndian.Uint64(w[0][4:]), binary.BigEndian.Uint64(w[1][4:])^mul2)
	}
	return int(h * mul0 >> (64 - bucketBits))
}

// bucketOf is the bucket of a key.
func bucketOf(k *Key) int {
	var p packed
	p.packKey(k)
	return p.bucket(&p.wide)
}

// weigh adds to, or takes from, the sums of a group.
func (g *tally) weigh(bucket int, sum uint64) {
	g.sum += sum
	if g.buckets == nil {
		g.buckets = new([Buckets]uint64)
	}
	g.buckets[bucket] += sum
}

// digest returns the sum of bucket i of the 2^bits that group g is cut into.
func (t *Table) digest(g int, bits uint8, i int) (sum uint64) {
	b := t.groups[g].buckets
	if b == nil {
		return 0
	}
	width := Buckets >> bits
	for _, s := range b[i*width : (i+1)*width] {
		sum += s
	}
	return sum
}

// bucketSet is a set of buckets, of a number of bits that its owner knows.
type bucketSet [Buckets / 64]uint64

func (s *bucketSet) add(i int)      { s[i/64] |= 1 << (i % 64) }
func (s *bucketSet) has(i int) bool { return s[i/64]>>(i%64)&1 != 0 }

func (s *bucketSet) len() (n int) {
	for _, w := range s {
		n += bits.OnesCount64(w)
	}
	return n
}

// next returns the first bucket of the set from i on, -1 if there is none.
func (s *bucketSet) next(i int) int {
	for ; i < Buckets; i = (i/64 + 1) * 64 {
		if w := s[i/64] >> (i % 64); w != 0 {
			return i + bits.TrailingZeros64(w)
		}
	}
	return -1
}

// any tells whether the set has one of the finer buckets that make up bucket i
// of 2^b.
func (s *bucketSet) any(b uint8, i int) bool {
	width := Buckets >> b
	n := s.next(i * width)
	return n >= 0 && n < (i+1)*width
}

// appendBuckets appends up to n of the set from bucket i on: bits, then each as
// its distance from the one before, the first from -1. It returns where to go on,
// -1 after the last.
func appendBuckets(b []byte, bits uint8, s *bucketSet, i, n int) ([]byte, int) {
	b = append(b, bits)
	last := -1
	for i = s.next(i); i >= 0 && n > 0; i = s.next(i + 1) {
		b = binary.AppendUvarint(b, uint64(i-last))
		last = i
		n--
	}
	return b, i
}

// buckets reads what appendBuckets wrote, to the end, into set.
func (r *reader) buckets(set *bucketSet) (bits uint8, err error) {
	bits = r.u8()
	if r.bad || bits > bucketBits {
		return 0, ErrMalformed
	}
	last := uint64(0) // the one before, plus 1
	for len(r.b) > 0 {
		d := r.uvarint()
		if r.bad || d == 0 || d > Buckets || last+d > 1<<bits {
			return 0, ErrMalformed
		}
		last += d
		set.add(int(last - 1))
	}
	return bits, nil
}
