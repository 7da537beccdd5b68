package bench

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// The limits of the connection table belong to the whole machine and can be set
// only there. Who raises them has a keeper: a process that holds what they were,
// and writes it back when the pipe from us ends, for whatever reason it does.
//
//	us ── pipe ──► keeper ── at the end of the pipe ──► /proc/sys/net/netfilter

// keeperArg0 is the name under which the running executable starts itself again
// as a keeper: see lab.cellArg0.
const keeperArg0 = "understudy-bench-keeper"

func init() {
	if len(os.Args) > 0 && os.Args[0] == keeperArg0 {
		os.Exit(keeperMain(os.Stdin, os.Args[1:]))
	}
}

// limit is a setting of the machine.
type limit struct {
	path  string
	value int
}

func (l limit) String() string { return fmt.Sprintf("%s=%d", l.path, l.value) }

func (l limit) write() error { return os.WriteFile(l.path, []byte(strconv.Itoa(l.value)), 0o644) }

func readLimit(path string) (limit, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return limit{}, err
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(b)))
	return limit{path, n}, err
}

// keeperMain waits for the end of the pipe and writes back what args say, in order.
func keeperMain(pipe io.Reader, args []string) int {
	_, _ = io.Copy(io.Discard, pipe)
	code := 0
	for _, a := range args {
		path, value, _ := strings.Cut(a, "=")
		n, err := strconv.Atoi(value)
		if err == nil {
			err = limit{path, n}.write()
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, "bench: put back", a+":", err)
			code = 1
		}
	}
	return code
}

// keeper is a running keeper.
type keeper struct {
	cmd  *exec.Cmd
	pipe io.WriteCloser
	was  []limit
	lock *os.File
}

// raise sets limits that are lower than they are to be, until close. The first
// one's file is locked, which leaves nothing behind: two of us would take each
// other's limits for the machine's.
func raise(want ...limit) (_ *keeper, err error) {
	k := &keeper{}
	if k.lock, err = os.Open(want[0].path); err != nil {
		return nil, fmt.Errorf("bench: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, k.close())
		}
	}()
	if err := unix.Flock(int(k.lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, fmt.Errorf("bench: another measurement has raised the limits of this machine: %w", err)
	}
	var todo []limit
	var back []string
	for _, w := range want {
		is, err := readLimit(w.path)
		if err != nil {
			return nil, fmt.Errorf("bench: %w", err)
		}
		if is.value < w.value {
			k.was, todo, back = append(k.was, is), append(todo, w), append(back, is.String())
		}
	}
	if len(todo) == 0 {
		return k, nil
	}
	k.cmd = &exec.Cmd{Path: "/proc/self/exe", Args: append([]string{keeperArg0}, back...), Env: []string{"GOMAXPROCS=1"}, Stderr: os.Stderr,
		SysProcAttr: &syscall.SysProcAttr{Setpgid: true}} // Ctrl-C is not for it
	if k.pipe, err = k.cmd.StdinPipe(); err == nil {
		err = k.cmd.Start()
	}
	if err != nil {
		k.cmd = nil
		return nil, fmt.Errorf("bench: keeper of the limits: %w", err)
	}
	for _, l := range todo {
		if err := l.write(); err != nil {
			return nil, fmt.Errorf("bench: set %v: %w", l, err)
		}
	}
	return k, nil
}

// close has everything put back.
func (k *keeper) close() error {
	var err error
	if k.cmd != nil {
		err = errors.Join(k.pipe.Close(), k.cmd.Wait())
		k.cmd = nil
	}
	if k.lock != nil {
		err = errors.Join(err, k.lock.Close())
		k.lock = nil
	}
	if err != nil {
		return fmt.Errorf("bench: put back the limits of this machine: %w", err)
	}
	return nil
}

// roomFor raises the limits of the connection table, where they are lower than n
// sessions on each of two gateways need, and says so.
func roomFor(n int, say func(string, ...any)) (*keeper, error) {
	const dir = "/proc/sys/net/netfilter/nf_conntrack_"
	buckets := 1 << 12
	for buckets < 2*n {
		buckets <<= 1
	}
	k, err := raise(limit{dir + "max", n + n/4}, limit{dir + "buckets", buckets})
	if err != nil {
		return nil, err
	}
	for _, l := range k.was {
		say("raised %s, which is this machine's; it was %d, and will be again", l.path, l.value)
	}
	return k, nil
}
