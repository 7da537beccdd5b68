package election

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// exit waits for the end of the node and returns its code.
func (n *node) exit() int {
	n.t.Helper()
	eventually(n.t, "the end", func() bool {
		select {
		case <-n.ended:
			return true
		default:
			return false
		}
	})
	for _, pid := range n.pids() {
		eventually(n.t, fmt.Sprintf("the end of process %d", pid), func() bool { return !ours(pid) })
	}
	return n.cmd.ProcessState.ExitCode()
}

func TestStopHandsOver(t *testing.T) {
	c := newCable(t)
	n, wire := activeNode(t, c, play{DrainLimit: soon})
	standby(t, c)
	late := stalls(t)
	var addresses atomic.Int32
	addresses.Store(-1)
	back := c.listen(t, 0, func(h heard) {
		if addresses.Load() < 0 {
			addresses.Store(int32(c.addresses(0)))
		}
	})
	n.signal(n.noted("election", 1), unix.SIGTERM)
	if code := n.exit(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	if wire.count(0) == 0 || len(back.list()) == 0 {
		t.Fatal("nothing was handed over")
	}
	// The successor waits for its skew, not for three intervals and that.
	var zero time.Time
	for _, h := range wire.list() {
		if h.priority == 0 && zero.IsZero() {
			zero = h.at
		}
	}
	if took := back.list()[0].at.Sub(zero); took > 2*interval+late() {
		t.Errorf("the successor came %v after priority 0", took)
	}
	if a := c.addresses(0); a != 0 {
		t.Errorf("%d addresses are left", a)
	}
	if len(n.notes("transition-backup-1-successor")) != 1 || len(n.notes("bye")) != 1 {
		t.Error("it did not wait for its successor, or the daemon did not end well")
	}
}

// A daemon that has its own idea of stopping does not keep us, or its addresses.
func TestStopWithAStubbornDaemon(t *testing.T) {
	c := newCable(t)
	n, wire := activeNode(t, c, play{ByeLimit: 300 * time.Millisecond})
	n.tell("stubborn")
	n.signal(n.noted("election", 1), unix.SIGTERM)
	if code := n.exit(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	if len(n.notes("bye")) != 0 || wire.count(0) == 0 || c.addresses(0) != 0 || !gateClosed(c[0], vip) {
		t.Errorf("%d byes, %d priority 0, %d addresses", len(n.notes("bye")), wire.count(0), c.addresses(0))
	}
}

func TestStopWithAHungDaemon(t *testing.T) {
	c := newCable(t)
	n, wire := activeNode(t, c, play{ByeLimit: 300 * time.Millisecond})
	n.signal(n.noted("ready", 1), unix.SIGSTOP)
	n.signal(n.noted("election", 1), unix.SIGTERM)
	if code := n.exit(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	if wire.count(0) == 0 || c.addresses(0) != 0 || !gateClosed(c[0], vip) {
		t.Errorf("%d priority 0, %d addresses", wire.count(0), c.addresses(0))
	}
}

func TestBadConfigurationEndsWithTheDaemonsCode(t *testing.T) {
	c := newCable(t)
	n := c.start(t, 0, play{Config: configOf(200)}, "bad-config")
	if code := n.exit(); code != 2 {
		t.Errorf("exit code %d, want 2", code)
	}
	if d := n.notes("daemon"); len(d) != 1 {
		t.Errorf("%d daemons for a configuration that does not get better", len(d))
	}
}

func TestReloadMovesNothing(t *testing.T) {
	c := newCable(t)
	n, wire := activeNode(t, c, play{})
	n.signal(n.noted("election", 1), unix.SIGHUP)
	n.noted("configured", 1)
	eventually(t, "adverts of the new priority", func() bool { return wire.count(199) > 2 })
	if len(n.notes("transition")) != 2 || wire.count(0) != 0 || c.addresses(0) != 1 {
		t.Error("something moved")
	}
}

func TestInterfaceIsDeletedAndMadeAgain(t *testing.T) {
	c := newCable(t)
	n, _ := activeNode(t, c, play{})
	within(c[0], func() {
		l, err := netlink.LinkByName("lan0")
		if err == nil {
			err = netlink.LinkDel(l)
		}
		if err != nil {
			t.Error(err)
		}
	})
	n.noted("transition-fault-1-link", 1)
	c.plug(t)
	n.noted("transition-backup", 2)
	n.noted("transition-active-2", 1)
	wire := c.listen(t, 1, nil)
	eventually(t, "adverts", func() bool { return wire.count(200) > 2 })
}
