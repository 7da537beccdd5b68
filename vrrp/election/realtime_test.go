package election

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
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

// Where the class is refused that is said once, with the way out, and never again in
// the life of the process, whatever happens to its daemon.
func TestRealtimeRefusedIsSaidOnce(t *testing.T) {
	n, wire := activeNode(t, newCable(t), play{NoRealtime: true})
	if fifo, other := classes(t, n.noted("election", 1)); fifo != 0 || other == 0 {
		t.Fatalf("%d threads in the real-time class, %d others; want none and some", fifo, other)
	}
	n.signal(n.noted("ready", 1), unix.SIGKILL)
	n.noted("ready", 2)
	k := wire.count(200)
	eventually(t, "more adverts", func() bool { return wire.count(200) > k+3 })
	b, err := os.ReadFile(filepath.Join(n.play.Dir, "stderr"))
	if err != nil {
		t.Fatal(err)
	}
	said := 0
	for line := range strings.Lines(string(b)) {
		if !strings.Contains(line, "real-time") {
			continue
		}
		said++
		for _, part := range []string{"level=WARN", "adverts may be late", "CAP_SYS_NICE", "LimitRTPRIO=40", "operation not permitted"} {
			if !strings.Contains(line, part) {
				t.Errorf("no %q in %s", part, line)
			}
		}
	}
	if said != 1 {
		t.Errorf("said %d times", said)
	}
}

// The loop keeps off the last processor, where the daemon makes its dumps; what it
// starts may use all.
func TestElectionKeepsApart(t *testing.T) {
	var all unix.CPUSet
	if err := unix.SchedGetaffinity(0, &all); err != nil {
		t.Fatal(err)
	}
	last, several := spare(&all)
	if !several {
		t.Skip("one processor")
	}
	n, _ := activeNode(t, newCable(t), play{})
	counts := func(process string) (off, free int) {
		pid := n.noted(process, 1)
		files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*", pid))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			tid, err := strconv.Atoi(filepath.Base(f))
			if err != nil {
				t.Fatal(err)
			}
			var may unix.CPUSet
			if unix.SchedGetaffinity(tid, &may) != nil {
				continue // the thread has ended
			}
			switch {
			case may == all:
				free++
			case may.Count() == all.Count()-1 && !may.IsSet(last):
				off++
			default:
				t.Errorf("a thread of the %s has %d processors of its own", process, may.Count())
			}
		}
		return off, free
	}
	if off, free := counts("election"); off != 1 || free == 0 {
		t.Errorf("election: %d threads keep off the last processor, %d do not; want 1 and some", off, free)
	}
	if off, free := counts("daemon"); off != 0 || free == 0 {
		t.Errorf("daemon: %d threads keep off the last processor, %d do not; want none and some", off, free)
	}
}

func TestSpareProcessor(t *testing.T) {
	for _, tc := range []struct {
		name string
		may  []int
		last int
		ok   bool
	}{
		{"none", nil, 0, false}, {"one", []int{3}, 0, false}, {"two", []int{0, 1}, 1, true}, {"some, far away", []int{2, 64, 700}, 700, true},
	} {
		var set unix.CPUSet
		for _, cpu := range tc.may {
			set.Set(cpu)
		}
		if last, ok := spare(&set); last != tc.last || ok != tc.ok {
			t.Errorf("%s: got %d, %v", tc.name, last, ok)
		}
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
