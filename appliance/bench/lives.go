package bench

import (
	"context"
	"time"

	"understudy/appliance/lab/pair"
	"understudy/nat/conntrack"
	"understudy/nat/session"
)

// part is how many flows are prepared at a time.
const part = 50_000

// begin puts flows into the active gateway's table, from the first-th on, as fast
// as ctnetlink takes them.
func (b *bed) begin(first, n int) error { return b.parts(first, n, (*hand).begin) }

// finish takes them out of it.
func (b *bed) finish(first, n int) error { return b.parts(first, n, (*hand).end) }

func (b *bed) parts(first, n int, do func(*hand) error) error {
	for at := first; at < first+n; at += part {
		h, err := handOf(b.active, at, min(part, first+n-at))
		if err != nil {
			return err
		}
		err = do(h)
		h.close()
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
	kernel  *conntrack.Kernel
	batches []*hand
	began   []time.Time // of each batch; zero: not yet
}

// The steps of a life, each at so many ticks after the beginning.
const (
	livesTick                           = time.Millisecond
	atFin, atLastAck, atTimeWait, atEnd = 30, 40, 50, 60
)

// livesOf prepares n lives at a rate a second, on flows from the first-th on.
func livesOf(g *pair.Gateway, first, rate, n int) (*lives, error) {
	each := max(1, rate/int(time.Second/livesTick))
	h, err := handOf(g, first, n)
	if err != nil {
		return nil, err
	}
	l := &lives{kernel: h.kernel}
	for i := 0; i < n; i += each {
		j := min(i+each, n)
		l.batches = append(l.batches, &hand{kernel: h.kernel, recs: h.recs[i:j], keys: h.keys[i:j], results: h.results[i:j]})
	}
	l.began = make([]time.Time, len(l.batches))
	return l, nil
}

func (l *lives) close() { _ = l.kernel.Close() }

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
			do func(*hand) error
		}{
			{atEnd, (*hand).end},
			{atTimeWait, func(h *hand) error { return h.state(session.TCPTimeWait) }},
			{atLastAck, func(h *hand) error { return h.state(session.TCPLastAck) }},
			{atFin, func(h *hand) error { return h.state(session.TCPFinWait) }},
			{0, (*hand).begin},
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
		for _, k := range l.batches[i].keys {
			all[k] = at
		}
	}
	return all
}
