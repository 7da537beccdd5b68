package election

import (
	"time"

	"golang.org/x/sys/unix"
)

// Monotonic is CLOCK_MONOTONIC: what one process has noted another one of the same
// machine can reckon with.
type Monotonic time.Duration

// MonotonicNow reads the clock.
func MonotonicNow() Monotonic {
	var ts unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts) // never fails
	return Monotonic(ts.Nano())
}

// Since is how long ago it was.
func (m Monotonic) Since() time.Duration { return time.Duration(MonotonicNow() - m) }
