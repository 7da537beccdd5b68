package election

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// The loop is in the real-time class; what else runs in the election process is
// not, and the daemon, which it starts, is not at all.
func TestElectionAloneIsRealtime(t *testing.T) {
	refused := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with us
		refused <- becomeRealtime()
	}()
	if err := <-refused; err != nil {
		t.Skipf("not allowed here: %v", err)
	}
	n, _ := activeNode(t, newCable(t), play{})
	if fifo, other := classes(t, n.noted("election", 1)); fifo != 1 || other == 0 {
		t.Errorf("election: %d threads in the real-time class, %d others; want 1 and some", fifo, other)
	}
	if fifo, other := classes(t, n.noted("daemon", 1)); fifo != 0 || other == 0 {
		t.Errorf("daemon: %d threads in the real-time class, %d others; want none and some", fifo, other)
	}
}

// classes counts the threads of a process in SCHED_FIFO and in other classes.
func classes(t *testing.T, pid int) (fifo, other int) {
	t.Helper()
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			continue // the thread has ended
		}
		_, rest, _ := strings.Cut(string(b), ") ")
		const policy = 41 - 3 // field 41; rest begins with field 3
		if strings.Fields(rest)[policy] == fmt.Sprint(unix.SCHED_FIFO) {
			fifo++
		} else {
			other++
		}
	}
	return fifo, other
}
