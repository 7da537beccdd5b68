package replica_test

import (
	"errors"
	"testing"

	"understudy/appliance/replica"
)

// An engine that cannot be opened says why, and leaves nothing open.
func TestOpenFails(t *testing.T) {
	w := newWorld(t)
	no := errors.New("no namespace")
	w.a.cfg.Namespace = func(func() error) error { return no }
	if e, err := replica.Open(w.a.cfg); e != nil || !errors.Is(err, no) {
		t.Errorf("%v, %v", e, err)
	}
}
