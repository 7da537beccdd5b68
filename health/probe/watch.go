package probe

import (
	"context"
	"fmt"
	"strings"
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

// Source is where results come from by themselves, such as heartbeats.
type Source interface {
	// Run takes results in until ctx is done. emit takes the index of a check, and
	// may block for a moment.
	Run(ctx context.Context, emit func(check int, in health.Input))
}

// Watcher probes and judges: Run, with a [health.Check] behind every probe.
type Watcher struct {
	specs   []Check
	sources []Source
	runs    []Check // what is probed; several checks may be one of them
	who     [][]int // checks, by run
	above   [][]int // checks that are made of a check

	mu     sync.Mutex
	checks []*health.Check
	hasty  bool // a deadline is nearer than the timer may know
}

// NewWatcher returns a watcher of checks. Checks of a former one that have the
// same name and Subject keep what is known of them, also while that one is still
// running; before may be nil. It is Run once.
func NewWatcher(checks []Check, before *Watcher, sources ...Source) *Watcher {
	w := &Watcher{specs: checks, sources: sources, above: make([][]int, len(checks))}
	w.share()
	now := time.Now()
	of := make([][]int, len(checks))
	for i, c := range checks {
		w.checks = append(w.checks, before.inherit(w.specs[i], now))
		of[i] = c.Of
		for _, k := range c.Of {
			w.above[k] = append(w.above[k], i)
		}
	}
	// What is inherited may say something of what is new.
	order, _ := health.Order(of)
	for _, i := range order {
		if len(w.specs[i].Of) > 0 {
			w.combine(i, func(Change) {})
		}
	}
	return w
}

// share finds out what is to be probed, each thing once: a server that several
// check by other names is not asked more often for that.
func (w *Watcher) share() {
	type key struct {
		subject        string
		every, timeout time.Duration
		retry          time.Duration
		retries        int // which only matter where retry is not every
	}
	known := map[key]int{}
	w.specs = append([]Check(nil), w.specs...)
	for i := range w.specs {
		c := &w.specs[i]
		c.CheckConfig = c.WithDefaults()
		if c.Prober == nil {
			continue
		}
		k := key{subject: c.Subject, every: c.Every, timeout: c.Timeout}
		if c.Retry != c.Every {
			k.retry, k.retries = c.Retry, c.Fall
		}
		run, shared := known[k]
		if !shared || c.Subject == "" {
			run = len(w.runs)
			known[k] = run
			w.runs, w.who = append(w.runs, *c), append(w.who, nil)
		}
		c.Spread = w.runs[run].Spread
		w.who[run] = append(w.who[run], i)
	}
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

// Probes is how many things are probed: no more than there are checks.
func (w *Watcher) Probes() int { return len(w.runs) }

// arrival is a result that a Source has taken in.
type arrival struct {
	check int
	in    health.Input
}

// maxArrivals is how many results of sources may wait. More than that, and the
// sources wait, which lose what their sockets have no room for: so many results
// say nothing new.
const maxArrivals = 256

// Run watches until ctx is done and every probe has returned. emit is called by
// one goroutine at a time, in the order in which things happened; while it
// blocks, probes go on as far as each has one result waiting.
func (w *Watcher) Run(ctx context.Context, emit func(Change)) {
	// One place each: a check's goroutine never has more than one result, so
	// nothing is dropped and nobody blocks another.
	resultC := make(chan Result, len(w.runs))
	arrivalC := make(chan arrival, maxArrivals)
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() {
		Run(ctx, w.runs, func(r Result) {
			select {
			case resultC <- r:
			case <-ctx.Done():
			}
		})
	})
	for _, s := range w.sources {
		wg.Go(func() {
			s.Run(ctx, func(check int, in health.Input) {
				select {
				case arrivalC <- arrival{check, in}:
				case <-ctx.Done():
				}
			})
		})
	}
	timer := time.NewTimer(w.untilSilence())
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case r := <-resultC:
			w.result(r, emit)
			w.hurry(timer)
			continue
		case a := <-arrivalC:
			w.step(a.check, a.in, emit)
			w.hurry(timer)
			continue
		case <-timer.C:
		}
		for more := true; more; { // results that wait, before their absence is believed
			select {
			case r := <-resultC:
				w.result(r, emit)
			case a := <-arrivalC:
				w.step(a.check, a.in, emit)
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

func (w *Watcher) result(r Result, emit func(Change)) {
	in := r.Input()
	for _, i := range w.who[r.Index] {
		w.step(i, in, emit)
	}
}

// hurry looks anew when to look for silence, if that may be sooner than it was.
func (w *Watcher) hurry(timer *time.Timer) {
	if w.hasty {
		w.hasty = false
		timer.Reset(w.untilSilence())
	}
}

// untilSilence is the time to the first deadline. Results move deadlines further
// away, but for checks that are damped, so it is looked for when the timer fires
// and not at each result.
func (w *Watcher) untilSilence() time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	first := time.Hour
	for _, c := range w.checks {
		if at := c.Deadline(); !at.IsZero() {
			first = min(first, at.Sub(now))
		}
	}
	return max(first, time.Millisecond)
}

func (w *Watcher) step(i int, in health.Input, emit func(Change)) {
	w.mu.Lock()
	was := w.checks[i].Damped()
	out := w.checks[i].Step(time.Now(), in)
	w.hasty = w.hasty || w.checks[i].Damped() && !was
	w.mu.Unlock()
	if !out.Changed {
		return
	}
	emit(Change{Index: i, Name: w.specs[i].Name, Output: out})
	for _, k := range w.above[i] {
		w.combine(k, emit)
	}
}

// combine looks what a check of checks has come to. It terminates, as there are
// no circles, and does not waver (see health.Combine).
func (w *Watcher) combine(i int, emit func(Change)) {
	c := &w.specs[i]
	w.mu.Lock()
	states := make([]health.State, len(c.Of))
	for n, k := range c.Of {
		states[n] = w.checks[k].State()
	}
	why := w.wants(c, states)
	w.mu.Unlock()
	switch health.Combine(c.Need, states...) {
	case health.Up:
		w.step(i, health.Input{Kind: health.InResult, OK: true}, emit)
	case health.Down:
		w.step(i, health.Input{Kind: health.InResult, Why: why}, emit)
	}
}

// wants says what a check of checks lacks: "1 of 3 up, 2 wanted: web-a: refused".
func (w *Watcher) wants(c *Check, states []health.State) string {
	up := 0
	var down []string
	for n, k := range c.Of {
		switch states[n] {
		case health.Up:
			up++
		case health.Down:
			one := w.specs[k].Name
			if why := w.checks[k].Facts(time.Time{}).Why; why != "" {
				one += ": " + why
			}
			down = append(down, one)
		}
	}
	const most = 3
	more := ""
	if len(down) > most {
		more = fmt.Sprintf("; %d more", len(down)-most)
		down = down[:most]
	}
	return fmt.Sprintf("%d of %d up, %d wanted: %s%s", up, len(states), c.Need, strings.Join(down, "; "), more)
}
