package splice

// Mark is a segment of the server's, in its own sequence numbers, as the kernel noted it.
type Mark struct {
	End    uint32 // sequence number behind it
	Ack    uint32
	Flags  Flags
	Window uint16
}

// Position is how far a server was when it died.
type Position struct {
	Last   Mark // its last segment
	Answer Mark // its last one with PSH, which is where what it had to say ended
	// Known: there is a Last; Answered: there is an Answer.
	Known, Answered bool
	// Told: another gateway has told it, and may have seen more since. It is only good if the
	// client bears it out.
	Told bool
}

// Ahead is where the connection is to go on: the end of what the server said, in its own
// numbers, and of what it acknowledged.
func (p Position) Ahead() (end, acked uint32, why Reason) {
	switch {
	case !p.Known:
		return 0, 0, NoPosition
	case p.Last.Flags&(FIN|RST) != 0:
		return 0, 0, Closing
	case p.Answered:
		// A keepalive of the server's is before its end, and acknowledges no more than
		// its answer did.
		if acked = later(p.Last.Ack, p.Answer.Ack); acked != p.Answer.Ack {
			return 0, 0, Unanswered
		}
		return p.Answer.End, acked, None
	case p.Last.Flags&SYN != 0:
		return p.Last.End, p.Last.Ack, None
	}
	return 0, 0, Unanswered
}
