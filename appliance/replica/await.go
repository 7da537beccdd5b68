package replica

import (
	"errors"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// waiter waits for a socket to become readable, without reading it and without
// a thread that sleeps in the kernel.
type waiter struct {
	f   *os.File // a duplicate: closing it leaves the socket open
	raw syscall.RawConn
}

func newWaiter(fd int) (*waiter, error) {
	dup, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("fcntl F_DUPFD_CLOEXEC", err)
	}
	// The runtime polls descriptors that do not block; the flag is the socket's,
	// whose owner asks not to be blocked anyway.
	if err := unix.SetNonblock(dup, true); err != nil {
		return nil, errors.Join(os.NewSyscallError("fcntl O_NONBLOCK", err), unix.Close(dup))
	}
	f := os.NewFile(uintptr(dup), "conntrack events")
	raw, err := f.SyscallConn()
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &waiter{f: f, raw: raw}, nil
}

// wait returns when the socket has something to read, or after stop.
func (w *waiter) wait() error {
	err := w.raw.Read(func(fd uintptr) bool {
		p := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		n, err := unix.Poll(p, 0)
		return n != 0 || err != nil && err != unix.EINTR
	})
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return nil
	}
	return err
}

// stop makes wait return at once, now and from now on.
func (w *waiter) stop() { _ = w.f.SetReadDeadline(time.Unix(1, 0)) }

func (w *waiter) close() error { return w.f.Close() }
