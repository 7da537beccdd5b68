package sim

import "understudy/vrrp"

// board is the page of memory that the two processes share (election.Board).
// Times are the node's.
type board struct {
	alive int64
	slots [MaxGroups]slot
}

type slot struct {
	state       vrrp.State
	term        uint64
	highest     uint64 // used or heard of
	resumeUntil int64
	interval    int64
	claim       claim
}

type claim uint8

const (
	claimNone claim = iota
	claimOpen
	claimResumed
	claimFenced
)

func (s *slot) note(state vrrp.State, leaving bool, term uint64) {
	if state != vrrp.Active || leaving {
		s.resumeUntil = 0
	}
	s.state, s.term = state, term
	s.highest = max(s.highest, term)
}

// resumable is for how long the group may still be resumed.
func (s *slot) resumable(now int64) int64 {
	if s.resumeUntil == 0 || s.state != vrrp.Active {
		return 0
	}
	return s.resumeUntil - now
}

func (s *slot) take(as claim) bool {
	if s.claim != claimOpen {
		return false
	}
	s.claim = as
	return true
}

func (s *slot) mayResume(now int64) bool { return s.resumable(now) > 0 && s.take(claimResumed) }
