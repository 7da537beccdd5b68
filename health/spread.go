package health

import "time"

// Spread returns how long after the start the first probe of a check waits: at
// least 0, less than width. It follows from the names alone, so a reload moves
// nobody, checks of one node are scattered, and two nodes that probe the same
// server do so at different times.
func Spread(node, name string, width time.Duration) time.Duration {
	if width <= 0 {
		return 0
	}
	// FNV-1a with a final mix: names that differ in the last digit only must
	// not come out side by side.
	h := uint64(14695981039346656037)
	for _, s := range [...]string{node, "\x00", name} {
		for i := range len(s) {
			h = (h ^ uint64(s[i])) * 1099511628211
		}
	}
	h = (h ^ h>>33) * 0xff51afd7ed558ccd
	h ^= h >> 33
	return time.Duration(h % uint64(width))
}
