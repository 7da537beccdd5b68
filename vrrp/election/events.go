package election

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// events brings what happens outside of the loop's thread into its poll: signals,
// the end of the context, a daemon that has been spawned, one that has been reaped.
type events struct {
	fd      int // eventfd
	stop    atomic.Int32
	reload  atomic.Bool
	spawned chan spawned
	reaped  chan reaped
	asked   chan string // signals for the daemon, by their names; holds 8, and what comes on top of them is lost
	done    func()
}

type spawned struct {
	daemon *daemon
	err    error
}

// reaped is a daemon that has ended, and how.
type reaped struct {
	daemon *daemon
	exit   string
	code   int
}

func newEvents(ctx context.Context, requests map[os.Signal]string) (*events, error) {
	fd, err := unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("election: eventfd: %w", err)
	}
	e := &events{fd: fd, spawned: make(chan spawned, 1), reaped: make(chan reaped, 1), asked: make(chan string, 8)} // one: there is one daemon at a time
	// Room for each of the signals once more than it can be handled at a time;
	// one that is dropped came on top of one that is still waiting.
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, unix.SIGTERM, unix.SIGINT, unix.SIGHUP)
	for s := range requests {
		signal.Notify(signals, s)
	}
	// A daemon that is gone while we write to it is an EPIPE, not our end.
	signal.Ignore(unix.SIGPIPE)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for s := range signals {
			what, asked := requests[s]
			switch {
			case s == unix.SIGHUP:
				e.reload.Store(true)
			case asked:
				select {
				case e.asked <- what:
				default:
				}
			default:
				e.stop.Add(1)
			}
			e.wake()
		}
	}()
	undo := context.AfterFunc(ctx, func() {
		e.stop.Add(1)
		e.wake()
	})
	e.done = func() {
		undo()
		signal.Stop(signals)
		close(signals)
		<-ended
	}
	return e, nil
}

func (e *events) wake() {
	one := [8]byte{1} // in host byte order any of them will do
	_, _ = unix.Write(e.fd, one[:])
}

// clear makes the descriptor quiet until the next wake.
func (e *events) clear() {
	var b [8]byte
	_, _ = unix.Read(e.fd, b[:])
}

// close ends the goroutine. The descriptor stays for a spawn that may still be
// under way; the process is about to end.
func (e *events) close() { e.done() }
