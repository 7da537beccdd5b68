package replica

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"syscall"
	"testing"
	"time"

	"understudy/nat/session"
)

func TestOrderOfPaths(t *testing.T) {
	now := time.Now()
	ago := func(s int) time.Time { return now.Add(-time.Duration(s) * time.Second) }
	never := time.Time{}
	for _, tt := range []struct {
		name   string
		failed []time.Time
		want   []int
	}{
		{"one", []time.Time{ago(0)}, []int{0}},
		{"by preference", []time.Time{never, never, never}, []int{0, 1, 2}},
		{"one that has just failed is last", []time.Time{ago(1), never, never}, []int{1, 2, 0}},
		{"a failure of long ago is none", []time.Time{ago(11), never, ago(60)}, []int{0, 1, 2}},
		{"all have failed: the oldest first", []time.Time{ago(1), ago(3), ago(2)}, []int{1, 2, 0}},
	} {
		if got := order(tt.failed, now, 10*time.Second); !slices.Equal(got, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}

// Only silence speaks against a path: a peer that hangs up was reached.
func TestWhatSpeaksAgainstAPath(t *testing.T) {
	for err, want := range map[error]bool{
		os.ErrDeadlineExceeded: true, syscall.EHOSTUNREACH: true, syscall.ENETUNREACH: true, syscall.ETIMEDOUT: true,
		io.EOF: false, syscall.ECONNREFUSED: false, syscall.ECONNRESET: false, net.ErrClosed: false, errKey: false, context.Canceled: false, nil: false,
	} {
		if err != nil {
			err = fmt.Errorf("wrapped: %w", err)
		}
		if got := isPathFailure(err); got != want {
			t.Errorf("%v: %v, want %v", err, got, want)
		}
	}
}

// A peer of a version that does not know MOVE is told everything again on the better
// path, with a hello like any other.
func TestOldPeerIsToldAgain(t *testing.T) {
	second := netip.MustParseAddrPort("127.0.0.1:7790")
	r := newRogue(t, func(c *Config) {
		c.Peers[0].Also = []netip.AddrPort{second}
		c.Return = 50 * time.Millisecond
	})
	if _, err := r.engine.Activate(context.Background(), "gw", 1); err != nil {
		t.Fatal(err)
	}
	// listen collects what the engine says until it hangs up.
	type heard struct {
		moved uint64
		types []session.Type
	}
	listen := func(w *tls.Conn, enough session.Type) heard {
		var h heard
		(&wire{Conn: w}).readFrames(func(typ session.Type, b []byte) error {
			if h.types = append(h.types, typ); typ == session.TypeHello {
				if hello, err := session.ParseHello(b); err == nil {
					h.moved = hello.Moved
				}
			}
			if typ == enough {
				return io.EOF
			}
			return nil
		})
		return h
	}
	worse := r.acceptAt(second.String())
	done := make(chan heard, 1)
	go func() { done <- listen(worse, 0) }()
	r.eventually("connected", func(s Status) bool { return s.Connected && !s.Peers[0].Preferred })
	better := r.accept()
	if h := listen(better, session.TypePing); h.moved != 0 || len(h.types) < 2 || h.types[0] != session.TypeHello {
		t.Errorf("told on the better path: %+v", h)
	}
	if h := <-done; slices.Contains(h.types, session.TypeMove) {
		t.Errorf("told on the other: %+v", h)
	}
}

// Who says that it goes on with a connection that nobody knows is not believed.
func TestMovedFromNowhere(t *testing.T) {
	r := newRogue(t)
	w := r.dial()
	h := r.hello
	h.Moved = 77
	if _, err := w.Write(session.AppendHello(nil, &h)); err != nil {
		t.Fatal(err)
	}
	w.SetReadDeadline(time.Now().Add(10 * time.Second))
	if n, err := io.Copy(io.Discard, w); n > 0 || err != nil && os.IsTimeout(err) {
		t.Errorf("%d bytes of an answer, %v", n, err)
	}
}
