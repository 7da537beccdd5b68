package daemon

import (
	"errors"
	"fmt"
	"net"
	"syscall"
	"time"
)

// Locks are abstract unix sockets: they belong to a network namespace, as all
// that we do does, and end with the process that holds them, however it ends.
const (
	lockElection = "@understudy-election"
	lockDaemon   = "@understudy-daemon"
)

// ErrRunning tells that an understudy is at work in this network namespace.
var ErrRunning = errors.New("understudy is already running in this network namespace, as keepalived or by its own name: one process serves all of its instances; put them into one file, or into namespaces of their own")

// LockElection makes the calling process the election of this network
// namespace until the returned function is called.
func LockElection() (unlock func(), err error) { return lock(lockElection) }

// lockPatience is how long a lock is waited for: the kernel closes the sockets of
// a process that was killed only some milliseconds after others hear of its death.
const lockPatience = time.Second

func lock(name string) (unlock func(), err error) {
	var l net.Listener
	for end := time.Now().Add(lockPatience); ; time.Sleep(5 * time.Millisecond) {
		l, err = net.Listen("unix", name)
		if !errors.Is(err, syscall.EADDRINUSE) || time.Now().After(end) {
			break
		}
	}
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, ErrRunning
	case err != nil:
		return nil, fmt.Errorf("daemon: lock: %w", err)
	}
	return func() { l.Close() }, nil
}
