package election

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"sync"

	"golang.org/x/sys/unix"
)

// realtimePriority is above what runs by default and below the kernel's own
// threads (50).
const realtimePriority = 40

// spareThreads is how many threads are made beforehand: more than the goroutines
// of an election that can be in a system call at once, so that none is made later.
const spareThreads = 8

// becomeRealtime puts the process into the real-time class SCHED_FIFO: on a busy
// machine an advert, or the look into the socket that holds one, would otherwise
// wait behind everything else for longer than a short advert interval allows. The
// loop sleeps whenever nothing is due, and the kernel bounds what the class may
// take of a processor (sched_rt_runtime_us).
//
// All threads, not the loop's alone: the loop comes back from a system call
// through locks and processors of Go's runtime, which a thread of the ordinary class
// may hold while it waits for its turn (ADR 0065). One that is made later is in the
// ordinary class, as is every process that is started, the daemon among them: so
// threads are made beforehand, and this is called again when a daemon has been
// started. It takes CAP_SYS_NICE.
func becomeRealtime() error {
	for range realtimeRounds {
		more, err := allRealtime()
		if err != nil {
			return fmt.Errorf("election: real-time class: %w", err)
		}
		if !more {
			break // nor is there one that could make another of the ordinary class
		}
	}
	return nil
}

// realtimeRounds bounds how often threads are looked for that were made meanwhile.
const realtimeRounds = 10

// allRealtime puts all threads into the class that are not in it. more: there were
// some, which may have made others in the meantime.
func allRealtime() (more bool, err error) {
	list, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return false, err
	}
	for _, e := range list {
		tid, err := strconv.Atoi(e.Name())
		if err != nil {
			return false, err
		}
		if a, err := unix.SchedGetAttr(tid, 0); err == nil && a.Policy == unix.SCHED_FIFO {
			continue
		}
		err = unix.SchedSetAttr(tid, &unix.SchedAttr{
			Size: unix.SizeofSchedAttr, Policy: unix.SCHED_FIFO,
			Flags: unix.SCHED_FLAG_RESET_ON_FORK, Priority: realtimePriority,
		}, 0)
		if err != nil && !errors.Is(err, unix.ESRCH) { // that one has ended
			return false, os.NewSyscallError("sched_setattr", err)
		}
		more = true
	}
	return more, nil
}

// makeThreads sees to it that the runtime has n threads with nothing to do. It
// takes one of those before it makes another.
func makeThreads(n int) {
	var there, gone sync.WaitGroup
	enoughC := make(chan struct{})
	for range n {
		there.Add(1)
		gone.Go(func() {
			runtime.LockOSThread() // a thread for each
			there.Done()
			<-enoughC
			runtime.UnlockOSThread()
		})
	}
	there.Wait()
	close(enoughC)
	gone.Wait()
}
