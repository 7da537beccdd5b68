package election

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// keepApart keeps the calling thread off the last of the processors that it may
// use. There the daemon makes its dumps of the connection table (package
// conntrack has the same rule): a dump of a large table with little in it is one
// system call of up to 100 ms, in which the kernel does not let go of the
// processor, not even for the real-time class. With a single processor there is
// nothing to choose.
func keepApart() error {
	var may unix.CPUSet
	if err := unix.SchedGetaffinity(0, &may); err != nil {
		return fmt.Errorf("election: %w", os.NewSyscallError("sched_getaffinity", err))
	}
	last, ok := spare(&may)
	if !ok {
		return nil
	}
	may.Clear(last)
	if err := unix.SchedSetaffinity(0, &may); err != nil {
		return fmt.Errorf("election: %w", os.NewSyscallError("sched_setaffinity", err))
	}
	return nil
}

// spare is the last of several processors; not ok: there are not several.
func spare(may *unix.CPUSet) (last int, ok bool) {
	if may.Count() < 2 {
		return 0, false
	}
	for cpu := range len(may) * 64 {
		if may.IsSet(cpu) {
			last = cpu
		}
	}
	return last, true
}
