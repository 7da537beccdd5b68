package replica_test

import (
	"bytes"
	"testing"
	"time"
)

// The cluster secret is changed while a group is Active: a node that uses the new
// one already talks to one that only accepts it, over a new connection. (Who may
// talk to whom is TestWhoMayTalk; here the engine changes under traffic.)
func TestRekeyWithoutAnInterruption(t *testing.T) {
	w := running(t)
	fresh := bytes.Repeat([]byte{9}, 32)
	for _, b := range []*box{w.a, w.b} {
		must(t, b.engine.Rekey([][]byte{secret, fresh}))
	}
	must(t, w.b.engine.Rekey([][]byte{fresh, secret}))
	must(t, w.a.cable.Unplug())
	eventually(t, "the cut is noticed", func() bool { return !w.a.engine.Status().Connected && !w.b.engine.Status().InSync })
	must(t, w.a.cable.Plug())
	eventually(t, "in sync again", func() bool { return w.b.engine.Status().InSync && w.a.engine.Status().Connected })

	// The old secret is worth nothing now.
	must(t, w.a.engine.Rekey([][]byte{secret}))
	must(t, w.a.cable.Unplug())
	eventually(t, "the cut is noticed", func() bool { return !w.a.engine.Status().Connected && !w.b.engine.Status().Connected })
	must(t, w.a.cable.Plug())
	if within(2*time.Second, func() bool { return w.a.engine.Status().Connected || w.b.engine.Status().Connected }) {
		t.Error("connected with different secrets")
	}
	if err := w.a.engine.Rekey(nil); err == nil {
		t.Error("no secret at all was accepted")
	}
}
