package bench

import (
	"errors"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"understudy/appliance/lab/pair"
	"understudy/nat/session"
)

func TestVerdict(t *testing.T) {
	stopped := time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)
	ago := func(d time.Duration) time.Time { return stopped.Add(-d) }
	gone := errors.New("gone")
	had, other := key(pair.InsideHost, 1, pair.Outside, 2), key(pair.InsideHost, 3, pair.Outside, 2)
	third := key(pair.InsideHost, 4, pair.Outside, 2)
	datagram := third
	datagram.Proto = unix.IPPROTO_UDP
	kernel := map[session.Key]session.Record{had: {}}
	report := &lossReport{estimated: 5, found: 9, names: map[flowName]bool{
		{"tcp", netip.AddrPortFrom(pair.InsideHost, 3), netip.AddrPortFrom(pair.Outside, 2)}: true,
		// The same source may have called another one.
		{"tcp", netip.AddrPortFrom(pair.InsideHost, 4), netip.AddrPortFrom(pair.Outside, 5)}: true,
	}}
	var h horizon
	h.say(ago(1400*time.Millisecond), 300*time.Millisecond) // out of the mean by now
	h.say(ago(200*time.Millisecond), 10*time.Millisecond)
	h.say(ago(20*time.Millisecond), 4*time.Millisecond)
	if h.lag != 7*time.Millisecond || !h.until.Equal(ago(24*time.Millisecond)) {
		t.Fatalf("got %+v", h)
	}
	for _, tc := range []struct {
		name string
		seen []sighting
		want Blow // its numbers
	}{
		{"goes on", []sighting{{class: "tcp", key: had, born: ago(time.Millisecond)}}, Blow{Held: 1, Expected: .007, Within: true}},
		{"the peer had it", []sighting{{class: "tcp", key: had, born: ago(time.Millisecond), err: gone, spoke: true}}, Blow{Held: 1, HeldLost: 1, WindowMS: 1, Expected: .007, Met: 1}},
		{"its record was acknowledged", []sighting{{class: "idle", born: ago(300 * time.Millisecond), err: gone}}, Blow{Held: 1, HeldLost: 1, WindowMS: 300, Expected: .007}},
		{"too young to say", []sighting{{class: "tcp", key: other, born: ago(30 * time.Millisecond), err: gone, spoke: true}}, Blow{Young: 1, YoungLost: 1, WindowMS: 30, Expected: .007, Met: 1, Named: 1, Within: true}},
		{"not named", []sighting{{class: "tcp", key: third, born: ago(30 * time.Millisecond), err: gone, spoke: true}}, Blow{Young: 1, YoungLost: 1, WindowMS: 30, Expected: .007, Met: 1}},
		{"not met", []sighting{{class: "tcp", key: third, born: ago(30 * time.Millisecond), err: gone}}, Blow{Young: 1, YoungLost: 1, WindowMS: 30, Expected: .007, Within: true}},
		{"a datagram is met by nobody", []sighting{{class: "udp", key: datagram, born: ago(30 * time.Millisecond), err: gone, spoke: true}}, Blow{Young: 1, YoungLost: 1, WindowMS: 30, Expected: .007, Within: true}},
		{"after the crash", []sighting{{class: "tcp", key: third, born: stopped.Add(1), err: gone, spoke: true}}, Blow{Within: true}},
		{"another translation", []sighting{{class: "udp-stream", born: ago(time.Minute), wrong: true}}, Blow{Held: 1, HeldLost: 1, Wrong: 1, WindowMS: 60000}},
		{"of a datagram that nobody knew", []sighting{{class: "udp", key: other, born: ago(5 * time.Millisecond), wrong: true}}, Blow{Young: 1, YoungLost: 1, WindowMS: 5, Expected: .007, Within: true}},
		{"of a connection that nobody knew", []sighting{{class: "tcp", key: other, born: ago(5 * time.Millisecond), wrong: true}}, Blow{Young: 1, YoungLost: 1, Wrong: 1, WindowMS: 5, Expected: .007}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var b Blow
			b.judge(tc.seen, stopped, h, kernel, report)
			b.Within = b.within(true)
			b.Classes, b.Lost = nil, nil
			if len(b.Unnamed) != b.Met-b.Named || report.lacks(tc.seen, stopped) != b.Met-b.Named || b.Estimated != 5 || b.Reported != 9 {
				t.Errorf("of the report: got %+v", b)
			}
			if got := b; got.Held != tc.want.Held || got.HeldLost != tc.want.HeldLost || got.Young != tc.want.Young || got.YoungLost != tc.want.YoungLost ||
				got.Expected != tc.want.Expected || got.Met != tc.want.Met || got.Named != tc.want.Named || got.Wrong != tc.want.Wrong || got.WindowMS != tc.want.WindowMS || got.Within != tc.want.Within {
				t.Errorf("want %+v\ngot  %+v", tc.want, got)
			}
		})
	}
}

// A peer that is told of nothing has what its kernel has, however old a flow is.
func TestVerdictOfCopies(t *testing.T) {
	now := time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)
	h := horizon{copies: true}
	h.say(now, 0)
	had, other := key(pair.InsideHost, 1, pair.Outside, 2), key(pair.InsideHost, 3, pair.Outside, 2)
	kernel := map[session.Key]session.Record{had: {}}
	for _, tc := range []struct {
		s    sighting
		want bool
	}{
		{sighting{key: had, born: now}, true},
		{sighting{key: other, born: now.Add(-time.Minute)}, false},
		{sighting{born: now.Add(-time.Minute)}, true},
	} {
		if got := h.holds(&tc.s, kernel); got != tc.want {
			t.Errorf("%+v: got %v", tc.s, got)
		}
	}
	h.copies = false
	if s := (sighting{key: other, born: now.Add(-time.Minute)}); !h.holds(&s, kernel) {
		t.Error("one that was acknowledged")
	}
}

// What may be lost of the young: three times what is to be expected, and three.
func TestVerdictBound(t *testing.T) {
	for _, tc := range []struct {
		b    Blow
		want bool
	}{
		{Blow{YoungLost: 6, Expected: 1}, true},
		{Blow{YoungLost: 7, Expected: 1}, false},
		{Blow{Leaks: 1}, false},
		{Blow{Wrong: 1}, false},
		{Blow{HeldLost: 1}, false},
		{Blow{Met: 2, Named: 2}, true},
		{Blow{Met: 2, Named: 1}, false},
	} {
		if got := tc.b.within(true); got != tc.want {
			t.Errorf("%+v: got %v", tc.b, got)
		}
	}
	if b := (Blow{HeldLost: 1}); !b.within(false) {
		t.Error("a mode that does not promise it")
	}
}

func TestTruth(t *testing.T) {
	a, b := map[session.Key]session.Record{}, map[session.Key]session.Record{}
	for i := range uint32(10) {
		r := flow(i)
		r.Status |= natBits(&r)
		a[r.Key], b[r.Key] = r, r
	}
	if got := truth(a, b); got != (Truth{Sessions: 10}) || !got.Whole() {
		t.Errorf("the same: got %+v", got)
	}
	missing, moved, over, closed := flow(0), flow(1), flow(2), flow(3)
	delete(b, missing.Key)
	r := b[moved.Key]
	r.ReplyDstPort++
	b[moved.Key] = r
	r = b[flow(4).Key]
	r.Status &^= session.StatusSrcNAT | session.StatusDstNAT
	b[flow(4).Key] = r
	delete(a, over.Key)
	r = a[closed.Key]
	r.TCP.State = session.TCPTimeWait
	a[closed.Key] = r
	delete(b, closed.Key)
	// What the gateway itself does is nobody's business.
	own := key(netip.MustParseAddr("10.255.0.1"), 1, netip.MustParseAddr("10.255.0.2"), 7788)
	b[own] = session.Record{Key: own, TCP: session.TCP{State: session.TCPEstablished}}
	if got, want := truth(a, b), (Truth{Sessions: 8, Missing: 1, Ghosts: 1, Wrong: 2}); got != want {
		t.Errorf("want %+v, got %+v", want, got)
	}
}

func natBits(r *session.Record) (s session.Status) {
	if _, _, ok := r.SNAT(); ok {
		s |= session.StatusSrcNAT
	}
	if _, _, ok := r.DNAT(); ok {
		s |= session.StatusDstNAT
	}
	return s
}

func TestCacheSize(t *testing.T) {
	const stats = `cache internal:
current active connections:	            1234
connections created:		            2000	failed:	           0

cache external:
current active connections:	             567
connections created:		             567	failed:	           0

traffic processed:
`
	for cache, want := range map[string]int{"internal": 1234, "external": 567} {
		if got, err := cacheSize(stats, cache); got != want || err != nil {
			t.Errorf("%s: want %d, got %d, %v", cache, want, got, err)
		}
	}
	if _, err := cacheSize(stats, "other"); err == nil {
		t.Error("a cache that is not there")
	}
}

func TestQuantile(t *testing.T) {
	v := []float64{4, 1, 3, 2}
	for share, want := range map[float64]float64{0.5: 2, 0.99: 4, 0.25: 1, 1: 4} {
		if got := quantile(v, share); got != want {
			t.Errorf("%g: want %g, got %g", share, want, got)
		}
	}
	if quantile(nil, .5) != 0 {
		t.Error("of nothing")
	}
}
