package election

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// apart keeps the loop's thread off the last of the processors that it may use while
// the daemon dumps the connection table: it does so there (package conntrack has the
// same rule), and a dump of a large table with little in it is one system call of up
// to 100 ms, in which the kernel does not let go of the processor, not even for the
// real-time class.
//
// At all other times the loop may run anywhere: the kernel has other work that it
// does in one piece, on any processor, and a thread that may run on one alone
// waits for it (ADR 0065).
type apart struct {
	all, off unix.CPUSet
}

// newApart reads where the calling thread may run, which is to be the only one that
// keeps off. nil: there is a single processor, and nothing to choose.
func newApart() (*apart, error) {
	a := new(apart)
	if err := unix.SchedGetaffinity(0, &a.all); err != nil {
		return nil, fmt.Errorf("election: %w", os.NewSyscallError("sched_getaffinity", err))
	}
	last, ok := spare(&a.all)
	if !ok {
		return nil, nil
	}
	a.off = a.all
	a.off.Clear(last)
	return a, nil
}

// keepApart has the loop keep off the processor of dumps, or not any more. To run
// where a dump is made is better than not to run: an error changes nothing.
func (l *loop) keepApart(off bool) {
	if l.apart == nil {
		return
	}
	may := &l.apart.all
	if off {
		may = &l.apart.off
	}
	_ = unix.SchedSetaffinity(0, may)
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
