package splice

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"math/rand/v2"
	"testing"
	"time"
)

// service is a deterministic server: after each piece of what it hears it says something that
// depends on all before it.
type service struct {
	piece, most int
	salt        byte // two that differ say different things
	state       [32]byte
	heard       []byte
	said        []byte
	after       []int // what it had said, after each piece
}

func (v *service) hear(p []byte) {
	v.heard = append(v.heard, p...)
	for (len(v.after)+1)*v.piece <= len(v.heard) {
		at := len(v.after) * v.piece
		v.state = sha256.Sum256(append(v.state[:], v.heard[at:at+v.piece]...))
		v.state[31] ^= v.salt
		n := int(binary.BigEndian.Uint32(v.state[:])) % (v.most + 1)
		for block := v.state; n > 0; n -= len(block) {
			block = sha256.Sum256(block[:])
			v.said = append(v.said, block[:min(n, len(block))]...)
		}
		v.after = append(v.after, len(v.said))
	}
}

// peer is a model of TCP at one end: with a window that it may not read, retransmission, and a
// congestion window.
type peer struct {
	isn, other uint32 // of its own SYN and of the other end's
	scale      [2]uint8
	open       bool

	out              []byte
	fin              bool // out is all
	una, next        uint64
	edge             uint64
	flight           uint64
	same             int
	resend           time.Time
	wait             time.Duration
	mss              uint64
	in               []byte
	ahead            map[uint64][]byte
	read             uint64 // of in, by its application
	room             uint64
	ended            bool // the other end's FIN has come behind in
	queue            []Segment
	resets, retraced int
}

func (p *peer) seq(off uint64) uint32 { return p.isn + 1 + uint32(off) }
func (p *peer) ack() uint32 {
	n := p.other + 1 + uint32(len(p.in))
	if p.ended {
		n++
	}
	return n
}
func (p *peer) end() uint64 {
	if p.fin {
		return uint64(len(p.out)) + 1
	}
	return uint64(len(p.out))
}

func (p *peer) window() uint16 {
	free := p.room - min(p.room, uint64(len(p.in))-p.read)
	return uint16(min(free>>p.scale[0], 0xffff))
}

func (p *peer) say(off uint64, n uint64) {
	s := Segment{Seq: p.seq(off), Ack: p.ack(), Flags: ACK, Window: p.window()}
	if n > 0 {
		s.Data = append([]byte(nil), p.out[min(off, uint64(len(p.out))):min(off+n, uint64(len(p.out)))]...)
		if off+n == p.end() && p.fin {
			s.Flags |= FIN
		}
	}
	p.queue = append(p.queue, s)
}

// hear takes a segment.
func (p *peer) hear(now time.Time, s *Segment) {
	if s.Flags&RST != 0 {
		p.resets++
		return
	}
	if s.Flags&SYN != 0 {
		if !p.open || s.Flags&ACK != 0 {
			return
		}
		p.other = s.Seq
		if s.Options.MSS != 0 {
			p.mss = min(p.mss, uint64(s.Options.MSS))
		}
		p.edge = uint64(s.Window)
		p.queue = append(p.queue, Segment{Seq: p.isn, Ack: s.Seq + 1, Flags: SYN | ACK, Window: uint16(min(p.room, 0xffff)), Options: Options{MSS: uint16(p.mss), Scaled: s.Options.Scaled, Scale: p.scale[0]}})
		return
	}
	if off := int64(p.una) + int64(int32(s.Ack-p.seq(p.una))); off >= int64(p.una) && off <= int64(p.end()) {
		edge := uint64(off) + uint64(s.Window)<<p.scale[1]
		if uint64(off) > p.una {
			p.flight += uint64(off) - p.una
			p.una, p.same, p.wait, p.resend = uint64(off), 0, 200*time.Millisecond, time.Time{}
			p.next = max(p.next, p.una)
		} else if len(s.Data) == 0 && edge == p.edge && p.una < p.next {
			if p.same++; p.same == 3 {
				p.say(p.una, min(p.mss, p.end()-p.una))
			}
		}
		p.edge = max(p.edge, edge)
	}
	have := uint64(len(p.in))
	off := int64(have) + int64(int32(s.Seq-(p.other+1+uint32(have))))
	end := off + int64(len(s.Data))
	switch {
	case len(s.Data) == 0 && s.Flags&FIN == 0:
		if off < int64(have) {
			p.say(p.next, 0)
		}
	case off > int64(have):
		if end <= int64(have+p.room) {
			p.ahead[uint64(off)] = append([]byte(nil), s.Data...)
		}
		p.say(p.next, 0)
	case end < int64(have):
		p.retraced++
		p.say(p.next, 0)
	default:
		fresh := s.Data[int64(have)-off:]
		fits := min(uint64(len(fresh)), p.room-min(p.room, have-p.read))
		p.in = append(p.in, fresh[:fits]...)
		if s.Flags&FIN != 0 && fits == uint64(len(fresh)) {
			p.ended = true
		}
		for more := true; more; {
			more = false
			for at, b := range p.ahead {
				if at <= uint64(len(p.in)) {
					if skip := uint64(len(p.in)) - at; skip < uint64(len(b)) {
						p.in, more = append(p.in, b[skip:]...), true
					}
					delete(p.ahead, at)
				}
			}
		}
		p.say(p.next, 0)
	}
}

// speak sends what it may, and again what is overdue.
func (p *peer) speak(now time.Time) {
	if !p.resend.IsZero() && !now.Before(p.resend) {
		p.wait = min(2*p.wait, 3*time.Second)
		p.resend, p.flight = time.Time{}, 2*p.mss
		if p.una < p.next || p.edge > p.una {
			p.next = p.una
		} else {
			p.say(p.una, 1) // a question about the window
			p.next = max(p.next, p.una+1)
		}
	}
	for limit := min(p.end(), p.edge, p.una+p.flight); p.next < limit; {
		n := min(p.mss, limit-p.next)
		p.say(p.next, n)
		p.next += n
	}
	if p.una < p.end() && p.resend.IsZero() {
		p.resend = now.Add(p.wait)
	}
	if p.una == p.end() {
		p.resend = time.Time{}
	}
}

// recording is a Tape of a model's connection.
type recording struct {
	why    Reason
	c, s   Half
	input  []byte
	output []byte
	at     int
	start  uint64
}

func (t *recording) Refusal() Reason { return t.why }
func (t *recording) Client() Half    { return t.c }
func (t *recording) Server() Half    { return t.s }
func (t *recording) ReadAt(p []byte, off uint64) int {
	if off < t.start {
		return 0
	}
	return copy(p, t.input[off:t.c.Len])
}
func (t *recording) Forget(off uint64) { t.start = max(t.start, off) }
func (t *recording) Same(p []byte) (int, bool) {
	n := min(len(p), int(t.s.Len)-t.at)
	ok := bytes.Equal(p[:n], t.output[t.at:t.at+n])
	t.at += n
	return n, ok
}

// world is a client, a gateway that replays, and the new server.
type world struct {
	r           *rand.Rand
	now         time.Time
	replay      *Replay
	tape        *recording
	client, new *peer
	app         *service
	pace        [2]int // bytes that each application reads in a millisecond
	sndbuf      int
	loss        int  // of a thousand
	deaf, mute  bool // the new server, the client
	add         uint32
	spliced     bool
	done        bool
	refused     Reason
}

func (w *world) lost() bool { return w.r.IntN(1000) < w.loss }

func (w *world) step(in Input) {
	out := w.replay.Step(w.now, in)
	for i := range out.ToClient {
		if !w.lost() {
			w.client.hear(w.now, &out.ToClient[i])
		}
	}
	for i := range out.ToServer {
		if !w.lost() && !w.deaf {
			w.new.hear(w.now, &out.ToServer[i])
		}
	}
	if out.Refused != None {
		w.refused = out.Refused
	}
	w.done = w.done || out.Done
	if out.Splice {
		w.add = out.Offset
		// What came meanwhile was dropped, and is heard before the entry is there.
		w.carry()
		w.spliced = true
		w.step(Input{Kind: InSpliced, OK: true})
	}
}

// carry takes what either end has said to where it goes.
func (w *world) carry() {
	for _, from := range []*peer{w.client, w.new} {
		queue := from.queue
		from.queue = nil
		if w.mute && from == w.client {
			continue
		}
		for i := range queue {
			s := queue[i]
			if w.lost() || w.r.IntN(100) == 0 && w.loss > 0 {
				continue
			}
			if w.loss > 0 && i+1 < len(queue) && w.r.IntN(20) == 0 { // overtaken
				queue[i], queue[i+1] = queue[i+1], queue[i]
				s = queue[i]
			}
			switch {
			case !w.spliced && from == w.client:
				w.step(Input{Kind: InClient, Segment: &s})
			case !w.spliced:
				w.step(Input{Kind: InServer, Segment: &s})
			case from == w.client:
				s.Ack -= w.add
				w.new.hear(w.now, &s)
			default:
				s.Seq += w.add
				w.client.hear(w.now, &s)
			}
		}
	}
}

// serve has the new server's application do its work.
func (w *world) serve() {
	if len(w.new.out)-int(min(w.new.una, uint64(len(w.new.out)))) < w.sndbuf {
		from := w.new.read
		w.new.read = min(uint64(len(w.new.in)), w.new.read+uint64(w.pace[1]))
		w.app.hear(w.new.in[from:w.new.read])
		w.new.out = w.app.said
		w.new.fin = w.new.ended && w.new.read == uint64(len(w.new.in))
	}
}

// beside has the replay run beside the old server, which takes so many milliseconds from the
// beginning to how the tape is.
func (w *world) beside(t *testing.T, old *service, stages int) {
	last := *w.tape
	at := func(i int, n uint64) uint64 { return n * uint64(i) / uint64(stages) }
	for i := 0; i <= stages && w.refused == None; i, w.now = i+1, w.now.Add(time.Millisecond) {
		c, s := &w.tape.c, &w.tape.s
		c.Len, c.Acked = at(i, last.c.Len), at(i, last.c.Acked)
		c.Acked = min(c.Acked, c.Len)
		if pieces := int(c.Acked) / old.piece; pieces > 0 {
			s.Len = min(last.s.Len, uint64(old.after[pieces-1]))
		} else {
			s.Len = 0
		}
		s.Acked = min(last.s.Acked, s.Len)
		c.Fin = false
		if i == stages {
			w.tape.c, w.tape.s = last.c, last.s
		}
		if i == 0 {
			w.step(Input{Kind: InShadow})
		} else {
			w.step(Input{Kind: InLogged})
		}
		w.serve()
		w.new.speak(w.now)
		w.carry()
		if d := w.replay.Deadline(); !d.IsZero() && !d.After(w.now) {
			w.step(Input{Kind: InTick})
		}
		if len(w.client.queue) > 0 {
			t.Fatalf("the client was spoken to: %v", w.client.queue)
		}
	}
}

// run lets it go on until the client has all, or nothing can come any more.
func (w *world) run(limit time.Duration, until func() bool) {
	for end := w.now.Add(limit); w.now.Before(end) && w.refused == None && !until(); w.now = w.now.Add(time.Millisecond) {
		w.client.read = min(uint64(len(w.client.in)), w.client.read+uint64(w.pace[0]))
		w.serve()
		shut := w.client.window() == 0
		w.client.speak(w.now)
		if shut && w.pace[0] > 0 {
			w.client.say(w.client.next, 0)
		}
		w.new.speak(w.now)
		if w.now.UnixMilli()%50 == 0 { // windows that have opened
			w.client.say(w.client.next, 0)
			if w.new.other != 0 {
				w.new.say(w.new.next, 0)
			}
		}
		w.carry()
		if d := w.replay.Deadline(); !d.IsZero() && !d.After(w.now) {
			w.step(Input{Kind: InTick})
		}
	}
}
