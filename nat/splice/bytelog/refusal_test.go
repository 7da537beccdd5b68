package bytelog

import (
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
	"time"

	"understudy/nat/splice"
)

// What makes a connection one that cannot be replayed, and what does not.
func TestRefusals(t *testing.T) {
	big := strings.Repeat("x", 20000)
	for _, c := range []struct {
		name string
		cfg  Config
		talk func(k *talk)
		want Reason
		said string
		// count is one of those that must not be 0.
		count func(c Counts) uint64
	}{
		{name: "a question and its answer", talk: func(k *talk) { k.open().client(0, 0, "ask"); k.server(0, 3, "answer") }, said: "ask"},
		{name: "no SYN", talk: func(k *talk) { k.client(0, 0, "ask") }, want: NoSYN, count: func(c Counts) uint64 { return c.Unknown }},
		{name: "no SYN-ACK", talk: func(k *talk) {
			k.take(true, splice.Segment{Seq: k.isn[0], Flags: splice.SYN, Window: 1, Options: common})
			k.client(0, 0, "ask")
		}, want: NoSYN, count: func(c Counts) uint64 { return c.Outside }},
		{name: "the handshake is not over", talk: func(k *talk) {
			k.take(true, splice.Segment{Seq: k.isn[0], Flags: splice.SYN, Window: 1, Options: common})
			k.take(false, splice.Segment{Seq: k.isn[1], Ack: k.isn[0] + 1, Flags: splice.SYN | splice.ACK, Window: 1, Options: common})
		}, want: NoSYN},
		{name: "the end of the handshake was not heard", talk: func(k *talk) {
			k.take(true, splice.Segment{Seq: k.isn[0], Flags: splice.SYN, Window: k.window, Options: common})
			k.take(false, splice.Segment{Seq: k.isn[1], Ack: k.isn[0] + 1, Flags: splice.SYN | splice.ACK, Window: k.window, Options: common})
			k.server(0, 0, "welcome")
			k.client(0, 7, "thanks")
		}, said: "thanks"},
		{name: "a wrong checksum", talk: func(k *talk) {
			k.open()
			s := k.segment(0, 0, 0, "bogus", nil)
			k.l.Take(k.now, &splice.Packet{From: caller, To: server, Segment: s})
			k.client(0, 0, "sound")
		}, said: "sound", count: func(c Counts) uint64 { return c.Unsound }},
		{name: "behind the window", talk: func(k *talk) {
			k.open().client(60002, 0, "far")
			k.client(0, 0, "near")
		}, said: "near", count: func(c Counts) uint64 { return c.Outside }},
		{name: "in a window that was scaled", talk: func(k *talk) { k.open().server(0, 0, ""); k.client(60002, 0, "far"); k.client(0, 0, big) }, said: big},
		{name: "more than the window without its scale", talk: func(k *talk) { k.open().server(0, 0, ""); k.client(0, 0, big+big+big+big) }, said: big + big + big + big},
		{name: "acknowledges what nobody may have said", talk: func(k *talk) {
			k.open().client(0, 60000<<7+3, "bogus")
			k.client(0, 0, "sound")
		}, said: "sound", count: func(c Counts) uint64 { return c.Outside }},
		{name: "without an acknowledgement", talk: func(k *talk) {
			k.open().take(true, splice.Segment{Seq: k.isn[0] + 1, Data: []byte("bogus")})
		}, count: func(c Counts) uint64 { return c.Outside }},
		{name: "said again", talk: func(k *talk) { k.open().client(0, 0, "ask"); k.client(0, 0, "ask more"); k.client(2, 0, "k mo") }, said: "ask more"},
		{name: "said again otherwise", talk: func(k *talk) { k.open().client(0, 0, "ask"); k.client(0, 0, "ash") }, want: Differs,
			count: func(c Counts) uint64 { return c.Differing }},
		{name: "said otherwise ahead of a gap", talk: func(k *talk) { k.open().client(10, 0, "ask"); k.client(9, 0, "rash") }, want: Differs},
		{name: "the server said otherwise", talk: func(k *talk) { k.open().server(0, 0, "ask"); k.server(0, 0, "ash") }, want: Differs},
		{name: "said otherwise when the server had it", talk: func(k *talk) { k.open().client(0, 0, "ask"); k.server(0, 3, ""); k.client(0, 0, "ash") }, said: "ask",
			count: func(c Counts) uint64 { return c.Differing }},
		{name: "a keepalive with a byte of anything", talk: func(k *talk) { k.open().client(0, 0, "ask"); k.server(0, 3, ""); k.client(2, 0, "\x00") }, said: "ask"},
		{name: "a gap", talk: func(k *talk) { k.open().client(3, 0, "more"); k.server(0, 7, "") }, want: Gap},
		{name: "a gap that is filled", talk: func(k *talk) { k.open().client(3, 0, "more"); k.server(0, 7, ""); k.client(0, 0, "ask") }, said: "askmore"},
		{name: "a gap that nobody fills", talk: func(k *talk) {
			k.open().server(0, 7, "")
			k.now = k.now.Add(grace + 1)
			k.l.Expire(k.now)
			k.client(0, 0, "askmore")
		}, want: Gap, count: func(c Counts) uint64 { return c.Of(Gap) }},
		{name: "a gap in what the server said", talk: func(k *talk) { k.open().server(3, 0, "more"); k.client(0, 7, "ask") }, want: Gap},
		{name: "packets were lost", talk: func(k *talk) { k.open().client(0, 0, "ask"); k.l.Lost() }, want: Lost},
		{name: "packets were lost, and none of this", talk: func(k *talk) { k.open().client(0, 0, "ask"); k.l.Lost(); k.server(0, 3, "answer") }, said: "ask"},
		{name: "the client's word is not enough", talk: func(k *talk) { k.open(); k.l.Lost(); k.client(0, 0, "ask") }, want: Lost},
		{name: "packets were lost, and what was acknowledged comes later", talk: func(k *talk) { k.open(); k.l.Lost(); k.server(0, 3, "answer"); k.client(0, 0, "ask") }, want: Lost},
		{name: "packets were lost, and an answer among them", talk: func(k *talk) { k.open(); k.l.Lost(); k.server(3, 0, "answer") }, want: Lost},
		{name: "an answer said again says nothing of what was lost", talk: func(k *talk) { k.open().server(0, 0, "answer"); k.l.Lost(); k.server(0, 0, "ans") }, want: Lost},
		{name: "packets were lost, and what follows is elsewhere", talk: func(k *talk) { k.open(); k.l.Lost(); k.server(0, 60003<<7, "answer") }, want: Lost,
			count: func(c Counts) uint64 { return c.Of(Lost) }},
		{name: "too much", cfg: Config{PerConnection: 8192}, talk: func(k *talk) { k.open().client(0, 0, big) }, want: TooMuch},
		{name: "too much at once for all", cfg: Config{Memory: 8192}, talk: func(k *talk) { k.open().client(0, 0, big) }, want: Crowded},
		{name: "too old", talk: func(k *talk) {
			k.open().client(0, 0, "ask")
			k.l.Expire(k.now.Add(DefaultAge))
			k.l.Expire(k.now.Add(DefaultAge + 1))
		}, want: TooOld, count: func(c Counts) uint64 { return c.Of(TooOld) }},
		{name: "old, and replayed all along", talk: func(k *talk) {
			k.open().client(0, 0, "ask")
			k.record().Follow(true)
			k.l.Expire(k.now.Add(DefaultAge + 1))
		}, said: "ask"},
		{name: "the client has ended its direction", talk: func(k *talk) { k.open().client(0, 0, "ask", splice.FIN); k.server(0, 4, "answer") }, said: "ask"},
		{name: "an end that is too early", talk: func(k *talk) { k.open().client(0, 0, "ask"); k.client(0, 0, "", splice.FIN) }, want: Differs},
		{name: "more behind the end", talk: func(k *talk) { k.open().client(0, 0, "ask", splice.FIN); k.client(3, 0, "more") }, want: Differs},
		{name: "urgent data", talk: func(k *talk) { k.open().client(0, 0, "ask", splice.URG) }, want: BadOptions},
		{name: "data with the SYN", talk: func(k *talk) {
			k.take(true, splice.Segment{Seq: k.isn[0], Flags: splice.SYN, Options: common, Data: []byte("early")})
		}, want: BadOptions},
		{name: "options that nobody offered", talk: func(k *talk) { k.options = splice.Options{MSS: 1460}; k.open() }, want: BadOptions},
		{name: "acknowledgements that nobody offered", talk: func(k *talk) { k.options.SACK = false; k.open() }, want: BadOptions},
		{name: "timestamps that nobody offered", talk: func(k *talk) { k.agree.Stamped = true; k.open() }, want: BadOptions},
		{name: "options that are not taken up", talk: func(k *talk) { k.agree = splice.Options{MSS: 1460}; k.open().client(0, 0, "ask") }, said: "ask"},
		{name: "a reset elsewhere", talk: func(k *talk) {
			k.open().client(0, 0, "ask")
			k.server(1, 0, "", splice.RST)
			k.client(7, 0, "", splice.RST)
		}, said: "ask"},
		{name: "a SYN that is not answered", talk: func(k *talk) {
			k.open().client(0, 0, "ask")
			k.take(true, splice.Segment{Seq: 5, Flags: splice.SYN, Options: common})
		}, said: "ask"},
		{name: "the same ends anew", talk: func(k *talk) { k.open().client(0, 0, "ask"); k.isn = [2]uint32{5, 6}; k.open().client(0, 0, "anew") }, said: "anew"},
		{name: "anew after it was refused", talk: func(k *talk) {
			k.open().client(0, 0, "ask", splice.URG)
			k.isn = [2]uint32{5, 6}
			k.open().client(0, 0, "anew")
		}, said: "anew"},
	} {
		t.Run(c.name, func(t *testing.T) {
			k := newTalk(t, c.cfg)
			c.talk(k)
			if why := k.refusal(); why != c.want {
				t.Fatalf("refused: %q, want %q", why, c.want)
			}
			if c.want == None && k.said() != c.said {
				t.Errorf("the client said %.40q, want %.40q", k.said(), c.said)
			}
			if c.count != nil && c.count(k.l.Status().Counts) == 0 {
				t.Errorf("not counted: %+v", k.l.Status())
			}
			if r := k.record(); r != nil && r.Memory() != k.l.Status().Memory {
				t.Errorf("all have %d bytes, the only one %d", k.l.Status().Memory, r.Memory())
			}
		})
	}
}

// What is over is not known any more, and has no memory; who has the record sees it.
func TestItIsOver(t *testing.T) {
	for name, talk := range map[string]func(k *talk){
		"both have ended it": func(k *talk) {
			k.client(0, 0, "bye", splice.FIN)
			k.server(0, 4, "bye", splice.FIN)
			k.client(4, 4, "")
		},
		"the server resets it": func(k *talk) { k.client(0, 0, "ask"); k.server(0, 3, "", splice.RST) },
		"the client resets it": func(k *talk) { k.client(0, 0, "", splice.RST) },
		"nobody is protected":  func(k *talk) { k.l.Serve(nil) },
	} {
		k := newTalk(t, Config{})
		k.open()
		r := k.record()
		talk(k)
		if k.record() != nil || r.Refusal() != Closed || k.l.Status().Memory != 0 || k.l.Status().Connections != 0 {
			t.Errorf("%s: %v, %v, %+v", name, k.record(), r.Refusal(), k.l.Status())
		}
		if r.Server.Matches(0, []byte("bye")) || r.Client.ReadAt(make([]byte, 3), 0) != 0 {
			t.Errorf("%s: it has something to read", name)
		}
	}
}

// What is said of either end.
func TestWhatIsKnownOfTheEnds(t *testing.T) {
	k := newTalk(t, Config{}).open()
	k.client(0, 0, "question", splice.FIN)
	k.server(0, 8, "answer")
	k.client(9, 3, "")
	r := k.record()
	c, s := &r.Client, &r.Server
	if c.ISN() != k.isn[0] || s.ISN() != k.isn[1] || c.Options() != common || s.Options() != common {
		t.Errorf("%+v %+v", c, s)
	}
	if c.Len() != 8 || c.Acked() != 8 || !c.FIN() || s.Len() != 6 || s.Acked() != 3 || s.FIN() || s.Kept() != 0 || r.Began() != start {
		t.Errorf("the client has %d, %d, %v, the server %d, %d, %v, %d", c.Len(), c.Acked(), c.FIN(), s.Len(), s.Acked(), s.FIN(), s.Kept())
	}
	if b := make([]byte, 9); s.ReadAt(b, 2) != 4 || string(b[:4]) != "swer" || c.ReadAt(b, 6) != 2 || string(b[:2]) != "on" {
		t.Errorf("read %q", b)
	}
	for _, m := range []struct {
		off  uint64
		p    string
		want bool
	}{{0, "answer", true}, {2, "swer and more", true}, {2, "swet", false}, {6, "anything", true}, {0, "b", false}} {
		if got := s.Matches(m.off, []byte(m.p)); got != m.want {
			t.Errorf("%q at %d: %v", m.p, m.off, got)
		}
	}
	if r.Forget(5); c.Trimmed() != 5 || c.ReadAt(make([]byte, 9), 4) != 0 {
		t.Errorf("trimmed to %d", c.Trimmed())
	}
	if r.Forget(100); c.Trimmed() != 8 {
		t.Errorf("trimmed to %d, more than was said", c.Trimmed())
	}
}

// What the server has not acknowledged is not forgotten.
func TestForgetKeepsWhatIsNotAcknowledged(t *testing.T) {
	k := newTalk(t, Config{}).open()
	k.client(0, 0, "question")
	if k.record().Forget(8); k.said() != "question" {
		t.Errorf("kept %q", k.said())
	}
}

// Old output is compared by digests, and what was compared need not be kept.
func TestOldOutputIsCompared(t *testing.T) {
	k := newTalk(t, Config{}).open()
	all := noise(rand.New(rand.NewPCG(1, 2)), 10*ChunkSize+100)
	for off := 0; off < len(all); off += 1000 {
		end := min(off+1000, len(all))
		k.server(uint64(off), 0, string(all[off:end]))
		k.client(0, uint64(end), "")
	}
	r := k.record()
	if s := &r.Server; s.Kept() != 10*ChunkSize || !s.Matches(0, all) || r.Memory() != recordCost+ChunkSize+10*digestCost {
		t.Errorf("kept from %d, %d bytes", s.Kept(), r.Memory())
	}
	for at := range all {
		if at%97 != 0 && at < 10*ChunkSize {
			continue
		}
		all[at] ^= 0x80
		n, ok := new(Check).Next(&r.Server, all)
		if ok || n > at/ChunkSize*ChunkSize+ChunkSize {
			t.Errorf("a byte that differs at %d is found at %d, %v", at, n, !ok)
		}
		if whole := at / ChunkSize * ChunkSize; r.Server.Matches(uint64(whole), all[whole:]) {
			t.Errorf("a byte that differs at %d matches", at)
		}
		all[at] ^= 0x80
	}
	was := r.Memory()
	if r.ForgetOutput(4*ChunkSize + 5); r.Memory() != was-4*digestCost || !r.Server.Matches(0, all) {
		t.Errorf("%d bytes, %d before", r.Memory(), was)
	}
	all[0] ^= 1
	if !r.Server.Matches(0, all[:ChunkSize]) {
		t.Error("what was forgotten is compared")
	}
	all[4*ChunkSize] ^= 1
	if r.Server.Matches(0, all) {
		t.Error("what was not forgotten is not compared")
	}
}

// The bounds hold whatever comes, and the oldest goes first.
func TestBounds(t *testing.T) {
	cfg := Config{Memory: 1 << 20, PerConnection: 64 << 10}
	k := newTalk(t, cfg)
	for i := range 200 {
		k.ends.Client = netip.AddrPortFrom(caller.Addr(), uint16(1000+i))
		k.now = k.now.Add(time.Millisecond)
		k.open().client(0, 0, strings.Repeat("y", 50000))
		if st := k.l.Status(); st.Memory > cfg.Memory+int(st.Of(Crowded))*recordCost {
			t.Fatalf("%d bytes after %d connections", st.Memory, i+1)
		}
	}
	st := k.l.Status()
	if st.Connections < 15 || st.Connections+int(st.Of(Crowded)) != 200 {
		t.Errorf("%+v", st)
	}
	oldest := 0
	for i := range 200 {
		r := k.l.Record(splice.Ends{Server: server, Client: netip.AddrPortFrom(caller.Addr(), uint16(1000+i))})
		if good := r != nil && r.Refusal() == None; good != (i >= 200-st.Connections) {
			t.Errorf("connection %d: %v, with %d kept", i, good, st.Connections)
		} else if !good {
			oldest++
		}
	}
	if oldest == 0 {
		t.Error("nobody made room")
	}
	// A flood of SYNs displaces none.
	for i := range 3 * maxOpening {
		k.take(true, splice.Segment{Flags: splice.SYN, Options: common})
		k.ends.Client = netip.AddrPortFrom(netip.AddrFrom4([4]byte{198, 51, byte(i >> 8), byte(i)}), 1)
	}
	if now := k.l.Status(); now.Opening > maxOpening || now.Memory > cfg.Memory+(maxOpening+maxRefused)*recordCost {
		t.Errorf("%+v", now)
	}
	n := 0
	for r := range k.l.Records() {
		if r.Refusal() == None {
			n++
		}
	}
	if n != st.Connections {
		t.Errorf("%d of %d connections are left after a flood", n, st.Connections)
	}
}

// Pieces ahead of what is missing have a bound; the rest has to be said again.
func TestPieces(t *testing.T) {
	k := newTalk(t, Config{}).open()
	k.server(0, 0, "")
	for i := range uint64(2 * maxAhead) {
		k.client(1+2*i, 0, "x")
	}
	if n := k.l.Status().Scattered; n != maxAhead {
		t.Errorf("%d pieces were left out", n)
	}
	k.client(0, 0, strings.Repeat("x", 4*maxAhead))
	if why := k.refusal(); why != None || len(k.said()) != 4*maxAhead {
		t.Errorf("%v, %d bytes", why, k.record().Client.Len())
	}
}

// The steady state of a connection that is trimmed, or whose client listens, allocates nothing.
func TestNothingIsAllocated(t *testing.T) {
	k := newTalk(t, Config{}).open()
	ask, answer := make([]byte, 200), make([]byte, 1448)
	var off, ack uint64
	step := func() {
		s := k.segment(0, off, ack, "", nil)
		s.Data = ask
		k.take(true, s)
		off += uint64(len(ask))
		s = k.segment(1, ack, off, "", nil)
		s.Data = answer
		k.take(false, s)
		ack += uint64(len(answer))
		k.record().Forget(off)
		k.record().ForgetOutput(ack)
	}
	for range 100 {
		step()
	}
	if n := testing.AllocsPerRun(2000, step); n != 0 {
		t.Errorf("%v allocations for two segments", n)
	}
	if why := k.refusal(); why != None {
		t.Error(why)
	}
}

// None of them may pass for a connection that can be moved.
func TestReasonsOfMoves(t *testing.T) {
	seen := map[string]bool{}
	for _, r := range Reasons() {
		if s := r.String(); s == "" || seen[s] {
			t.Errorf("reason %d is called %q", r, s)
		}
		if seen[r.String()] = true; r.Move() == splice.None {
			t.Errorf("%v is no reason to a move", r)
		}
	}
	if None.Move() != splice.None {
		t.Errorf("what can be replayed is refused: %v", None.Move())
	}
}
