package splicenet

import (
	"maps"

	"understudy/nat/splice"
)

// ShadowCounts are since a Shadows was opened.
type ShadowCounts struct {
	Begun   uint64
	Dropped map[splice.Reason]uint64 // but those whose connection is over
}

// ShadowStatus is how a Shadows is.
type ShadowStatus struct {
	Connections int // that are replayed all along
	// Without are those that are not, by reason.
	Without map[splice.Reason]int
	ShadowCounts
}

// Status is how it is.
func (s *Shadows) Status() ShadowStatus {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := ShadowStatus{Connections: len(s.of), Without: map[splice.Reason]int{}, ShadowCounts: s.counts}
	out.Dropped = maps.Clone(out.Dropped)
	for ends, w := range s.without {
		if s.of[ends] == nil && w.why != splice.Unfit { // which is of no entry point
			out.Without[w.why]++
		}
	}
	return out
}
