package session

import (
	"bytes"
	goflag "flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var rewrite = goflag.Bool("rewrite", false, "write the recorded conversation of this version anew; read the diff")

func sweepAll(p *pair) {
	for p.r.Sweep(p.now) {
	}
}

// surveying goes on with the survey of p as its owner does.
func surveying(p *pair) bool {
	if p.survey == nil {
		return false
	}
	was := p.survey.phase
	for p.survey.Step(1) {
	}
	return was != p.survey.phase
}

const (
	wireDir   = "testdata/wire"
	todayTxt  = "today.txt"
	beforeTxt = "before.txt" // version N-1, frozen: it is not written anew
)

// steps are those of this version.
func steps() []step {
	return slices.Concat(firstSteps(), []step{
		{"a survey, and what is in question", func(p *pair) {
			p.forget(3)
			v, err := p.s.Survey(1)
			if err != nil {
				panic(err)
			}
			p.survey = v
		}},
		{"a flow that is outside the receiver's addresses", func(p *pair) {
			r := snat(99)
			r.ReplyDst[3]++
			p.upsert(&r)
		}},
		{"it ends", func(p *pair) {
			r := snat(99)
			p.delete(&r.Key)
		}},
		{"a flow that outlives its server rests", func(p *pair) {
			s, _ := p.ta.Lookup(&talks()[0].Key)
			p.ta.SetStand(s, Stand{Mode: ByPosition, Known: true, End: 0x11121314, Acked: 0x21222324, Window: 0x3132})
			p.ta.Mark(s, p.s.Sink(), p.now)
		}},
		{"how do you stand?", func(p *pair) { p.r.Look() }},
		{"well", func(p *pair) { p.s.Show([]byte("well")) }},
	}, lastSteps())
}

// The conversation of this version is what it was when it was recorded, byte by
// byte: docs/session-protocol.md is about these bytes.
func TestConversationOfToday(t *testing.T) {
	got := writeConversation("What this version says. Written by `go test -run TestConversationOfToday -rewrite`;\nsee conversation_test.go for the form, docs/session-protocol.md for the meaning.", play(t, steps()))
	path := filepath.Join(wireDir, todayTxt)
	if *rewrite {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("the conversation has changed: what peers of the last version hear is another. got\n%s", got)
	}
	have := map[Type]bool{}
	for _, st := range readConversation(t, path) {
		for _, tn := range st.turns {
			for _, f := range tn.frames {
				have[Type(f[1])] = true
			}
		}
	}
	for typ := range 256 {
		if name := Type(typ).String(); !strings.HasPrefix(name, "type ") && !have[Type(typ)] && Type(typ) != TypeMove { // of connections, see move_test.go
			t.Errorf("no frame of type %s is in it", name)
		}
	}
}

// Case 55, version N-1 sends and N receives: what was recorded of it makes the same
// table here, and it is answered with nothing that it would refuse.
func TestCase55ReceiverOfTheLastVersionsFrames(t *testing.T) {
	p := newPair()
	st := append(firstSteps(), lastSteps()...)
	for i, rec := range readConversation(t, filepath.Join(wireDir, beforeTxt)) {
		if rec.name != st[i].name {
			t.Fatalf("step %q, want %q", rec.name, st[i].name)
		}
		st[i].begin(p)
		for _, tn := range rec.turns {
			if tn.sender {
				hear(t, p, tn.frames)
				continue
			}
			said := split(t, p.r.Reply(nil))
			var plain [][]byte
			for _, f := range said {
				switch typ := Type(f[1]); typ {
				case TypeHello:
					plain = append(plain, asBefore(t, f))
				case TypeAck, TypeResync, TypePong:
					plain = append(plain, f)
				default:
					if typ&critical != 0 {
						t.Errorf("%s: a %v that the last version would hang up on", rec.name, typ)
					}
				}
			}
			if !slices.EqualFunc(plain, tn.frames, bytes.Equal) {
				t.Errorf("%s: answered\n%x\nas before\n%x", rec.name, plain, tn.frames)
			}
		}
		if got := p.tb.Dump(); got != rec.dump {
			t.Errorf("%s: the table is\n%swant\n%s", rec.name, got, rec.dump)
		}
	}
}

// Case 55, version N sends and N-1 receives: fed with its recorded answers, this
// version says what the last one said, but for what that skips.
func TestCase55SenderToTheLastVersion(t *testing.T) {
	p := newPair()
	st := append(firstSteps(), lastSteps()...)
	for i, rec := range readConversation(t, filepath.Join(wireDir, beforeTxt)) {
		st[i].begin(p)
		for _, tn := range rec.turns {
			if !tn.sender {
				answered(t, p, tn.frames)
				continue
			}
			said := split(t, p.s.Fill(p.now, p.buf[:0]))
			var plain [][]byte
			for k, f := range said {
				switch typ := Type(f[1]); {
				case typ == TypeHello:
					plain = append(plain, asBefore(t, f))
				case typ == TypePing: // it has grown at its end
					was := tn.frames[min(k, len(tn.frames)-1)]
					if !bytes.HasPrefix(f[HeaderLen:], was[HeaderLen:]) {
						t.Errorf("%s: %x, was %x", rec.name, f, was)
					}
					plain = append(plain, was)
				case typ&^critical <= TypeKept&^critical:
					plain = append(plain, f)
				case typ&critical != 0 || typ.counted():
					t.Errorf("%s: a %v that the last version does not know", rec.name, typ)
				}
			}
			if !slices.EqualFunc(plain, tn.frames, bytes.Equal) {
				t.Errorf("%s: said\n%x\nas before\n%x", rec.name, plain, tn.frames)
			}
		}
		if b := p.s.Fill(p.now, p.buf[:0]); len(b) > 0 {
			t.Errorf("%s: and says %x", rec.name, b)
		}
	}
}

// asBefore takes out of a hello what the first version did not say: it skips it.
func asBefore(t *testing.T, f []byte) []byte {
	t.Helper()
	h, err := ParseHello(f[HeaderLen:])
	if err != nil {
		t.Fatal(err)
	}
	return AppendHello(nil, &Hello{Node: h.Node, Boot: h.Boot, Config: h.Config, Groups: h.Groups})
}
