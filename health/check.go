package health

import "time"

// Defaults of a [CheckConfig].
const (
	DefaultEvery = time.Second
	DefaultRise  = 2
	DefaultFall  = 3
)

// CheckConfig is how a check judges its results. Zero values mean the defaults.
type CheckConfig struct {
	Name    string
	Every   time.Duration // from the start of one probe to the start of the next
	Timeout time.Duration // what a probe may take; 0 is Every
	Rise    int           // successes in a row that bring a check from Down to Up
	Fall    int           // failures in a row that bring it Down
	// Retry takes the place of Every behind a failure that is one of less than Fall:
	// what seems to have died is looked at soon again. 0 is Every.
	Retry time.Duration
	// Pushed: results are not asked for but come, one each Every, and may be
	// Timeout late.
	Pushed bool
	// Derived: a result comes when something else changes, and its absence says
	// nothing. One result in a row is enough.
	Derived bool
	Damp    Damp
}

// WithDefaults returns c with its zero values filled in.
func (c CheckConfig) WithDefaults() CheckConfig {
	if c.Every <= 0 {
		c.Every = DefaultEvery
	}
	if c.Timeout <= 0 {
		c.Timeout = c.Every
	}
	if c.Rise <= 0 {
		c.Rise = DefaultRise
	}
	if c.Fall <= 0 {
		c.Fall = DefaultFall
	}
	if c.Derived {
		c.Rise, c.Fall = 1, 1
	}
	if c.Retry <= 0 {
		c.Retry = c.Every
	}
	c.Damp = c.Damp.withDefaults()
	return c
}

// silence is how long no result may come: the next probe may start Every later
// and take Timeout, and one more Every leaves room for a busy machine. Without
// that room a result that is a little late would count twice. What is pushed has
// that room in its Timeout.
func (c CheckConfig) silence() time.Duration {
	if c.Pushed {
		return c.Every + c.Timeout
	}
	return 2*max(c.Every, c.Retry) + c.Timeout
}

// Bound is the longest time a new check stays Unknown, when its first probe
// starts spread after it was made, ticks come on time, and its results come all
// or never.
func (c CheckConfig) Bound(spread time.Duration) time.Duration {
	c = c.WithDefaults()
	return spread + c.silence() + time.Duration(c.Fall-1)*max(c.Every, c.Retry, c.Timeout)
}

// InputKind is the kind of an Input.
type InputKind uint8

// The kinds.
const (
	InTick   InputKind = iota // the time of Deadline has come. Hand in the results that wait first
	InResult                  // OK, Timeout, Why, Value, Took: a probe has ended, or a heartbeat came
)

// Input is one event of a check.
type Input struct {
	Kind    InputKind
	OK      bool
	Timeout bool          // of a failure: it was one of time
	Certain bool          // of a failure: it counts as Fall of them
	Why     string        // of a failure: for people
	Value   int           // of a success: what was measured, if the probe measures
	Took    time.Duration // how long the probe ran
}

// Output is what an event led to.
type Output struct {
	Changed  bool // From is not To, or an Up check has another Value
	From, To State
	Value    int
	Why      string // To is Down: the failure that decided
}

// Check counts results: see the package's picture. The zero value is useless,
// call NewCheck. It is not safe for concurrent use.
type Check struct {
	cfg      CheckConfig
	state    State // that is told
	judged   State // by rise and fall; another than state only while damped
	why      string
	value    int
	last     bool      // the last result
	deadline time.Time // of the next result; zero: it may stay away
	damper   damper
	excused  bool // a late tick has been given its grace
	facts    Facts
	turns    turns
}

// NewCheck returns a check in Unknown whose first probe starts spread after now.
func NewCheck(cfg CheckConfig, now time.Time, spread time.Duration) *Check {
	cfg = cfg.WithDefaults()
	c := &Check{cfg: cfg, facts: Facts{Since: now}}
	c.await(now.Add(spread))
	return c
}

// await starts the wait for a result of a probe that begins at the time from.
func (c *Check) await(from time.Time) {
	c.deadline, c.excused = time.Time{}, false
	if !c.cfg.Derived {
		c.deadline = from.Add(c.cfg.silence())
	}
}

// Config is what the check runs with, defaults filled.
func (c *Check) Config() CheckConfig { return c.cfg }

// State is the present one.
func (c *Check) State() State { return c.state }

// Deadline is when to call Step with InTick unless a result comes first; zero:
// nothing is waited for.
func (c *Check) Deadline() time.Time {
	if c.Damped() && (c.deadline.IsZero() || c.damper.until.Before(c.deadline)) {
		return c.damper.until
	}
	return c.deadline
}

// Damped tells that the check would be Up, and is held Down for having changed
// too often.
func (c *Check) Damped() bool { return c.judged == Up && c.state == Down }

// Reconfigure changes the parameters; what is known stays. A smaller Rise or
// Fall counts from the next result on.
func (c *Check) Reconfigure(now time.Time, cfg CheckConfig, spread time.Duration) {
	c.cfg = cfg.WithDefaults()
	c.await(now.Add(spread))
}

// Step applies one event at the time now. It is defined for every event in every
// state.
func (c *Check) Step(now time.Time, in Input) Output {
	out := Output{From: c.state}
	value := c.value
	switch in.Kind {
	case InResult:
		c.await(now)
		c.count(now, in)
	case InTick:
		if !c.deadline.IsZero() && !now.Before(c.deadline) {
			c.onSilence(now)
		}
	}
	c.tell(now)
	out.To, out.Value = c.state, c.value
	out.Changed = out.From != out.To || out.To == Up && value != c.value
	if out.Changed && out.To == Down {
		out.Why = c.why
	}
	return out
}

// onSilence counts a result that did not come. A process that was stopped has
// missed its results together with its timer: that says nothing about what is
// checked, so the wait starts anew, once.
func (c *Check) onSilence(now time.Time) {
	if late := now.Sub(c.deadline); late > c.cfg.Every && !c.excused {
		c.excused = true
		c.deadline = now.Add(c.cfg.silence())
		return
	}
	c.facts.Silences++
	c.deadline = now.Add(c.cfg.Every)
	c.count(now, Input{Timeout: true, Why: "no result"})
}

func (c *Check) count(now time.Time, in Input) {
	f := &c.facts
	f.Results++
	f.Took = in.Took
	if in.OK != c.last || f.Results == 1 {
		f.Run = 0
	}
	f.Run++
	c.last = in.OK
	if !in.OK {
		f.Failures++
		f.Why, f.Failed = in.Why, now
		if in.Timeout {
			f.Timeouts++
		}
	}
	switch {
	case in.OK && (c.judged == Unknown || c.judged == Down && f.Run >= c.cfg.Rise):
		c.become(now, Up)
	case !in.OK && c.judged != Down && (f.Run >= c.cfg.Fall || in.Certain):
		c.why = in.Why
		c.become(now, Down)
	}
	if in.OK && c.judged == Up {
		c.value = in.Value
	}
}

func (c *Check) become(now time.Time, to State) {
	if c.judged != Unknown {
		c.facts.Changes++
		c.turns.add(now)
		if to == Down {
			c.damper.add(now, c.cfg.Damp)
		}
	}
	c.judged = to
}

// tell brings what is told in line with what was judged: down at once, up when
// nothing is held against it.
func (c *Check) tell(now time.Time) {
	if c.state == c.judged || c.Damped() && c.cfg.Damp.on() && now.Before(c.damper.until) {
		return
	}
	c.state, c.facts.Since = c.judged, now
}
