package probe

import (
	"sync"
	"sync/atomic"
	"time"
)

// Echo is a paced series of numbered datagrams that come back. See [StartUDP]
// and [StartPing].
type Echo struct {
	arrived *arrivals
	stop    atomic.Bool
	wait    sync.WaitGroup
	closers []func() error

	mu      sync.Mutex
	sent    []int64 // nanoseconds since arrived.base, by number
	back    []bool
	refused int

	sources func() []Source
}

// Source is an address from which the other side saw the probe's datagrams:
// behind a translation, the translated one.
type Source struct {
	Addr  string
	First time.Time
	Count int
}

func newEcho(now time.Time) *Echo { return &Echo{arrived: newArrivals(now)} }

// next returns the number of the datagram sent now.
func (e *Echo) next(now time.Time) uint64 {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.sent = append(e.sent, int64(now.Sub(e.arrived.base)))
	e.back = append(e.back, false)
	return uint64(len(e.sent) - 1)
}

func (e *Echo) came(seq uint64, at time.Time) {
	e.mu.Lock()
	fresh := seq < uint64(len(e.back)) && !e.back[seq]
	if fresh {
		e.back[seq] = true
	}
	e.mu.Unlock()
	if fresh {
		e.arrived.add(at)
	}
}

// failed notes an error of the socket, which for datagrams is one that some
// other machine reported about an earlier datagram (ICMP).
func (e *Echo) failed() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.refused++
}

// Gap is the longest silence that overlaps from..to.
func (e *Echo) Gap(from, to time.Time) Gap { return e.arrived.gap(from, to) }

// Noise is the longest silence between two echoes that both came in from..to.
func (e *Echo) Noise(from, to time.Time) time.Duration { return e.arrived.within(from, to) }

// Counts are the echoes that came in each of n steps from a moment on.
func (e *Echo) Counts(from time.Time, step time.Duration, n int) []int {
	return e.arrived.counts(from, step, n)
}

// Since counts the echoes that came after t.
func (e *Echo) Since(t time.Time) int { return e.arrived.since(t) }

// Lost counts the datagrams sent in from..to and those of them that have not
// come back. Ask a moment after to.
func (e *Echo) Lost(from, to time.Time) (lost, sent int) {
	missing, sent := e.Missing(from, to)
	return len(missing), sent
}

// Missing lists when the datagrams sent in from..to that have not come back were
// sent, and counts all that were. Ask a moment after to.
func (e *Echo) Missing(from, to time.Time) (missing []time.Time, sent int) {
	lo, hi := int64(from.Sub(e.arrived.base)), int64(to.Sub(e.arrived.base))
	e.mu.Lock()
	defer e.mu.Unlock()
	for i, at := range e.sent {
		if at < lo || at > hi {
			continue
		}
		sent++
		if !e.back[i] {
			missing = append(missing, e.arrived.base.Add(time.Duration(at)))
		}
	}
	return missing, sent
}

// Refused counts socket errors: ICMP errors that came for the datagrams.
func (e *Echo) Refused() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.refused
}

// Sources lists the addresses that the other side saw, in the order of their
// first appearance; more than one means that a translation was replaced. It is
// empty for a ping.
func (e *Echo) Sources() []Source {
	if e.sources == nil {
		return nil
	}
	return e.sources()
}

// Stop ends the probe; its figures stay.
func (e *Echo) Stop() {
	if e.stop.Swap(true) {
		return
	}
	for _, c := range e.closers {
		_ = c() // ends the reads; there is nothing to flush
	}
	e.wait.Wait()
}
