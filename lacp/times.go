package lacp

import "time"

// The constants of the machines (802.1AX-2008, 5.4.4).
const (
	FastPeriodic   = time.Second      // between the PDUs that a partner with a short timeout is sent
	SlowPeriodic   = 30 * time.Second // ... with a long one
	ShortTimeout   = 3 * time.Second  // after that long without a PDU what is known of the partner expires
	LongTimeout    = 90 * time.Second
	ChurnDetection = 60 * time.Second // an end that is not in sync by then churns
	AggregateWait  = 2 * time.Second  // before a link joins an aggregate: others may join with it
)

// timeoutOf is how long a port of that state waits for a PDU.
func timeoutOf(s State) time.Duration {
	if s.Has(Timeout) {
		return ShortTimeout
	}
	return LongTimeout
}

// earliest returns the earlier of two times, where zero is never.
func earliest(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// latest returns the later of two times.
func latest(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}
