package replica_test

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"testing"

	"understudy/appliance/replica"
	"understudy/nat/session"
)

func viewOf(b *box) replica.View {
	all := b.engine.Views()
	if len(all) != 1 {
		b.t.Fatalf("%d views", len(all))
	}
	return all[0]
}

// TestViewsOfPeers: each end is told how the other stands when it asks, and never
// unasked; what cannot be told is no trouble for the link, and one that is gone has no
// view.
func TestViewsOfPeers(t *testing.T) {
	w := newWorld(t)
	var made atomic.Int32
	large := make([]byte, session.MaxView)
	for i := range large {
		large[i] = byte(rand.Uint32())
	}
	w.a.cfg.View = func(context.Context) ([]byte, error) { made.Add(1); return large, nil }
	answer := atomic.Value{}
	answer.Store("too long " + strings.Repeat("x", session.MaxView))
	w.b.cfg.View = func(context.Context) ([]byte, error) {
		if s := answer.Load().(string); s != "" {
			return []byte(s), nil
		}
		return nil, errors.New("none")
	}
	w.a.start()
	w.b.start()
	w.a.activate(1)
	eventually(t, "both links", func() bool { return viewOf(w.a).Connected && viewOf(w.b).Connected })
	if v := viewOf(w.b); v.Bytes != nil || !v.At.IsZero() || made.Load() != 0 {
		t.Fatalf("%d bytes unasked, made %d times", len(v.Bytes), made.Load())
	}
	w.b.engine.Look()
	eventually(t, "a's view at b", func() bool { return bytes.Equal(viewOf(w.b).Bytes, large) })
	if v := viewOf(w.b); v.Peer != "a" || v.At.IsZero() || made.Load() != 1 {
		t.Errorf("of %q at %v, made %d times", v.Peer, v.At, made.Load())
	}
	w.a.engine.Look()
	answer.Store("")
	w.a.engine.Look()
	answer.Store("well")
	eventually(t, "b's view at a", func() bool { w.a.engine.Look(); return string(viewOf(w.a).Bytes) == "well" })
	if st := w.a.engine.Status(); !st.Connected {
		t.Error("the link has not survived it")
	}
	w.a.stop()
	eventually(t, "no view of who is gone", func() bool { v := viewOf(w.b); return !v.Connected })
}
