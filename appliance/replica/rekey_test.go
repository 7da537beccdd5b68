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
	t.Parallel()
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

// The three steps, on both nodes in either order: at each moment the link stands, new
// links can be made, and flows are replicated.
func TestRekeyStepByStep(t *testing.T) {
	fresh := bytes.Repeat([]byte{9}, 32)
	for _, first := range []string{"a", "b"} {
		t.Run(first+" first", func(t *testing.T) {
			t.Parallel()
			w := running(t)
			order := []*box{w.a, w.b}
			if first == "b" {
				order = []*box{w.b, w.a}
			}
			rs := flows(20)
			w.a.born(rs...)
			w.b.has("hot", rs...)
			n := uint32(3000)
			more := func(why string) {
				r := flow(n, 6)
				n++
				w.a.born(r)
				rs = append(rs, r)
				w.b.has(why, rs...)
			}
			for i, step := range [][][]byte{{secret, fresh}, {fresh, secret}, {fresh}} {
				for _, b := range order {
					before := w.a.engine.Status().Peers[0]
					must(t, b.engine.Rekey(step))
					b.cfg.Secrets = step
					more("the link stands")
					if now := w.a.engine.Status().Peers[0]; !now.Connected || now.Sender.Transfers != before.Sender.Transfers {
						t.Errorf("step %d, %s: the link was made anew", i+1, b.name)
					}
					w.b.stop() // and both directions are made anew
					w.b.start()
					eventually(t, "in sync again", func() bool { return w.b.engine.Status().InSync && w.b.holds("a") && w.a.engine.Status().Covered })
					more("over a new link")
				}
			}
			if r := w.a.engine.Status().Counters.Refused + w.b.engine.Status().Counters.Refused; r > 0 {
				t.Errorf("%d connections were refused", r)
			}
		})
	}
}
