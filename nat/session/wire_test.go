package session

import (
	"bytes"
	"encoding/binary"
	"errors"
	"reflect"
	"testing"

	"pgregory.net/rapid"
)

func body(b []byte) []byte {
	n, k := binary.Uvarint(b)
	if int(n) != len(b)-k {
		panic("length in front is wrong")
	}
	return b[k:]
}

func TestRecordRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := genRecord(t)
		var got Record
		if op, err := ParseRecord(body(AppendUpsert(nil, &want)), &got); err != nil || op != OpUpsert || got != want {
			t.Fatalf("%v %v\ngot  %v\nwant %v", op, err, got.String(), want.String())
		}
		if op, err := ParseRecord(body(AppendDelete(nil, &want)), &got); err != nil || op != OpDelete || got.Key != want.Key || got.ID != want.ID {
			t.Fatalf("delete: %v %v\ngot  %v\nwant %v", op, err, got.Key, want.Key)
		}
	})
}

func TestRecordSizes(t *testing.T) {
	tcp := snat(1)
	udp := snat(1)
	udp.Proto, udp.TCP, udp.Timeout = protoUDP, TCP{}, 120
	echo := udp
	echo.Proto, echo.DstPort, echo.ReplySrcPort, echo.ReplyDstPort = protoICMP, 0x0800, echo.SrcPort, 0
	for _, tt := range []struct {
		name string
		got  int
		max  int
	}{
		{"TCP source NAT", len(AppendUpsert(nil, &tcp)), 37},
		{"UDP source NAT", len(AppendUpsert(nil, &udp)), 28},
		{"echo source NAT", len(AppendUpsert(nil, &echo)), 28},
		{"delete", len(AppendDelete(nil, &tcp)), 18},
	} {
		if t.Logf("%s: %d bytes", tt.name, tt.got); tt.got > tt.max {
			t.Errorf("%s: %d bytes, want at most %d", tt.name, tt.got, tt.max)
		}
	}
}

func TestUnknownAttributes(t *testing.T) {
	r := snat(1)
	plain := body(AppendUpsert(nil, &r))
	for _, tt := range []struct {
		name string
		add  []byte
		want error
	}{
		{"optional passes", []byte{0x70, 3, 1, 2, 3}, nil},
		{"optional and empty passes", []byte{0x70, 0}, nil},
		{"critical is refused", []byte{0xf0, 1, 9}, ErrCritical},
		{"cut short", []byte{0x70, 3, 1}, ErrRecord},
		{"known but too short", []byte{attrMark, 2, 1, 1}, ErrRecord},
		{"known and grown", []byte{attrTCP, 5, 3, 0x79, 0x23, 0x23, 0xff}, nil},
	} {
		var got Record
		_, err := ParseRecord(append(bytes.Clone(plain), tt.add...), &got)
		if err != tt.want || err == nil && got != r {
			t.Errorf("%s: %v, want %v; %v", tt.name, err, tt.want, got.String())
		}
	}
}

func TestHelloRoundTrip(t *testing.T) {
	want := Hello{Node: "gw1", Boot: 7, Features: 1, Config: 0xffffffffffffffff,
		Groups: []HelloGroup{{"gateway", 12, true}, {"", 0, false}}}
	b := AppendHello(nil, &want)
	h, err := ParseHeader(b)
	if err != nil || h.Type != TypeHello || h.Length != len(b)-HeaderLen {
		t.Fatal(h, err)
	}
	got, err := ParseHello(b[HeaderLen:])
	if err != nil || !reflect.DeepEqual(*got, want) {
		t.Fatalf("got %+v, %v\nwant %+v", got, err, want)
	}
	if _, err := ParseHello(append(b[HeaderLen:], 0xf0, 0)); err != ErrCritical {
		t.Fatalf("unknown critical attribute: %v", err)
	}
}

func TestBadHeaders(t *testing.T) {
	for _, tt := range []struct {
		name string
		b    []byte
		want error
	}{
		{"short", []byte{Version, 1, 0, 0, 0, 0, 0}, ErrMalformed},
		{"another version", []byte{2, 1, 0, 0, 0, 0, 0, 0}, ErrVersion},
		{"too long", []byte{Version, 1, 0, 0, 0, 1, 0, 1}, ErrLength},
		{"OK longest", []byte{Version, 1, 0, 0, 0, 1, 0, 0}, nil},
	} {
		if _, err := ParseHeader(tt.b); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
		}
	}
}

func FuzzParseRecord(f *testing.F) {
	r := snat(1)
	f.Add(body(AppendUpsert(nil, &r)))
	f.Add(body(AppendDelete(nil, &r)))
	r.Family, r.Mark, r.SCTP, r.SeqAdj[1] = 6, 1, SCTP{1, 2, 3}, SeqAdj{1, -2, 3}
	f.Add(body(AppendUpsert(nil, &r)))
	r.Labels[9], r.Helper, r.Master = 7, NameFrom("sip"), Key{SrcPort: 5, Proto: protoUDP, Family: 6}
	x := Expect{Key: Key{Proto: protoUDP, Family: 6, DstPort: 9}, NAT: true, Helper: r.Helper, Fn: FnFrom("sip")}
	f.Add(body(appendUpsert(nil, &r, []Expect{x, x}, Stand{Mode: ByLog, Known: true, End: 1, Acked: 2, Window: 3})))
	f.Fuzz(func(t *testing.T, b []byte) {
		var a, again Record
		var xs []Expect
		var st, st2 Stand
		op, err := parseRecord(b, &a, &xs, &st)
		if err != nil {
			return
		}
		out := appendUpsert(nil, &a, nil, st)
		if op == OpDelete {
			out = AppendDelete(nil, &a)
		}
		if op2, err := parseRecord(body(out), &again, nil, &st2); err != nil || op2 != op || a != again || st2 != st {
			t.Fatalf("%v %v: %v -> %v", op2, err, a.String(), again.String())
		}
	})
}

func FuzzParseHello(f *testing.F) {
	f.Add(AppendHello(nil, &Hello{Node: "gw1", Groups: []HelloGroup{{"g", 1, true}}})[HeaderLen:])
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := ParseHello(b)
		if err != nil {
			return
		}
		again, err := ParseHello(AppendHello(nil, h)[HeaderLen:])
		if err != nil || !reflect.DeepEqual(h, again) {
			t.Fatalf("%+v -> %+v, %v", h, again, err)
		}
	})
}

// FuzzReceiver feeds a whole stream of frames to a receiver that has said hello.
func FuzzReceiver(f *testing.F) {
	p := newPair()
	p.ga.Activate(0, 3)
	for i := range uint32(20) {
		r := snat(i)
		p.upsert(&r)
	}
	p.connect()
	p.send(1)
	hello := bytes.Clone(p.frames)
	if err := p.deliver(1); err != nil {
		f.Fatal(err)
	}
	p.send(1)
	f.Add(bytes.Clone(p.frames))
	f.Add(appendMark(nil, TypeTerm, mark{term: 1 << 63, flags: markActive}))
	f.Add(appendMark(nil, TypeAudit, mark{term: 9}))
	digest := appendDigests(nil, p.ta, 0, 3, 0, 4, 0, 16)
	marks, start := openFrame(nil, TypeBuckets)
	marks = closeFrame(append(marks, 0, 3, 2, 0, 4, 1, 1), start) // group, term, generation, flags, two buckets of 16
	marks = append(marks, appendMark(nil, TypeBuckets, mark{term: 3, generation: 2, flags: markOver})...)
	f.Add(append(append(bytes.Clone(p.frames), digest...), marks...))
	query, start := openFrame(nil, TypeQuery) // of flow 1, by survey 7
	first := snat(1)
	query = closeFrame(AppendDelete(append(query, 0, 7), &first), start)
	f.Add(append(appendDigests(bytes.Clone(p.frames), p.ta, 0, 0, 7, 4, 0, 16), query...))
	f.Fuzz(func(t *testing.T, b []byte) {
		q := newPair()
		q.connect()
		q.frames = append(bytes.Clone(hello), b...)
		for len(q.frames) >= HeaderLen {
			h, err := ParseHeader(q.frames)
			if err != nil || len(q.frames)-HeaderLen < h.Length {
				break
			}
			if q.r.Handle(q.now, h.Type, q.frames[HeaderLen:HeaderLen+h.Length]) != nil {
				break
			}
			sweepAll(q)
			q.r.Reply(nil)
			q.frames = q.frames[HeaderLen+h.Length:]
		}
		q.install()
		scope := testScope()
		q.tb.Each(^GroupSet(0), func(s Slot) bool {
			var r Record
			if q.tb.Record(s, &r); q.tb.Group(s) != 0 {
				t.Fatal("group", q.tb.Group(s))
			}
			if !scope.Groups(&r).Has(0) {
				t.Fatal("outside the scope:", r.String())
			}
			return true
		})
	})
}

// FuzzSender feeds answers to a sender.
func FuzzSender(f *testing.F) {
	f.Add(appendAck(appendMark(AppendHello(nil, &Hello{Node: "b"}), TypeResync, mark{}), 1, 1))
	q := newPair() // what a receiver of this version says
	q.connect()
	q.settle(f)
	known := AppendHello(nil, &Hello{Node: "b", Features: uint64(features)})
	q.r.digestAsks = 1
	ask1 := ask{0, bucketAsk{bits: 4}}
	ask1.set.add(3)
	q.r.bucketAsks = append(q.r.bucketAsks, ask1)
	flow := snat(1)
	q.r.Refused(0, &flow, RefusedClash)
	q.r.surveyed = surveyed{on: true, ready: true, id: 1, bits: 4, differ: ask1.set}
	f.Add(append(bytes.Clone(known), q.r.Reply(nil)...))
	q.tb.Upsert(&flow, 0, 0)
	f.Add(append(bytes.Clone(known), q.r.Reply(nil)...))
	f.Fuzz(func(t *testing.T, b []byte) {
		p := newPair()
		p.ga.Activate(0, 3)
		p.upsert(&flow)
		p.connect()
		for len(b) >= HeaderLen {
			if p.s.Fill(p.now, p.buf[:0]); p.s.survey == nil {
				p.s.Survey(1)
			} else {
				p.s.survey.Step(10)
				p.s.survey.Again()
			}
			for c := p.s.Census(); c.Step(10, new(Standings), nil); {
			}
			h, err := ParseHeader(b)
			if err != nil || len(b)-HeaderLen < h.Length || p.s.Handle(p.now, h.Type, b[HeaderLen:HeaderLen+h.Length]) != nil {
				return
			}
			b = b[HeaderLen+h.Length:]
		}
	})
}
