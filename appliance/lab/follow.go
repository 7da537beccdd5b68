package lab

import (
	"errors"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// follower passes on what comes through a pipe, until its last writer is gone.
type follower struct {
	r     *os.File
	to    io.Writer
	asked chan struct{} // closed: what is in the pipe is wanted at once
	read  chan struct{} // closed once it has been passed on
	ended chan struct{}
}

func newFollower(r *os.File, to io.Writer) *follower {
	f := &follower{r: r, to: to, asked: make(chan struct{}), read: make(chan struct{}), ended: make(chan struct{})}
	go f.follow()
	return f
}

func (f *follower) follow() {
	defer close(f.ended)
	defer f.r.Close()
	b := make([]byte, 32<<10)
	for asked := f.asked; ; {
		n, err := f.r.Read(b)
		_, _ = f.to.Write(b[:n])
		switch {
		case err == nil:
		case errors.Is(err, os.ErrDeadlineExceeded) && asked != nil:
			<-asked
			asked = nil
			f.drain(b)
			close(f.read)
			if f.r.SetReadDeadline(time.Time{}) != nil {
				return
			}
		default:
			return
		}
	}
}

// drain passes on what is in the pipe now: a read that is past its deadline does not look.
func (f *follower) drain(b []byte) {
	raw, err := f.r.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) {
		for {
			n, err := unix.Read(int(fd), b)
			if err == unix.EINTR {
				continue
			}
			if err != nil || n <= 0 {
				return
			}
			_, _ = f.to.Write(b[:n])
		}
	})
}

// rest waits for the last writer to go, so long at most, and then until all that was
// written before has been passed on. It can be called once.
func (f *follower) rest(grace time.Duration) {
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case <-f.ended:
		return
	case <-timer.C:
	}
	close(f.asked)
	if f.r.SetReadDeadline(time.Unix(1, 0)) != nil {
		<-f.ended // it was closed: by the follower itself, at the end
		return
	}
	select {
	case <-f.read:
	case <-f.ended:
	}
}
