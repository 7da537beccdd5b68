package election

import (
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Adverts go on while a dead daemon is reaped, however long the kernel takes for it; it is
// buried, and the next one planned, when that is done.
func TestTheDeadAreReapedBesideTheLoop(t *testing.T) {
	c := newCable(t)
	within(c[0], func() {
		l, say := loopHere(t, configOf(200))
		l.opt.SpawnDaemon = func(_, _ *os.File) (*os.Process, error) { return nil, unix.ENOEXEC }
		say(Ready{})
		sent := func() uint64 { return l.snapshot(time.Now()).Status.Routers[0].Sent }
		until := func(what string, met func() bool) {
			t.Helper()
			for end := time.Now().Add(20 * time.Second); !met(); l.turn() {
				if time.Now().After(end) {
					t.Fatal("waited for " + what)
				}
			}
		}
		until("adverts", func() bool { return sent() > 0 })

		ended, err := unix.Eventfd(1, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC) // readable, as a pidfd is then
		if err != nil {
			t.Error(err)
			return
		}
		release, waited := make(chan struct{}), false
		l.daemon.pidfd = ended
		l.daemon.wait = func() (string, int) {
			select {
			case <-release:
			case <-time.After(10 * time.Second): // on the loop's thread nobody will
			}
			waited = true
			return "signal: killed", -1
		}
		before := sent()
		until("three adverts meanwhile", func() bool { return sent() >= before+3 })
		if waited || l.daemon == nil || !l.daemon.gone {
			t.Errorf("reaped by the loop itself: waited %v, %+v", waited, l.daemon)
		}
		close(release)
		until("the burial", func() bool { return l.daemon == nil })
		if l.daemonStats.LastExit != "signal: killed" || l.failures != 1 {
			t.Errorf("it ended by %q, the %d. in a row", l.daemonStats.LastExit, l.failures)
		}
	})
}
