package splice

import "time"

// Times and bounds of a replay.
const (
	// replayStall is how long it may get no further, and replayLimit how long it may take:
	// what is frozen is thawed by itself after 20 s.
	replayStall = 5 * time.Second
	replayLimit = 15 * time.Second
	// resendFirst and resendMost bound the time until what the new server does not
	// acknowledge is sent again.
	resendFirst = 100 * time.Millisecond
	resendMost  = 1600 * time.Millisecond
	resendTimes = 8
	replayAsks  = 4 // the last answer is waited for 1.6 s
	// handingOn is how long what was dropped while the flow was frozen is still handed on
	// after that: it has been heard already, and waits to be read.
	handingOn = 2 * time.Millisecond

	flightFirst = 16 * segmentSize
	flightLeast = 4 * segmentSize
	flightMost  = 256 << 10
	// aheadBytes bounds what the new server says that the old one had not said, and tailBytes
	// what the client says while its flow is frozen.
	aheadBytes = 128 << 10
	tailBytes  = 256 << 10
)

type phase uint8

const (
	unbegun phase = iota
	shaking       // hands with the new server
	running
	exchanging // the kernel's entry
	handing    // on what was dropped while the flow was frozen
	ended
)

// Replay has a connection go on at another server by telling that all that the client said
// (FT-TCP). What the new server answers is compared with what the old one did, and acknowledged
// as far as the client has: the rest the new server says again to the client itself. What the old
// server said and the client may not have got is handed to it, so that it can acknowledge.
//
//	shadowing: Tape grows ─▶ new server … ─┐
//	                                       ├─▶ freeze ─▶ ask, replay, compare ─▶ splice ─▶ hand on
//	                      old server dies ─┘
//
// Begun by InStart it is cold: the flow is frozen, and all is replayed. Begun by InShadow it runs
// beside the old server, without a word to the client, until InStart.
//
// It is a value of its own for each connection, and not safe for concurrent use.
type Replay struct {
	tape   Tape
	phase  phase
	frozen bool
	opened bool // the new server may say more than the old one has
	heard  bool // the client, since the flow is frozen

	client, server Half
	shake          handshake
	base           uint32 // sequence number of the new server's first byte, in its own numbers

	// What the client said: tail goes on behind the tape; una is what the new server has
	// acknowledged, next what it is told next, sent what it was told ever, edge the end of its window.
	tail            []byte
	una, next, sent uint64
	edge            uint64
	recover         uint64 // what was sent when something was lost
	flight          uint64
	size            uint64 // of segments
	doubled, tries  int    // of resend
	same            int    // acknowledgements of nothing new
	window          uint16 // the new server's last word about it

	// What the new server said: same is what agrees with what the old one said, ahead is
	// behind that, and fin its end behind ahead.
	agreed     uint64
	ahead      []byte
	later      pieces
	aheadFin   bool
	told       uint64 // it was told that this has arrived
	toldEdge   uint64
	clientEdge uint64 // of the client's window
	// Once it is handed on: the new server has ended the connection, as the client counts.
	ended  bool
	endSeq uint32

	asks                         int
	resend, ask, stall, limit, o time.Time
}

// NewReplay returns the replay of a connection. Nil t: nothing was logged.
func NewReplay(t Tape) *Replay { return &Replay{tape: t} }

// Deadline is when Step wants an InTick; zero if nothing is waited for.
func (r *Replay) Deadline() (d time.Time) {
	switch r.phase {
	case exchanging, ended:
		return d
	case handing:
		return r.o
	}
	for _, t := range [...]time.Time{r.resend, r.ask, r.stall, r.limit, r.o} {
		if !t.IsZero() && (d.IsZero() || t.Before(d)) {
			d = t
		}
	}
	return d
}

// Told is how many bytes of the client's the new server has acknowledged.
func (r *Replay) Told() uint64 { return min(r.una, r.client.Len+uint64(len(r.tail))) }

// Agreed is how many bytes of the server's the new one has said as well.
func (r *Replay) Agreed() uint64 { return r.agreed }

// Base is the sequence number before the new server's first byte, in its own numbers.
func (r *Replay) Base() uint32 { return r.base - 1 }

// Step applies one event at the time now. It is defined for every event in every state.
func (r *Replay) Step(now time.Time, in Input) (out Output) {
	if r.phase == ended {
		return out
	}
	switch in.Kind {
	case InShadow:
		if r.phase == unbegun && !r.frozen {
			r.begin(now, &out)
		}
	case InLogged:
		if r.phase != unbegun && !r.frozen {
			r.logged(&out)
		}
	case InStart:
		if !r.frozen {
			r.freeze(now, &out)
		}
	case InClient:
		if r.frozen {
			r.onClient(now, in.Segment, &out)
		}
	case InServer:
		r.onServer(now, in.Segment, &out)
	case InSpliced:
		if r.phase == exchanging {
			r.onSpliced(now, in.OK, &out)
		}
	case InTick:
		r.onTick(now, &out)
	case InGone:
		if r.phase < exchanging {
			r.refuse(Gone, &out)
		}
	}
	if r.phase == running {
		r.advance(now, &out)
	}
	return out
}

// logged looks at what was logged since.
func (r *Replay) logged(out *Output) bool {
	if r.tape == nil {
		r.refuse(Unlogged, out)
		return false
	}
	why := r.tape.Refusal()
	r.client, r.server = r.tape.Client(), r.tape.Server()
	switch {
	case why != None:
	case r.server.Fin:
		why = Closing
	case r.client.Acked > r.client.end():
		why = Gap
	case r.server.Acked > r.server.Len:
		why = Halfway
	default:
		return true
	}
	r.refuse(why, out)
	return false
}

// begin opens the new server.
func (r *Replay) begin(now time.Time, out *Output) {
	if !r.logged(out) {
		return
	}
	c, s := r.client.Options, r.server.Options
	mss := uint16(segmentSize)
	if c.MSS != 0 {
		mss = min(mss, c.MSS)
	}
	scaled := c.Scaled && s.Scaled
	r.shake = handshake{isn: r.client.ISN, scaled: scaled, scale: s.Scale,
		offer: Options{MSS: mss, SACK: c.SACK && s.SACK, Scaled: scaled, Scale: c.Scale}}
	r.phase, r.flight, r.size = shaking, flightFirst, segmentSize
	r.open(now, out)
}

func (r *Replay) open(now time.Time, out *Output) {
	s, wait, ok := r.shake.syn()
	if !ok {
		r.refuse(ServerSilent, out)
		return
	}
	out.ToServer = append(out.ToServer, s)
	r.resend = now.Add(wait)
}

// freeze begins the last part: the client is asked how far it is, by a byte that it has acknowledged
// already, whatever it is: to that TCP has to answer (RFC 9293 section 3.10.7.4), and Linux does
// each time, as it does not without the byte.
func (r *Replay) freeze(now time.Time, out *Output) {
	if r.phase == unbegun {
		r.begin(now, out)
	} else {
		r.logged(out)
	}
	if r.phase == ended {
		return
	}
	r.frozen, r.asks = true, replayAsks
	r.limit, r.stall = now.Add(replayLimit), now.Add(replayStall)
	r.doAsk(now, out)
}

func (r *Replay) doAsk(now time.Time, out *Output) {
	if r.asks == 0 {
		r.refuse(ClientSilent, out)
		return
	}
	r.asks--
	r.ask = now.Add(resendFirst << (replayAsks - r.asks))
	out.ToClient = append(out.ToClient, Segment{Seq: r.server.seq(r.server.Acked) - 1, Ack: r.client.seq(r.had()), Flags: ACK, Data: []byte{0}})
}

// had is how much of what the client said some server has.
func (r *Replay) had() uint64 { return max(r.client.Acked, r.una) }

// end is how much there is of what the client said.
func (r *Replay) end() uint64 { return r.client.end() + uint64(len(r.tail)) }

// advance does what can be done now: while the connection with the new server is there.
func (r *Replay) advance(now time.Time, out *Output) {
	if !r.compare(out) {
		return
	}
	r.acknowledge(false, out)
	r.tell(now, out)
	if !r.frozen || !r.heard {
		return
	}
	if r.agreed >= r.server.Len && r.una >= r.client.Acked {
		r.phase, r.resend, r.ask, r.stall, r.limit = exchanging, time.Time{}, time.Time{}, time.Time{}, time.Time{}
		out.Splice, out.Offset = true, r.server.seq(0)-r.base
	}
}

// further notes that it gets on.
func (r *Replay) further(now time.Time) {
	if r.frozen {
		r.stall = now.Add(replayStall)
	}
}

func (r *Replay) onTick(now time.Time, out *Output) {
	due := func(t time.Time) bool { return !t.IsZero() && !now.Before(t) }
	switch {
	case due(r.o):
		r.o, r.phase, out.Done = time.Time{}, ended, true
	case due(r.limit):
		r.refuse(Slow, out)
	case due(r.stall):
		r.refuse(r.stuck(), out)
	case due(r.resend) && r.phase == shaking:
		r.open(now, out)
	case due(r.resend):
		r.again(now, out)
	}
	if r.phase != ended && due(r.ask) {
		r.doAsk(now, out)
	}
}

// stuck is why it does not get on.
func (r *Replay) stuck() Reason {
	switch {
	case r.phase != running || r.una < r.client.Acked:
		return ServerSilent
	case r.agreed < r.server.Len:
		return Short
	}
	return ClientSilent
}

// onSpliced hands on what nobody got while the flow was frozen. The kernel translates neither.
func (r *Replay) onSpliced(now time.Time, ok bool, out *Output) {
	if !ok {
		r.refuse(Table, out)
		return
	}
	r.phase, r.o = handing, now.Add(handingOn)
	r.pour(out)
	window := r.clientEdge - min(r.clientEdge, r.told)
	out.ToServer = append(out.ToServer, r.toServer(r.next, nil, 0, window))
	if r.relay(r.agreed, r.ahead, r.aheadFin, out); len(out.ToClient) == 0 {
		// An acknowledgement behind what was said would be an old one, to be answered.
		out.ToClient = append(out.ToClient, r.toClient(r.server.Acked, nil, 0))
	}
	r.ended, r.endSeq = r.aheadFin, r.server.seq(r.agreed+uint64(len(r.ahead)))+1
}

// handOn passes a segment between the ends, as the kernel would. It may have passed already, which
// matters when both have ended: the server knows the connection no more, and would answer what
// acknowledges its end a second time with a reset. So ends are left out, they are said again.
func (r *Replay) handOn(s *Segment, toServer bool, out *Output) {
	add := r.server.seq(0) - r.base
	if !toServer && s.Flags&FIN != 0 {
		r.ended, r.endSeq = true, s.End()+add
	}
	last := toServer && r.ended && s.Ack == r.endSeq
	if s.Flags&SYN != 0 || len(s.Data) == 0 && (last || s.Flags&FIN != 0) {
		return
	}
	for at := 0; at == 0 || at < len(s.Data); at += segmentSize {
		piece := *s
		piece.Options = Options{}
		piece.Data = s.Data[at:min(at+segmentSize, len(s.Data))]
		piece.Seq += uint32(at)
		piece.Flags &^= FIN
		if toServer {
			piece.Ack -= add
			out.ToServer = append(out.ToServer, piece)
		} else {
			piece.Seq += add
			out.ToClient = append(out.ToClient, piece)
		}
	}
}

// refuse ends it. What was begun at the new server is taken back.
func (r *Replay) refuse(why Reason, out *Output) {
	if r.phase >= running && why != ServerRefuses {
		out.ToServer = append(out.ToServer, Segment{Seq: r.client.seq(r.una), Ack: r.base + uint32(r.told), Flags: RST | ACK})
		if r.next != r.una {
			out.ToServer = append(out.ToServer, Segment{Seq: r.client.seq(r.next), Ack: r.base + uint32(r.told), Flags: RST | ACK})
		}
	}
	r.resend, r.ask, r.stall, r.limit, r.o = time.Time{}, time.Time{}, time.Time{}, time.Time{}, time.Time{}
	r.phase, r.tail, r.ahead, r.later = ended, nil, nil, pieces{}
	out.Splice, out.Refused = false, why
}
