package election

import "time"

// absence is the time in which the daemon was not there itself to see whether the
// election lives. In a machine that hangs and goes on neither of them runs, and the one
// that wakes first must not take the other for hung: see also excuse, which is the same
// the other way round. The zero value has seen nothing yet.
type absence struct {
	looked time.Time     // last
	credit time.Duration // of the silence that goes on
}

// lookEvery is how long it usually is from one look to the next, with some slack.
const lookEvery = 300 * time.Millisecond

// excuse is what of a silence counts, when it is looked at now: not the time by which
// this look, or one before it in the same silence, came late. So an election that hangs
// is found, later, by a daemon that hardly runs.
func (a *absence) excuse(now time.Time, silence time.Duration) time.Duration {
	gap := now.Sub(a.looked)
	if a.looked.IsZero() || gap > silence {
		a.credit = 0 // it has lived since the last look
	}
	if !a.looked.IsZero() && gap > lookEvery {
		a.credit += gap - lookEvery
	}
	a.looked = now
	return max(0, silence-a.credit)
}
