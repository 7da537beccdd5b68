package control_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	"understudy/appliance/control"
	"understudy/appliance/history"
)

// What is asked for arrives as it was asked.
func TestEvents(t *testing.T) {
	c, _ := serve(t)
	q := history.Query{Since: time.Date(2026, 3, 1, 3, 0, 0, 5000, time.UTC), Group: "a b", Kind: history.Check, After: 7, Last: 4}
	a, err := c.Events(t.Context(), q, 3*time.Second)
	if err != nil || a.Rev != 9 || len(a.Events) != 1 {
		t.Fatalf("%+v, %v", a, err)
	}
	if want := fmt.Sprintf("%+v, waits 3s", q); a.Events[0].Text != want {
		t.Errorf("arrived: %s\nasked:   %s", a.Events[0].Text, want)
	}
	if a, err := c.Events(t.Context(), history.Query{}, time.Hour); err != nil || a.Events[0].Text != fmt.Sprintf("%+v, waits 30s", history.Query{}) {
		t.Errorf("a wait without end: %+v, %v", a, err)
	}
}

// A question that makes no sense is refused with the key.
func TestEventsOfNonsense(t *testing.T) {
	_, path := serve(t)
	client := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", path)
	}}}
	for _, query := range []string{"after=-1", "last=many", "wait=1s", "since=yesterday"} {
		resp, err := client.Get("http://understudy/v1/events?" + query)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusBadRequest {
			t.Errorf("%s: %s", query, resp.Status)
		}
	}
}

// quiet is a node to which nothing happens.
type quiet struct {
	node
	asked chan struct{}
}

func (n *quiet) Events(ctx context.Context, _ history.Query, _ time.Duration) (history.Answer, error) {
	close(n.asked)
	<-ctx.Done()
	return history.Answer{Rev: 9, Events: []history.Event{}}, nil
}

// Who waits for something to happen does not hold up the end of the node.
func TestWhoWaitsDoesNotHoldUpTheEnd(t *testing.T) {
	path := filepath.Join(t.TempDir(), "run", "control.sock")
	ctx, cancel := context.WithCancel(t.Context())
	n := &quiet{asked: make(chan struct{})}
	s, err := control.Listen(path, n)
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(ctx) }()
	c := control.NewClient(path)
	defer c.Close()
	answered := make(chan error, 1)
	go func() {
		a, err := c.Events(t.Context(), history.Query{}, 30*time.Second)
		if err == nil && a.Rev != 9 {
			err = fmt.Errorf("got %+v", a)
		}
		answered <- err
	}()
	<-n.asked
	cancel()
	if err := <-served; err != nil {
		t.Error(err)
	}
	select {
	case err := <-answered:
		if err != nil { // cut off instead of answered
			t.Error(err)
		}
	case <-time.After(20 * time.Second):
		t.Error("still waits")
	}
}
