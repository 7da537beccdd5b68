package e2e

import (
	"context"
	"errors"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"understudy/appliance/lab/pair"
)

// The death table of docs/architecture.md with the whole program; the election's
// part of it has tests of its own.

// The kernel forwards without the daemon, and the election announces without it.
func TestDaemonKilledStaysActive(t *testing.T) {
	s := newScene(t, pair.Options{Interval: unhurried})
	s.settle()
	s.load(s.gw1, 20)
	adverts := s.adverts()
	before := [2]uint64{s.transitions(s.gw1), s.transitions(s.gw2)}

	killed := time.Now()
	pid := s.kill(s.gw1, "daemon")
	s.wait("another daemon", replaced(s.gw1, pid, "daemon"))
	s.settled(s.gw1)
	s.intact(killed)
	s.wait("gw1 to hold the addresses", holds(s.gw1, true))
	s.wait("equal tables", s.tablesEqual(s.gw1))
	if now := [2]uint64{s.transitions(s.gw1), s.transitions(s.gw2)}; now != before {
		t.Errorf("transitions were %d, are %d", before, now)
	}
	if _, zero := adverts.of(s.gw1); zero > 0 {
		t.Errorf("gw1 sent priority 0 %d times", zero)
	}
	if at, _ := adverts.of(s.gw2); len(at) > 0 {
		t.Errorf("gw2 sent %d adverts", len(at))
	}
	if quiet := adverts.silence(s.gw1); quiet > s.Bound(s.gw2) {
		t.Errorf("no advert of gw1 for %v", quiet)
	}
	s.wait("no alarm", all(calm(s.gw1), calm(s.gw2)))

	cut := s.crash(s.gw1) // the new daemon has replicated all
	s.intact(cut)
	s.whole()
}

// Also the one that only stands by has to know everything again.
func TestDaemonOfTheStandbyKilled(t *testing.T) {
	s := newScene(t, pair.Options{})
	s.settle()
	s.load(s.gw1, 20)
	leavers := s.conns(9100, 5)
	s.wait("equal tables", s.tablesEqual(s.gw1))
	pid := s.kill(s.gw2, "daemon")
	leavers.Stop()
	s.wait("another daemon", replaced(s.gw2, pid, "daemon"))
	s.settled(s.gw1)
	s.wait("equal tables", s.tablesEqual(s.gw1))
	cut := s.crash(s.gw1)
	s.intact(cut)
	s.whole()
}

// Again and again, as a daemon does that cannot live with what it finds.
func TestDaemonKilledThreeTimes(t *testing.T) {
	s := newScene(t, pair.Options{Interval: unhurried})
	s.settle()
	s.load(s.gw1, 10)
	before := s.transitions(s.gw2)
	began := time.Now()
	for range 3 {
		pid := s.kill(s.gw1, "daemon")
		s.wait("another daemon", replaced(s.gw1, pid, "daemon"))
	}
	s.settled(s.gw1)
	s.intact(began)
	if now := s.transitions(s.gw2); now != before {
		t.Errorf("gw2 had %d transitions", now-before)
	}
	s.whole()
}

// A new election goes on where the dead one was.
func TestElectionKilledResumes(t *testing.T) {
	// Of two intervals a new election has to be there, on whatever machine this is.
	s := newScene(t, pair.Options{Interval: time.Second})
	s.settle()
	s.load(s.gw1, 20)
	adverts := s.adverts()
	before := s.transitions(s.gw2)

	// Right after an advert, to have all of the two intervals for starting a
	// process, on whatever machine this is.
	s.wait("an advert", adverts.more(s.gw1, 1))
	killed := time.Now()
	pid := s.kill(s.gw1, "run")
	s.wait("another election", replaced(s.gw1, pid, "election"))
	s.wait("adverts of it", adverts.more(s.gw1, 5))
	s.settled(s.gw1)
	s.intact(killed)
	s.wait("gw1 to hold the addresses", holds(s.gw1, true))
	if now := s.transitions(s.gw2); now != before {
		t.Errorf("gw2 had %d transitions", now-before)
	}
	if at, _ := adverts.of(s.gw2); len(at) > 0 {
		t.Errorf("gw2 sent %d adverts", len(at))
	}
	if _, zero := adverts.of(s.gw1); zero > 0 {
		t.Errorf("gw1 sent priority 0 %d times", zero)
	}
	s.wait("no alarm", all(calm(s.gw1), calm(s.gw2)))

	// The new one is a full one: it hands over, and restarts the daemon.
	pid = s.kill(s.gw1, "daemon")
	s.wait("another daemon", replaced(s.gw1, pid, "daemon"))
	s.settled(s.gw1)
	asked := time.Now()
	s.ok(s.gw1, "failover")
	s.settled(s.gw2)
	s.intact(asked)
	s.whole()
}

// Both at once, without a word: the kernel of gw1 goes on answering for the
// addresses, and the other gateway takes them. Whoever cleans up (systemd does)
// ends that, as often as it likes.
func TestBothKilledAndCleaned(t *testing.T) {
	s := newScene(t, pair.Options{})
	s.must(s.gw1.Sysctl("ipv4/conf/lan0/arp_announce", "1"))
	before := s.sysctls(s.gw1.Node)
	s.settle()
	s.load(s.gw1, 20)
	if a := s.cli(s.gw1, "clean"); a.code == 0 {
		t.Errorf("clean under a running program succeeded: %s", a.out)
	}
	s.wait("gw1 to hold the addresses still", holds(s.gw1, true))

	killed := time.Now()
	s.must(s.gw1.Kill())
	if tables := s.ourTables(s.gw1); len(tables) != 1 {
		t.Fatalf("tables %v on a gateway that was killed, want what it had", tables)
	}
	s.wait("gw2 active", s.gw2.Is("active"))
	for n := range 2 {
		t.Logf("clean %d: %s", n, s.ok(s.gw1, "clean"))
		s.pristine(s.gw1, before)
	}
	s.intact(killed)
	s.wait("gw2 to hold the addresses", holds(s.gw2, true))

	back := time.Now()
	s.must(s.gw1.Start())
	s.settled(s.gw1)
	s.intact(back)
	s.whole()
}

// Without systemd the next start cleans: a gateway that has just been started
// and stands by has nothing left of the identity.
func TestBothKilledAndStartedAgain(t *testing.T) {
	s := newScene(t, pair.Options{RouterKeys: "preempt = false"})
	s.settle()
	s.load(s.gw1, 20)
	s.must(s.gw1.Kill())
	killed := time.Now()
	s.wait("gw2 active", s.gw2.Is("active"))
	s.wait("what the dead one left", holds(s.gw1, true))
	s.must(s.gw1.Start())
	s.settled(s.gw2)
	s.wait("the addresses to be gone from gw1", holds(s.gw1, false))
	s.intact(killed)
	s.wait("equal tables", s.tablesEqual(s.gw2))
	cut := s.crash(s.gw2)
	s.intact(cut)
	s.whole()
}

// Frozen, not dead: a machine that hangs and then goes on, with another one
// Active by then. Whichever of them gives way, the flows do not notice.
func TestFrozenAndThawed(t *testing.T) {
	s := newScene(t, pair.Options{RouterKeys: "preempt = false"})
	s.settle()
	s.load(s.gw1, 20)
	s.must(s.gw1.Freeze())
	s.wait("gw2 active", s.gw2.Is("active"))
	time.Sleep(500 * time.Millisecond) // flows go on there
	thawed := time.Now()
	s.must(s.gw1.Thaw())
	s.wait("one of them active, the other standing by", func(ctx context.Context) error {
		if s.Settled(s.gw1)(ctx) != nil && s.Settled(s.gw2)(ctx) != nil {
			return errors.New("it is not settled")
		}
		return nil
	})
	active := s.gw2
	if s.gw1.Is("active")(s.within(patience)) == nil {
		active = s.gw1
	}
	t.Logf("%s is active", active.Name)
	s.wait("the other one to let go", holds(s.Other(active), false))
	s.intact(thawed)
	s.wait("equal tables", s.tablesEqual(active))
	s.whole()
}

// The election of a machine that hung goes on first, and is Active still: it has
// the priority, so the other one gives way. The kernel of the first has seen
// nothing of what its flows did meanwhile, and the neighbours send to the second.
func TestFrozenAndGoesOnAsActive(t *testing.T) {
	s := newScene(t, pair.Options{})
	s.settle()
	s.load(s.gw1, 20)
	list, err := processes(s.gw1)
	s.must(err)
	lan, wan := s.claims(), s.claimsOn(s.WAN, pair.WANAddress.Addr())
	frozen := time.Now()
	s.must(s.gw1.Freeze())
	s.wait("gw2 active", s.gw2.Is("active"))
	// Until it has said so, what comes goes to the kernel of gw1, which knows nothing of it.
	s.wait("the neighbours to know", all(claimed(lan, s.gw2, frozen), claimed(wan, s.gw2, frozen)))
	newcomers := s.conns(9100, 5)
	time.Sleep(500 * time.Millisecond)
	thawed := time.Now()
	s.must(unix.Kill(list["run"], unix.SIGCONT))
	s.wait("gw2 to give way", s.gw2.Is("backup"))
	s.must(s.gw1.Thaw())
	s.settled(s.gw1)
	s.intact(thawed)
	s.wait("equal tables", s.tablesEqual(s.gw1))
	if dead := newcomers.Check(s.within(patience)); len(dead) > 0 {
		t.Errorf("connections that began on gw2 are dead: %v", dead)
	}
	cut := s.crash(s.gw1)
	s.intact(cut)
	s.whole()
}
