package splice

import "testing"

// An older connection of the same ends is reset once a try: what the server answered to the SYN before,
// and comes late, is not answered, as another reset would end what the next SYN has begun. If the
// reset was lost the next try says it again.
func TestOlderConnectionIsResetOnce(t *testing.T) {
	h := handshake{isn: 999}
	syn := func() {
		t.Helper()
		if s, _, ok := h.syn(); !ok || s.Seq != 999 || s.Flags != SYN {
			t.Fatalf("no SYN: %+v", s)
		}
	}
	old := &Segment{Seq: 7000, Ack: 5000, Flags: ACK}
	hears := func(s *Segment, want hearing) {
		t.Helper()
		what, why, out := h.hear(s)
		if what != want || why != None {
			t.Fatalf("%+v: %v, %v; want %v", s, what, why, want)
		}
		if what == again && (out.Flags != RST || out.Seq != s.Ack) {
			t.Fatalf("answered with %+v", out)
		}
	}
	syn()
	syn() // by time: the server answers both
	hears(old, again)
	syn()
	hears(old, ignored)
	syn() // by time: nothing came, so the reset was lost
	hears(old, again)
	syn()
	hears(old, ignored)
	hears(&Segment{Seq: 7000, Ack: 5001, Flags: ACK}, again) // of yet another one
	syn()
	hears(&Segment{Seq: 2, Ack: 1000, Flags: ACK}, ignored) // of the new one, to a reset that came late
	hears(&Segment{Seq: 1, Ack: 1000, Flags: SYN | ACK}, welcomed)

	h = handshake{isn: 999} // the older one had heard nothing
	syn()
	hears(&Segment{Seq: 7000, Ack: 1000, Flags: ACK}, again)
}
