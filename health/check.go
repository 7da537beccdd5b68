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
	return c
}

// silence is how long no result may come: the next probe may start Every later
// and take Timeout, and one more Every leaves room for a busy machine. Without
// that room a result that is a little late would count twice.
func (c CheckConfig) silence() time.Duration { return 2*c.Every + c.Timeout }

// Bound is the longest time a new check stays Unknown, when its first probe
// starts spread after it was made, ticks come on time, and its results come all
// or never.
func (c CheckConfig) Bound(spread time.Duration) time.Duration {
	c = c.WithDefaults()
	return spread + c.silence() + time.Duration(c.Fall-1)*max(c.Every, c.Timeout)
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
	state    State
	value    int
	last     bool // the last result
	deadline time.Time
	excused  bool // a late tick has been given its grace
	facts    Facts
	turns    turns
}

// NewCheck returns a check in Unknown whose first probe starts spread after now.
func NewCheck(cfg CheckConfig, now time.Time, spread time.Duration) *Check {
	cfg = cfg.WithDefaults()
	return &Check{cfg: cfg, deadline: now.Add(spread + cfg.silence()), facts: Facts{Since: now}}
}

// Config is what the check runs with, defaults filled.
func (c *Check) Config() CheckConfig { return c.cfg }

// State is the present one.
func (c *Check) State() State { return c.state }

// Deadline is when to call Step with InTick unless a result comes first.
func (c *Check) Deadline() time.Time { return c.deadline }

// Reconfigure changes the parameters; what is known stays. A smaller Rise or
// Fall counts from the next result on.
func (c *Check) Reconfigure(now time.Time, cfg CheckConfig, spread time.Duration) {
	c.cfg = cfg.WithDefaults()
	c.deadline = now.Add(spread + c.cfg.silence())
	c.excused = false
}

// Step applies one event at the time now. It is defined for every event in every
// state.
func (c *Check) Step(now time.Time, in Input) Output {
	switch in.Kind {
	case InResult:
		c.deadline, c.excused = now.Add(c.cfg.silence()), false
		return c.count(now, in)
	case InTick:
		if !now.Before(c.deadline) {
			return c.onSilence(now)
		}
	}
	return Output{From: c.state, To: c.state, Value: c.value}
}

// onSilence counts a result that did not come. A process that was stopped has
// missed its results together with its timer: that says nothing about what is
// checked, so the wait starts anew, once.
func (c *Check) onSilence(now time.Time) Output {
	if late := now.Sub(c.deadline); late > c.cfg.Every && !c.excused {
		c.excused = true
		c.deadline = now.Add(c.cfg.silence())
		return Output{From: c.state, To: c.state, Value: c.value}
	}
	c.facts.Silences++
	c.deadline = now.Add(c.cfg.Every)
	return c.count(now, Input{Timeout: true, Why: "no result"})
}

func (c *Check) count(now time.Time, in Input) Output {
	f := &c.facts
	f.Results++
	f.Took = in.Took
	if in.OK != c.last || f.Results == 1 {
		f.Run = 0
	}
	f.Run++
	c.last = in.OK
	out := Output{From: c.state}
	if !in.OK {
		f.Failures++
		f.Why, f.Failed = in.Why, now
		if in.Timeout {
			f.Timeouts++
		}
	}
	switch {
	case in.OK && (c.state == Unknown || c.state == Down && f.Run >= c.cfg.Rise):
		c.become(now, Up)
	case !in.OK && c.state != Down && f.Run >= c.cfg.Fall:
		c.become(now, Down)
		out.Why = in.Why
	}
	if in.OK && c.state == Up && c.value != in.Value {
		c.value, out.Changed = in.Value, true
	}
	out.To, out.Value = c.state, c.value
	out.Changed = out.Changed || out.From != out.To
	return out
}

func (c *Check) become(now time.Time, to State) {
	if c.state != Unknown {
		c.facts.Changes++
		c.turns.add(now)
	}
	c.state, c.facts.Since = to, now
}
