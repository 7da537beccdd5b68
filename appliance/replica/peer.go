package replica

import (
	"time"

	"understudy/nat/session"
)

// peer is another node: a sender on the connection we dialled, a receiver on the
// one it dialled.
type peer struct {
	Peer
	index    int
	sender   *session.Sender
	receiver *session.Receiver
	out, in  *wire         // nil: not connected
	synced   time.Time     // when a full transfer from it last was applied here
	send     chan struct{} // kick: the sender may have something; 1
	reply    chan struct{} // kick: the receiver may have something; 1

	viewed     time.Time // when its last view arrived
	complained time.Time // keepDialling's: when the log was last told of a refusal

	at     int         // which of its addresses out leads to
	failed []time.Time // when each of them last failed
}

// kickSenders wakes the writers of the peers that have something to hear. Held:
// e.mu.
func (e *Engine) kickSenders() {
	for _, p := range e.peers {
		if p.out != nil && !p.sender.Idle() {
			kick(p.send)
		}
	}
}

// announce makes all peers hear who owns the groups, and, if it is this node,
// every record. Held: e.mu.
func (e *Engine) announce(now time.Time, groups session.GroupSet) {
	for _, p := range e.peers {
		p.sender.Announce(groups)
		p.sender.Resync(now, groups&e.groups.Active())
	}
	e.kickSenders()
}

// peerSinks is the set of all who keep what this node has: peers, and the disk.
func (e *Engine) peerSinks() session.Sinks {
	return session.Sinks(1<<(len(e.peers)+1)-1)&^session.Sink(session.SinkKernel) | session.Sink(session.SinkDisk)
}
