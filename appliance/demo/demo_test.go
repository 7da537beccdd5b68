package demo

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"time"

	"understudy/appliance/lab"
	"understudy/appliance/lab/pair"
)

// The whole demo, with little patience and few connections.
func TestRun(t *testing.T) {
	lab.Require(t)
	binary, err := pair.Build(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name  string
		opt   Options
		total int
	}{
		// What is to happen in place needs an election that is not silent for long: where
		// others have the processors, only longer intervals see to that.
		{"sessions", Options{Connections: 20, Interval: 500 * time.Millisecond}, 25},
		{"translation alone", Options{NoSessions: true, NoHandover: true}, 0},
		{"routed", Options{NoSessions: true, NoNAT: true, NoHandover: true}, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tc.opt.Binary, tc.opt.Progress, tc.opt.calm, tc.opt.after = binary, t.Output(), 300*time.Millisecond, 100*time.Millisecond
			ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
			defer cancel()
			r, err := Run(ctx, tc.opt)
			if r != nil {
				if err := r.WriteText(t.Output()); err != nil {
					t.Error(err)
				}
			}
			if err != nil {
				t.Fatal(err)
			}
			if !r.OK || r.Flows.Total != tc.total || r.Flows.Survived != tc.total || len(r.Events) < 2 || r.Events[0].LostPackets == 0 {
				t.Errorf("flows %v, ok %v, %d events", r.Flows, r.OK, len(r.Events))
			}
			for _, e := range r.Events {
				if want := !staying(e.Name); (e.Changes > 0) != want {
					t.Errorf("%s: %d changes of state", e.Name, e.Changes)
				}
			}
			if tc.total > 0 && len(r.Events) != 6 {
				t.Errorf("%d events", len(r.Events))
			}
			if tc.total > 0 && r.Sessions.Replicated < tc.total {
				t.Errorf("%d sessions replicated, want %d or more", r.Sessions.Replicated, tc.total)
			}
		})
	}
}

func TestCancelledRunCleansUp(t *testing.T) {
	lab.Require(t)
	binary, err := pair.Build(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	// Cancelled by its own first word about traffic.
	progress := writerFunc(func(line []byte) {
		if bytes.Contains(line, []byte("traffic:")) {
			cancel()
		}
	})
	if r, err := Run(ctx, Options{Binary: binary, Connections: 10, Progress: progress}); !errors.Is(err, context.Canceled) || r != nil {
		t.Errorf("want the cancellation and no report, got %v, %v", r, err)
	}
}

type writerFunc func([]byte)

func (f writerFunc) Write(b []byte) (int, error) {
	f(b)
	return len(b), nil
}
