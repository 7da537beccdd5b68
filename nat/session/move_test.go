package session

import (
	"encoding/hex"
	"testing"
	"time"
)

// A connection moves in the middle of everything: the receiver goes on where it was,
// and the sender is told what it may not have heard.
func TestMove(t *testing.T) {
	p := newPair()
	p.ga.Activate(0, 1)
	p.s = NewSender(p.ta, p.ga, 1, Hello{Node: "a", Boot: 1, Features: uint64(FeatureMove)})
	p.r = NewReceiver(p.tb, p.gb, testScope(), Hello{Node: "b", Boot: 2, Features: uint64(FeatureMove)})
	for i := range uint32(300) {
		r := snat(i)
		p.upsert(&r)
	}
	p.buf = make([]byte, 0, 4096)
	p.connect()
	if p.s.CanMove() {
		t.Error("it can move to one that has not said that it can")
	}
	for range 3 { // a part of the transfer
		p.send(1)
		if err := p.deliver(2); err != nil {
			t.Fatal(err)
		}
	}
	if done, _ := p.s.Synced(); done || !p.s.CanMove() {
		t.Fatalf("through: %v, can move: %v", done, p.s.CanMove())
	}
	if err := p.deliver(1000); err != nil { // the old path is read to its end
		t.Fatal(err)
	}
	move := AppendMove(nil, 7)
	if got := ParseMove(move[HeaderLen:]); got != 7 {
		t.Errorf("token %d", got)
	}
	if got := hex.EncodeToString(move); got != "0128000000000008"+"0000000000000007" {
		t.Errorf("on the wire: %s", got)
	}
	if got := hex.EncodeToString(AppendHello(nil, &Hello{Node: "a", Moved: 7})); got != "018100000000002b"+"810161"+"82080000000000000000"+"03080000000000000000"+"04080000000000000000"+"28080000000000000007" {
		t.Errorf("on the wire: %s", got)
	}
	received := p.r.received
	if err := p.r.Handle(p.now, TypeMove, move[HeaderLen:]); err != nil || p.r.received != received {
		t.Errorf("a MOVE is no frame that counts: %v", err)
	}
	hello, err := ParseHello(p.s.AppendMoved(nil, 7)[HeaderLen:])
	if err != nil || hello.Moved != 7 || hello.Node != "a" || len(hello.Groups) != 1 {
		t.Errorf("%+v, %v", hello, err)
	}
	// Its last words were lost with the old path.
	for b := p.r.Reply(nil); len(b) > 0; b = p.r.Reply(nil) {
	}
	p.r.Moved()
	b := p.r.Reply(nil)
	h, err := ParseHeader(b)
	if err != nil || h.Type != TypeAck {
		t.Fatalf("%v, %v", h, err)
	}
	if err := p.s.Handle(p.now, h.Type, b[HeaderLen:HeaderLen+h.Length]); err != nil {
		t.Fatal(err)
	}
	p.settle(t)
	if p.ta.Dump() != p.tb.Dump() || p.s.Stats().Transfers != 1 || p.r.Stats().Transfers != 1 {
		t.Errorf("%+v, %+v", p.s.Stats(), p.r.Stats())
	}
	if p.s.Lag(p.now.Add(time.Second)) != 0 {
		t.Error("something is left")
	}
}

// Who does not know MOVE passes over it, and over the word in a hello.
func TestMoveIsOptional(t *testing.T) {
	if TypeMove&critical != 0 || helloMoved&critical != 0 {
		t.Error("an older version would hang up")
	}
	if TypeMove.counted() {
		t.Error("an older version would not count it")
	}
}
