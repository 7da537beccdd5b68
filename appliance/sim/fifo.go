package sim

import (
	"understudy/appliance"
	"understudy/vrrp"
)

// msgKind is a message between election and daemon, as in package election.
type msgKind uint8

const (
	// daemon to election
	msgConfigure msgKind = iota
	msgReady
	msgFence
	msgEligible
	msgFault
	msgWeight
	msgOverlap
	msgHandOver
	msgTerm
	msgResume
	msgBudget
	msgStop // both ways
	msgBye
	// election to daemon
	msgAttached
	msgTransition
	msgFenced
	msgConfigured
	msgFound
	msgReclaim
)

// groupState is a group as the two processes tell each other.
type groupState struct {
	state   vrrp.State
	term    uint64
	leaving bool
}

type message struct {
	kind   msgKind
	at     int64 // of the world, when it can be read
	group  int
	ok     bool
	reason string
	groupState
	cfg      *setup
	mask     mask
	wait     int64
	groups   [MaxGroups]groupState
	findings []appliance.Finding
}

// fifo is one direction of the socket pair.
type fifo struct {
	q   []message
	end bool // the writer is gone: after the last message comes the end
}

// fifoRoom is how many messages fit.
const fifoRoom = 256

// put adds a message, unless the socket is full.
func (f *fifo) put(m message, at int64) bool {
	if len(f.q) >= fifoRoom {
		return false
	}
	if n := len(f.q); n > 0 {
		at = max(at, f.q[n-1].at)
	}
	m.at = at
	f.q = append(f.q, m)
	return true
}

// ready tells whether there is something to read at a time of the world: a
// message, or the end.
func (f *fifo) ready(now, stalled int64) bool {
	if f.end {
		return true
	}
	if len(f.q) == 0 {
		return false
	}
	return now >= max(f.q[0].at, stalled)
}

// next is when ready becomes true.
func (f *fifo) next(stalled int64) int64 {
	if f.end {
		return 0
	}
	if len(f.q) == 0 {
		return never
	}
	return max(f.q[0].at, stalled)
}

// flush is the death of the writer: what it has written is there.
func (f *fifo) flush() {
	f.end = true
	for i := range f.q {
		f.q[i].at = 0
	}
}

// take removes the first message; ok is false at the end.
func (f *fifo) take() (m message, ok bool) {
	if len(f.q) == 0 {
		return message{}, false
	}
	m = f.q[0]
	f.q = f.q[:copy(f.q, f.q[1:])]
	return m, true
}
