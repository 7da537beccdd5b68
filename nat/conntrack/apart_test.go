package conntrack_test

import (
	"runtime"
	"testing"

	"golang.org/x/sys/unix"

	"understudy/nat/conntrack"
)

// A dump stays on the last processor, and whoever asked for it is free again when
// it has ended.
func TestDumpIsMadeOnOneProcessor(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var all, during, after unix.CPUSet
	must(t, unix.SchedGetaffinity(0, &all))
	if all.Count() < 2 {
		t.Skip("one processor")
	}
	last := 0
	for cpu := range len(all) * 64 {
		if all.IsSet(cpu) {
			last = cpu
		}
	}
	k := newNode(t).kernel(t)
	recs := numbered(3)
	must(t, k.Install(recs, conntrack.InstallOptions{}, make([]error, len(recs))))
	entries := 0
	must(t, k.Dump(conntrack.Filter{}, func(*conntrack.Event) {
		entries++
		must(t, unix.SchedGetaffinity(0, &during))
	}))
	if entries != len(recs) || during.Count() != 1 || !during.IsSet(last) {
		t.Errorf("%d entries; %d processors during the dump, the last among them: %v", entries, during.Count(), during.IsSet(last))
	}
	must(t, unix.SchedGetaffinity(0, &after))
	if after != all {
		t.Errorf("%d processors after the dump, want %d", after.Count(), all.Count())
	}
}
