package session

import (
	"encoding/binary"
	"math"
	"time"
)

// With each PING a sender tells what a crash of it would lose just then. It is the
// last word that its peer has when it comes to that.

// Outlook is what a peer's crash now would lose, as this node knows it.
type Outlook struct {
	Heard time.Time // when the peer last said anything
	// Told: the rest of these is the peer's own count, at its last PING. One from
	// before there was one says nothing.
	Told    bool
	Young   int           // flows that it tells nobody of yet, by their class
	Pending int           // changes that this node has not acknowledged as applied
	Lag     time.Duration // how long the oldest of them has waited
	// Rate is how many flows that are worth a record begin there in a second, as far
	// as was heard.
	Rate float64
}

// Lost estimates how many flows are gone with the peer: those it told nobody of,
// and those that began in its last moments, before their record was here. delay
// is what passes before a sender knows of a flow.
func (o *Outlook) Lost(delay time.Duration) int {
	return o.Young + int(math.Ceil(o.Rate*(o.Lag+delay).Seconds()))
}

// appendPing appends a PING with what this sender has to say.
func (s *Sender) appendPing(now time.Time, b []byte) []byte {
	b, start := openFrame(b, TypePing)
	b = binary.BigEndian.AppendUint64(b, uint64(now.Sub(s.table.start)))
	b = binary.AppendUvarint(b, uint64(s.table.young))
	b = binary.AppendUvarint(b, uint64(s.Dirty()+s.Unapplied()))
	b = binary.AppendUvarint(b, uint64(max(s.Lag(now), s.blind).Microseconds()))
	return closeFrame(b, start)
}

// Blind tells the sender how long ago its table knew all sessions of this node: one that
// finds them by dumps does not know what began since, and says that it lags so much.
func (s *Sender) Blind(d time.Duration) { s.blind = d }

// hearing is how a receiver arrives at an Outlook.
type hearing struct {
	Outlook
	births uint64    // flows that were new here, in step with the peer
	since  time.Time // they are counted
	// slowest is the longest lag lately: where flows are found by dumps they come in
	// bursts, so far apart.
	slowest time.Duration
}

// rateOver is over what time the rate is smoothed, or over two of the longest lags if
// that is more; slowestFor is how long one of these counts.
const (
	rateOver   = time.Second
	slowestFor = 30 * time.Second
)

func (r *Receiver) onPing(now time.Time, rd *reader) {
	r.pong, r.pongDue = rd.u64(), true
	h := &r.hearing
	if len(rd.b) > 0 {
		young, pending, lag := rd.uvarint(), rd.uvarint(), rd.uvarint()
		if !rd.bad {
			h.Told, h.Young, h.Pending = true, int(min(young, MaxRecords)), int(min(pending, 1<<32))
			h.Lag = time.Duration(min(lag, uint64(time.Hour/time.Microsecond))) * time.Microsecond
		}
	}
	if dt := now.Sub(h.since); dt > 0 {
		if !h.since.IsZero() {
			rate := float64(h.births) / dt.Seconds()
			h.slowest = max(h.Lag, h.slowest-time.Duration(float64(h.slowest)*min(1, float64(dt)/float64(slowestFor))))
			h.Rate += (rate - h.Rate) * min(1, float64(dt)/float64(max(rateOver, 2*h.slowest)))
		}
		h.births, h.since = 0, now
	}
}

// Outlook is what is known of what the peer's crash would lose: it stays known
// when the connection ends.
func (r *Receiver) Outlook() Outlook {
	o := r.hearing.Outlook
	o.Heard = r.lastHeard
	return o
}
