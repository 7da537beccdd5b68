package bench

import (
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"understudy/appliance/lab"
)

// storm makes new calls at fixed times, whatever becomes of those before: an open
// loop. Several threads take turns, for a call that gets no answer holds one up.
//
// Of connections every fourth is over at once, as most are.
type storm struct {
	wait sync.WaitGroup
	stop atomic.Bool
	next atomic.Int64 // identity of the next call

	mu     sync.Mutex
	calls  []*call
	short  int // of them, over at once
	failed int
	errs   []error // the first few
}

// stormLane is the calls that one thread makes, in turn.
type stormLane struct {
	node    *lab.Node
	callers []caller
	rate    int // a second, of this lane
}

func startStorm(lanes []stormLane) *storm {
	s := &storm{}
	began := time.Now()
	for i, l := range lanes {
		every := time.Second / time.Duration(l.rate)
		first := began.Add(every * time.Duration(i) / time.Duration(len(lanes)))
		s.wait.Go(func() { _ = l.node.Do(func() error { s.lane(l, first, every); return nil }) })
	}
	return s
}

func (s *storm) lane(l stormLane, next time.Time, every time.Duration) {
	for n := 0; ; n++ {
		sleepUntil(next)
		if s.stop.Load() {
			return
		}
		c := l.callers[n%len(l.callers)]
		id := int(s.next.Add(1))
		k, err := c.open(id)
		short := err == nil && c.proto == unix.IPPROTO_TCP && id%4 == 0
		if short {
			k.close()
		}
		s.mu.Lock()
		switch {
		case short:
			s.short++
		case err == nil:
			s.calls = append(s.calls, k)
		case !s.stop.Load(): // else the gateway is dead
			if s.failed++; len(s.errs) < 3 {
				s.errs = append(s.errs, err)
			}
		}
		s.mu.Unlock()
		next = next.Add(every)
	}
}

// made is how many calls were made so far, with those that are over.
func (s *storm) made() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.calls) + s.short
}

// end has no more calls made, and returns those that are not over.
func (s *storm) end() []*call {
	s.stop.Store(true)
	s.wait.Wait()
	return s.calls
}

// sleepUntil sleeps in the kernel: the thread is the caller's own.
func sleepUntil(t time.Time) {
	if d := time.Until(t); d > 0 {
		ts := unix.NsecToTimespec(int64(d))
		for unix.ClockNanosleep(unix.CLOCK_MONOTONIC, 0, &ts, &ts) == unix.EINTR {
		}
	}
}
