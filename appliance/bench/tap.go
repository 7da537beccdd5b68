package bench

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"understudy/appliance/lab/capture"
	"understudy/appliance/lab/pair"
)

// tap hears the adverts of one gateway on both segments as they pass, so that
// something can be made to happen at a known distance from one.
type tap struct {
	from     string
	captures []*capture.Capture
	newsC    chan struct{} // holds one: there was an advert

	mu   sync.Mutex
	last [2]time.Time // on the LAN, on the WAN
}

func openTap(p *pair.Pair, from string) (*tap, error) {
	t := &tap{from: from, newsC: make(chan struct{}, 1)}
	for i, segment := range []capture.Segment{p.LAN, p.WAN} {
		c, err := capture.Start(segment, capture.Options{Filter: capture.Protocols(112), Keep: func(f capture.Frame) bool {
			t.hear(i, f)
			return false
		}})
		if err != nil {
			return nil, errors.Join(err, t.close())
		}
		t.captures = append(t.captures, c)
	}
	return t, nil
}

// hear notes an advert of somebody who is active: not one that resigns.
func (t *tap) hear(side int, f capture.Frame) {
	if f.From != t.from || capture.Decode(f.Data).Priority == 0 {
		return
	}
	t.mu.Lock()
	t.last[side] = f.At
	t.mu.Unlock()
	select {
	case t.newsC <- struct{}{}:
	default:
	}
}

// latest is when the last advert of all passed, and the older one of the last on
// each side. A group waits for its every member, so the latest one decides.
func (t *tap) latest() (latest, other time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	latest, other = t.last[0], t.last[1]
	if other.After(latest) {
		latest, other = other, latest
	}
	return latest, other
}

// at runs fn at phase after the later one of a round of adverts, one on each side.
// fn has begun by then or, on a busy machine, begins later: [tap.latest] tells.
func (t *tap) at(ctx context.Context, phase time.Duration, fn func() error) error {
	for since := time.Now(); ; {
		select {
		case <-t.newsC:
		case <-ctx.Done():
			return fmt.Errorf("bench: no adverts of %s on both sides: %w", t.from, context.Cause(ctx))
		}
		latest, other := t.latest()
		if !other.After(since) {
			continue
		}
		if until := time.Until(latest.Add(phase)); until >= 0 {
			return urgently(func() error { nap(until); return fn() })
		}
		since = time.Now() // heard of it too late: the next round
	}
}

func (t *tap) close() error {
	var errs []error
	for _, c := range t.captures {
		errs = append(errs, c.Stop())
	}
	return errors.Join(errs...)
}

// counter counts frames.
type counter struct{ n atomic.Int64 }

// from is a [capture.Options].Keep that counts those of one node, and keeps none.
func (c *counter) from(node string) func(capture.Frame) bool {
	return func(f capture.Frame) bool {
		if f.From == node {
			c.n.Add(1)
		}
		return false
	}
}

func (c *counter) read() int64 { return c.n.Load() }

// nap sleeps more precisely than a timer of the runtime does. It is for a locked
// thread.
func nap(d time.Duration) {
	var now unix.Timespec
	if unix.ClockGettime(unix.CLOCK_MONOTONIC, &now) != nil {
		return
	}
	until := unix.NsecToTimespec(now.Nano() + int64(d))
	for unix.ClockNanosleep(unix.CLOCK_MONOTONIC, unix.TIMER_ABSTIME, &until, nil) == unix.EINTR {
	}
}

// urgently runs fn on a thread of the real-time class, where that is allowed:
// for a moment at which something has to happen, not for work.
func urgently(fn func() error) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if unix.SchedSetAttr(0, &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_FIFO,
		Flags: unix.SCHED_FLAG_RESET_ON_FORK, Priority: 1}, 0) == nil {
		defer func() {
			_ = unix.SchedSetAttr(0, &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_NORMAL}, 0)
		}()
	}
	return fn()
}
