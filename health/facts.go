package health

import "time"

// Facts is what a check can tell about itself.
type Facts struct {
	State    State
	Since    time.Time // of the state
	Value    int       // of the last success that counted
	Run      int       // results alike in a row, the last one included
	Why      string    // of the last failure; "" if none yet
	Failed   time.Time // when that was
	Took     time.Duration
	Results  uint64
	Failures uint64 // of Results
	Timeouts uint64 // of Failures
	Silences uint64 // of Timeouts: results that did not come at all
	Changes  uint64 // between Up and Down
	Flapping bool
	Damped   bool      // Down only because it changed too often
	Until    time.Time // while Damped: when that ends, if it stays up
}

// Facts returns what is known at the time now.
func (c *Check) Facts(now time.Time) Facts {
	f := c.facts
	f.State, f.Value = c.state, c.value
	f.Flapping = c.turns.within(now, c.flapWindow())
	if f.Damped = c.Damped(); f.Damped {
		f.Until = c.damper.until
	}
	return f
}

// A check flaps when it changed flapTurns times within the time of flapRounds
// full swings, each Rise and Fall results long. Counted in swings, the notion
// fits a check each 100 ms as well as one each minute.
const (
	flapTurns  = 6
	flapRounds = 10
)

func (c *Check) flapWindow() time.Duration {
	return flapRounds * time.Duration(c.cfg.Rise+c.cfg.Fall) * c.cfg.Every
}

// turns remembers when the last changes were.
type turns struct {
	at   [flapTurns]time.Time
	next int // the oldest, to be overwritten
}

func (t *turns) add(now time.Time) {
	t.at[t.next] = now
	t.next = (t.next + 1) % flapTurns
}

// within tells whether all remembered changes are younger than window.
func (t *turns) within(now time.Time, window time.Duration) bool {
	oldest := t.at[t.next]
	return !oldest.IsZero() && now.Sub(oldest) < window
}
