package lacpnet

import (
	"context"
	"encoding/binary"
	"log/slog"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"
	"time"

	"understudy/appliance/lab"
	"understudy/lacp"
	"understudy/lacp/lacptest"
)

// judged is an end of a link with somebody who judges it, as `understudy lacp` is.
type judged struct {
	*Speaker
	mu   sync.Mutex
	self *lacp.Self
}

// speak starts one on a node's interface, until the test ends.
func speak(t *testing.T, n *lab.Node, system lacp.MAC, name string) *judged {
	t.Helper()
	j := &judged{self: lacp.NewSelf(lacp.MonitorConfig{}, name)}
	err := n.Do(func() (err error) {
		j.Speaker, err = OpenSpeaker(lacp.ActorConfig{System: system, Fast: true, Single: true, Ports: []lacp.PortConfig{{Key: 1}}},
			slog.New(slog.DiscardHandler), name)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	j.Tap(func(now time.Time, a *lacp.Actor, in lacp.ActorInput, sent []lacp.Sending) {
		j.mu.Lock()
		defer j.mu.Unlock()
		j.self.Saw(now, a, in, sent)
	})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- n.Do(func() error { return j.Run(ctx) }) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return j
}

// status is the one link's, and whether there is a finding of that kind.
func (j *judged) status(kind lacp.Kind) (m lacp.MemberStatus, found bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	s := j.self.Status()
	for _, f := range s.Findings {
		found = found || f.Kind == kind
	}
	if len(s.Members) == 0 {
		return m, found // nothing has happened yet
	}
	return s.Members[0], found
}

// until waits for a condition.
func until(t *testing.T, what string, met func() bool) {
	t.Helper()
	for deadline := time.Now().Add(40 * time.Second); !met(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited for %s in vain", what)
		}
	}
}

// total is every frame that the monitor has counted as having come in: all but what
// the actor has said, of which its answers to Marker PDUs are among the Marker PDUs.
func (j *judged) total() uint64 {
	var said uint64
	j.Look(func(a *lacp.Actor) { said = a.Port(0).Counters.MarkersSent })
	m, _ := j.status(0)
	c := &m.Counters
	n := c.Received + c.Markers + c.Looped + c.Lost - said
	for _, r := range lacp.Reasons() {
		n += c.RefusedFor(r)
	}
	return n
}

// totalOf is every frame that a port of an actor has counted.
func totalOf(c *lacp.PortCounters) uint64 {
	n := c.Received + c.MarkersAsked + c.MarkersOther + c.Looped + c.Idle + c.Lost
	for _, r := range c.Refused {
		n += r
	}
	return n
}

func heapNow() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// A capture replayed at 10,000 LACPDUs a second with random corruption, over a real
// cable and socket: nothing ends, nothing grows, every frame is counted once, and
// when it is over an aggregate forms as on any other link.
func TestFloodOverACable(t *testing.T) {
	l := lab.NewT(t)
	a, b := l.Node("a"), l.Node("b")
	cable(t, a, "one", b, "two")
	end := speak(t, a, lacp.MAC{0x52, 0x54, 0, 0x10, 0, 1}, "one")
	until(t, "the link", func() bool { m, _ := end.status(0); return m.Up })
	attacker := openPort(t, b, "two")
	attacker.ShowOutgoing(false)

	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	noise := lacptest.NewNoise(t, seed)
	const perSecond, seconds, batch = 10_000, 5, 20
	const all = perSecond * seconds
	var sent uint64 // of what a port looks at
	var heap uint64
	var routines int
	start := time.Now()
	for i := range all {
		if i == perSecond { // by now everything has its size
			heap, routines = heapNow(), runtime.NumGoroutine()
		}
		if i%batch == 0 {
			time.Sleep(time.Until(start.Add(time.Duration(i) * time.Second / perSecond)))
		}
		f := noise.Next(etherLen)
		if err := attacker.Send(f); err != nil {
			t.Fatal(err)
		}
		if lacp.MAC(f) == lacp.Group || binary.BigEndian.Uint16(f[12:]) == lacp.EtherType {
			sent++
		}
	}
	took := time.Since(start)
	// What is lost is told with the next frame that is not.
	last := pdu(attacker.MAC, 1)
	until(t, "every frame to be counted", func() bool {
		if err := attacker.Send(last); err != nil {
			t.Fatal(err)
		}
		sent++
		return end.total() >= sent-1
	})
	until(t, "the last frame", func() bool { return end.total() == sent })
	m, flood := end.status(lacp.KindFlood)
	if !flood {
		t.Error("nobody noticed the flood")
	}
	end.Look(func(a *lacp.Actor) {
		if c := a.Port(0).Counters; totalOf(&c) != sent {
			t.Errorf("the actor has counted %d of %d: %+v", totalOf(&c), sent, c)
		}
	})
	for _, r := range lacp.Reasons() {
		if m.Counters.RefusedFor(r) == 0 {
			t.Errorf("none was refused for %v", r)
		}
	}
	t.Logf("%d frames in %v, %d a second; %d were lost", all, took.Round(time.Millisecond), int(all/took.Seconds()), m.Counters.Lost)
	if now := heapNow(); now > heap+512<<10 {
		t.Errorf("the heap went from %d to %d", heap, now)
	}
	if n := runtime.NumGoroutine(); n > routines {
		t.Errorf("%d goroutines, %d before", n, routines)
	}

	// Not without a finding: partners that come and go are remembered for a while.
	far := speak(t, b, lacp.MAC{0x52, 0x54, 0, 0x20, 0, 1}, "two")
	until(t, "an aggregate", func() bool {
		m, flood := end.status(lacp.KindFlood)
		f, _ := far.status(0)
		return m.Carries && f.Carries && !flood
	})
}
