package replica_test

import "testing"

// All sessions have come, and the kernel has not taken them yet: the standby is not in
// sync before it has, or a better node would take over and serve later.
func TestInSyncIsInTheKernel(t *testing.T) {
	w := newWorld(t)
	w.a.start()
	w.a.activate(1)
	rs := flows(5000)
	w.a.born(rs...)
	eventually(t, "a knows them", func() bool { return w.a.engine.Status().Local == len(rs) })
	w.b.start()
	release := w.b.engine.HoldInstalls()
	eventually(t, "all have come", func() bool { return w.b.engine.Status().Foreign == len(rs) && w.b.engine.Told() })
	if w.b.engine.Status().InSync {
		t.Error("in sync, with nothing in the kernel")
	}
	release()
	eventually(t, "in sync", func() bool { return w.b.engine.Status().InSync })
	if d := w.b.differs(rs); d != "" {
		t.Errorf("in sync, and the kernel %s", d)
	}
}
