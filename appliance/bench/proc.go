package bench

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"understudy/appliance/lab"
	"understudy/appliance/lab/pair"
)

// usage is what a process has used, or the difference of two such states.
type usage struct {
	Memory int64         // anonymous resident memory, bytes
	CPU    time.Duration // user and system
}

func (u usage) sub(v usage) usage { return usage{u.Memory - v.Memory, u.CPU - v.CPU} }

// daemonOf finds the daemon of a gateway: of the program's two processes the one
// that knows of sessions.
func daemonOf(g *pair.Gateway) (pid int, err error) {
	pids, err := g.Pids()
	if err != nil {
		return 0, err
	}
	for _, pid := range pids {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		if err == nil && subcommand(b) == "daemon" {
			return pid, nil
		}
	}
	return 0, fmt.Errorf("bench: %s has no daemon", g.Name)
}

// subcommand is the first argument in the form of /proc/PID/cmdline.
func subcommand(cmdline []byte) string {
	args := bytes.Split(cmdline, []byte{0})
	if len(args) < 2 {
		return ""
	}
	return string(args[1])
}

func used(pid int) (u usage, err error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err == nil {
		u.CPU, err = parseStat(stat)
	}
	if err != nil {
		return u, fmt.Errorf("bench: %w", err)
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err == nil {
		u.Memory, err = parseKiB(status, "RssAnon:")
	}
	if err != nil {
		return u, fmt.Errorf("bench: %w", err)
	}
	return u, nil
}

// clockTick is the unit of /proc/PID/stat: USER_HZ, 100 on every architecture
// that we run on.
const clockTick = 10 * time.Millisecond

// parseStat returns utime + stime of a /proc/PID/stat. The second field is the
// program's name, which may hold anything.
func parseStat(b []byte) (time.Duration, error) {
	end := bytes.LastIndexByte(b, ')')
	if end < 0 {
		return 0, errors.New("process status without a name")
	}
	f := strings.Fields(string(b[end+1:])) // f[0] is field 3
	if len(f) < 13 {
		return 0, fmt.Errorf("process status of %d fields", len(f)+2)
	}
	utime, err1 := strconv.ParseInt(f[11], 10, 64)
	stime, err2 := strconv.ParseInt(f[12], 10, 64)
	return time.Duration(utime+stime) * clockTick, errors.Join(err1, err2)
}

// parseKiB finds a line such as "RssAnon:  1234 kB" and returns bytes.
func parseKiB(b []byte, key string) (int64, error) {
	for line := range bytes.Lines(b) {
		f := strings.Fields(string(line))
		if len(f) >= 2 && f[0] == key {
			n, err := strconv.ParseInt(f[1], 10, 64)
			return n << 10, err
		}
	}
	return 0, fmt.Errorf("no line %s", key)
}

// unreclaimable is the kernel's slab memory of the whole machine that belongs to
// things in use, connections among them.
func unreclaimable() (int64, error) {
	b, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0, fmt.Errorf("bench: %w", err)
	}
	return parseKiB(b, "SUnreclaim:")
}

// slabObject returns the size of one object of a slab cache from the text of
// /proc/slabinfo, 0 if it is not listed.
func slabObject(b []byte, cache string) int64 {
	sc := bufio.NewScanner(bytes.NewReader(b))
	for sc.Scan() {
		if f := strings.Fields(sc.Text()); len(f) > 3 && f[0] == cache {
			n, _ := strconv.ParseInt(f[3], 10, 64) // not a number: not listed
			return n
		}
	}
	return 0
}

// sumOf adds something up over all processes of a node; one that has just ended
// counts nothing.
func sumOf[T int64 | time.Duration](n *lab.Node, of func(pid int) (T, error)) (all T, err error) {
	pids, err := n.Pids()
	if err != nil {
		return 0, err
	}
	for _, pid := range pids {
		v, err := of(pid)
		if err != nil && !errors.Is(err, os.ErrNotExist) && !errors.Is(err, unix.ESRCH) {
			return 0, fmt.Errorf("bench: %w", err)
		}
		all += v
	}
	return all, nil
}

// onCPU is the time that the threads of a process have been running, by the
// scheduler's own account: finer than the ticks of /proc/PID/stat.
func onCPU(pid int) (all time.Duration, err error) {
	tasks, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	if err != nil {
		return 0, err
	}
	for _, t := range tasks {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%s/schedstat", pid, t.Name()))
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return 0, err
		}
		first, _, _ := strings.Cut(string(b), " ")
		ns, err := strconv.ParseInt(first, 10, 64)
		if err != nil {
			return 0, err
		}
		all += time.Duration(ns)
	}
	return all, nil
}

// proportional is the memory of a process, pages that it shares with others by
// its share of them.
func proportional(pid int) (int64, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		return 0, err
	}
	return parseKiB(b, "Pss:")
}
