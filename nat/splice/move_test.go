package splice

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

var start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// Where the numbers of a test's connection begin: the client has said 100 bytes, and the server
// that died has answered them with 500.
const (
	clientISN = 0x7fffffc0 // its 64th byte is at 2^31
	deadISN   = 0xffffff00 // its 256th byte is at 2^32
	acked     = clientISN + 101
	freshISN  = 0x12345678
)

func wrap(n uint64) uint32 { return uint32(n) }

func answered() Config {
	end := wrap(deadISN + 501)
	return Config{Scaled: true, ClientScale: 7, ServerScale: 9, SACK: true, Position: Position{Known: true, Answered: true,
		Last:   Mark{End: end, Ack: acked, Flags: ACK | PSH, Window: 501},
		Answer: Mark{End: end, Ack: acked, Flags: ACK | PSH, Window: 501}}}
}

// bench is a move whose outputs are gathered.
type bench struct {
	t   *testing.T
	m   *Move
	now time.Time
	out Output
}

func newBench(t *testing.T, cfg Config) *bench {
	b := &bench{t: t, m: New(cfg), now: start}
	b.step(Input{Kind: InStart})
	return b
}

func (b *bench) step(in Input) Output {
	b.out = b.m.Step(b.now, in)
	return b.out
}

func (b *bench) client(s Segment) Output { return b.step(Input{Kind: InClient, Segment: &s}) }
func (b *bench) server(s Segment) Output { return b.step(Input{Kind: InServer, Segment: &s}) }

// tick lets the time of the deadline come.
func (b *bench) tick() Output {
	b.t.Helper()
	if b.m.Deadline().IsZero() {
		b.t.Fatal("nothing is waited for")
	}
	b.now = b.m.Deadline()
	return b.step(Input{Kind: InTick})
}

func heard() Segment { return Segment{Seq: acked, Ack: wrap(deadISN + 501), Flags: ACK, Window: 77} }
func welcome() Segment {
	return Segment{Seq: freshISN, Ack: acked, Flags: SYN | ACK, Window: 1000, Options: Options{MSS: 1460, SACK: true, Scaled: true, Scale: 9}}
}

func TestMoveOfAnIdleConnection(t *testing.T) {
	b := newBench(t, answered())
	if got, want := fmt.Sprint(b.out.ToClient), fmt.Sprint([]Segment{{Seq: wrap(deadISN + 500), Ack: acked, Flags: ACK, Window: 501}}); got != want {
		t.Errorf("the client is asked by %s, want %s", got, want)
	}
	b.client(heard())
	syn := Segment{Seq: acked - 1, Flags: SYN, Window: 0xffff, Options: Options{MSS: segmentSize, SACK: true, Scaled: true, Scale: 7}}
	if got, want := fmt.Sprint(b.out.ToServer), fmt.Sprint([]Segment{syn}); got != want {
		t.Errorf("the server is opened by %s, want %s", got, want)
	}
	b.server(welcome())
	if got, want := fmt.Sprint(b.out.ToServer), fmt.Sprint([]Segment{{Seq: acked, Ack: freshISN + 1, Flags: ACK, Window: 77}}); got != want {
		t.Errorf("the server is answered by %s, want %s", got, want)
	}
	b.client(Segment{Seq: acked, Ack: wrap(deadISN + 501), Flags: ACK | PSH, Window: 78, Data: []byte("GET")})
	b.tick()
	if want := wrap(deadISN+501) - (freshISN + 1); !b.out.Splice || b.out.Offset != want {
		t.Errorf("splice %v with %#x, want %#x", b.out.Splice, b.out.Offset, want)
	}
	b.step(Input{Kind: InSpliced, OK: true})
	if got, want := fmt.Sprint(b.out.ToServer), fmt.Sprint([]Segment{{Seq: acked, Ack: freshISN + 1, Flags: ACK | PSH, Window: 78, Data: []byte("GET")}}); got != want {
		t.Errorf("handed on: %s, want %s", got, want)
	}
	if !b.out.Done || b.out.Refused != None || !b.m.Deadline().IsZero() {
		t.Errorf("it ends with %+v, deadline %v", b.out, b.m.Deadline())
	}
}

// What cannot be moved is refused, with a reason of its own, and what was begun at the new
// server taken back.
func TestRefusals(t *testing.T) {
	position := func(change func(*Position)) Config {
		c := answered()
		change(&c.Position)
		return c
	}
	ask := func(b *bench) { b.tick(); b.tick(); b.tick() }
	opened := func(then func(b *bench)) func(b *bench) {
		return func(b *bench) { b.client(heard()); then(b) }
	}
	reply := func(change func(*Segment)) func(b *bench) {
		return opened(func(b *bench) { s := welcome(); change(&s); b.server(s) })
	}
	for _, row := range []struct {
		name   string
		cfg    Config
		do     func(b *bench)
		want   Reason
		undone bool
	}{
		{"nothing noted", Config{}, nil, NoPosition, false},
		{"the server's FIN", position(func(p *Position) { p.Last.Flags |= FIN }), nil, Closing, false},
		{"a request that was acknowledged alone", position(func(p *Position) { p.Last.Ack++; p.Last.Flags = ACK }), nil, Unanswered, false},
		{"a first one", position(func(p *Position) { p.Answered = false; p.Last.Flags = ACK }), nil, Unanswered, false},
		{"the client has more than the last answer", answered(), func(b *bench) { s := heard(); s.Ack++; b.client(s) }, Halfway, false},
		{"the client has less", answered(), func(b *bench) { s := heard(); s.Ack--; b.client(s); ask(b) }, Unacknowledged, false},
		{"the client is far ahead", answered(), func(b *bench) { s := heard(); s.Seq += 1 << 31; b.client(s); ask(b) }, Astray, false},
		{"the client says nothing", answered(), ask, ClientSilent, false},
		{"the client knows of nothing", answered(), func(b *bench) { b.client(Segment{Seq: acked, Flags: RST}) }, Closing, false},
		{"the client goes while it is moved", answered(), opened(func(b *bench) { b.client(Segment{Seq: acked, Flags: RST}) }), Closing, true},
		{"the server says nothing", answered(), opened(func(b *bench) {
			for range openTimes {
				b.tick()
			}
		}), ServerSilent, false},
		{"nobody listens", answered(), reply(func(s *Segment) { s.Flags = RST | ACK }), ServerRefuses, false},
		{"another scale", answered(), reply(func(s *Segment) { s.Options.Scale = 8 }), ScaleDiffers, true},
		{"no scale", answered(), reply(func(s *Segment) { s.Options.Scaled = false }), ScaleDiffers, true},
		{"a banner", answered(), reply(func(*Segment) {}), SpeaksFirst, true},
		{"the kernel does not take it", answered(), reply(func(*Segment) {}), Table, true},
	} {
		t.Run(row.name, func(t *testing.T) {
			b := newBench(t, row.cfg)
			if row.do != nil {
				if b.out.Refused != None {
					t.Fatalf("refused at once: %v", b.out.Refused)
				}
				row.do(b)
			}
			switch row.want {
			case SpeaksFirst:
				b.server(Segment{Seq: freshISN + 1, Ack: acked, Flags: ACK | PSH, Data: []byte("220 hello")})
			case Table:
				if b.tick(); !b.out.Splice {
					t.Fatalf("no splice: %+v", b.out)
				}
				b.step(Input{Kind: InSpliced})
			}
			if b.out.Refused != row.want {
				t.Fatalf("refused: %v, want %v", b.out.Refused, row.want)
			}
			undone := len(b.out.ToServer) == 1 && b.out.ToServer[0].Flags&RST != 0 && b.out.ToServer[0].Seq == acked
			if undone != row.undone {
				t.Errorf("said to the server: %v", b.out.ToServer)
			}
			if !b.m.Deadline().IsZero() {
				t.Error("it waits for something")
			}
			for _, in := range []Input{{Kind: InStart}, {Kind: InSpliced, OK: true}, {Kind: InTick}} {
				if out := fmt.Sprint(b.step(in)); out != fmt.Sprint(Output{}) {
					t.Errorf("%v after the end: %s", in.Kind, out)
				}
			}
			if out := fmt.Sprint(b.client(heard()), b.server(welcome())); out != fmt.Sprint(Output{}, Output{}) {
				t.Errorf("segments after the end: %s", out)
			}
		})
	}
}

// A connection on which nothing was said yet goes on from the handshake; a keepalive of the
// server's does not hide that it had answered.
func TestPositionsThatCanBeMoved(t *testing.T) {
	fresh, alive := answered(), answered()
	fresh.Position.Answered, fresh.Position.Last.Flags = false, SYN|ACK
	alive.Position.Last.End--
	alive.Position.Last.Flags = ACK
	for name, cfg := range map[string]Config{"fresh": fresh, "keepalive": alive} {
		b := newBench(t, cfg)
		if b.client(heard()); len(b.out.ToServer) != 1 || b.out.ToServer[0].Flags != SYN {
			t.Errorf("%s: %+v", name, b.out)
		}
	}
}

// The new server knows an older connection of the same ends: that is reset, a few times.
func TestOlderConnectionAtTheNewServer(t *testing.T) {
	b := newBench(t, answered())
	b.client(heard())
	for i := range strangers {
		b.server(Segment{Seq: 1, Ack: uint32(1000 + i), Flags: ACK})
		if len(b.out.ToServer) != 2 || b.out.ToServer[0].Flags != RST || b.out.ToServer[0].Seq != uint32(1000+i) || b.out.ToServer[1].Flags != SYN {
			t.Fatalf("round %d: %+v", i, b.out)
		}
	}
	if b.server(Segment{Seq: 1, Ack: 1, Flags: ACK}); len(b.out.ToServer) != 0 {
		t.Errorf("it is reset for ever: %+v", b.out)
	}
}

// What is still said on an older connection of these ends does not count as a greeting, and
// what was to end that one may end the new one, which is opened anew then.
func TestOlderConnectionWhileListening(t *testing.T) {
	b := newBench(t, answered())
	b.client(heard())
	b.server(Segment{Seq: 1, Ack: acked, Flags: ACK})
	b.server(welcome())
	if b.server(Segment{Seq: freshISN - 1000, Ack: acked, Flags: ACK | PSH, Data: []byte("old")}); fmt.Sprint(b.out) != fmt.Sprint(Output{}) {
		t.Errorf("an older word: %+v", b.out)
	}
	if b.server(Segment{Seq: 77, Flags: RST}); fmt.Sprint(b.out) != fmt.Sprint(Output{}) {
		t.Errorf("an older reset: %+v", b.out)
	}
	b.server(Segment{Seq: freshISN + 1, Flags: RST})
	if len(b.out.ToServer) != 1 || b.out.ToServer[0].Flags != SYN {
		t.Fatalf("not opened anew: %+v", b.out)
	}
	anew := welcome()
	anew.Seq += 5000
	b.server(anew)
	b.tick()
	if want := wrap(deadISN+501) - (anew.Seq + 1); !b.out.Splice || b.out.Offset != want {
		t.Errorf("splice %v with %#x, want %#x", b.out.Splice, b.out.Offset, want)
	}
	b = newBench(t, answered())
	b.client(heard())
	b.server(welcome())
	if b.server(Segment{Seq: freshISN + 1, Flags: RST}); b.out.Refused != ServerRefuses {
		t.Errorf("a reset without a reason: %+v", b.out)
	}
}

// Whatever the numbers, and whatever is lost or comes twice: what the client said and the dead server had
// not acknowledged arrives at the new one, once and in order, and the offset turns the new
// server's numbers into those that the client waits for.
func TestAnyNumbers(t *testing.T) {
	edges := []uint32{0, 1, 1<<31 - 1, 1 << 31, 1<<31 + 1, ^uint32(0), ^uint32(0) - 700}
	r := rand.New(rand.NewPCG(9, 9))
	number := func() uint32 {
		if r.IntN(2) == 0 {
			return edges[r.IntN(len(edges))] + uint32(r.IntN(2000)) - 1000
		}
		return r.Uint32()
	}
	moved := 0
	for round := range 3000 {
		end, acked, isn, offset := number(), number(), number(), number()
		cfg := Config{Offset: offset, Position: Position{Known: true, Answered: true, Last: Mark{End: end, Ack: acked, Flags: ACK}, Answer: Mark{End: end, Ack: acked}}}
		request := make([]byte, r.IntN(4000))
		for i := range request {
			request[i] = byte(r.Uint32())
		}
		lost := func() bool { return r.IntN(4) == 0 }
		b := newBench(t, cfg)
		var got []byte
		var added uint32
		opened, spliced := false, false
		for range 60 {
			outs := []Output{b.out}
			b.out = Output{}
			for len(outs) > 0 {
				out := outs[0]
				outs = outs[1:]
				if out.Refused != None && out.Refused != ClientSilent && out.Refused != ServerSilent {
					t.Fatalf("round %d: %v", round, out.Refused)
				}
				for range out.ToClient {
					if lost() {
						continue
					}
					// An acknowledgement, and sometimes what it said before, again.
					outs = append(outs, b.client(Segment{Seq: acked + uint32(len(request)), Ack: end + offset, Flags: ACK}))
					for n := r.IntN(3); n > 0; n-- {
						outs = append(outs, b.client(Segment{Seq: acked - 3, Ack: end + offset, Flags: ACK, Data: append([]byte{1, 2, 3}, request...)}))
					}
				}
				for _, s := range out.ToServer {
					switch {
					case s.Flags == SYN && s.Seq+1 != acked:
						t.Fatalf("round %d: opened at %#x, want %#x", round, s.Seq+1, acked)
					case s.Flags == SYN && !lost():
						outs = append(outs, b.server(Segment{Seq: isn, Ack: acked, Flags: SYN | ACK}))
					case s.Flags&PSH != 0:
						if s.Ack != isn+1 {
							t.Fatalf("round %d: handed on with %#x acknowledged, want %#x", round, s.Ack, isn+1)
						}
						have := acked + uint32(len(got))
						if before(have, s.Seq) {
							t.Fatalf("round %d: a gap of %d", round, s.Seq-have)
						}
						if skip := have - s.Seq; int(skip) < len(s.Data) {
							got = append(got, s.Data[skip:]...)
						}
					}
				}
				if out.Splice {
					opened, added = true, out.Offset
					outs = append(outs, b.step(Input{Kind: InSpliced, OK: true}))
				}
				spliced = spliced || out.Done
			}
			if b.m.Deadline().IsZero() {
				break
			}
			b.tick()
		}
		if spliced {
			moved++
		}
		if opened != spliced {
			t.Fatalf("round %d: spliced %v, done %v", round, opened, spliced)
		}
		if spliced && isn+1+added != end+offset {
			t.Fatalf("round %d: the new server's first byte is %#x to the client, want %#x", round, isn+1+added, end+offset)
		}
		if len(got) > 0 && !bytes.Equal(got, request) {
			t.Fatalf("round %d: %d bytes handed on, want %d", round, len(got), len(request))
		}
	}
	if moved < 2500 {
		t.Errorf("%d of 3000 were moved", moved)
	}
}

// A client that says no more, before or while it is moved, is heard out: what it said last, and
// that it was the last, is handed on.
func TestHalfClosed(t *testing.T) {
	for name, last := range map[string][]Segment{
		"with data": {{Seq: acked, Ack: wrap(deadISN + 501), Flags: ACK | PSH | FIN, Data: []byte("bye")}},
		"behind it": {{Seq: acked, Ack: wrap(deadISN + 501), Flags: ACK | PSH, Data: []byte("bye")}, {Seq: acked + 3, Ack: wrap(deadISN + 501), Flags: ACK | FIN}},
		"many":      {{Seq: acked, Ack: wrap(deadISN + 501), Flags: ACK | PSH | FIN, Data: make([]byte, 2*segmentSize+1)}},
		"again":     {{Seq: acked, Ack: wrap(deadISN + 501), Flags: ACK | FIN}, {Seq: acked, Ack: wrap(deadISN + 501), Flags: ACK | FIN}},
	} {
		b := newBench(t, answered())
		for _, s := range last {
			b.client(s)
			if b.out.Refused != None {
				t.Fatalf("%s: refused: %v", name, b.out.Refused)
			}
		}
		b.server(welcome())
		b.tick()
		b.step(Input{Kind: InSpliced, OK: true})
		fins := 0
		for i, s := range b.out.ToServer {
			if s.Flags&FIN != 0 {
				fins++
				if i != len(b.out.ToServer)-1 || s.End() != last[len(last)-1].End() {
					t.Errorf("%s: its end is told by %+v", name, s)
				}
			}
		}
		if fins != 1 {
			t.Errorf("%s: handed on: %v", name, b.out.ToServer)
		}
	}
}

// What is held for the new server is bounded.
func TestHeldIsBounded(t *testing.T) {
	b := newBench(t, answered())
	for i := range 100 {
		b.client(Segment{Seq: acked + uint32(i*4096), Ack: wrap(deadISN + 500), Flags: ACK, Data: make([]byte, 4096)})
	}
	if b.m.size > heldBytes || b.m.size < heldBytes-segmentSize {
		t.Errorf("%d bytes are held, want %d at most", b.m.size, heldBytes)
	}
}

func TestReasonsHaveWords(t *testing.T) {
	seen := map[string]bool{}
	for _, r := range Reasons() {
		if s := r.String(); s == "" || seen[s] {
			t.Errorf("reason %d is called %q", r, s)
		} else {
			seen[s] = true
		}
	}
}

// Whatever comes, in whatever order: a move ends once at most, is silent from then on, never waits
// for nothing, and does not exchange the entry before both ends have been heard.
func TestAnyEvents(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 1))
	near := func(n uint32) uint32 { return n + uint32(r.IntN(5)) - 2 }
	moved, refused := 0, map[Reason]bool{}
	for range 20000 {
		m, now := New(answered()), start
		ends, spliced := 0, false
		for range 40 {
			in := Input{Kind: InputKind(r.IntN(5)), OK: r.IntN(4) > 0}
			s := Segment{Seq: near(acked), Ack: near(wrap(deadISN + 501)), Flags: ACK, Data: make([]byte, r.IntN(2)*r.IntN(3000))}
			if in.Kind == InServer {
				s = Segment{Seq: near(freshISN), Ack: near(acked), Flags: SYN | ACK, Options: Options{Scaled: true, Scale: 9}}
			}
			switch r.IntN(12) {
			case 0:
				s.Flags = Flags(r.IntN(32))
			case 1, 2, 3, 4, 5, 6, 7:
				s.Seq, s.Ack = acked, wrap(deadISN+501)
				if in.Kind == InServer {
					s.Seq, s.Ack = freshISN, acked
				}
			}
			in.Segment = &s
			if d := m.Deadline(); in.Kind == InTick && d.After(now) {
				now = d
			}
			out := m.Step(now, in)
			if ends > 0 && fmt.Sprint(out) != fmt.Sprint(Output{}) {
				t.Fatalf("after its end: %+v", out)
			}
			if out.Splice {
				if spliced || out.Offset != wrap(deadISN+501)-m.next || m.next == 0 {
					t.Fatalf("spliced %v, with %#x", spliced, out.Offset)
				}
				spliced = true
			}
			if out.Done && !spliced {
				t.Fatal("done without a new entry")
			}
			if out.Done || out.Refused != None {
				ends++
				refused[out.Refused] = true
			}
			if out.Done {
				moved++
			}
			if waits := !m.Deadline().IsZero(); waits != (m.state == asking || m.state == opening || m.state == listening) {
				t.Fatalf("in state %d it waits: %v", m.state, waits)
			}
			if m.size > heldBytes {
				t.Fatalf("%d bytes are held", m.size)
			}
		}
	}
	if moved < 100 || len(refused) < 6 {
		t.Errorf("%d were moved, the others refused for %v", moved, refused)
	}
}
