package sim

// rng is splitmix64. Every path and every node has its own, so that taking one
// fault out of a schedule leaves the chance of all others as it was.
type rng uint64

// seeded derives a stream: what is different in any word is independent.
func seeded(words ...uint64) rng {
	var r rng
	for _, w := range words {
		r = rng(uint64(r) ^ w)
		r = rng(r.next())
	}
	return r
}

func (r *rng) next() uint64 {
	*r += 0x9e3779b97f4a7c15
	z := uint64(*r)
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// below returns 0 to n-1; 0 if there is nothing below n.
func (r *rng) below(n int64) int64 {
	if n <= 1 {
		return 0
	}
	return int64(r.next() >> 1 % uint64(n))
}

// between returns lo to hi, both included.
func (r *rng) between(lo, hi int64) int64 { return lo + r.below(hi-lo+1) }

func (r *rng) percent(p int64) bool { return p > 0 && r.below(100) < p }
