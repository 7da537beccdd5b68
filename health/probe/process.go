package probe

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
)

// Process counts running programs by the files of /proc. One that is a zombie or
// stopped does not run.
type Process struct {
	// Name is the last part of the program's path as it was started, or the name
	// that the kernel has for it (comm), which programs may set and which ends
	// after 15 octets.
	Name string
	// Args, if any, are what its arguments must begin with.
	Args []string
	// Min and Max bound how many may run. Min 0 means 1, Max 0 means any number.
	Min, Max int
	// Proc is where the proc file system is; "" means /proc.
	Proc string

	found []int // what the last probe found: looked at first
}

var _ Prober = (*Process)(nil)

// Probe counts once. While the processes of the last time are still there and
// enough, it reads their files only and not those of the whole machine.
func (p *Process) Probe(ctx context.Context) error {
	least := max(p.Min, 1)
	p.found = slices.DeleteFunc(p.found, func(pid int) bool { return !p.runs(pid) })
	if p.Max == 0 && len(p.found) >= least {
		return nil
	}
	found, err := p.scan(ctx)
	if err != nil {
		return fmt.Errorf("process %s: %w", p.Name, err)
	}
	p.found = found
	switch n := len(p.found); {
	case n < least && least == 1:
		return fmt.Errorf("process %s: not running", p.Name)
	case n < least:
		return fmt.Errorf("process %s: %d running, at least %d wanted", p.Name, n, least)
	case p.Max > 0 && n > p.Max:
		return fmt.Errorf("process %s: %d running, at most %d wanted", p.Name, n, p.Max)
	}
	return nil
}

func (p *Process) proc() string {
	if p.Proc == "" {
		return "/proc"
	}
	return p.Proc
}

func (p *Process) scan(ctx context.Context) (found []int, err error) {
	dir, err := os.Open(p.proc())
	if err != nil {
		return nil, bare(err)
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, bare(err)
	}
	for _, name := range names {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if pid, err := strconv.Atoi(name); err == nil && p.runs(pid) {
			found = append(found, pid)
		}
	}
	return found, nil
}

// runs tells whether a process is one of ours. One that is gone when its files
// are read is none.
func (p *Process) runs(pid int) bool {
	dir := path.Join(p.proc(), strconv.Itoa(pid))
	stat, err := os.ReadFile(path.Join(dir, "stat"))
	if err != nil {
		return false
	}
	comm, state := parseStat(stat)
	if state == 'Z' || state == 'X' || state == 'T' || state == 0 {
		return false
	}
	if comm == p.Name && len(p.Args) == 0 {
		return true
	}
	line, err := os.ReadFile(path.Join(dir, "cmdline"))
	if err != nil {
		return false
	}
	args := strings.Split(strings.TrimSuffix(string(line), "\x00"), "\x00")
	if comm != p.Name && strings.TrimPrefix(path.Base(args[0]), "-") != p.Name {
		return false
	}
	return len(args)-1 >= len(p.Args) && slices.Equal(args[1:1+len(p.Args)], p.Args)
}

// parseStat reads "PID (COMM) STATE ...". A name may contain anything, brackets
// too, so the last closing one counts.
func parseStat(b []byte) (comm string, state byte) {
	from, to := bytes.IndexByte(b, '('), bytes.LastIndexByte(b, ')')
	if from < 0 || to < from || to+2 >= len(b) {
		return "", 0
	}
	return string(b[from+1 : to]), b[to+2]
}
