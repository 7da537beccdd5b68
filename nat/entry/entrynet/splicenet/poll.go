package splicenet

import (
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// poll waits until something has come by one of the sockets, or until the time has passed.
func poll(d time.Duration, fds ...int) error {
	var room [2]unix.PollFd // as many as a tap has
	p := room[:0]
	for _, fd := range fds {
		p = append(p, unix.PollFd{Fd: int32(fd), Events: unix.POLLIN})
	}
	if _, err := unix.Poll(p, int(max(0, (d+time.Millisecond-1)/time.Millisecond))); err != nil && err != unix.EINTR {
		return os.NewSyscallError("poll", err)
	}
	return nil
}
