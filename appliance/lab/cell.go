package lab

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"syscall"

	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// cell holds the processes of one node: a PID and a mount namespace, kept by a
// first process (see cellMain) that reads a pipe whose only writer is us. When
// the pipe ends, for whatever reason, that process ends and the kernel kills
// the rest of the namespace with it.
type cell struct {
	init     *exec.Cmd
	commands *os.File      // to the first process: one byte an order
	answers  *os.File      // from it: one byte an order carried out
	spawn    chan func()   // run on the thread that forks into the cell
	done     chan struct{} // the spawning thread has ended
}

// Orders to the first process.
const (
	orderStop     = 'S' // SIGSTOP to all
	orderContinue = 'C' // SIGCONT to all
	orderKill     = 'K' // SIGKILL to all; answered when none is left
)

func startCell(sp *space, name string) (*cell, error) {
	cmdR, cmdW, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("pipe to cell: %w", err)
	}
	defer cmdR.Close()
	ansR, ansW, err := os.Pipe()
	if err != nil {
		cmdW.Close()
		return nil, fmt.Errorf("pipe from cell: %w", err)
	}
	defer ansW.Close()
	c := &cell{commands: cmdW, answers: ansR, spawn: make(chan func()), done: make(chan struct{})}
	c.init = &exec.Cmd{
		Path:       "/proc/self/exe",
		Args:       []string{cellArg0, name},
		Env:        []string{"GOMAXPROCS=1", "GORACE=atexit_sleep_ms=0"},
		Stdin:      cmdR,
		Stderr:     os.Stderr,
		ExtraFiles: []*os.File{ansW},
		SysProcAttr: &syscall.SysProcAttr{
			Cloneflags: unix.CLONE_NEWPID | unix.CLONE_NEWNS | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS,
			// Not in the terminal's foreground group: Ctrl-C is ours to handle.
			Setpgid: true,
		},
	}
	if err := sp.do(c.init.Start); err != nil {
		c.commands.Close()
		c.answers.Close()
		return nil, fmt.Errorf("start cell: %w", err)
	}
	ansW.Close() // ours must be closed before we wait for its end
	if err := c.answer(); err != nil {
		return nil, errors.Join(fmt.Errorf("cell not ready: %w", err), c.abandon())
	}
	started := make(chan error)
	go c.spawner(sp.ns, started)
	if err := <-started; err != nil {
		return nil, errors.Join(err, c.abandon())
	}
	return c, nil
}

// spawner owns a thread that lives in the node's network namespace and in the
// cell's mount namespace, and whose children are born in the cell's PID
// namespace. It is never unlocked: the thread ends with the goroutine.
func (c *cell) spawner(ns netns.NsHandle, started chan<- error) {
	defer close(c.done)
	runtime.LockOSThread()
	if err := c.enter(ns); err != nil {
		started <- err
		return
	}
	started <- nil
	for fn := range c.spawn {
		fn()
	}
}

func (c *cell) enter(ns netns.NsHandle) error {
	if err := netns.Set(ns); err != nil {
		return fmt.Errorf("enter network namespace: %w", err)
	}
	// A mount namespace can be entered only by who shares no file system
	// context (root, working directory) with another thread.
	if err := unix.Unshare(unix.CLONE_FS); err != nil {
		return fmt.Errorf("unshare file system context: %w", err)
	}
	dir := fmt.Sprintf("/proc/%d/ns/", c.init.Process.Pid)
	pidns, err := os.Open(dir + "pid")
	if err != nil {
		return fmt.Errorf("open cell: %w", err)
	}
	defer pidns.Close()
	mntns, err := os.Open(dir + "mnt")
	if err != nil {
		return fmt.Errorf("open cell: %w", err)
	}
	defer mntns.Close()
	if err := unix.Setns(int(pidns.Fd()), unix.CLONE_NEWPID); err != nil {
		return fmt.Errorf("enter PID namespace: %w", err)
	}
	if err := unix.Setns(int(mntns.Fd()), unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("enter mount namespace: %w", err)
	}
	return nil
}

// start runs cmd.Start on the thread that forks into the cell.
func (c *cell) start(cmd *exec.Cmd) error {
	result := make(chan error)
	c.spawn <- func() { result <- cmd.Start() }
	return <-result
}

// order has the first process send a signal to every other one of the cell.
func (c *cell) order(o byte) error {
	if _, err := c.commands.Write([]byte{o}); err != nil {
		return fmt.Errorf("order %q to cell: %w", o, err)
	}
	return c.answer()
}

func (c *cell) answer() error {
	var b [1]byte
	if _, err := io.ReadFull(c.answers, b[:]); err != nil {
		return fmt.Errorf("answer from cell: %w", err)
	}
	if b[0] != 0 {
		return fmt.Errorf("cell: %w", unix.Errno(b[0]))
	}
	return nil
}

// end kills everything in the cell and waits until it is gone.
func (c *cell) end() error {
	close(c.spawn)
	<-c.done
	return c.abandon()
}

func (c *cell) abandon() error {
	c.commands.Close()
	defer c.answers.Close()
	var exit *exec.ExitError
	if err := c.init.Wait(); err != nil && !errors.As(err, &exit) {
		return fmt.Errorf("wait for cell: %w", err)
	}
	return nil
}
