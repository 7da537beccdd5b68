package heartbeat

import (
	"bytes"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func key(t testing.TB, secret, server string) Key {
	t.Helper()
	k, err := NewKey([]byte(secret), server)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func beat(incarnation, sequence uint64, at time.Duration) Message {
	return Message{Kind: Beat, Incarnation: incarnation, Sequence: sequence, Time: epoch.Add(at), Interval: time.Second, Name: "web1"}
}

// What is written is read again.
func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := Message{
			Kind:    Kind(rapid.IntRange(1, 3).Draw(t, "kind")),
			Failing: rapid.Bool().Draw(t, "failing"), Leaving: rapid.Bool().Draw(t, "leaving"),
			Incarnation: rapid.Uint64Min(1).Draw(t, "incarnation"), Sequence: rapid.Uint64().Draw(t, "sequence"),
			Time: time.Unix(0, rapid.Int64().Draw(t, "time")),
			Name: rapid.StringMatching(`[a-z0-9.-]{1,63}`).Draw(t, "name"),
		}
		if m.Kind == Beat {
			m.Interval = time.Duration(rapid.Uint32Min(1).Draw(t, "interval")) * time.Microsecond
		} else {
			m.Nonce = rapid.Uint64Min(1).Draw(t, "nonce")
		}
		k, err := NewKey([]byte("secret"), m.Name)
		if err != nil {
			t.Fatal(err)
		}
		b := Append([]byte("before"), m, k)[len("before"):]
		if len(b) < MinSize || len(b) > MaxSize {
			t.Fatalf("%d octets", len(b))
		}
		got, reason := Parse(b)
		if reason != ReasonNone || got != m {
			t.Fatalf("%v: got %+v, want %+v", reason, got, m)
		}
		if !k.Fits(b) {
			t.Fatal("its own code does not fit")
		}
		// No octet can be another one.
		i := rapid.IntRange(0, len(b)-1).Draw(t, "octet")
		b[i] ^= byte(rapid.IntRange(1, 255).Draw(t, "change"))
		if k.Fits(b) {
			t.Fatalf("octet %d was changed, and the code fits", i)
		}
	})
}

func TestParseRefuses(t *testing.T) {
	k := key(t, "secret", "web1")
	good := Append(nil, beat(1, 1, 0), k)
	ask := Append(nil, Message{Kind: Ask, Incarnation: 1, Nonce: 7, Time: epoch, Name: "web1"}, k)
	change := func(b []byte, at int, to byte) []byte {
		b = bytes.Clone(b)
		b[at] = to
		return b
	}
	for _, tt := range []struct {
		name string
		b    []byte
		want Reason
	}{
		{"a beat", good, ReasonNone},
		{"a question", ask, ReasonNone},
		{"nothing", nil, ReasonFormat},
		{"another protocol's", []byte(strings.Repeat("x", 70)), ReasonFormat},
		{"another version", change(good, 3, 2), ReasonFormat},
		{"kind 0", change(good, 4, 0), ReasonFormat},
		{"kind 4", change(good, 4, 4), ReasonFormat},
		{"a flag that nobody knows", change(good, 5, 4), ReasonFormat},
		{"something where nothing is", change(good, 7, 1), ReasonFormat},
		{"no incarnation", Append(nil, beat(0, 1, 0), k), ReasonFormat},
		{"a beat with a nonce", change(good, 31, 1), ReasonFormat},
		{"a question without", change(ask, 31, 0), ReasonFormat},
		{"a beat without an interval", Append(nil, Message{Kind: Beat, Incarnation: 1, Time: epoch, Name: "a"}, k), ReasonFormat},
		{"cut off", good[:len(good)-1], ReasonLength},
		{"too long", append(bytes.Clone(good), 0), ReasonLength},
		{"a name that is not there", change(good, 6, 0), ReasonLength},
		{"a name beyond the end", change(good, 6, 63), ReasonLength},
		{"the magic alone", good[:4], ReasonLength},
	} {
		if _, got := Parse(tt.b); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}

func TestKeysAreOfOneServerAndOneSecret(t *testing.T) {
	b := Append(nil, beat(1, 1, 0), key(t, "secret", "web1"))
	for _, k := range []Key{key(t, "secret", "web2"), key(t, "secret2", "web1"), {}} {
		if k.Fits(b) {
			t.Errorf("%x fits", k[:4])
		}
	}
	if k := key(t, "secret", "web1"); k.String() != "(key)" || k.GoString() != "(key)" {
		t.Error("a key shows itself")
	}
}

func TestAdmit(t *testing.T) {
	for _, tt := range []struct {
		name  string
		now   time.Duration
		m     Message
		want  Reason
		fresh bool // of a gateway that has heard nothing
	}{
		{"the first", 0, beat(7, 1, 0), ReasonNone, true},
		{"the first, of any number", 0, beat(7, 99, 0), ReasonNone, true},
		{"the first, from long ago", Window + 1, beat(7, 1, 0), ReasonTime, true},
		{"the first, of a clock that is ahead", 0, beat(7, 1, Window+1), ReasonTime, true},
		{"the next", 11 * time.Second, beat(7, 11, 11*time.Second), ReasonNone, false},
		{"the same again", 10 * time.Second, beat(7, 10, 10*time.Second), ReasonReplay, false},
		{"an older one", 10 * time.Second, beat(7, 9, 9*time.Second), ReasonReplay, false},
		{"a new number of old time", 30 * time.Second, beat(7, 11, 11*time.Second), ReasonTime, false},
		{"a server that was restarted", 11 * time.Second, beat(8, 1, 11*time.Second), ReasonNone, false},
		{"a former life of it", 11 * time.Second, beat(6, 500, 9*time.Second), ReasonReplay, false},
		{"a question", 11 * time.Second, Message{Kind: Ask, Incarnation: 7, Sequence: 11, Time: epoch.Add(11 * time.Second)}, ReasonKind, false},
	} {
		var p Peer
		if !tt.fresh {
			if got := p.Admit(epoch.Add(10*time.Second), beat(7, 10, 10*time.Second)); got != ReasonNone {
				t.Fatal(got)
			}
		}
		before := p
		if got := p.Admit(epoch.Add(tt.now), tt.m); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
		if tt.want != ReasonNone && p != before {
			t.Errorf("%s: what was refused was remembered", tt.name)
		}
	}
}

// Whatever was recorded of a server's lives, in whatever order it is played: each
// beat is admitted once at most, and none after a later one.
func TestNothingIsAdmittedTwice(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var recorded []Message
		at := time.Duration(0)
		for life := range rapid.IntRange(1, 4).Draw(t, "lives") {
			for n := range rapid.IntRange(1, 5).Draw(t, "beats") {
				at += time.Duration(rapid.IntRange(1, 3000).Draw(t, "pause")) * time.Millisecond
				recorded = append(recorded, beat(uint64(1000+life*7%5), uint64(n+1), at))
			}
		}
		var p Peer
		var last time.Time
		admitted := map[int]bool{}
		for range rapid.IntRange(1, 40).Draw(t, "plays") {
			i := rapid.IntRange(0, len(recorded)-1).Draw(t, "which")
			now := epoch.Add(time.Duration(rapid.IntRange(0, 40000).Draw(t, "now")) * time.Millisecond)
			if p.Admit(now, recorded[i]) != ReasonNone {
				continue
			}
			if admitted[i] {
				t.Fatalf("beat %d a second time", i)
			}
			admitted[i] = true
			if m := recorded[i]; m.Time.Before(last) {
				t.Fatalf("beat %d of %v after one of %v", i, m.Time, last)
			} else {
				last = m.Time
			}
		}
	})
}

func TestAnswers(t *testing.T) {
	ask := Message{Kind: Ask, Incarnation: 1, Sequence: 3, Nonce: 77, Time: epoch, Name: "web1"}
	answer, reason := Respond(epoch, ask, 5, true)
	if reason != ReasonNone || !answer.Failing || Answers(ask, answer) != ReasonNone {
		t.Fatalf("%v: %+v", reason, answer)
	}
	if _, reason := Respond(epoch, answer, 5, false); reason != ReasonKind {
		t.Errorf("an answer is answered: %v", reason)
	}
	for name, change := range map[string]func(*Message){
		"to another question": func(m *Message) { m.Nonce++ },
		"to an older one":     func(m *Message) { m.Sequence-- },
		"of another server":   func(m *Message) { m.Name = "web2" },
		"the question itself": func(m *Message) { *m = ask },
	} {
		other := answer
		change(&other)
		if Answers(ask, other) == ReasonNone {
			t.Errorf("%s is taken", name)
		}
	}
	k := key(t, "secret", "web1")
	if a, b := len(Append(nil, ask, k)), len(Append(nil, answer, k)); a < b {
		t.Errorf("an answer of %d octets to a question of %d", b, a)
	}
}

func TestReasonsHaveNames(t *testing.T) {
	var d Drops
	for r := ReasonFormat; r < reasonCount; r++ {
		d.Add(r)
		if r.String() == "" {
			t.Errorf("reason %d has no name", r)
		}
	}
	d.Add(reasonCount)
	m := d.Map()
	if len(m) != int(reasonCount)-1 {
		t.Errorf("%v", m)
	}
	for name, n := range m {
		if n != 1 {
			t.Errorf("%s: %d", name, n)
		}
	}
}

// FuzzMessage: what is accepted is written again as it was.
func FuzzMessage(f *testing.F) {
	k := key(f, "secret", "web1")
	f.Add(Append(nil, beat(1, 1, 0), k))
	f.Add(Append(nil, Message{Kind: Ask, Incarnation: 1, Nonce: rand.Uint64() | 1, Time: epoch, Name: "a"}, k))
	f.Add(Append(nil, Message{Kind: Answer, Failing: true, Leaving: true, Incarnation: 1, Nonce: 5, Time: epoch, Name: strings.Repeat("n", MaxName)}, k))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, reason := Parse(b)
		if reason != ReasonNone {
			if m != (Message{}) {
				t.Fatalf("refused, and has %+v", m)
			}
			return
		}
		again := Append(nil, m, k)
		if n := len(b) - codeSize; !bytes.Equal(again[:n], b[:n]) {
			t.Fatalf("%x\n%x", b, again)
		}
		if !k.Fits(again) || k.Fits(b) != bytes.Equal(b, again) {
			t.Fatal("the code")
		}
	})
}
