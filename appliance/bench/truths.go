package bench

import (
	"context"
	"errors"
	"fmt"
	"time"

	"understudy/appliance/lab/pair"
)

// Truths is what is right about the standby's table after what it is hard to be
// right after.
type Truths struct {
	Storm   Truth `json:"storm"`   // sessions that begin, change and end, as fast as this machine makes them
	Restart Truth `json:"restart"` // of the active gateway's program, while sessions end and begin
	Idle    Truth `json:"idle"`    // a stream of datagrams that outlived every timeout
}

// Whole tells whether there is nothing to find fault with.
func (t Truths) Whole() bool { return t.Storm.Whole() && t.Restart.Whole() && t.Idle.Whole() }

// measureTruths finds out, each time on fresh gateways. idle is how long the stream
// of datagrams lasts.
func measureTruths(ctx context.Context, c contender, n int, idle time.Duration, say func(string, ...any)) (t Truths, err error) {
	for _, x := range []struct {
		what string
		to   *Truth
		do   func(context.Context, *bed) error
	}{
		{"a storm", &t.Storm, func(ctx context.Context, b *bed) error { return b.stormy(ctx, n) }},
		{"a restart", &t.Restart, func(ctx context.Context, b *bed) error { return b.restarted(ctx, n) }},
		{"an idle stream", &t.Idle, func(ctx context.Context, b *bed) error { return b.streams(ctx, idle) }},
	} {
		if *x.to, err = truthAfter(ctx, c, n, x.do); err != nil {
			return t, fmt.Errorf("after %s: %w", x.what, err)
		}
		say("  after %s, of %d sessions %d missing, %d wrong, %d ghosts", x.what, x.to.Sessions, x.to.Missing, x.to.Wrong, x.to.Ghosts)
	}
	return t, nil
}

func truthAfter(ctx context.Context, c contender, n int, do func(context.Context, *bed) error) (t Truth, err error) {
	b, err := c.build(ctx, 4*n)
	if err != nil {
		return t, err
	}
	defer func() { err = errors.Join(err, b.close()) }()
	if err := b.paths(); err != nil {
		return t, err
	}
	if err := do(ctx, b); err != nil {
		return t, err
	}
	if !b.hot() {
		if _, err := b.takeover(ctx, func() {}); err != nil {
			return t, err
		}
	}
	active, err := entries(b.active)
	if err != nil {
		return t, err
	}
	standby, err := entries(b.standby)
	if err != nil {
		return t, err
	}
	return truth(active, standby), nil
}

// quiet waits until the number of sessions that the standby knows does not change
// any more.
func (b *bed) quiet(ctx context.Context) error {
	last, since := -1, time.Now()
	return b.wait(ctx, "the standby to come to rest", func(ctx context.Context) error {
		have, err := b.knows(ctx)
		if err != nil {
			return err
		}
		if have != last {
			last, since = have, time.Now()
		}
		if time.Since(since) < 3*time.Second {
			return fmt.Errorf("%d sessions a moment ago", have)
		}
		return nil
	})
}

// stormy begins sessions, has them close and ends most of them, with real packets
// in between, all without a pause.
func (b *bed) stormy(ctx context.Context, n int) error {
	p, err := b.packets(0, n)
	if err != nil {
		return err
	}
	defer p.close()
	for round := range 4 {
		first := round * n
		if err := b.begin(first, n); err != nil {
			return err
		}
		if _, err := p.send(n / 4); err != nil {
			return err
		}
		if err := b.finish(first, n-n/4); err != nil { // a quarter stays
			return err
		}
	}
	return b.quiet(ctx)
}

// restarted has sessions end and begin while the active gateway's program is dead.
func (b *bed) restarted(ctx context.Context, n int) error {
	if err := b.begin(0, n); err != nil {
		return err
	}
	if err := b.quiet(ctx); err != nil {
		return err
	}
	if err := b.restart(ctx, func() error { return errors.Join(b.finish(0, n/2), b.begin(n, n/4)) }); err != nil {
		return err
	}
	return b.quiet(ctx)
}

// streams sends one datagram each way five times a second, for longer than the
// kernel keeps a flow that is silent. Below five minutes its patience is shortened.
func (b *bed) streams(ctx context.Context, lasts time.Duration) error {
	if lasts < 5*time.Minute {
		seconds := fmt.Sprint(max(2, int(lasts/time.Second)/3))
		for _, g := range []*pair.Gateway{b.active, b.standby} {
			if err := errors.Join(g.Sysctl("netfilter/nf_conntrack_udp_timeout", seconds), g.Sysctl("netfilter/nf_conntrack_udp_timeout_stream", seconds)); err != nil {
				return err
			}
		}
	}
	p, err := b.packets(0, 1)
	if err != nil {
		return err
	}
	defer p.close()
	for end := time.Now().Add(lasts); time.Now().Before(end); {
		if _, err := p.send(1); err != nil {
			return err
		}
		if err := sleep(ctx, 200*time.Millisecond); err != nil {
			return err
		}
	}
	return nil
}
