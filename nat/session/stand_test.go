package session

import (
	"bytes"
	"maps"
	"testing"

	"pgregory.net/rapid"
)

func genStand(t *rapid.T) (st Stand) {
	st.Mode, st.Why, st.Whole = Protection(rapid.Uint8Min(1).Draw(t, "mode")), rapid.Uint8().Draw(t, "why"), rapid.Bool().Draw(t, "whole")
	if st.Known = rapid.Bool().Draw(t, "known"); st.Known {
		st.End, st.Acked, st.Window = rapid.Uint32().Draw(t, "end"), rapid.Uint32().Draw(t, "acked"), rapid.Uint16().Draw(t, "window")
	}
	return st
}

// How a flow stands goes with its record, and what is cut short is never another one.
func TestStandRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r, want := genRecord(t), genStand(t)
		var have Record
		var got Stand
		b := body(appendUpsert(nil, &r, nil, want))
		if op, err := parseRecord(b, &have, nil, &got); err != nil || op != OpUpsert || have != r || got != want {
			t.Fatalf("%v %v\ngot  %+v\nwant %+v", op, err, got, want)
		}
		for i := range b {
			if _, err := parseRecord(b[:i], &have, nil, &got); err == nil && got != (Stand{}) {
				t.Fatalf("%d bytes of %d make %+v", i, len(b), got)
			}
		}
	})
}

func TestStandAttribute(t *testing.T) {
	r := snat(1)
	plain := body(AppendUpsert(nil, &r))
	for _, row := range []struct {
		name string
		add  []byte
		want Stand
		ok   bool
	}{
		{"OK none", nil, Stand{}, true},
		{"OK a word", []byte{attrStand, 3, 1, 4, 0}, Stand{Mode: ByPosition, Why: 4}, true},
		{"OK a log", []byte{attrStand, 3, 2, 0, 2}, Stand{Mode: ByLog, Whole: true}, true},
		{"OK where it is", []byte{attrStand, 13, 1, 0, 1, 0, 0, 1, 0, 0, 0, 0, 9, 0, 7}, Stand{Mode: ByPosition, Known: true, End: 256, Acked: 9, Window: 7}, true},
		{"OK grown", []byte{attrStand, 5, 1, 4, 0, 8, 8}, Stand{Mode: ByPosition, Why: 4}, true},
		{"OK a mode of a newer version", []byte{attrStand, 3, 77, 200, 0}, Stand{Mode: 77, Why: 200}, true},
		{"OK not protected", []byte{attrStand, 3, 0, 4, 2}, Stand{}, true},
		{"bad short", []byte{attrStand, 2, 1, 4}, Stand{}, false},
		{"bad without the numbers that it says it has", []byte{attrStand, 12, 1, 0, 1, 0, 0, 1, 0, 0, 0, 0, 9, 0}, Stand{}, false},
	} {
		var have Record
		var got Stand
		_, err := parseRecord(append(bytes.Clone(plain), row.add...), &have, nil, &got)
		if (err == nil) != row.ok || row.ok && (got != row.want || have != r) {
			t.Errorf("%s: %+v, %v; want %+v", row.name, got, err, row.want)
		}
	}
	// A version that does not know it skips it.
	unknown := append(bytes.Clone(plain), attrStand+1, 3, 1, 4, 0)
	var have Record
	if _, err := ParseRecord(unknown, &have); err != nil || have != r {
		t.Errorf("an attribute of a newer version: %v", err)
	}
}

// A change of how a flow stands reaches the peer, and nothing of its kernel; it is no part of what
// is compared. The kernel's news of the flow leave it; another server, and the end, end it.
func TestStandsFollowTheirFlow(t *testing.T) {
	p := newPair()
	p.ga.Activate(0, 1)
	flow := snat(1)
	p.upsert(&flow)
	p.connect()
	p.settle(t)
	s, _ := p.ta.Lookup(&flow.Key)
	at, _ := p.tb.Lookup(&flow.Key)
	set := func(st Stand) {
		if p.ta.SetStand(s, st) {
			p.ta.Mark(s, p.s.Sink(), p.now)
		}
		p.settle(t)
	}
	class := StandClass{Called: flow.Dst, Port: flow.DstPort, Family: 4, Mode: ByPosition, Known: true}
	wants := func(when string, st Stand, counted map[StandClass]int) {
		t.Helper()
		for name, tab := range map[string]*Table{"the sender": p.ta, "the peer": p.tb} {
			slot := map[*Table]Slot{p.ta: s, p.tb: at}[tab]
			if got := tab.Stand(slot); got != st {
				t.Errorf("%s: %s has %+v, want %+v", when, name, got, st)
			}
			if got := tab.Standing(); !maps.Equal(got, counted) {
				t.Errorf("%s: %s counts %v, want %v", when, name, got, counted)
			}
		}
		if _, a := p.ta.Tally(0); true {
			if _, b := p.tb.Tally(0); a != b {
				t.Errorf("%s: the sums differ", when)
			}
		}
	}
	known := Stand{Mode: ByPosition, Known: true, End: 5, Acked: 6, Window: 7}
	_, sum := p.ta.Tally(0)
	delete(p.kernel, flow.Key)
	set(known)
	wants("at rest", known, map[StandClass]int{class: 1})
	if _, now := p.ta.Tally(0); now != sum {
		t.Error("how a flow stands is part of what is compared")
	}
	if p.kernel[flow.Key] != (Record{}) {
		t.Error("the peer's kernel was told")
	}
	if p.ta.SetStand(s, known); p.s.Dirty() != 0 {
		t.Error("what is known is news")
	}
	flow.TCP.State = TCPFinWait
	p.upsert(&flow)
	p.settle(t)
	wants("half closed", known, map[StandClass]int{class: 1})
	set(Stand{Mode: ByPosition, Why: 3})
	class.Why, class.Known = 3, false
	wants("unanswered", Stand{Mode: ByPosition, Why: 3}, map[StandClass]int{class: 1})
	flow.ReplySrc[3]++
	p.upsert(&flow)
	p.settle(t)
	wants("at another server", Stand{}, nil)
	set(known)
	p.delete(&flow.Key)
	p.settle(t)
	if len(p.ta.stands)+len(p.tb.stands)+len(p.ta.standing)+len(p.tb.standing) > 0 {
		t.Error("a flow that is over stands somehow")
	}
}
