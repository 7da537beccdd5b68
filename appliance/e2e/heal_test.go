package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"understudy/appliance/lab/pair"
	"understudy/appliance/lab/probe"
)

// churn is connections that begin, are used and end, both ways, all the time.
type churn struct {
	made  atomic.Int64
	stop  func()
	mu    sync.Mutex
	fails []error
}

// churn begins it; it goes on until stop, at the latest until the test ends.
func (s *scene) churn() *churn {
	s.t.Helper()
	c := &churn{}
	ctx, cancel := context.WithCancel(s.t.Context())
	var wait sync.WaitGroup
	for _, conns := range []*probe.Conns{s.traffic.In, s.traffic.Out} {
		wait.Go(func() {
			for ctx.Err() == nil {
				// Not of ctx: what has begun is brought to its end.
				one, done := context.WithTimeout(context.Background(), patience)
				_, err := conns.Fresh(one)
				done()
				if err != nil {
					c.mu.Lock()
					c.fails = append(c.fails, err)
					c.mu.Unlock()
				}
				c.made.Add(1)
				time.Sleep(8 * time.Millisecond) // ports of the client must last
			}
		})
	}
	c.stop = sync.OnceFunc(func() { cancel(); wait.Wait() })
	s.t.Cleanup(c.stop)
	return c
}

// ended stops it, and fails the test for each connection that did not work.
func (c *churn) ended(s *scene) {
	s.t.Helper()
	c.stop()
	s.t.Logf("%d connections began and ended meanwhile", c.made.Load())
	for i, err := range c.fails {
		if i == 3 {
			break
		}
		s.t.Errorf("a new connection failed (%d of %d did): %v", len(c.fails), c.made.Load(), err)
	}
}

// healBound is within which everything is as it should be, once what was wrong is
// over. It takes about a second, on a machine that does nothing else; an audit, which
// would find it as well, comes once a minute.
const healBound = 25 * time.Second

// heals waits until the kernels and the daemons of both gateways have the same flows,
// entry by entry, while connections come and go.
func (s *scene) heals(active *pair.Gateway, since time.Time) {
	s.t.Helper()
	ctx, cancel := context.WithDeadline(s.t.Context(), since.Add(healBound))
	defer cancel()
	if err := s.Pair.Wait(ctx, "equal tables", s.Alike(active)); err != nil {
		s.t.Fatalf("%v", firstLine(err))
	}
	s.t.Logf("equal %v after the end of the fault", time.Since(since).Round(time.Millisecond))
}

// noDifference is a condition, of when nothing changes: the operator is told so on
// either gateway.
func (s *scene) noDifference(context.Context) error {
	for _, g := range s.Gateways {
		if a := s.cli(g, "sessions", "--diff"); a.code != 0 || !strings.Contains(a.out, "the same sessions") {
			return fmt.Errorf("%s: exit code %d: %s", g.Name, a.code, a.out)
		}
	}
	return nil
}

// resident is the memory of the gateway's daemon, in bytes.
func (s *scene) resident(g *pair.Gateway) int {
	s.t.Helper()
	list, err := processes(g)
	s.must(err)
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", list["daemon"]))
	s.must(err)
	_, rest, _ := strings.Cut(string(b), "VmRSS:")
	fields := strings.Fields(rest)
	if len(fields) == 0 {
		s.t.Fatalf("no VmRSS of process %d of %s", list["daemon"], g.Name)
	}
	kb, err := strconv.Atoi(fields[0])
	s.must(err)
	return kb << 10
}

// stopped has one process of the gateway stand still for a while. It may be ended
// meanwhile by who looks after it.
func (s *scene) stopped(g *pair.Gateway, subcommand string, d time.Duration) {
	s.t.Helper()
	list, err := processes(g)
	s.must(err)
	s.must(unix.Kill(list[subcommand], unix.SIGSTOP))
	time.Sleep(d)
	if err := unix.Kill(list[subcommand], unix.SIGCONT); err != nil && !errors.Is(err, unix.ESRCH) {
		s.t.Fatal(err)
	}
}

// What may happen to a pair without a change of roles: while flows of every kind are
// in use and others come and go, nothing is lost, no new connection fails, memory
// stays bounded, and within seconds of the end both kernels and both daemons have the
// same flows, entry by entry.
func TestHealsWithinSeconds(t *testing.T) {
	for _, row := range []struct {
		name  string
		fault func(*scene)
	}{
		{"case 1, the daemon of the active one is killed", func(s *scene) {
			pid := s.kill(s.gw1, "daemon")
			s.wait("another daemon", replaced(s.gw1, pid, "daemon"))
		}},
		{"the daemon of the standby is killed", func(s *scene) {
			pid := s.kill(s.gw2, "daemon")
			s.wait("another daemon", replaced(s.gw2, pid, "daemon"))
		}},
		{"case 2, the daemon of the active one stands still for 10 s", func(s *scene) { s.stopped(s.gw1, "daemon", 10*time.Second) }},
		{"the standby is stopped and started again", func(s *scene) {
			s.must(s.gw2.Process().Signal(unix.SIGTERM))
			if a := s.ended(s.gw2.Process()); a.code != 0 {
				s.t.Errorf("exit code %d", a.code)
			}
			s.must(s.gw2.Start())
			s.wait("gw2 standing by", s.gw2.Is("backup"))
		}},
		{"case 62, an upgrade in place, on both", func(s *scene) {
			for _, g := range s.Gateways {
				list, err := processes(g)
				s.must(err)
				s.ok(g, "upgrade")
				s.wait("another daemon", replaced(g, list["daemon"], "daemon"))
				s.settled(s.gw1)
			}
		}},
		{"case 5, the session link is down", func(s *scene) {
			s.must(s.gw1.Link("sync0").Unplug())
			s.wait("both to notice", all(alarmed(s.gw1, "no-peer"), alarmed(s.gw2, "no-peer")))
			time.Sleep(2 * time.Second)
			s.must(s.gw1.Link("sync0").Plug())
		}},
		{"case 6, the session link flaps at 1 Hz", func(s *scene) {
			for range 10 {
				s.must(s.gw1.Link("sync0").Unplug())
				time.Sleep(500 * time.Millisecond)
				s.must(s.gw1.Link("sync0").Plug())
				time.Sleep(500 * time.Millisecond)
			}
		}},
		{"case 8, the standby stands still for 10 s and reads nothing", func(s *scene) {
			s.must(s.gw2.Freeze())
			time.Sleep(10 * time.Second)
			s.must(s.gw2.Thaw())
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t, pair.Options{Interval: unhurried})
			s.settle()
			s.load(s.gw1, 20)
			c := s.churn()
			s.wait("equal tables", s.Alike(s.gw1))
			before := [2]uint64{s.transitions(s.gw1), s.transitions(s.gw2)}
			memory := [2]int{s.resident(s.gw1), s.resident(s.gw2)}
			began := time.Now()
			row.fault(s)
			over := time.Now()
			s.heals(s.gw1, over)
			s.settled(s.gw1)
			s.intact(began)
			c.ended(s)
			s.wait("the same sessions everywhere", s.Alike(s.gw1))
			s.wait("no difference", s.noDifference)
			if now := [2]uint64{s.transitions(s.gw1), s.transitions(s.gw2)}; now != before {
				t.Errorf("transitions were %d, are %d", before, now)
			}
			for i, g := range s.Gateways {
				// A few hundred sessions: the rest is the runtime's affair.
				if now := s.resident(g); now > memory[i]+48<<20 {
					t.Errorf("the daemon of %s had %d MiB, has %d", g.Name, memory[i]>>20, now>>20)
				}
			}
			cut := s.crash(s.gw1) // what was equal is good
			s.intact(cut)
			s.whole()
		})
	}
}
