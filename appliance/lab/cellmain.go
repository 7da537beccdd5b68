package lab

import (
	"fmt"
	"os"
	"os/signal"
	"time"

	"golang.org/x/sys/unix"
)

// cellArg0 is the name under which the running executable, whatever it is (the
// demo or a test binary), starts itself again to be the first process of a
// cell.
const cellArg0 = "understudy-lab-cell"

// init is the only way to be there before a test binary's own main, and a test
// that would start its whole suite again, because a hook was forgotten, must
// not be possible.
func init() {
	if len(os.Args) > 0 && os.Args[0] == cellArg0 {
		os.Exit(cellMain())
	}
}

// cellMain is PID 1 of a cell. It gives the cell a /proc that counts PIDs as
// the cell does and an empty /run, reaps orphans, and carries out orders until
// the pipe ends.
func cellMain() int {
	answers := os.NewFile(3, "answers")
	// Orders go to every process there is: outside a PID namespace of our own
	// that would be the whole machine.
	if os.Getpid() != 1 {
		fmt.Fprintln(os.Stderr, "lab cell: not the first process of a PID namespace")
		return 1
	}
	if err := cellMounts(); err != nil {
		fmt.Fprintln(os.Stderr, "lab cell:", err)
		return 1
	}
	// Every signal but a fatal one is ignored by the kernel for PID 1 unless
	// it has a handler; this one is for the orphans.
	children := make(chan os.Signal, 1)
	signal.Notify(children, unix.SIGCHLD)
	go func() {
		for range children {
			reap()
		}
	}()
	reply := func(err error) bool {
		var b [1]byte
		if errno, ok := err.(unix.Errno); ok {
			b[0] = byte(errno)
		}
		_, werr := answers.Write(b[:])
		return werr == nil
	}
	if !reply(nil) {
		return 1
	}
	for {
		var order [1]byte
		if n, err := os.Stdin.Read(order[:]); n == 0 || err != nil {
			return 0 // the owner is gone, and so is the cell
		}
		if !reply(carryOut(order[0])) {
			return 0
		}
	}
}

func cellMounts() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("private mounts: %w", err)
	}
	if err := unix.Mount("proc", "/proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return fmt.Errorf("mount /proc: %w", err)
	}
	if err := unix.Mount("run", "/run", "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=0755"); err != nil {
		return fmt.Errorf("mount /run: %w", err)
	}
	return nil
}

func carryOut(order byte) error {
	switch order {
	case orderStop:
		return signalAll(unix.SIGSTOP)
	case orderContinue:
		return signalAll(unix.SIGCONT)
	case orderKill:
		if err := signalAll(unix.SIGKILL); err != nil {
			return err
		}
		// A zombie counts until its parent has collected it; ours are
		// collected here, the owner's there. One that dies closes its sockets, which
		// on a busy machine takes the kernel long.
		for range 120_000 {
			reap()
			if unix.Kill(-1, 0) == unix.ESRCH {
				return nil
			}
			time.Sleep(time.Millisecond)
		}
		return unix.ETIMEDOUT
	}
	return unix.EINVAL
}

// signalAll reaches every process of the PID namespace but this one, in one
// system call under one lock: none of them can see another one already gone.
func signalAll(sig unix.Signal) error {
	if err := unix.Kill(-1, sig); err != nil && err != unix.ESRCH {
		return err
	}
	return nil
}

func reap() {
	for {
		pid, err := unix.Wait4(-1, nil, unix.WNOHANG, nil)
		if err == unix.EINTR {
			continue
		}
		if err != nil || pid <= 0 {
			return
		}
	}
}
