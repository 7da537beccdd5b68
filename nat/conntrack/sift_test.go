package conntrack_test

import (
	"net/netip"
	"testing"

	"understudy/nat/conntrack"
	"understudy/nat/session"
)

// TestSkipClosing: the kernel does not tell of a connection that closes, but that it is
// over, once; and of everything else it tells as before.
func TestSkipClosing(t *testing.T) {
	n := newNode(t)
	k := n.kernel(t)
	l := n.listener(t, conntrack.ListenerConfig{})
	must(t, l.SkipClosing())
	tcpFlow := func(port string, state session.TCPState) session.Record {
		r := flow(tcp, "10.0.0.5:"+port, "198.51.100.9:443", "198.51.100.9:443", "203.0.113.1:"+port)
		r.TCP = session.TCP{State: state, WScaleOrig: 7, WScaleReply: 7, FlagsOrig: 3, FlagsReply: 3}
		return r
	}
	change := func(r session.Record, s session.TCPState) {
		t.Helper()
		r.TCP.State = s
		results := make([]error, 1)
		must(t, k.Update([]session.Record{r}, conntrack.UpdateOptions{Fields: conntrack.UpdateTCPState}, results))
		must(t, results[0])
	}
	remove := func(r session.Record) {
		t.Helper()
		results := make([]error, 1)
		must(t, k.Delete([]session.Key{r.Key}, results))
		must(t, results[0])
	}
	whole, cut, half := tcpFlow("1000", session.TCPEstablished), tcpFlow("1001", session.TCPEstablished), tcpFlow("1002", session.TCPFinWait)
	datagram := flow(udp, "10.0.0.5:1003", "198.51.100.9:53", "198.51.100.9:53", "203.0.113.1:1003")
	for _, r := range []session.Record{whole, cut, half, datagram} {
		must(t, install(t, k, conntrack.InstallOptions{}, r))
	}
	for _, s := range []session.TCPState{session.TCPFinWait, session.TCPCloseWait, session.TCPLastAck, session.TCPTimeWait} {
		change(whole, s)
	}
	change(cut, session.TCPLastAck)
	for _, r := range []session.Record{whole, cut, half, datagram} {
		remove(r)
	}
	type said struct {
		kind  conntrack.EventKind
		port  uint16
		state session.TCPState
	}
	var got []said
	if _, err := l.Drain(100, func(ev *conntrack.Event) { got = append(got, said{ev.Kind, ev.Rec.SrcPort, ev.Rec.TCP.State}) }); err != nil {
		t.Fatal(err)
	}
	want := []said{
		{conntrack.New, 1000, session.TCPEstablished}, {conntrack.New, 1001, session.TCPEstablished}, {conntrack.New, 1002, session.TCPFinWait}, {conntrack.New, 1003, 0},
		{conntrack.Update, 1000, session.TCPTimeWait},
		{conntrack.Destroy, 1001, session.TCPLastAck}, {conntrack.Destroy, 1002, session.TCPFinWait}, {conntrack.Destroy, 1003, 0},
	}
	if len(got) != len(want) {
		t.Fatalf("want %v\ngot  %v", want, got)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("event %d: want %v, got %v", i, want[i], got[i])
		}
	}
}

// TestSpotChecks: a kernel that has done as it was told is believed; the first entry
// that is wrong has all of its batch looked at, and all that come after.
func TestSpotChecks(t *testing.T) {
	k := newNode(t).kernel(t)
	o := conntrack.InstallOptions{Spot: true}
	put := func(from, n int) []error {
		t.Helper()
		rs := numbered(from + n)[from:]
		for i := range rs {
			rs[i].ReplyDst = session.AddrFrom(netip.MustParseAddr("203.0.113.1"))
		}
		results := make([]error, n)
		must(t, k.Install(rs, o, results))
		return results
	}
	for i, err := range put(0, 512) {
		if err != nil || k.Distrusted() {
			t.Fatalf("entry %d: %v", i, err)
		}
	}
	calls := 0
	k.SetForm(func(b []byte, seq uint32, r *session.Record, o *conntrack.InstallOptions) []byte {
		if calls++; calls%2 == 0 {
			return verbatim(b, seq, r, o)
		}
		return conntrack.AppendCreate(b, seq, r, o)
	})
	// The one that is looked at is right, and so nobody sees that others are not.
	for i, err := range put(512, 64) {
		if err != nil || k.Distrusted() {
			t.Fatalf("entry %d: %v", i, err)
		}
	}
	calls++
	wrong := 0
	for _, err := range put(576, 64) {
		if err == conntrack.ErrNotTranslated {
			wrong++
		}
	}
	if !k.Distrusted() || wrong != 32 {
		t.Errorf("%d of 64 are found wrong, 32 are; distrusted %v", wrong, k.Distrusted())
	}
	calls = 0
	wrong = 0
	for _, err := range put(640, 64) {
		if err == conntrack.ErrNotTranslated {
			wrong++
		}
	}
	if wrong != 32 {
		t.Errorf("then %d of 64, 32 are", wrong)
	}
}
