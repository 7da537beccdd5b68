package splice

import (
	"slices"
	"time"
)

// Times of a move. A client answers what is no news to it once in half a second at most
// (Linux), so asking it sooner again is in vain.
const (
	askAgain  = 600 * time.Millisecond
	askTimes  = 3
	openAgain = 100 * time.Millisecond // the first time; twice as long each next
	openTimes = 5
	// greeting is how long the new server is listened to: one that speaks first does so
	// before anybody has said a word.
	greeting = 5 * time.Millisecond
	// greetingBytes bounds what it says in that time.
	greetingBytes = 64 << 10
	// strangers is how often an older connection of the same ends, which the new server may
	// know, is reset.
	strangers = 5
)

const (
	// heldBytes bounds what the client says while its flow is frozen and is handed on then.
	// The rest it says again.
	heldBytes = 64 << 10
	// segmentSize is the most data in a segment that we send and in those that the new server
	// sends: what passes every link of IPv6 (RFC 8200 section 5). Errors of a path that is
	// narrower do not arrive behind a splice: Linux takes the header that they quote for a
	// segment's own, and spoils it.
	segmentSize = 1220
	// nearby bounds how far ahead of what was acknowledged a client can be: the largest
	// window (RFC 7323 section 2.2).
	nearby = 1 << 30
)

// Config is a connection to be moved.
type Config struct {
	Position Position
	// Offset is what the kernel adds to the sequence numbers of the server that has died:
	// not 0 if it was not the connection's first.
	Offset uint32
	// Scaled: window scales were agreed on, these.
	Scaled                   bool
	ClientScale, ServerScale uint8
	SACK                     bool // selective acknowledgements were agreed on
}

// InputKind is the kind of an Input.
type InputKind uint8

// The kinds.
const (
	InStart   InputKind = iota // the flow is frozen, and is being listened to
	InClient                   // Segment: from the client to the entry point
	InServer                   // Segment: from the new server to the client
	InSpliced                  // OK: the kernel has the new entry, and the flow is not frozen any more
	InTick                     // the time of Deadline has come
	InShadow                   // the connection is to be replayed beside its server; the flow is not frozen
	InLogged                   // more of it was logged
	InGone                     // the new server is not to be one any more: a Replay is over
)

// Input is one event.
type Input struct {
	Kind    InputKind
	Segment *Segment // valid during Step
	OK      bool
}

// Output is what an event led to. It is to be done in the order of the fields.
type Output struct {
	ToClient []Segment // from the entry point
	ToServer []Segment // from the client, in its name
	// Splice: the entry of the kernel is to be exchanged for one that leads to the new server
	// and adds Offset to the sequence numbers of it; the flow is thawed then. InSpliced tells
	// the outcome.
	Splice bool
	Offset uint32
	// Refused is why the connection is to be cut instead.
	Refused Reason
	// Done: it is at the new server.
	Done bool
}

type state uint8

const (
	idle state = iota
	asking
	opening
	listening
	splicing
	over
)

// Move is the move of one connection. It is not safe for concurrent use.
type Move struct {
	cfg      Config
	state    state
	deadline time.Time
	tries    int
	shake    handshake
	end      uint32 // of what the dead server said, as the client counts
	acked    uint32 // of what the client said: where the new server begins
	next     uint32 // sequence number of the new server's first byte, in its own numbers
	window   uint16 // of the client
	why      Reason // what was wrong with the client's last answer
	borne    int    // how many segments have borne out what was told
	held     []Segment
	size     int
}

// New returns the move of a connection.
func New(cfg Config) *Move { return &Move{cfg: cfg} }

// Deadline is when Step wants an InTick; zero if nothing is waited for.
func (m *Move) Deadline() time.Time { return m.deadline }

// Step applies one event at the time now. It is defined for every event in every state.
func (m *Move) Step(now time.Time, in Input) (out Output) {
	switch in.Kind {
	case InStart:
		if m.state == idle {
			m.start(now, &out)
		}
	case InClient:
		m.onClient(now, in.Segment, &out)
	case InServer:
		m.onServer(now, in.Segment, &out)
	case InSpliced:
		if m.state == splicing {
			m.onSpliced(in.OK, &out)
		}
	case InTick:
		if !m.deadline.IsZero() && !now.Before(m.deadline) {
			m.onTick(now, &out)
		}
	}
	return out
}

func (m *Move) start(now time.Time, out *Output) {
	end, acked, why := m.cfg.Position.Ahead()
	if why != None {
		m.refuse(why, out)
		return
	}
	m.end, m.acked, m.why = end+m.cfg.Offset, acked, ClientSilent
	m.state, m.tries = asking, askTimes
	m.ask(now, out)
}

// ask says what the client has heard already, and acknowledges what the dead server has.
func (m *Move) ask(now time.Time, out *Output) {
	s := Segment{Seq: m.end - 1, Ack: m.acked, Flags: ACK, Window: m.cfg.Position.Last.Window}
	if m.cfg.Position.Told {
		// Twice, by a byte that it has: that is answered each time.
		s.Data = []byte{0}
		out.ToClient = append(out.ToClient, s)
	}
	out.ToClient = append(out.ToClient, s)
	m.tries--
	m.deadline = now.Add(askAgain)
}

func (m *Move) onClient(now time.Time, s *Segment, out *Output) {
	if m.state == idle || m.state == over {
		return
	}
	if s.Flags&RST != 0 {
		m.refuse(Closing, out)
		return
	}
	if s.Flags&(SYN|ACK) != ACK {
		return
	}
	// Before what was acknowledged is, by one, its keepalive, and what it says again because
	// the acknowledgement was lost.
	if ahead := s.End() - m.acked; ahead >= nearby && -ahead >= nearby {
		m.why = Astray
		return
	}
	m.hold(s)
	if m.state != asking {
		return
	}
	switch {
	case before(s.Ack, m.end):
		m.why = Unacknowledged
	case m.cfg.Position.Told && s.Ack != m.end:
		m.refuse(Stale, out)
	case m.cfg.Position.Told && !m.bearsOut(s):
		m.why = Stale // what it has not been acknowledged it says again
	case s.Ack != m.end:
		m.refuse(Halfway, out)
	default:
		m.window = s.Window
		m.state = opening
		m.shake = handshake{isn: m.acked - 1, scaled: m.cfg.Scaled, scale: m.cfg.ServerScale,
			offer: Options{MSS: segmentSize, SACK: m.cfg.SACK, Scaled: m.cfg.Scaled, Scale: m.cfg.ClientScale}}
		m.open(now, out)
	}
}

// bearsOut tells whether segments of the client's show that the server has acknowledged no more than
// was told: it says what follows there, or that it has said no more. A keepalive is from before what
// was acknowledged, so one segment alone could be that, one byte later.
func (m *Move) bearsOut(s *Segment) bool {
	switch {
	case s.Seq != m.acked:
		return false
	case len(s.Data) > 1 || s.Flags&FIN != 0:
		return true
	}
	m.borne++
	return m.borne >= 2
}

// hold keeps what the client says, in pieces that are small enough to be sent. That it says
// no more is part of it: the new server is told, and may answer still.
func (m *Move) hold(s *Segment) {
	for at := 0; at < len(s.Data) || at == 0 && s.Flags&FIN != 0; at += segmentSize {
		piece := Segment{Seq: s.Seq + uint32(at), Ack: s.Ack, Flags: ACK | PSH, Window: s.Window, Data: s.Data[at:min(at+segmentSize, len(s.Data))]}
		if at+segmentSize >= len(s.Data) {
			piece.Flags |= s.Flags & FIN
		}
		if before(piece.End(), m.acked+1) || m.size+len(piece.Data) > heldBytes {
			continue
		}
		if slices.ContainsFunc(m.held, func(h Segment) bool { return h.Seq == piece.Seq && !before(h.End(), piece.End()) }) {
			continue
		}
		piece.Data = slices.Clone(piece.Data)
		m.held = append(m.held, piece)
		m.size += len(piece.Data)
	}
}

// open sends the new server the SYN that the client would have sent.
func (m *Move) open(now time.Time, out *Output) {
	s, wait, ok := m.shake.syn()
	if !ok {
		m.refuse(ServerSilent, out)
		return
	}
	out.ToServer = append(out.ToServer, s)
	m.deadline = now.Add(wait)
}

func (m *Move) onServer(now time.Time, s *Segment, out *Output) {
	switch m.state {
	case opening:
		m.onAnswer(now, s, out)
	case listening:
		// An older connection of these ends may be heard still: that goes by the numbers.
		switch {
		case s.Flags&(SYN|ACK) == SYN|ACK && s.Ack == m.acked: // it has not got what we said to that, or was opened anew
			m.onAnswer(now, s, out)
		case s.Flags&RST != 0 && s.Seq == m.next:
			// What was to end an older connection has ended this one.
			if m.shake.odd == 0 || m.shake.odd >= strangers {
				m.refuse(ServerRefuses, out)
				return
			}
			m.shake.odd++
			m.shake.tries--
			m.state = opening
			m.open(now, out)
		case (len(s.Data) > 0 || s.Flags&FIN != 0) && s.Seq-m.next < greetingBytes:
			m.refuse(SpeaksFirst, out)
		}
	}
}

// onAnswer hears what the new server says to the SYN.
func (m *Move) onAnswer(now time.Time, s *Segment, out *Output) {
	switch what, why, reset := m.shake.hear(s); what {
	case unwelcome:
		m.next = s.Seq + 1
		m.refuse(why, out)
	case again:
		out.ToServer = append(out.ToServer, reset)
		m.open(now, out)
	case welcomed:
		m.next = s.Seq + 1
		m.state, m.deadline = listening, now.Add(greeting)
		out.ToServer = append(out.ToServer, m.accept())
	}
}

// accept is the third segment of the handshake.
func (m *Move) accept() Segment {
	return Segment{Seq: m.acked, Ack: m.next, Flags: ACK, Window: m.window}
}

func (m *Move) offset() uint32 { return m.end - m.next }

func (m *Move) onSpliced(ok bool, out *Output) {
	if !ok {
		m.refuse(Table, out)
		return
	}
	for _, s := range m.held {
		s.Ack -= m.offset()
		out.ToServer = append(out.ToServer, s)
	}
	m.held, m.state, m.deadline, out.Done = nil, over, time.Time{}, true
}

func (m *Move) onTick(now time.Time, out *Output) {
	switch m.state {
	case asking:
		if m.tries == 0 {
			m.refuse(m.why, out)
			return
		}
		m.ask(now, out)
	case opening:
		m.open(now, out)
	case listening:
		m.state, m.deadline = splicing, time.Time{}
		out.Splice, out.Offset = true, m.offset()
	}
}

// refuse ends it. What was begun at the new server is taken back.
func (m *Move) refuse(why Reason, out *Output) {
	switch m.state {
	case opening, listening, splicing:
		if why != ServerRefuses && why != ServerSilent {
			out.ToServer = append(out.ToServer, Segment{Seq: m.acked, Ack: m.next, Flags: RST | ACK})
		}
	}
	m.held, m.state, m.deadline = nil, over, time.Time{}
	out.Refused = why
}
