package splice

import "testing"

// Ends that come once the connection is handed on are left to those who say them: what acknowledges the
// server's end a second time it would answer with a reset.
func TestEndsAreNotHandedOn(t *testing.T) {
	r := &Replay{phase: handing, server: Half{ISN: 100}, base: 5001} // 4,900 behind
	says := func(s Segment, toServer bool, want int) (out Output) {
		t.Helper()
		r.handOn(&s, toServer, &out)
		if got := len(out.ToClient) + len(out.ToServer); got != want {
			t.Fatalf("%+v: %d segments, want %d", s, got, want)
		}
		return out
	}
	if out := says(Segment{Seq: 5001, Ack: 1, Flags: ACK | FIN, Data: make([]byte, 10)}, false, 1); out.ToClient[0].Flags != ACK || out.ToClient[0].Seq != 101 {
		t.Errorf("%+v", out.ToClient)
	}
	says(Segment{Seq: 5011, Ack: 1, Flags: ACK | FIN}, false, 0)
	says(Segment{Seq: 1, Ack: 111, Flags: ACK}, true, 1) // of what came before the end
	says(Segment{Seq: 1, Ack: 112, Flags: ACK}, true, 0)
	says(Segment{Seq: 1, Ack: 112, Flags: ACK | FIN}, true, 0)
	if out := says(Segment{Seq: 1, Ack: 112, Flags: ACK, Data: make([]byte, 1)}, true, 1); out.ToServer[0].Ack != 5012 {
		t.Errorf("%+v", out.ToServer)
	}
}
