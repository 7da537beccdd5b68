package lab

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Process is a program running in a node. What it starts itself is in the node
// too and dies with it, but only this one is waited for.
type Process struct {
	Name string // base name of the program

	cmd  *exec.Cmd
	out  *tail
	done chan struct{}
	err  error // of Wait; readable when done is closed
}

// Start runs a program in the node: in its network namespace, in a PID
// namespace of the node, with a /run of its own. What it and its children write
// to standard output and error is kept: the last 256 KiB, see [Process.Output].
func (n *Node) Start(path string, args ...string) (*Process, error) {
	return n.StartWith(exec.Command(path, args...))
}

// StartWith is [Node.Start] for a command prepared by the caller. If its Stdout
// is set, everything written, standard error too, goes there as well.
func (n *Node) StartWith(cmd *exec.Cmd) (*Process, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if err := n.needCell(); err != nil {
		return nil, err
	}
	p := &Process{Name: filepath.Base(cmd.Path), cmd: cmd, out: &tail{}, done: make(chan struct{})}
	// A pipe of our own, not one of exec.Cmd: that one closes soon after the
	// program has ended, and a child that goes on without it would be killed
	// by its next word.
	r, w, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("lab: %s: start %s: %w", n.Name, p.Name, err)
	}
	defer w.Close()
	follow := p.out.tee(cmd.Stdout)
	cmd.Stdout, cmd.Stderr = w, w
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setpgid = true // Ctrl-C is for the owner to handle
	if err := n.cell.start(cmd); err != nil {
		r.Close()
		return nil, fmt.Errorf("lab: %s: start %s: %w", n.Name, p.Name, err)
	}
	f := newFollower(r, follow)
	go func() {
		p.err = cmd.Wait()
		f.rest(outputGrace)
		close(p.done)
	}()
	n.procs = append(n.procs, p)
	return p, nil
}

// outputGrace is how long the end of a process is held back for the last words of a
// child that has the same output; its own are never missing.
const outputGrace = 100 * time.Millisecond

// Freeze stops every process of the node at once (SIGSTOP); the kernel goes on
// forwarding. [Node.Thaw] is its opposite.
func (n *Node) Freeze() error { return n.order(orderStop) }

// Thaw continues what [Node.Freeze] stopped.
func (n *Node) Thaw() error { return n.order(orderContinue) }

// Kill ends every process of the node at once (SIGKILL) and returns when none
// is left. The kernel's state stays.
func (n *Node) Kill() error { return n.order(orderKill) }

func (n *Node) order(o byte) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.cell == nil {
		return nil
	}
	if err := n.cell.order(o); err != nil {
		return fmt.Errorf("lab: %s: %w", n.Name, err)
	}
	return nil
}

// Crash is a power cut: all processes frozen by one system call, so that none
// says goodbye for another, then the carrier taken from every link, then the
// processes killed. at is when the first cable went dead.
func (n *Node) Crash() (at time.Time, err error) {
	if err := n.Freeze(); err != nil {
		return time.Time{}, err
	}
	at = time.Now()
	if err := n.UnplugAll(); err != nil {
		return at, err
	}
	return at, n.Kill()
}

func (n *Node) endCell() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.cell == nil {
		return nil
	}
	err := n.cell.end()
	n.cell = nil
	for _, p := range n.procs {
		<-p.done
	}
	n.procs = nil
	if err != nil {
		return fmt.Errorf("lab: %s: %w", n.Name, err)
	}
	return nil
}

// Pids lists every live process of the node, also those it did not start
// itself, by the owner's PIDs. Zombies and the cell's first process are left
// out.
func (n *Node) Pids() ([]int, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.cell == nil {
		return nil, nil
	}
	first := n.cell.init.Process.Pid
	want, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/pid", first))
	if err != nil {
		return nil, fmt.Errorf("lab: %s: %w", n.Name, err)
	}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, fmt.Errorf("lab: %s: %w", n.Name, err)
	}
	var pids []int
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || pid == first {
			continue
		}
		// A zombie has no namespaces any more: its link cannot be read.
		if ns, err := os.Readlink("/proc/" + e.Name() + "/ns/pid"); err == nil && ns == want {
			pids = append(pids, pid)
		}
	}
	return pids, nil
}

// Pid is the process's number as its starter sees it.
func (p *Process) Pid() int { return p.cmd.Process.Pid }

// Done is closed when the process has ended and was collected.
func (p *Process) Done() <-chan struct{} { return p.done }

// Err is how it ended, nil for exit code 0; only valid after Done.
func (p *Process) Err() error { return p.err }

// Signal sends a signal to this process alone.
func (p *Process) Signal(sig os.Signal) error { return p.cmd.Process.Signal(sig) }

// Stop asks the process to end (SIGTERM) and kills it after the grace period.
func (p *Process) Stop(grace time.Duration) error {
	if err := p.Signal(unix.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("lab: stop %s: %w", p.Name, err)
	}
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case <-p.done:
		return nil
	case <-timer.C:
	}
	if err := p.Signal(unix.SIGKILL); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("lab: kill %s: %w", p.Name, err)
	}
	<-p.done
	return fmt.Errorf("lab: %s did not end in %v and was killed", p.Name, grace)
}

// Output returns what the process wrote so far, the beginning cut off past
// 256 KiB.
func (p *Process) Output() string { return p.out.String() }
