package session

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"fmt"
	"os"
	"strings"
	"testing"
)

// A conversation is all that two nodes say on one connection, from the sender's
// hello to its giving a group up, as a file: testdata/wire. It is made of steps;
// what is decided elsewhere (that a flow begins, that a node is Active) is the same
// whenever it is played.
//
//	# a name of a step
//	> TYPE HEX     a frame of the sender, its header included
//	< TYPE HEX     a frame of the receiver
//	= RECORD       a session that the receiver has at the end of the step
//
// Frames of one direction that follow each other were written together.

// step is one of them. begin is done before anything is said.
type step struct {
	name  string
	begin func(*pair)
}

// talks are the flows of a conversation: each kind that has something of its own on
// the wire.
func talks() []Record {
	tcp := snat(1)
	tcp.Mark = 7

	udp := snat(2)
	udp.Proto, udp.TCP, udp.Timeout = protoUDP, TCP{}, 120
	udp.Labels[3] = 0x40

	echo := snat(3)
	echo.Proto, echo.TCP, echo.Timeout = protoICMP, TCP{}, 30
	echo.DstPort, echo.ReplySrcPort, echo.ReplyDstPort = 0x0800, 4711, 0

	sctp := snat(4)
	sctp.Family, sctp.Proto, sctp.TCP = 6, protoSCTP, TCP{}
	sctp.Src, sctp.Dst = Addr{0: 0xfd, 15: 9}, Addr{0: 0x20, 1: 1, 15: 7}
	sctp.ReplySrc, sctp.ReplyDst = sctp.Dst, AddrFrom(vip6)
	sctp.SCTP = SCTP{State: SCTPEstablished, VTagOrig: 0x01020304, VTagReply: 0xfffefdfc}

	ftp := snat(5)
	ftp.DstPort, ftp.ReplySrcPort = 21, 21
	ftp.Helper = NameFrom("ftp")
	ftp.SeqAdj[0] = SeqAdj{CorrectionPos: 1000, OffsetBefore: 0, OffsetAfter: 4}

	data := snat(6)
	data.Src, data.Status = ftp.Src, data.Status|StatusExpected
	data.Master = ftp.Key

	gre := snat(7)
	gre.Proto, gre.TCP, gre.Zone = protoGRE, TCP{}, 5
	gre.SrcPort, gre.DstPort, gre.ReplySrcPort, gre.ReplyDstPort = 1, 2, 2, 1
	return []Record{tcp, udp, echo, sctp, ftp, data, gre}
}

// announced is a flow that the FTP connection of talks expects.
func announced() Expect {
	ftp := talks()[4]
	return Expect{Key: Key{Src: ftp.Dst, Dst: AddrFrom(vip), DstPort: 2001, Proto: protoTCP, Family: 4},
		NAT: true, NATDir: 1, NATAddr: ftp.Src, NATPort: 2001, Timeout: 300,
		Helper: NameFrom("ftp"), Fn: FnFrom("nat-follow-master")}
}

// forget makes the receiver lose one of talks, if it is played.
func (p *pair) forget(n int) {
	if s, ok := p.tb.Lookup(&talks()[n].Key); ok {
		p.tb.Delete(s, 0, p.now)
	}
}

// firstSteps are those of the first version.
func firstSteps() []step {
	return []step{
		{"hello, and a full transfer", func(p *pair) {
			p.ga.Activate(0, 3)
			for _, r := range talks() {
				p.upsert(&r)
			}
			s, _ := p.ta.Lookup(&talks()[4].Key)
			p.ta.SetExpects(s, []Expect{announced()})
			p.s.Connect(p.now)
			p.r.Connect(p.now)
		}},
		{"a flow closes, another ends", func(p *pair) {
			r := talks()[0]
			r.TCP.State = TCPFinWait
			p.upsert(&r)
			p.delete(&talks()[1].Key)
		}},
		{"a sign of life", func(p *pair) { p.now = p.now.Add(PingEvery) }},
		{"an audit", func(p *pair) { p.now = p.now.Add(AuditEvery) }},
		{"an audit that finds a difference", func(p *pair) {
			p.forget(2)
			p.now = p.now.Add(AuditEvery)
		}},
	}
}

// lastSteps end a conversation.
func lastSteps() []step {
	return []step{
		{"the sender is Active no more", func(p *pair) {
			p.ga.Deactivate(0)
			p.s.Announce(1)
		}},
		{"what it has kept", func(p *pair) {
			p.gb.Activate(0, 4)
			p.gb.SetIncomplete(0, true)
			p.r.Abandon(0)
			p.forget(0)
			p.r.AskKept(0)
		}},
	}
}

// turn is what one side writes at once.
type turn struct {
	sender bool
	frames [][]byte
}

// recorded is a step as it is in a file.
type recorded struct {
	name  string
	turns []turn
	dump  string
}

// play has two nodes say all of it.
func play(t testing.TB, steps []step) (out []recorded) {
	t.Helper()
	p := newPair()
	p.buf = make([]byte, 0, 16<<10)
	for _, st := range steps {
		rec := recorded{name: st.name}
		st.begin(p)
		for range 100 {
			said := false
			if b := split(t, p.s.Fill(p.now, p.buf[:0])); len(b) > 0 {
				rec.turns, said = append(rec.turns, turn{true, b}), true
				hear(t, p, b)
			}
			if b := split(t, p.r.Reply(nil)); len(b) > 0 {
				rec.turns, said = append(rec.turns, turn{false, b}), true
				answered(t, p, b)
			}
			if surveying(p) {
				said = true
			}
			if !said {
				break
			}
		}
		rec.dump = p.tb.Dump()
		out = append(out, rec)
	}
	return out
}

// hear gives frames to the receiver of p, and its kernel what it is told.
func hear(t testing.TB, p *pair, frames [][]byte) {
	t.Helper()
	for _, f := range frames {
		if err := p.r.Handle(p.now, Type(f[1]), f[HeaderLen:]); err != nil {
			t.Fatalf("%v: %v", Type(f[1]), err)
		}
		sweepAll(p)
	}
	p.install()
}

// answered gives frames to the sender of p.
func answered(t testing.TB, p *pair, frames [][]byte) {
	t.Helper()
	for _, f := range frames {
		if err := p.s.Handle(p.now, Type(f[1]), f[HeaderLen:]); err != nil {
			t.Fatalf("%v: %v", Type(f[1]), err)
		}
	}
}

func split(t testing.TB, b []byte) (frames [][]byte) {
	t.Helper()
	b = bytes.Clone(b)
	for len(b) > 0 {
		h, err := ParseHeader(b)
		if err != nil || len(b) < HeaderLen+h.Length {
			t.Fatalf("%v: %x", err, b)
		}
		frames = append(frames, b[:HeaderLen+h.Length])
		b = b[HeaderLen+h.Length:]
	}
	return frames
}

// writeConversation writes the file's form.
func writeConversation(title string, steps []recorded) []byte {
	var b bytes.Buffer
	for _, line := range strings.Split(title, "\n") {
		fmt.Fprintf(&b, "; %s\n", line)
	}
	for _, st := range steps {
		fmt.Fprintf(&b, "\n# %s\n", st.name)
		for _, tn := range st.turns {
			for _, f := range tn.frames {
				fmt.Fprintf(&b, "%c %v %x\n", map[bool]byte{true: '>', false: '<'}[tn.sender], Type(f[1]), f)
			}
		}
		for _, line := range strings.Split(strings.TrimSuffix(st.dump, "\n"), "\n") {
			if line != "" {
				fmt.Fprintf(&b, "= %s\n", line)
			}
		}
	}
	return b.Bytes()
}

// readConversation reads what writeConversation wrote.
func readConversation(t testing.TB, path string) (out []recorded) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	in := bufio.NewScanner(bytes.NewReader(b))
	in.Buffer(nil, 1<<20)
	for n := 1; in.Scan(); n++ {
		line := in.Text()
		if line == "" || line[0] == ';' {
			continue
		}
		kind, rest, _ := strings.Cut(line, " ")
		if kind == "#" {
			out = append(out, recorded{name: rest})
			continue
		}
		st := &out[len(out)-1]
		switch kind {
		case "=":
			st.dump += rest + "\n"
		case ">", "<":
			name, digits, _ := strings.Cut(rest, " ")
			f, err := hex.DecodeString(digits)
			if err != nil || len(f) < HeaderLen || Type(f[1]).String() != name {
				t.Fatalf("%s:%d: %v", path, n, err)
			}
			if k := len(st.turns); k == 0 || st.turns[k-1].sender != (kind == ">") {
				st.turns = append(st.turns, turn{sender: kind == ">"})
			}
			tn := &st.turns[len(st.turns)-1]
			tn.frames = append(tn.frames, f)
		default:
			t.Fatalf("%s:%d: %q", path, n, line)
		}
	}
	if len(out) == 0 {
		t.Fatalf("%s is empty", path)
	}
	return out
}
