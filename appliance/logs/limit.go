package logs

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// The rate of records that say the same, whatever their attributes: so many within a
// window; the rest is counted, and the count is told when the window ends.
const (
	burst  = 50
	window = 10 * time.Second
	// sayings is how many different ones are counted; more than the program has.
	sayings = 512
)

// saying is a message at a level.
type saying struct {
	level slog.Level
	text  string
}

// Limiter decides which records are let through. The zero value is ready. It is pure: times
// come as arguments.
type Limiter struct {
	all map[saying]*count
}

type count struct {
	ends       time.Time
	n          int
	suppressed uint64
}

// Allow tells whether a record is let through. first: it is the first one that is not, so that
// somebody has to call Ended when the window ends.
func (l *Limiter) Allow(now time.Time, level slog.Level, text string) (ok, first bool) {
	key := saying{level, text}
	c := l.all[key]
	switch {
	case c == nil:
		if l.all == nil {
			l.all = make(map[saying]*count)
		}
		if len(l.all) >= sayings {
			l.sweep(now)
		}
		if len(l.all) >= sayings {
			return true, false // it is not counted
		}
		c = &count{ends: now.Add(window)}
		l.all[key] = c
	case !now.Before(c.ends) && c.suppressed == 0:
		*c = count{ends: now.Add(window)}
	}
	if c.n < burst {
		c.n++
		return true, false
	}
	c.suppressed++
	return false, c.suppressed == 1
}

// Ended closes a window, and returns how many records it has swallowed.
func (l *Limiter) Ended(level slog.Level, text string) (suppressed uint64) {
	key := saying{level, text}
	if c := l.all[key]; c != nil {
		suppressed = c.suppressed
		delete(l.all, key)
	}
	return suppressed
}

// sweep forgets what is over.
func (l *Limiter) sweep(now time.Time) {
	for key, c := range l.all {
		if !now.Before(c.ends) && c.suppressed == 0 {
			delete(l.all, key)
		}
	}
}

// limited is a handler with a limiter before it.
type limited struct {
	to slog.Handler
	s  *shared
}

type shared struct {
	mu      sync.Mutex
	limiter Limiter
}

// unlimited are never held back: what an operator asks for (debug), and what the log is
// for.
func unlimited(r *slog.Record) bool { return r.Level < slog.LevelInfo || r.Message == "transition" }

func newLimited(to slog.Handler) slog.Handler { return &limited{to, &shared{}} }

func (h *limited) Enabled(ctx context.Context, l slog.Level) bool { return h.to.Enabled(ctx, l) }

func (h *limited) Handle(ctx context.Context, r slog.Record) error {
	if unlimited(&r) {
		return h.to.Handle(ctx, r)
	}
	h.s.mu.Lock()
	ok, first := h.s.limiter.Allow(time.Now(), r.Level, r.Message)
	h.s.mu.Unlock()
	if ok {
		return h.to.Handle(ctx, r)
	}
	if first {
		level, text := r.Level, r.Message
		time.AfterFunc(window, func() { h.told(level, text) })
	}
	return nil
}

// told says what was held back.
func (h *limited) told(level slog.Level, text string) {
	h.s.mu.Lock()
	n := h.s.limiter.Ended(level, text)
	h.s.mu.Unlock()
	r := slog.NewRecord(time.Now(), level, text, 0)
	r.AddAttrs(slog.Uint64("suppressed", n), slog.Duration("within", window))
	_ = h.to.Handle(context.Background(), r)
}

func (h *limited) WithAttrs(a []slog.Attr) slog.Handler { return &limited{h.to.WithAttrs(a), h.s} }
func (h *limited) WithGroup(name string) slog.Handler   { return &limited{h.to.WithGroup(name), h.s} }
