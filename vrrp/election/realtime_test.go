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

// All of the election process is in the real-time class, also after it has started
// another daemon and written much; the daemon, which it starts, is not at all.
func TestElectionAloneIsRealtime(t *testing.T) {
	refused := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with us
		refused <- unix.SchedSetAttr(0, &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_FIFO, Priority: realtimePriority}, 0)
	}()
	if err := <-refused; err != nil {
		t.Skipf("not allowed here: %v", err)
	}
	n, _ := activeNode(t, newCable(t), play{})
	for round := 1; round <= 3; round++ {
		eventually(t, "all of the election to be in the real-time class", func() bool {
			fifo, other := classes(t, n.noted("election", 1))
			return fifo > spareThreads && other == 0
		})
		if fifo, other := classes(t, n.noted("daemon", round)); fifo != 0 || other == 0 {
			t.Errorf("daemon: %d threads in the real-time class, %d others; want none and some", fifo, other)
		}
		n.signal(n.noted("ready", round), unix.SIGKILL)
		n.noted("ready", round+1)
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

// While the daemon dumps the loop keeps off the last processor, where that is done;
// before, afterwards, and when the daemon has died of it, it may use all, and what it
// starts may at any time.
func TestElectionKeepsApartFromDumps(t *testing.T) {
	var all unix.CPUSet
	if err := unix.SchedGetaffinity(0, &all); err != nil {
		t.Fatal(err)
	}
	last, several := spare(&all)
	if !several {
		t.Skip("one processor")
	}
	n, _ := activeNode(t, newCable(t), play{})
	counts := func(pid int) (off, free int) {
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
				t.Errorf("a thread has %d processors of its own", may.Count())
			}
		}
		return off, free
	}
	elected := n.noted("election", 1)
	keepsOff := func(want int, daemon int) {
		t.Helper()
		eventually(t, fmt.Sprintf("%d threads to keep off the last processor", want), func() bool {
			off, free := counts(elected)
			return off == want && free > 0
		})
		if off, free := counts(n.noted("daemon", daemon)); off != 0 || free == 0 {
			t.Errorf("daemon: %d threads keep off the last processor, %d do not; want none and some", off, free)
		}
	}
	over := func() {
		if err := os.Remove(filepath.Join(n.play.Dir, "dumping")); err != nil {
			t.Fatal(err)
		}
	}
	keepsOff(0, 1)
	n.tell("dumping")
	keepsOff(1, 1)
	over()
	keepsOff(0, 1)
	n.tell("dumping")
	keepsOff(1, 1)
	n.signal(n.noted("ready", 1), unix.SIGKILL)
	over()
	n.noted("ready", 2)
	keepsOff(0, 2)
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
