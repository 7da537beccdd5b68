package election

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"
)

// queued is a slog.Handler that never makes its caller wait: whoever reads our
// standard error may be slow, and the loop has adverts to send. What does not fit
// into the queue is dropped and counted; the count goes out with the next record.
type queued struct {
	to slog.Handler
	q  *logQueue
}

type logQueue struct {
	c       chan func() // 256 records
	dropped atomic.Uint64
	ended   chan struct{}
}

func newQueued(to slog.Handler) *queued {
	q := &logQueue{c: make(chan func(), 256), ended: make(chan struct{})}
	go func() {
		defer close(q.ended)
		for write := range q.c {
			write()
		}
	}()
	return &queued{to: to, q: q}
}

func (h *queued) Enabled(ctx context.Context, l slog.Level) bool { return h.to.Enabled(ctx, l) }

func (h *queued) Handle(_ context.Context, r slog.Record) error {
	r = r.Clone()
	select {
	case h.q.c <- func() {
		if n := h.q.dropped.Swap(0); n > 0 {
			r.AddAttrs(slog.Uint64("log_records_dropped", n))
		}
		_ = h.to.Handle(context.Background(), r)
	}:
	default:
		h.q.dropped.Add(1)
	}
	return nil
}

func (h *queued) WithAttrs(a []slog.Attr) slog.Handler { return &queued{h.to.WithAttrs(a), h.q} }
func (h *queued) WithGroup(name string) slog.Handler   { return &queued{h.to.WithGroup(name), h.q} }

// close writes what is queued, for at most a second. Nothing may be logged after.
func (h *queued) close() {
	close(h.q.c)
	select {
	case <-h.q.ended:
	case <-time.After(time.Second):
	}
}
