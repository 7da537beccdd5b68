package replica_test

import (
	"strings"
	"sync/atomic"
	"testing"
)

// Case 59: a standby whose kernel cannot hold what the flows need is not ready, and
// says why; when it can, it is.
func TestCase59StandbyIsNotReady(t *testing.T) {
	w := newWorld(t)
	labels := `table inet l { chain c { type filter hook forward priority filter; ct label 1 counter
	} }`
	w.a.nft(labels)
	var hooked atomic.Bool
	w.b.cfg.NATHooks = func() (bool, bool, error) { return hooked.Load(), false, nil }
	w.a.start()
	w.b.start()
	w.a.activate(1)
	eventually(t, "in sync, with nothing to need", func() bool { s := w.b.engine.Status(); return s.InSync && len(s.NotReady) == 0 })
	r := flow(2, 6)
	r.Labels[2] = 8
	w.a.born(r)
	lacks := func(what ...string) func() bool {
		return func() bool {
			s := w.b.engine.Status()
			all := strings.Join(s.NotReady, "\n")
			for _, x := range what {
				if !strings.Contains(all, x) {
					return false
				}
			}
			return len(s.NotReady) == len(what) && s.InSync == (len(what) == 0)
		}
	}
	eventually(t, "not ready for labels, nor to translate", lacks("connection labels", "a NAT chain of IPv4"))
	if s := w.a.engine.Status(); !s.InSync || len(s.NotReady) != 0 {
		t.Errorf("the owner is not ready: %q", s.NotReady)
	}
	w.b.nft(labels)
	hooked.Store(true)
	eventually(t, "ready", lacks())
}
