package program

import (
	"context"
	"errors"
	"os/exec"
	"runtime"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Run is one run of a program. The zero value will do.
type Run struct {
	Args []string // behind those of the program
	Env  []string // NAME=value, beside those of the program
	// Grace is how long the group has to end by itself when the context has: it
	// gets SIGTERM, and SIGKILL after that. 0: SIGKILL at once.
	Grace time.Duration
	// Spare leaves alone what a program that ended by itself has left running. It
	// still cannot keep our end of its output open.
	Spare bool
	// Output is how many of the last bytes that it writes are kept; 0: 512.
	Output int
	// Started is called with the number of the process, which is that of its group.
	Started func(pid int)
}

// Result is how a run ended.
type Result struct {
	// Err is nil for exit code 0. It is what os/exec says, or the cause of the
	// context's end.
	Err    error
	Code   int    // the exit code; -1 if a signal ended it, or it never began
	Output string // the last that it wrote, as printable lines
}

// Run runs the program once, and returns when it has ended.
func (p *Program) Run(ctx context.Context, r Run) Result {
	// The death signal comes when the *thread* that started the program ends, so
	// that one is ours until then.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if r.Output == 0 {
		r.Output = 512
	}
	said := tail{most: r.Output}
	cmd := &exec.Cmd{Path: p.argv[0], Args: append(p.argv[:len(p.argv):len(p.argv)], r.Args...), Dir: "/", Stdout: &said, Stderr: &said,
		Env:         p.environment(r.Env),
		WaitDelay:   100 * time.Millisecond, // for one that left the group and holds the pipe
		SysProcAttr: &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL, Credential: p.cred}}
	if err := ctx.Err(); err != nil {
		return Result{Err: context.Cause(ctx), Code: -1}
	}
	if err := cmd.Start(); err != nil {
		return Result{Err: bare(err), Code: -1}
	}
	pid := cmd.Process.Pid
	if r.Started != nil {
		r.Started(pid)
	}
	endedC, quietC := make(chan struct{}), make(chan struct{})
	go func() { // ends with the program
		defer close(quietC)
		r.bound(ctx, pid, endedC)
	}()
	awaitEnd(pid)
	// Its number, and that of its group, is nobody else's until it is reaped: no
	// signal may be on its way any more by then.
	close(endedC)
	<-quietC
	if !r.Spare || ctx.Err() != nil {
		signal(pid, unix.SIGKILL)
	}
	err := cmd.Wait()
	if errors.Is(err, exec.ErrWaitDelay) {
		err = nil
	}
	out := Result{Err: err, Code: cmd.ProcessState.ExitCode(), Output: said.text()}
	if err != nil && ctx.Err() != nil {
		out.Err = context.Cause(ctx)
	}
	return out
}

// bound ends the group when ctx does, if it has not ended before.
func (r Run) bound(ctx context.Context, pid int, endedC <-chan struct{}) {
	select {
	case <-endedC:
		return
	case <-ctx.Done():
	}
	if r.Grace > 0 {
		signal(pid, unix.SIGTERM)
		select {
		case <-endedC:
			return
		case <-time.After(r.Grace):
		}
	}
	signal(pid, unix.SIGKILL)
}

// signal goes to the whole process group of pid; there may be nobody left in it.
func signal(pid int, s unix.Signal) { _ = unix.Kill(-pid, s) }

// awaitEnd returns when a child has ended, and leaves it a zombie.
func awaitEnd(pid int) {
	for unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil) == unix.EINTR {
	}
}

// String is for a log line: "exit code 3".
func (r Result) String() string {
	switch {
	case r.Err == nil:
		return "ok"
	case r.Code > 0:
		return "exit code " + strconv.Itoa(r.Code)
	}
	return r.Err.Error()
}
