package session

import "encoding/binary"

// A connection can move to another path, as long as both work: nothing is lost, and
// nothing has to be told again.
//
//	sender                                receiver
//	MOVE(token) ---- old path ----------> reads no further, answers what it has to, closes
//	      <--------------------- the end
//	HELLO(…, moved token) -- new path --> goes on with what it knows of the old one
//	RECORDS ... ------------------------>
//	      <--------- ACK, again as a whole
//
// The sender says MOVE only to a receiver with FeatureMove in its hello, and goes on
// only after the end: without it, it cannot know what arrived, and the new path
// begins like any connection.

// AppendMove appends the last frame of a connection. token is chosen at random.
func AppendMove(b []byte, token uint64) []byte {
	b, start := openFrame(b, TypeMove)
	return closeFrame(binary.BigEndian.AppendUint64(b, token), start)
}

// ParseMove reads the token of a MOVE; 0 is none.
func ParseMove(payload []byte) (token uint64) {
	r := reader{b: payload}
	return r.u64()
}

// CanMove tells whether the peer understands MOVE.
func (s *Sender) CanMove() bool { return s.peerKnown && s.peer.Has(FeatureMove) }

// AppendMoved appends the hello of the connection that goes on after MOVE.
func (s *Sender) AppendMoved(b []byte, token uint64) []byte {
	h := s.ownHello()
	h.Moved = token
	return AppendHello(b, h)
}

// Moved makes the receiver go on over another connection: it acknowledges anew what
// it has, in case the last word was lost.
func (r *Receiver) Moved() {
	if r.received > 0 {
		r.ackedR, r.ackedA = ^uint64(0), ^uint64(0)
	}
}
