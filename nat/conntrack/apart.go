package conntrack

import (
	"runtime"

	"golang.org/x/sys/unix"
)

// apart runs fn on the last of the processors that we may use, if there are
// several. A dump of a large table with little in it is one system call that
// walks all of the table (0.05 to 0.1 us a bucket, so up to 100 ms with a million),
// and the kernel does not let go of the processor meanwhile. Who has something to
// do in time is told by Dumping, and keeps off that processor: see apart in package
// election.
func (k *Kernel) apart(fn func() error) error {
	if k.Dumping != nil {
		k.Dumping(true)
		defer k.Dumping(false)
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var may, alone unix.CPUSet
	// Best effort: to be late is better than not to know what the kernel has.
	if unix.SchedGetaffinity(0, &may) == nil && may.Count() > 1 {
		for cpu := range len(may) * 64 {
			if may.IsSet(cpu) {
				alone.Zero()
				alone.Set(cpu)
			}
		}
		if unix.SchedSetaffinity(0, &alone) == nil {
			defer func() { _ = unix.SchedSetaffinity(0, &may) }()
		}
	}
	return fn()
}
