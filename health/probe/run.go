package probe

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"understudy/health"
)

// Check is one thing to be probed again and again.
type Check struct {
	health.CheckConfig
	// Spread is how long the first probe waits. Checks that all start at once
	// would also all come back at once, each time: see [health.Spread].
	Spread time.Duration
	Prober Prober // nil: its results come otherwise, from a Source or from other checks
	// Subject is what is probed, as text. A check whose name and Subject are as
	// before keeps its state across a reload, and checks with the same Subject
	// and pace are one probe: see [NewWatcher].
	Subject string
	// Of, if any, makes it a check of other checks, by their index: it is up while
	// Need of them are. There must be no circle (health.Order).
	Of   []int
	Need int
}

// Result is how one probe went.
type Result struct {
	Index   int // of the check
	Name    string
	Start   time.Time
	Took    time.Duration
	Value   int // what a Measurer measured
	Err     error
	Timeout bool // Err is that the time ran out
}

// Input is the result as a health.Check takes it.
func (r Result) Input() health.Input {
	in := health.Input{Kind: health.InResult, OK: r.Err == nil, Timeout: r.Timeout, Value: r.Value, Took: r.Took}
	if r.Err != nil {
		in.Why = r.Err.Error()
	}
	return in
}

// Run probes until ctx is done and every probe has returned. Each check has a
// goroutine of its own, and so one socket at a time at most; emit is called from
// it: emit has to be safe for concurrent use, and while it blocks, that one check
// rests. Checks without a Prober are passed over.
//
// A probe starts each Every, counted from the first start, and Retry after the start of
// one that has failed, until Fall of them have. One that takes longer
// than that skips the turns it has missed. Its time is up after Timeout; the
// result of a probe that was cut short by the end of ctx is not emitted.
func Run(ctx context.Context, checks []Check, emit func(Result)) {
	var wg sync.WaitGroup
	for i, c := range checks {
		if c.Prober == nil {
			continue
		}
		c.CheckConfig = c.WithDefaults()
		wg.Go(func() { c.run(ctx, i, emit) })
	}
	wg.Wait()
}

func (c *Check) run(ctx context.Context, index int, emit func(Result)) {
	next := time.Now().Add(c.Spread)
	timer := time.NewTimer(c.Spread)
	defer timer.Stop()
	failed := 0 // in a row
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		r := c.once(ctx)
		if ctx.Err() != nil {
			return
		}
		r.Index = index
		emit(r)
		pace := c.Every
		if failed++; r.Err == nil {
			failed = 0
		} else if failed < c.Fall {
			pace = c.Retry
		}
		now := time.Now()
		if next = next.Add(pace); next.Before(now) {
			missed := (now.Sub(next) + pace - 1) / pace
			next = next.Add(missed * pace)
		}
		timer.Reset(next.Sub(now))
	}
}

// once runs one probe.
func (c *Check) once(ctx context.Context) Result {
	r := Result{Name: c.Name, Start: time.Now()}
	ctx, cancel := context.WithTimeoutCause(ctx, c.Timeout, timeout{c.Timeout})
	defer cancel()
	r.Value, r.Err = c.try(ctx)
	r.Took = time.Since(r.Start)
	if r.Err == nil && ctx.Err() != nil {
		r.Err = context.Cause(ctx) // it worked, but nobody waits so long
	}
	if r.Err != nil {
		r.Value = 0
	}
	r.Timeout = errors.Is(r.Err, ErrTimeout)
	return r
}

// try keeps a panic where it belongs: a probe reads what strangers send, and one
// that stumbles over it must not take the gateway along.
func (c *Check) try(ctx context.Context) (value int, err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("probe panicked: %v", v)
		}
	}()
	if m, ok := c.Prober.(Measurer); ok {
		return m.Measure(ctx)
	}
	return 0, c.Prober.Probe(ctx)
}
