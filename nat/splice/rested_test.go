package splice

import (
	"fmt"
	"maps"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// A position that another gateway has told may be old. The connection goes on if the client shows that
// it is not, and is refused otherwise.
func TestTold(t *testing.T) {
	told := answered()
	told.Position.Told = true
	end := wrap(deadISN + 501)
	ask := func(b *bench) { b.tick(); b.tick(); b.tick() }
	request := Segment{Seq: acked, Ack: end, Flags: ACK | PSH, Data: []byte("GET")}
	after := Segment{Seq: acked + 3, Ack: end, Flags: ACK}
	for _, row := range []struct {
		name string
		do   func(b *bench)
		want Reason
	}{
		{"OK it has said no more", func(b *bench) { b.client(heard()); b.client(heard()) }, None},
		{"it said so once, and that may have been a keepalive", func(b *bench) { b.client(heard()); b.client(after); ask(b) }, Stale},
		{"OK it says what follows", func(b *bench) { b.client(request) }, None},
		{"OK it has said more, and says it again", func(b *bench) { b.client(after); b.client(request) }, None},
		{"OK it has said its last word, which nobody has heard", func(b *bench) { b.client(Segment{Seq: acked, Ack: end, Flags: ACK | FIN}) }, None},
		{"it has said more, and that was acknowledged", func(b *bench) { b.client(after); ask(b) }, Stale},
		{"a keepalive, of one byte, after one byte", func(b *bench) { b.client(Segment{Seq: acked, Ack: end, Flags: ACK, Data: []byte{0}}); ask(b) }, Stale},
		{"it has heard more", func(b *bench) { s := after; s.Ack++; b.client(s) }, Stale},
		{"it has heard more, and said no more", func(b *bench) { s := heard(); s.Ack++; b.client(s) }, Stale},
		{"it has heard less", func(b *bench) { s := heard(); s.Ack--; b.client(s); ask(b) }, Unacknowledged},
		{"it says nothing", ask, ClientSilent},
	} {
		b := newBench(t, told)
		row.do(b)
		opened := len(b.out.ToServer) == 1 && b.out.ToServer[0].Flags == SYN && b.out.ToServer[0].Seq == acked-1
		if b.out.Refused != row.want || opened != (row.want == None) {
			t.Errorf("%s: %+v, want %q", row.name, b.out, row.want)
		}
	}
}

// Whatever was said and heard since a position was told: a connection is opened at a new server only
// where the client goes on, and has all that was said.
func TestToldIsNeverBelieved(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cfg := answered()
		cfg.Position.Told = true
		end := wrap(deadISN + 501)
		una, next, has := uint32(acked), uint32(acked), end // of the client
		for range rapid.IntRange(0, 4).Draw(t, "steps") {
			n := uint32(rapid.IntRange(1, 3).Draw(t, "bytes"))
			switch rapid.SampledFrom([]string{"ask", "acknowledge", "answer"}).Draw(t, "step") {
			case "ask":
				next += n
			case "acknowledge":
				una += rapid.Uint32Range(0, next-una).Draw(t, "of it")
			case "answer":
				una, has = next, has+n
			}
		}
		m := New(cfg)
		m.Step(start, Input{Kind: InStart})
		kept := false // at a time a client keeps alive once
		for range rapid.IntRange(1, 6).Draw(t, "segments") {
			var s Segment
			switch rapid.SampledFrom([]string{"answer", "again", "keepalive"}).Draw(t, "segment") {
			case "answer":
				s = Segment{Seq: next, Ack: has, Flags: ACK}
			case "again":
				s = Segment{Seq: una, Ack: has, Flags: ACK, Data: make([]byte, rapid.Uint32Range(0, next-una).Draw(t, "size"))}
				if len(s.Data) == 0 {
					s.Seq = next
				}
			case "keepalive":
				if una != next || kept {
					continue // it has something to say
				}
				kept = true
				s = Segment{Seq: next - 1, Ack: has, Flags: ACK, Data: make([]byte, rapid.IntRange(0, 1).Draw(t, "garbage"))}
			}
			out := m.Step(start, Input{Kind: InClient, Segment: &s})
			if out.Refused != None {
				return
			}
			for _, syn := range out.ToServer {
				if una != acked || has != end || syn.Seq != acked-1 {
					t.Fatalf("opened at %d by %+v: the client goes on at %d, and lacks %d", syn.Seq+1, s, una, int32(end-has))
				}
				return
			}
		}
	})
}

func TestRested(t *testing.T) {
	server, client := netip.MustParseAddrPort("10.0.0.21:8080"), netip.MustParseAddr("192.0.2.9")
	var n Notes
	ends := func(i int) Ends {
		return Ends{Server: server, Client: netip.AddrPortFrom(client, uint16(i))}
	}
	say := func(flags Flags, seq uint32, of ...int) {
		for _, i := range of {
			n.Note(AppendPacket(nil, server, ends(i).Client, &Segment{Seq: seq, Ack: 1, Flags: flags}))
		}
	}
	wants := func(when string, most int, want ...int) {
		t.Helper()
		var got []int
		for _, r := range n.Rested(most) {
			got = append(got, int(r.Client.Port()))
			if r.Position != n.Position(r.Ends) {
				t.Errorf("%s: %v is told as %+v, and noted as %+v", when, r.Ends, r.Position, n.Position(r.Ends))
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: %v rested, want %v", when, got, want)
		}
	}
	wants("nothing was heard of", 9)
	say(SYN|ACK, 1, 1, 2, 3)
	wants("they have begun", 9)
	say(ACK|PSH, 2, 2)
	wants("one goes on", 9, 1, 3)
	wants("it rests", 9, 2)
	wants("all rest", 9)
	say(ACK, 2, 1, 2, 3)
	wants("they go on", 9)
	wants("more than are wanted", 2, 1, 2)
	wants("the others", 2, 3)
	say(ACK|PSH, 2, 1)
	say(FIN|ACK, 2, 1)
	wants("one has ended", 9)
	wants("one has ended", 9)
	for range 5 {
		say(SYN|ACK, 2, 1)
		say(FIN|ACK, 2, 1)
	}
	say(SYN|ACK, 2, 1)
	wants("one begins again and again", 9)
	if len(n.busy) != 1 {
		t.Errorf("it is kept %d times", len(n.busy))
	}
	wants("and rests", 9, 1)
	say(ACK, 2, 1, 2)
	n.Lost()
	wants("all is forgotten", 9)
	wants("all is forgotten", 9)
	if len(n.busy) != 0 {
		t.Errorf("%d are kept", len(n.busy))
	}
}

// What another gateway has told counts until the server says something; and what was noted here before
// it was the other's turn is no better.
func TestTakeOfAnotherGateway(t *testing.T) {
	mine, other := netip.MustParseAddrPort("10.0.0.21:8080"), netip.MustParseAddrPort("10.0.0.22:8080")
	client := netip.MustParseAddrPort("192.0.2.9:40000")
	var n Notes
	say := func(server netip.AddrPort, flags Flags, seq, ack uint32) {
		n.Note(AppendPacket(nil, server, client, &Segment{Seq: seq, Ack: ack, Flags: flags}))
	}
	at := func(server netip.AddrPort) Position { return n.Position(Ends{server, client}) }
	mark := func(end, ack uint32) Mark { return Mark{End: end, Ack: ack, Flags: ACK | PSH} }
	take := func(told ...Rest) { n.Take(func(e Ends) bool { return e.Server == mine }, told) }
	say(mine, ACK|PSH, 10, 5)
	say(other, ACK|PSH, 10, 5)
	n.Rested(9)
	n.Rested(9)
	take()
	if rested := len(n.Rested(9)) + len(n.Rested(9)); rested != 1 {
		t.Errorf("%d may still rest", rested)
	}
	if !at(mine).Told || at(other).Told {
		t.Errorf("from before: %+v, of others %+v", at(mine), at(other))
	}
	take(Rest{Ends{mine, client}, Position{Known: true, Answered: true, Last: mark(1000, 900), Answer: mark(1000, 900)}})
	if p := at(mine); !p.Told || p.Answer != mark(1000, 900) {
		t.Errorf("told: %+v", p)
	}
	say(mine, ACK, 1000, 950)
	if _, _, why := at(mine).Ahead(); why != Unanswered || !at(mine).Told {
		t.Errorf("acknowledged since: %+v", at(mine))
	}
	say(mine, ACK|PSH, 20, 7) // another connection, with numbers of its own
	if p := at(mine); p.Told || p.Answer != mark(20, 7) {
		t.Errorf("answered since: %+v", p)
	}
	if rested := len(n.Rested(9)) + len(n.Rested(9)); rested != 1 {
		t.Errorf("%d rested", rested)
	}
	take(Rest{Ends{mine, client}, Position{Known: true}})
	if rested := len(n.Rested(9)) + len(n.Rested(9)); rested != 0 {
		t.Errorf("what was told is told again, of %d", rested)
	}
}

// Gateways tell each other the numbers of reasons: docs/session-protocol.md has them.
func TestNumbersOfReasons(t *testing.T) {
	b, err := os.ReadFile("../../docs/session-protocol.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(b), "| reason of stand | number |\n")
	table, _, _ = strings.Cut(table, "\n\n")
	got, want := map[string]int{}, map[string]int{}
	for _, line := range strings.Split(table, "\n")[1:] {
		cells := strings.Split(strings.Trim(line, "| "), " | ")
		if n, err := strconv.Atoi(cells[len(cells)-1]); err == nil {
			got[cells[0]] = n
		}
	}
	for _, r := range Reasons() {
		want[r.String()] = int(r)
	}
	if !maps.Equal(got, want) {
		t.Errorf("in the document\n%v\nin the code\n%v", fmt.Sprint(got), fmt.Sprint(want))
	}
}

// What a packet costs does not grow by what is remembered for others.
func TestNoteAllocatesNothing(t *testing.T) {
	server, client := netip.MustParseAddrPort("10.0.0.21:8080"), netip.MustParseAddrPort("192.0.2.9:40000")
	b := AppendPacket(nil, server, client, &Segment{Seq: 1, Ack: 1, Flags: ACK | PSH})
	var n Notes
	n.Note(b)
	if got := testing.AllocsPerRun(100, func() { n.Note(b) }); got != 0 {
		t.Errorf("%v allocations", got)
	}
}
