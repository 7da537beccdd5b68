package bench

import (
	"context"
	"time"

	"understudy/nat/session"
)

// part is how many flows are prepared at a time.
const part = 50_000

// batch is some sessions that are made, changed and ended together.
type batch interface {
	begin() error
	state(session.TCPState) error
	end() error
	names() []session.Key
}

// batches prepares n sessions, from the first-th on, so many in each batch: by ctnetlink,
// or by packets where the standby learns by them alone.
func (b *bed) batches(first, n, each int) (all []batch, done func(), err error) {
	if b.copies {
		c, err := b.connections(first, n)
		if err != nil {
			return nil, nil, err
		}
		for i := 0; i < n; i += each {
			t := &talk{connections: c}
			for j := i; j < min(i+each, n); j++ {
				t.keys = append(t.keys, connectionKey(first+j))
			}
			all = append(all, t)
		}
		return all, c.close, nil
	}
	h, err := handOf(b.active, first, n)
	if err != nil {
		return nil, nil, err
	}
	for i := 0; i < n; i += each {
		j := min(i+each, n)
		all = append(all, &hand{kernel: h.kernel, recs: h.recs[i:j], keys: h.keys[i:j], results: h.results[i:j]})
	}
	return all, h.close, nil
}

// begin puts flows into the active gateway's table, from the first-th on, as fast
// as it takes them.
func (b *bed) begin(first, n int) error { return b.parts(first, n, batch.begin) }

// finish takes them out of it.
func (b *bed) finish(first, n int) error { return b.parts(first, n, batch.end) }

func (b *bed) parts(first, n int, do func(batch) error) error {
	for at := first; at < first+n; at += part {
		some := min(part, first+n-at)
		all, done, err := b.batches(at, some, some)
		if err != nil {
			return err
		}
		err = do(all[0])
		done()
		if err != nil {
			return err
		}
	}
	return nil
}

// lives lets connections begin, close and end at a rate.
//
//	established ── 30 ms ── FIN_WAIT ── 10 ms ── LAST_ACK ── 10 ms ── TIME_WAIT ── 10 ms ── gone
//
// To whoever listens for events it looks like traffic, and is five of them.
type lives struct {
	batches []batch
	began   []time.Time // of each batch; zero: not yet
	close   func()
}

// The steps of a life, each at so many ticks after the beginning.
const (
	livesTick                           = time.Millisecond
	atFin, atLastAck, atTimeWait, atEnd = 30, 40, 50, 60
)

// livesOf prepares n lives at a rate a second, on flows from the first-th on.
func (b *bed) livesOf(first, rate, n int) (l *lives, err error) {
	l = &lives{}
	l.batches, l.close, err = b.batches(first, n, max(1, rate/int(time.Second/livesTick)))
	l.began = make([]time.Time, len(l.batches))
	return l, err
}

// run lives all of them, or until over says so; those that have begun by then are
// left as they are.
func (l *lives) run(ctx context.Context, over func() bool) error {
	next := time.Now()
	for tick := range len(l.batches) + atEnd {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if over() {
			return nil
		}
		for _, step := range []struct {
			at int
			do func(batch) error
		}{
			{atEnd, batch.end},
			{atTimeWait, func(b batch) error { return b.state(session.TCPTimeWait) }},
			{atLastAck, func(b batch) error { return b.state(session.TCPLastAck) }},
			{atFin, func(b batch) error { return b.state(session.TCPFinWait) }},
			{0, batch.begin},
		} {
			i := tick - step.at
			if i < 0 || i >= len(l.batches) {
				continue
			}
			if step.at == 0 {
				l.began[i] = time.Now()
			}
			if err := step.do(l.batches[i]); err != nil {
				return err
			}
		}
		next = next.Add(livesTick)
		sleepUntil(next)
	}
	return nil
}

// born is when each flow began that did.
func (l *lives) born() map[session.Key]time.Time {
	all := make(map[session.Key]time.Time)
	for i, at := range l.began {
		if at.IsZero() {
			continue
		}
		for _, k := range l.batches[i].names() {
			all[k] = at
		}
	}
	return all
}
