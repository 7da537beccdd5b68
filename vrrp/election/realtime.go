package election

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// realtimePriority is above what runs by default and below the kernel's own
// threads (50).
const realtimePriority = 40

// becomeRealtime puts the calling thread into the real-time class SCHED_FIFO: on
// a busy machine an advert, or the look into the socket that holds one, would
// otherwise wait behind everything else for longer than a short advert interval
// allows. The loop sleeps whenever nothing is due, and the kernel bounds what the
// class may take of a processor (sched_rt_runtime_us).
//
// Threads and processes that it starts, the daemon among them, are not in the
// class. It takes CAP_SYS_NICE.
func becomeRealtime() error {
	err := unix.SchedSetAttr(0, &unix.SchedAttr{
		Size: unix.SizeofSchedAttr, Policy: unix.SCHED_FIFO,
		Flags: unix.SCHED_FLAG_RESET_ON_FORK, Priority: realtimePriority,
	}, 0)
	if err != nil {
		return fmt.Errorf("election: real-time class: %w", os.NewSyscallError("sched_setattr", err))
	}
	return nil
}
