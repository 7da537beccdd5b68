package splice

// Notes are how far servers are on their connections, by the headers of what they sent. The
// zero value is ready. They are not safe for concurrent use.
type Notes struct {
	of    map[Ends]noted
	busy  []Ends // heard of since they were told by Rested
	round uint32 // of Rested
}

// MaxNotes bounds how many connections are noted. One more takes the place of another.
const MaxNotes = 1 << 18

// Note takes a packet from a server to a client, of which b may be only the headers. A
// connection is known from its beginning on, or from the next answer.
func (n *Notes) Note(b []byte) {
	p, _, data, end, ok := header(b)
	if !ok || p.Segment.Flags&(SYN|ACK) == SYN {
		return
	}
	ends, s := Ends{Server: p.From, Client: p.To}, &p.Segment
	m := Mark{End: s.End() + uint32(end-data), Ack: s.Ack, Flags: s.Flags, Window: s.Window}
	was, known := n.of[ends]
	switch {
	case s.Flags&(RST|FIN) != 0:
		delete(n.of, ends)
		return
	case s.Flags&SYN != 0, s.Flags&PSH != 0 && was.Told:
		was.Position = Position{}
	case s.Flags&PSH == 0 && !known:
		return // it may be the last of one that has ended
	}
	if was.Known && before(m.Ack, was.Last.Ack) { // overtaken, or said before
		m.Ack = was.Last.Ack
	}
	if !was.Answered && was.Last.Flags&SYN != 0 && m.Ack == was.Last.Ack && end == data && !before(was.Last.End, m.End) {
		m.End, m.Flags = was.Last.End, m.Flags|SYN // a keepalive: nothing was said since
	}
	was.Last, was.Known = m, true
	if s.Flags&PSH != 0 && !(was.Answered && before(m.End, was.Answer.End)) {
		was.Answer, was.Answered = m, true
	}
	n.room(ends)
	n.hear(ends, &was)
	n.of[ends] = was
}

// room makes room for a connection.
func (n *Notes) room(e Ends) {
	if n.of == nil {
		n.of = map[Ends]noted{}
	}
	if _, known := n.of[e]; known || len(n.of) < MaxNotes {
		return
	}
	for other := range n.of {
		delete(n.of, other)
		return
	}
}

// Position is how far the server is; of a connection that is not known, the zero value.
func (n *Notes) Position(e Ends) Position { return n.of[e].Position }

// Lost forgets all: packets were not told of, nobody knows which.
func (n *Notes) Lost() { clear(n.of) }

// Len is how many connections are noted.
func (n *Notes) Len() int { return len(n.of) }
