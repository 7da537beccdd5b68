package control_test

import (
	"context"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"understudy/appliance/control"
)

// ending is a node that makes way for another one as soon as it is asked.
type ending struct {
	node
	end  context.CancelFunc
	said atomic.Bool
}

func (n *ending) Upgrade(context.Context) (string, error) {
	n.end()
	time.Sleep(50 * time.Millisecond)
	n.said.Store(true)
	return "2.0", nil
}

// Who asks for the end is told that it comes: the server ends when it has answered.
func TestWhoAsksForTheEndIsAnswered(t *testing.T) {
	path := filepath.Join(t.TempDir(), "run", "control.sock")
	ctx, cancel := context.WithCancel(context.Background())
	n := &ending{end: cancel}
	s, err := control.Listen(path, n)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan bool, 1)
	go func() {
		if err := s.Serve(ctx); err != nil {
			t.Errorf("serve: %v", err)
		}
		done <- n.said.Load() // now the process would end
	}()
	c := control.NewClient(path)
	defer c.Close()
	if v, err := c.Upgrade(t.Context()); err != nil || v != "2.0" {
		t.Errorf("%q, %v", v, err)
	}
	if !<-done {
		t.Error("the server ended before it had answered")
	}
}
