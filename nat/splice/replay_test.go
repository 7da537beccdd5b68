package splice

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

// plan is how a model's connection is when its server dies.
type plan struct {
	input            int // bytes that the client will say
	fin              bool
	sent, logged, a  int // of that: said, logged, acknowledged by the old server
	said, got, n     int // of the old server's: passed the gateway, arrived, known to be
	cISN, sISN, bISN uint32
	piece, most      int
	room             [2]int // receive buffers: client, new server
	pace             [2]int
	sndbuf, loss     int
	salt             byte
	scale            [2]uint8
}

func newWorld(seed uint64, p plan) *world {
	r := rand.New(rand.NewPCG(seed, 60))
	input := make([]byte, p.input)
	for i := range input {
		input[i] = byte(r.Uint32())
	}
	old := &service{piece: p.piece, most: p.most}
	old.hear(input[:p.a])
	p.said = min(p.said, len(old.said))
	p.got = min(p.got, p.said)
	p.n = min(p.n, p.got)
	// What a client got it had room for.
	p.said = min(p.said, p.got+p.room[0])
	tape := &recording{input: input, output: old.said[:p.said],
		c: Half{ISN: p.cISN, Options: Options{MSS: 1460, SACK: true, Scaled: true, Scale: p.scale[0]}, Len: uint64(p.logged), Acked: uint64(p.a)},
		s: Half{ISN: p.sISN, Options: Options{MSS: 1460, SACK: true, Scaled: true, Scale: p.scale[1]}, Len: uint64(p.said), Acked: uint64(p.n)}}
	if p.fin && p.logged == p.input {
		tape.c.Fin = true
		if p.a == p.input {
			tape.c.Acked++
		}
	}
	end := func(isn uint32, scale [2]uint8, room int) *peer {
		return &peer{isn: isn, scale: scale, mss: 1460, flight: 14600, wait: 200 * time.Millisecond, ahead: map[uint64][]byte{}, room: uint64(room)}
	}
	w := &world{r: r, now: start, tape: tape, app: &service{piece: p.piece, most: p.most, salt: p.salt}, pace: p.pace, sndbuf: p.sndbuf, loss: p.loss}
	w.client = end(p.cISN, p.scale, p.room[0])
	w.client.other, w.client.out, w.client.fin = p.sISN, input, p.fin
	w.client.una, w.client.next, w.client.edge = tape.c.Acked, max(uint64(p.sent), tape.c.Acked), uint64(p.a+30000)
	w.client.in = append([]byte(nil), old.said[:p.got]...)
	w.new = end(p.bISN, [2]uint8{p.scale[1], p.scale[0]}, p.room[1])
	w.new.open = true
	w.replay = NewReplay(tape)
	return w
}

// finish runs it to the end, and tells what is wrong.
func (w *world) finish(p plan) error {
	w.step(Input{Kind: InStart})
	whole := &service{piece: p.piece, most: p.most}
	whole.hear(w.client.out)
	w.run(200*time.Second, func() bool {
		return w.done && len(w.client.in) >= len(whole.said) && w.client.una == w.client.end() && (!p.fin || w.client.ended)
	})
	switch {
	case !bytes.Equal(w.client.in, whole.said[:min(len(w.client.in), len(whole.said))]):
		return fmt.Errorf("the client got something else, of %d bytes", len(w.client.in))
	case w.refused != None:
		return fmt.Errorf("refused: %v", w.refused)
	case len(w.client.in) != len(whole.said) || !w.done || w.client.una != w.client.end():
		return fmt.Errorf("the client got %d bytes of %d, and %d of %d of its own are acknowledged; done %v, spliced %v", len(w.client.in), len(whole.said), w.client.una, w.client.end(), w.done, w.spliced)
	case !bytes.Equal(w.new.in, w.client.out):
		return fmt.Errorf("the server got %d bytes that are not what the client said", len(w.new.in))
	case w.client.resets > 0:
		return fmt.Errorf("reset")
	}
	return nil
}

func someNumber(r *rand.Rand) uint32 {
	edges := []uint32{0, 1 << 31, ^uint32(0)}
	if r.IntN(3) > 0 {
		return edges[r.IntN(len(edges))] + uint32(r.IntN(60000)) - 30000
	}
	return r.Uint32()
}

// somePlan is a connection at any place, which a deterministic server served.
func somePlan(r *rand.Rand) plan {
	p := plan{input: 1 + r.IntN(40000), fin: r.IntN(3) == 0, cISN: someNumber(r), sISN: someNumber(r), bISN: someNumber(r),
		piece: 1 + r.IntN(600), most: 1 + r.IntN(1200), room: [2]int{1000 + r.IntN(60000), 1000 + r.IntN(60000)},
		pace: [2]int{20 + r.IntN(20000), 100 + r.IntN(50000)}, sndbuf: 2000 + r.IntN(80000), scale: [2]uint8{uint8(r.IntN(10)), uint8(r.IntN(10))}}
	if r.IntN(2) == 0 {
		p.loss = 30
	}
	p.sent = r.IntN(p.input + 1)
	p.logged = r.IntN(p.sent + 1)
	p.a = r.IntN(p.logged + 1)
	p.sent, p.logged = min(p.sent, p.a+30000), min(p.logged, p.a+30000)
	p.said = r.IntN(p.a*p.most/p.piece + 2)
	p.got = p.said - r.IntN(p.said+1)*r.IntN(2)
	p.n = p.got - r.IntN(p.got+1)*r.IntN(2)
	if p.fin && p.logged == p.input {
		p.sent = p.input
	}
	return p
}

// Whatever the numbers, the place, the windows and the losses: what arrives is what was said, at
// both ends; cold, or after it ran beside the old server.
func TestReplayAnything(t *testing.T) {
	for _, warm := range []bool{false, true} {
		t.Run(fmt.Sprintf("warm %v", warm), func(t *testing.T) {
			for round := range 500 {
				r := rand.New(rand.NewPCG(uint64(round), 1))
				p := somePlan(r)
				w := newWorld(uint64(round), p)
				if warm {
					old := &service{piece: p.piece, most: p.most}
					old.hear(w.client.out[:p.a])
					w.beside(t, old, 1+r.IntN(400))
				}
				if err := w.finish(p); err != nil {
					t.Fatalf("round %d, %+v: %v; agreed on %d of %d, told %d of %d, heard %v", round, p, err,
						w.replay.agreed, w.tape.s.Len, w.replay.una, w.tape.c.Acked, w.replay.heard)
				}
			}
		})
	}
}

// Megabytes both ways, of which the client has got a part.
func TestReplayOfMegabytes(t *testing.T) {
	for round, p := range []plan{
		{input: 3 << 20, sent: 2 << 20, logged: 2 << 20, a: 2 << 20, said: 4 << 20, got: 4 << 20, n: 3 << 20, piece: 600, most: 3000, loss: 30},
		{input: 100 << 10, sent: 90 << 10, logged: 90 << 10, a: 90 << 10, said: 5 << 20, got: 4 << 20, n: 3 << 20, piece: 100, most: 12000, fin: true},
		{input: 6 << 20, sent: 5 << 20, logged: 5 << 20, a: 5 << 20, said: 20000, got: 10000, n: 10000, piece: 512, most: 1024},
	} {
		p.cISN, p.sISN, p.bISN = 0x7ff00000, 0xffd00000, 0x7ffffff0
		p.room, p.pace, p.sndbuf, p.scale = [2]int{2 << 20, 64 << 10}, [2]int{100 << 10, 100 << 10}, 256<<10, [2]uint8{7, 9}
		if err := newWorld(uint64(round), p).finish(p); err != nil {
			t.Errorf("%d: %v", round, err)
		}
	}
}

// A server that says something else is found out before a byte of it is said to the client, however
// much of it was said before.
func TestReplayOfAnythingThatDiffers(t *testing.T) {
	seen := map[Reason]int{}
	for round := range 400 {
		r := rand.New(rand.NewPCG(uint64(round), 2))
		p := somePlan(r)
		p.salt = 1
		w := newWorld(uint64(round), p)
		if w.tape.s.Len < 8 { // by chance it says the same
			continue
		}
		before := len(w.client.in)
		if r.IntN(2) == 0 { // from some byte on only
			w.app.salt = 0
			at := r.IntN(int(w.tape.s.Len))
			w.tape.output = append([]byte(nil), w.tape.output...)
			w.tape.output[at] ^= 1
			if at < before {
				before = at
			}
			w.client.in = append([]byte(nil), w.client.in...)
			copy(w.client.in, w.tape.output)
		}
		w.step(Input{Kind: InStart})
		w.run(30*time.Second, func() bool { return w.spliced })
		seen[w.refused]++
		if w.refused != Diverged && w.refused != Short && w.refused != Slow {
			t.Fatalf("round %d, %+v: spliced %v, %v", round, p, w.spliced, w.refused)
		}
		if got := w.client.in; !bytes.Equal(got, w.tape.output[:min(len(got), len(w.tape.output))]) || len(got) > len(w.tape.output) {
			t.Fatalf("round %d: the client got other bytes", round)
		}
		if w.new.resets == 0 && p.loss == 0 {
			t.Fatalf("round %d: the new server was not told", round)
		}
	}
	if seen[Diverged] < 200 {
		t.Errorf("%v", seen)
	}
}

// What either end says while the flow is frozen, and what comes while the kernel's entry is
// exchanged, is handed on, so that nobody has to wait for its retransmission.
func TestReplayHandsOn(t *testing.T) {
	p := plan{input: 1000, sent: 800, logged: 800, a: 800, said: 1000, got: 1000, n: 1000, piece: 100, most: 500, room: [2]int{60000, 60000}, pace: [2]int{5000, 5000},
		sndbuf: 60000, cISN: clientISN, sISN: deadISN, bISN: freshISN, scale: [2]uint8{7, 9}}
	w := newWorld(1, p)
	m := w.replay
	say := func(toServer bool, seq, ack uint32, data []byte) Output {
		kind := InServer
		if toServer {
			kind = InClient
		}
		return m.Step(start, Input{Kind: kind, Segment: &Segment{Seq: seq, Ack: ack, Flags: ACK, Window: 500, Data: data}})
	}
	m.Step(start, Input{Kind: InStart})
	m.Step(start, Input{Kind: InServer, Segment: &Segment{Seq: freshISN, Ack: clientISN + 1, Flags: SYN | ACK, Window: 0xffff, Options: Options{Scaled: true, Scale: 9}}})
	client, server := w.client.seq(800), w.client.other+1+uint32(w.tape.s.Len)
	say(true, client, server, []byte("asked"))
	out := say(false, freshISN+1, client, append(bytes.Clone(w.tape.output), "more"...))
	if !out.Splice || out.Offset != w.client.other-freshISN {
		t.Fatalf("%+v", out)
	}
	say(true, client+5, server, []byte(" meanwhile"))
	say(false, freshISN+1+uint32(w.tape.s.Len)+4, client, []byte(" and more"))
	out = m.Step(start, Input{Kind: InSpliced, OK: true})
	var asked, said []byte
	for _, s := range out.ToServer {
		asked = append(asked, s.Data...)
		if s.Ack != freshISN+1+uint32(w.tape.s.Len) {
			t.Errorf("the new server is told %d", s.Ack-freshISN-1)
		}
	}
	for _, s := range out.ToClient {
		said = append(said, s.Data...)
	}
	// "asked" itself was told before.
	if string(asked) != " meanwhile" || string(said) != "more and more" || out.ToClient[0].Seq != server {
		t.Errorf("handed on: %q, %q", asked, said)
	}
	if s := out.ToServer[len(out.ToServer)-1]; s.Window != 500 || s.Seq != client+15 {
		t.Errorf("the window is not opened: %+v", s)
	}
	if out = say(true, client+15, server+13, []byte("late")); len(out.ToServer) != 1 || out.ToServer[0].Ack != freshISN+1+uint32(w.tape.s.Len)+13 {
		t.Errorf("%+v", out)
	}
	if out = say(false, freshISN+1, client+19, []byte("late")); len(out.ToClient) != 1 || out.ToClient[0].Seq != w.client.other+1 {
		t.Errorf("%+v", out)
	}
	if out = m.Step(m.Deadline(), Input{Kind: InTick}); !out.Done || !m.Deadline().IsZero() {
		t.Errorf("%+v, and it waits for %v", out, m.Deadline())
	}
}

// The new server knows an older connection of these ends. What was to end that may end the new one.
func TestReplayAtAServerThatRemembers(t *testing.T) {
	p := plan{input: 1000, sent: 800, logged: 800, a: 800, said: 1000, got: 1000, n: 1000, piece: 100, most: 500, room: [2]int{60000, 60000}, pace: [2]int{5000, 5000},
		sndbuf: 60000, cISN: clientISN, sISN: deadISN, bISN: freshISN, scale: [2]uint8{7, 9}}
	w := newWorld(1, p)
	m := w.replay
	hears := func(s Segment) Output { return m.Step(start, Input{Kind: InServer, Segment: &s}) }
	welcomes := Segment{Seq: freshISN, Ack: clientISN + 1, Flags: SYN | ACK, Window: 0xffff, Options: Options{Scaled: true, Scale: 9}}
	m.Step(start, Input{Kind: InStart})
	out := hears(Segment{Seq: 77, Ack: clientISN + 500, Flags: ACK})
	if len(out.ToServer) != 2 || out.ToServer[0].Flags != RST || out.ToServer[0].Seq != clientISN+500 || out.ToServer[1].Flags != SYN {
		t.Fatalf("%+v", out)
	}
	hears(welcomes)
	if out = hears(Segment{Seq: freshISN + 1, Flags: RST}); len(out.ToServer) != 1 || out.ToServer[0].Flags != SYN {
		t.Fatalf("%+v", out)
	}
	welcomes.Seq += 1000
	if out = hears(welcomes); len(out.ToServer) != 2 || out.ToServer[1].Ack != freshISN+1001 || len(out.ToServer[1].Data) != 800 {
		t.Fatalf("%+v", out)
	}
	m.shake.odd = strangers
	if out = hears(Segment{Seq: freshISN + 1001, Flags: RST}); out.Refused != ServerRefuses {
		t.Errorf("%+v", out)
	}
}

// What cannot be replayed is refused, with a reason of its own, and the new server is told.
func TestReplayRefusals(t *testing.T) {
	base := plan{input: 1000, sent: 900, logged: 900, a: 800, said: 1000, got: 1000, n: 900, piece: 100, most: 500, room: [2]int{60000, 60000}, pace: [2]int{5000, 5000},
		sndbuf: 60000, cISN: clientISN, sISN: deadISN, bISN: freshISN, scale: [2]uint8{7, 9}}
	idle := func(w *world) { w.run(time.Minute, func() bool { return false }) }
	hears := func(s Segment) func(*world) {
		return func(w *world) {
			s.Seq, s.Ack = w.client.seq(w.client.una), s.Ack+w.client.ack()
			w.step(Input{Kind: InClient, Segment: &s})
		}
	}
	for _, row := range []struct {
		want   Reason
		before func(w *world)
		after  func(w *world)
		told   bool
	}{
		{Unlogged, func(w *world) { w.tape.why = Unlogged }, nil, false},
		{LogFull, func(w *world) { w.tape.why = LogFull }, nil, false},
		{Gap, func(w *world) { w.tape.c.Acked = w.tape.c.Len + 1 }, nil, false},
		{Halfway, func(w *world) { w.tape.s.Acked = w.tape.s.Len + 1 }, nil, false},
		{Closing, func(w *world) { w.tape.s.Fin = true }, nil, false},
		{Halfway, nil, hears(Segment{Flags: ACK, Ack: 100000}), false},
		{Closing, nil, hears(Segment{Flags: RST}), false},
		{Closing, nil, func(w *world) {
			w.run(time.Minute, func() bool { return w.replay.phase == running })
			w.client.queue = nil
			hears(Segment{Flags: RST | ACK})(w)
		}, true},
		{ClientSilent, nil, func(w *world) { w.mute = true; idle(w) }, true},
		{ServerSilent, func(w *world) { w.deaf = true }, idle, false},
		{ServerSilent, nil, func(w *world) { w.deaf = true; idle(w) }, false},
		{ScaleDiffers, func(w *world) { w.new.scale[0]++ }, idle, true},
		{Gone, nil, func(w *world) {
			w.run(time.Minute, func() bool { return w.replay.phase == running })
			w.step(Input{Kind: InGone})
		}, true},
		{Gone, nil, func(w *world) { w.step(Input{Kind: InGone}) }, false},
		{ServerRefuses, nil, func(w *world) {
			w.step(Input{Kind: InServer, Segment: &Segment{Ack: w.client.seq(0), Flags: RST | ACK}})
		}, false},
		{ServerRefuses, nil, func(w *world) {
			w.run(time.Minute, func() bool { return w.replay.phase == running })
			w.step(Input{Kind: InServer, Segment: &Segment{Seq: w.new.seq(0), Flags: RST}})
		}, false},
		{Short, func(w *world) { w.app.piece = 10000 }, idle, true},
		{Short, func(w *world) { w.app.piece = 10000 }, func(w *world) {
			w.run(time.Minute, func() bool { return w.replay.phase == running })
			w.step(Input{Kind: InServer, Segment: &Segment{Seq: w.new.seq(0), Ack: w.client.seq(0), Flags: ACK | FIN}})
		}, true},
		{Slow, nil, func(w *world) {
			w.run(time.Minute, func() bool { return w.replay.phase == running })
			for i := uint64(0); w.refused == None; i++ { // it gets on, ever so little
				w.now = w.now.Add(100 * time.Millisecond)
				w.step(Input{Kind: InServer, Segment: &Segment{Seq: w.new.seq(0), Ack: w.client.seq(min(i, 700)), Flags: ACK, Window: 1}})
				w.step(Input{Kind: InTick})
			}
		}, true},
		{Table, nil, func(w *world) {
			w.run(time.Minute, func() bool { return w.replay.phase == running && w.replay.agreed == w.tape.s.Len })
			w.replay.phase = exchanging
			w.step(Input{Kind: InSpliced})
		}, true},
	} {
		w := newWorld(1, base)
		if row.before != nil {
			row.before(w)
		}
		w.step(Input{Kind: InStart})
		if row.after != nil {
			row.after(w)
		}
		if w.refused != row.want {
			t.Errorf("refused: %v, want %v", w.refused, row.want)
		}
		if (w.new.resets > 0) != row.told {
			t.Errorf("%v: the new server was reset %d times", row.want, w.new.resets)
		}
		if d := w.replay.Deadline(); !d.IsZero() {
			t.Errorf("%v: it waits for something", row.want)
		}
		for k := range InputKind(8) {
			if out := fmt.Sprint(w.replay.Step(w.now, Input{Kind: k, OK: true, Segment: &Segment{Flags: ACK}})); out != fmt.Sprint(Output{}) {
				t.Errorf("%v: after the end: %s", row.want, out)
			}
		}
	}
}

// Whatever comes: nothing is said to the client that the old server had not said, the new one is told
// of nothing that the client has not got, and it ends once.
func FuzzReplay(f *testing.F) {
	f.Add(uint64(1), []byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15})
	f.Fuzz(func(t *testing.T, seed uint64, moves []byte) {
		r := rand.New(rand.NewPCG(seed, 3))
		p := somePlan(r)
		w := newWorld(seed, p)
		ends, got := 0, w.tape.s.Acked
		for _, b := range moves {
			s := Segment{Seq: w.client.seq(w.client.una) + uint32(r.IntN(2000)) - 1000, Ack: w.client.ack() + uint32(r.IntN(2000)) - 1000,
				Flags: Flags(b >> 3), Window: uint16(r.Uint32()), Data: make([]byte, r.IntN(2)*r.IntN(3000))}
			in := Input{Kind: InputKind(b & 7), Segment: &s, OK: b&8 != 0}
			if in.Kind == InServer {
				s.Seq, s.Ack = w.new.seq(0)+uint32(r.IntN(3000))-1, w.client.seq(0)+uint32(r.IntN(3000))-1
				if b&32 != 0 {
					s = Segment{Seq: p.bISN, Ack: p.cISN + 1, Flags: SYN | ACK, Options: Options{Scaled: true, Scale: p.scale[1]}}
				}
				if b&64 != 0 {
					s.Flags, s.Seq = ACK, w.new.seq(w.replay.agreed)
					s.Data = w.tape.output[min(w.replay.agreed, uint64(len(w.tape.output))):]
				}
			}
			if in.Kind == InClient {
				if n := int64(w.client.isn); n >= 0 && s.Flags&ACK != 0 && w.replay.frozen {
					if a := w.replay.server.offset(s.Ack, got); a > int64(got) && a <= int64(w.tape.s.Len) {
						got = uint64(a)
					}
				}
			}
			if d := w.replay.Deadline(); in.Kind == InTick && d.After(w.now) {
				w.now = d
			}
			handed := w.replay.phase == handing
			out := w.replay.Step(w.now, in)
			if ends > 0 && fmt.Sprint(out) != fmt.Sprint(Output{}) {
				t.Fatalf("after its end: %+v", out)
			}
			if handed || in.Kind == InSpliced {
				got = w.replay.server.Len + 1<<20
			}
			for _, s := range out.ToClient {
				off := w.replay.server.offset(s.Seq, 0)
				for i, b := range s.Data {
					if at := off + int64(i); at >= int64(w.replay.server.Acked) && !handed && in.Kind != InSpliced && !w.replay.opened && (at < 0 || at >= int64(w.tape.s.Len) || w.tape.output[at] != b) {
						t.Fatalf("the client is told byte %d", at)
					}
				}
			}
			for _, s := range out.ToServer {
				if a := int32(s.Ack - w.replay.base); s.Flags&(ACK|RST) == ACK && !handed && !w.replay.opened && int64(a) > int64(got) {
					t.Fatalf("the new server is told that %d have arrived, of %d", a, got)
				}
			}
			if out.Done || out.Refused != None {
				ends++
			}
		}
	})
}
