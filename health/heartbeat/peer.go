package heartbeat

import "time"

// Window is how far the clocks of a server and a gateway may be apart for beats,
// the time on the way included. A gateway that has just started believes what is
// so old.
const Window = 10 * time.Second

// Peer is a server whose beats are received, and what keeps an old one from
// being believed. The zero value has heard nothing. It has a fixed size.
type Peer struct {
	incarnation uint64
	sequence    uint64
	time        time.Time
}

// Admit tells whether a beat whose code fits is news at the time now.
func (p *Peer) Admit(now time.Time, m Message) Reason {
	switch {
	case m.Kind != Beat:
		return ReasonKind
	case p.incarnation == m.Incarnation && m.Sequence <= p.sequence,
		p.incarnation != m.Incarnation && p.incarnation != 0 && !m.Time.After(p.time):
		return ReasonReplay
	}
	// By the wall clocks of both: a monotonic reading would not notice that ours
	// was set.
	if off := m.Time.Sub(now.Round(0)); off > Window || off < -Window {
		return ReasonTime
	}
	p.incarnation, p.sequence = m.Incarnation, m.Sequence
	if m.Time.After(p.time) {
		p.time = m.Time
	}
	return ReasonNone
}

// Respond is the answer of a server to a question; its code has been looked at.
func Respond(now time.Time, ask Message, incarnation uint64, failing bool) (Message, Reason) {
	if ask.Kind != Ask {
		return Message{}, ReasonKind
	}
	return Message{Kind: Answer, Failing: failing, Incarnation: incarnation, Sequence: ask.Sequence,
		Nonce: ask.Nonce, Time: now, Name: ask.Name}, ReasonNone
}

// Answers tells whether m, whose code fits, is the answer to ask.
func Answers(ask, m Message) Reason {
	switch {
	case m.Kind != Answer:
		return ReasonKind
	case m.Name != ask.Name, m.Nonce != ask.Nonce, m.Sequence != ask.Sequence:
		return ReasonNonce
	}
	return ReasonNone
}
