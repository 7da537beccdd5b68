package probe

import (
	"context"
	"sync"
	"time"

	"understudy/health"
)

// Change is a check that came up, went down, or measures another value.
type Change struct {
	Index int
	Name  string
	health.Output
}

// Watcher probes and judges: Run, with a [health.Check] behind every probe.
type Watcher struct {
	specs []Check

	mu     sync.Mutex
	checks []*health.Check
}

// NewWatcher returns a watcher of checks. Checks of a former one that have the
// same name and Subject keep what is known of them, also while that one is still
// running; before may be nil. It is Run once.
func NewWatcher(checks []Check, before *Watcher) *Watcher {
	w := &Watcher{specs: checks}
	now := time.Now()
	for _, c := range checks {
		w.checks = append(w.checks, before.inherit(c, now))
	}
	return w
}

func (w *Watcher) inherit(c Check, now time.Time) *health.Check {
	if w != nil {
		w.mu.Lock()
		defer w.mu.Unlock()
		for i, old := range w.specs {
			if old.Name == c.Name && old.Subject == c.Subject {
				kept := *w.checks[i]
				kept.Reconfigure(now, c.CheckConfig, c.Spread)
				return &kept
			}
		}
	}
	return health.NewCheck(c.CheckConfig, now, c.Spread)
}

// Facts returns what is known of each check, in their order.
func (w *Watcher) Facts() []health.Facts {
	now := time.Now()
	w.mu.Lock()
	defer w.mu.Unlock()
	out := make([]health.Facts, len(w.checks))
	for i, c := range w.checks {
		out[i] = c.Facts(now)
	}
	return out
}

// Run watches until ctx is done and every probe has returned. emit is called by
// one goroutine at a time, in the order in which things happened; while it
// blocks, probes go on as far as each has one result waiting.
func (w *Watcher) Run(ctx context.Context, emit func(Change)) {
	// One place each: a check's goroutine never has more than one result, so
	// nothing is dropped and nobody blocks another.
	resultC := make(chan Result, len(w.specs))
	doneC := make(chan struct{})
	go func() {
		defer close(doneC)
		Run(ctx, w.specs, func(r Result) {
			select {
			case resultC <- r:
			case <-ctx.Done():
			}
		})
	}()
	defer func() { <-doneC }()
	timer := time.NewTimer(w.untilSilence())
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case r := <-resultC:
			w.step(r.Index, r.Input(), emit)
			continue
		case <-timer.C:
		}
		for more := true; more; { // results that wait, before their absence is believed
			select {
			case r := <-resultC:
				w.step(r.Index, r.Input(), emit)
			default:
				more = false
			}
		}
		for i := range w.checks {
			w.step(i, health.Input{Kind: health.InTick}, emit)
		}
		timer.Reset(w.untilSilence())
	}
}

// untilSilence is the time to the first deadline. Results only move deadlines
// further away, so it is looked for when the timer fires and not at each result.
func (w *Watcher) untilSilence() time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	first := time.Hour
	for _, c := range w.checks {
		first = min(first, c.Deadline().Sub(now))
	}
	return max(first, time.Millisecond)
}

func (w *Watcher) step(i int, in health.Input, emit func(Change)) {
	w.mu.Lock()
	out := w.checks[i].Step(time.Now(), in)
	w.mu.Unlock()
	if out.Changed {
		emit(Change{Index: i, Name: w.specs[i].Name, Output: out})
	}
}
