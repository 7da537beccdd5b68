package dog

import (
	"fmt"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// Systemd is the timer of a service with WatchdogSec (sd_watchdog_enabled(3)):
// systemd ends and restarts it when it says nothing. An election that took the
// place of another has another process number than WATCHDOG_PID says, and is the
// main process all the same (MAINPID).
type Systemd struct{ fd int }

// FromSystemd tells whether there is such a timer, and how long it runs.
func FromSystemd(getenv func(string) string) (timeout time.Duration, ok bool) {
	usec, err := strconv.ParseInt(getenv("WATCHDOG_USEC"), 10, 64)
	if err != nil || usec <= 0 || getenv("NOTIFY_SOCKET") == "" {
		return 0, false
	}
	return time.Duration(usec) * time.Microsecond, true
}

// OpenSystemd connects to the socket of NOTIFY_SOCKET.
func OpenSystemd(socket string) (*Systemd, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("systemd's watchdog: %w", err)
	}
	// A name that begins with @ is abstract, to x/sys as well.
	if err := unix.Connect(fd, &unix.SockaddrUnix{Name: socket}); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("systemd's watchdog: %s: %w", socket, err)
	}
	return &Systemd{fd}, nil
}

var alive = []byte("WATCHDOG=1")

// Feed resets the timer.
func (s *Systemd) Feed() error {
	if _, err := unix.Write(s.fd, alive); err != nil {
		return os.NewSyscallError("write", err)
	}
	return nil
}

// Release closes the socket; systemd looks at no timer of a service that it stops.
func (s *Systemd) Release() error { return os.NewSyscallError("close", unix.Close(s.fd)) }
