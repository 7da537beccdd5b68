package probe

import (
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// pace calls fn at fixed times until it returns false, from a thread of its
// own. Late calls are not made up for in a burst: a prober that was stalled
// skips the times it missed, so that its own stall is not reported as loss.
func pace(every time.Duration, fn func() bool) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	// Best effort: the probe is the clock of the measurement, not its load.
	// The thread ends with the goroutine only if it stays locked, so the
	// priority is given back.
	if unix.Setpriority(unix.PRIO_PROCESS, unix.Gettid(), -15) == nil {
		defer func() { _ = unix.Setpriority(unix.PRIO_PROCESS, unix.Gettid(), 0) }()
	}
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		return
	}
	next := now.Nano()
	for fn() {
		next += int64(every)
		if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err == nil && now.Nano() > next+int64(every) {
			next = now.Nano()
		}
		at := unix.NsecToTimespec(next)
		for unix.ClockNanosleep(unix.CLOCK_MONOTONIC, unix.TIMER_ABSTIME, &at, nil) == unix.EINTR {
		}
	}
}
