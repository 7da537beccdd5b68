package election

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// The death table of the package documentation, a row a test.

func TestDeathDaemonKilledIsRestartedAndTheGroupStaysActive(t *testing.T) {
	c := newCable(t)
	late := stalls(t)
	n, wire := activeNode(t, c, play{})
	n.signal(n.noted("ready", 1), unix.SIGKILL)
	n.noted("ready", 2)
	n.noted("attached-active-1", 1)
	before := wire.count(200)
	eventually(t, "more adverts", func() bool { return wire.count(200) > before+3 })
	if wire.count(0) != 0 {
		t.Error("priority 0 was sent")
	}
	if s := silence(wire.list()); s >= 3*interval+late() {
		t.Errorf("no advert for %v", s)
	}
	if c.addresses(0) != 1 || gateClosed(c[0], vip) {
		t.Error("it has let go")
	}
	if len(n.notes("election")) != 1 {
		t.Error("the election was restarted as well")
	}
}

func TestDeathDaemonHungIsKilledAndRestarted(t *testing.T) {
	c := newCable(t)
	n, wire := activeNode(t, c, play{Watchdog: 3 * time.Second})
	first := n.noted("ready", 1)
	n.signal(first, unix.SIGSTOP)
	n.noted("ready", 2)
	eventually(t, "the end of the hung one", func() bool { return !ours(first) })
	n.noted("attached-active-1", 1)
	if wire.count(0) != 0 || c.addresses(0) != 1 {
		t.Error("it has let go")
	}
}

// Past the budget: out of service first, and only then is anybody told.
func TestDeathDaemonGoneForGoodIsFencedBeforePriorityZero(t *testing.T) {
	c := newCable(t)
	const budget = time.Second // the next daemon is there by then, and hears of the end
	const extra = 2000         // so many that to remove them takes longer than to hear of it
	n, _ := activeNode(t, c, play{Extra: extra, Budget: budget})

	var addresses atomic.Int32
	addresses.Store(-1)
	var open atomic.Bool
	wire := c.listen(t, 1, func(h heard) {
		if h.priority == 0 && addresses.Load() < 0 {
			left := c.addresses(0)
			open.Store(!gateClosed(c[0], vip))
			addresses.Store(int32(left))
		}
	})
	n.tell("hold-daemon")
	killed := time.Now()
	n.signal(n.noted("ready", 1), unix.SIGKILL)
	eventually(t, "priority 0", func() bool { return addresses.Load() >= 0 })
	if a := addresses.Load(); a != 0 || open.Load() {
		t.Errorf("when priority 0 was heard: %d addresses, gate open %v", a, open.Load())
	}
	all := wire.list()
	for _, h := range all {
		if h.priority == 0 && h.at.Sub(killed) < budget-50*time.Millisecond {
			t.Errorf("gave up after %v, long before its budget", h.at.Sub(killed))
		}
	}
	// A daemon that is there again brings the node back, from Fault by way of Backup.
	n.untell("hold-daemon")
	n.noted("ready", 2)
	eventually(t, "word of the fault", func() bool { // in which it may find the node
		return len(n.notes("transition-fault-1"))+len(n.notes("attached-fault")) > 0
	})
	if len(n.notes("attached-active")) != 0 {
		t.Error("it was told that it is Active when that was over")
	}
	n.noted("transition-backup", 2)
	n.noted("transition-active-2", 1)
	eventually(t, "the addresses", func() bool { return c.addresses(0) == 1+extra && !gateClosed(c[0], vip) })
}

// Nobody is asked to take what we still hold, unless there is no hope.
func TestDeathDaemonGoneAndTheFenceFails(t *testing.T) {
	c := newCable(t)
	wire := c.listen(t, 1, nil)
	const budget = 200 * time.Millisecond
	late := stalls(t)
	n := c.start(t, 0, play{Config: configOf(200), Budget: budget}, "bad-fence")
	n.noted("transition-active", 1)
	n.tell("hold-daemon")
	killed := time.Now()
	n.signal(n.noted("ready", 1), unix.SIGKILL)
	eventually(t, "priority 0", func() bool { return wire.count(0) > 0 })
	var last, zero time.Time
	for _, h := range wire.list() {
		if h.priority == 0 {
			zero = h.at
			break
		}
		last = h.at
	}
	if zero.Sub(killed) < budget+fencePatience || zero.Sub(last) > 2*interval+late() {
		t.Errorf("priority 0 after %v, the last advert %v before that", zero.Sub(killed), zero.Sub(last))
	}
}

func TestDeathElectionKilledIsRespawnedAndResumes(t *testing.T) {
	c := newCable(t)
	late := stalls(t)
	n, wire := activeNode(t, c, play{Config: slow(200)})
	peer := standbyOf(t, c, slow(100))
	back := c.listen(t, 0, nil)
	// Right after an advert, to have all of the two intervals for starting a
	// process on whatever machine this is.
	k := wire.count(200)
	eventually(t, "an advert", func() bool { return wire.count(200) > k })
	n.signal(n.noted("election", 1), unix.SIGKILL)

	n.noted("election", 2)
	n.noted("attached-active-1-true", 1)
	k = wire.count(200)
	eventually(t, "more adverts", func() bool { return wire.count(200) > k+1 })
	if len(back.list()) != 0 || len(peer.notes("transition-active")) != 0 {
		t.Error("the peer took over")
	}
	if wire.count(0) != 0 || len(n.notes("let-go")) != 0 || len(n.notes("daemon")) != 1 || c.addresses(0) != 1 {
		t.Error("it has let go")
	}
	if s := silence(wire.list()); s >= 3*slowInterval+late() {
		t.Errorf("no advert for %v", s)
	}
	// The new election is a full one: it restarts the daemon that has started it.
	n.signal(n.noted("ready", 1), unix.SIGKILL)
	n.noted("ready", 2)
	if wire.count(0) != 0 {
		t.Error("priority 0 was sent")
	}
}

func TestDeathElectionRespawnedLateStartsAsBackup(t *testing.T) {
	c := newCable(t)
	n, wire := activeNode(t, c, play{})
	standby(t, c)
	n.tell("late-respawn")
	n.signal(n.noted("election", 1), unix.SIGKILL)
	n.noted("let-go", 1)
	n.noted("attached-backup-1-false", 1)
	n.noted("transition-backup-1", 1)
	if len(n.notes("attached-active")) != 0 {
		t.Error("it resumed")
	}
	if wire.count(0) != 0 {
		t.Error("priority 0 from one that was silent already")
	}
}

// The daemon would resume, but the new election is not there in time: the client
// fences before the peer, which waits longer than two intervals, takes over.
func TestDeathElectionSlowToComeBackIsFencedByTheDaemon(t *testing.T) {
	c := newCable(t)
	n, _ := activeNode(t, c, play{Config: slow(200)})
	var addresses atomic.Int32
	addresses.Store(-1)
	c.listen(t, 0, func(h heard) {
		if addresses.Load() < 0 {
			addresses.Store(int32(c.addresses(0)))
		}
	})
	standbyOf(t, c, slow(100))
	n.tell("slow-election")
	n.signal(n.noted("election", 1), unix.SIGKILL)
	n.noted("fenced-here", 1)
	eventually(t, "the peer takes over", func() bool { return addresses.Load() >= 0 })
	if a := addresses.Load(); a != 0 {
		t.Errorf("when the peer took over there were %d addresses", a)
	}
	n.noted("attached-backup-1-false", 1)
	if len(n.notes("attached-active")) != 0 {
		t.Error("it resumed")
	}
}

func TestDeathElectionHungIsKilledByTheDaemon(t *testing.T) {
	c := newCable(t)
	n, _ := activeNode(t, c, play{})
	first := n.noted("election", 1)
	n.signal(first, unix.SIGSTOP)
	n.noted("let-go", 1)
	n.noted("election", 2)
	eventually(t, "the end of the hung one", func() bool { return !ours(first) })
}

func TestDeathOfBothAnnouncesNothingAndLeavesWhatCanBeRemoved(t *testing.T) {
	c := newCable(t)
	n, wire := activeNode(t, c, play{Extra: 10})
	peer := standby(t, c)
	for _, sig := range []unix.Signal{unix.SIGSTOP, unix.SIGKILL} {
		for _, pid := range n.pids() {
			n.signal(pid, sig)
		}
	}
	<-n.ended
	wire.settle(t)
	k := len(wire.list())
	peer.noted("transition-active-1", 1)
	wire.settle(t)
	if len(wire.list()) > k {
		t.Error("somebody still announces")
	}
	if len(n.notes("election")) != 1 || len(n.notes("daemon")) != 1 {
		t.Error("something came back")
	}
	// What is left carries the mark, and goes by it.
	if c.addresses(0) != 11 {
		t.Errorf("%d addresses are left", c.addresses(0))
	}
	within(c[0], func() {
		l, _ := netlink.LinkByName("lan0")
		list, _ := netlink.AddrList(l, netlink.FAMILY_V4)
		for _, a := range list {
			if a.IP.String() != "10.0.0.2" {
				if err := netlink.AddrDel(l, &a); err != nil {
					t.Error(err)
				}
			}
		}
	})
	if c.addresses(0) != 0 {
		t.Error("they cannot be removed")
	}
}
