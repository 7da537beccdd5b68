package bench

import (
	"context"
	"errors"
	"fmt"
	"time"

	"understudy/appliance/lab/pair"
	"understudy/nat/conntrack"
)

// duo is a pair whose roles stay where a crash has put them.
type duo struct {
	*pair.Pair
	active, standby *pair.Gateway
	prepare         func(*pair.Gateway) error // after each boot; nil: nothing
}

func startDuo(ctx context.Context, opt TakeoverOptions) (*duo, error) {
	return startDuoOf(ctx, pair.Options{Binary: opt.Binary, Interval: opt.Interval, Log: opt.Log}, nil)
}

func startDuoOf(ctx context.Context, o pair.Options, prepare func(*pair.Gateway) error) (_ *duo, err error) {
	o.RouterKeys = "preempt = false"
	p, err := pair.New(o)
	if err != nil {
		return nil, err
	}
	d := &duo{p, p.Gateways[0], p.Gateways[1], prepare}
	defer func() {
		if err != nil {
			err = errors.Join(err, d.close())
		}
	}()
	if err := d.start(d.active); err != nil {
		return nil, err
	}
	if err := d.wait(ctx, "gw1 active", d.active.Is("active")); err != nil {
		return nil, err
	}
	if err := d.start(d.standby); err != nil {
		return nil, err
	}
	if o.NoSessions {
		return d, d.wait(ctx, "gw2 standing by", d.standby.Is("backup"))
	}
	return d, d.wait(ctx, "gw2 standing by, in sync", d.Settled(d.active))
}

// start starts the program on a gateway that has just booted.
func (d *duo) start(g *pair.Gateway) error {
	if d.prepare != nil {
		if err := d.prepare(g); err != nil {
			return err
		}
	}
	return g.Start()
}

// close flushes first: the kernel takes its time over a namespace that is gone,
// and the entries in it would count against the next pair's.
func (d *duo) close() error {
	var errs []error
	for _, g := range d.Gateways {
		errs = append(errs, g.Kill(), g.FlushConntrack())
	}
	return errors.Join(append(errs, d.Close())...)
}

func (d *duo) wait(ctx context.Context, what string, met func(context.Context) error) error {
	return patiently(ctx, func(ctx context.Context) error { return d.Wait(ctx, what, met) })
}

// fill begins n flows on the active gateway and waits until the other one has
// them.
func (d *duo) fill(ctx context.Context, n int) error {
	h, err := handOf(d.active, 0, n)
	if err != nil {
		return err
	}
	defer h.close()
	if err := h.begin(); err != nil {
		return err
	}
	return d.wait(ctx, fmt.Sprintf("%d sessions on both", n), d.replicated(n))
}

// replicated is a condition: the active gateway has n sessions of its own, the
// other one the same in table and kernel, and nothing is under way.
func (d *duo) replicated(n int) func(context.Context) error {
	return func(ctx context.Context) error {
		a, err := d.active.Status(ctx)
		if err != nil {
			return err
		}
		s, err := d.standby.Status(ctx)
		if err != nil {
			return err
		}
		if a.Sessions == nil || s.Sessions == nil {
			return errors.New("no sessions")
		}
		in, err := tracked(d.standby)
		lag := a.Sessions.LagSeconds
		if err == nil && (a.Sessions.Local != n || s.Sessions.Foreign != n || in < n || a.Sessions.Dirty != 0 || lag == nil || *lag != 0) {
			err = fmt.Errorf("%d local, %d foreign, %d in the standby's kernel, %d dirty", a.Sessions.Local, s.Sessions.Foreign, in, a.Sessions.Dirty)
		}
		return err
	}
}

// tracked is the number of connections in a gateway's kernel. To ask it costs
// the program nothing.
func tracked(g *pair.Gateway) (n int, err error) {
	err = g.Do(func() error {
		l, err := conntrack.ReadLimits()
		n = l.Count
		return err
	})
	return n, err
}

// crash cuts the active gateway's power, waits for the other one to take over,
// brings the first one back as the standby, and tells what the takeover was.
func (d *duo) crash(ctx context.Context, n int) (t Takeover, err error) {
	w, err := watch(d.Pair)
	if err != nil {
		return t, err
	}
	from, err := d.active.Crash()
	if err == nil {
		err = d.wait(ctx, d.standby.Name+" taking over", func(ctx context.Context) error {
			took, err := took(w.sides, d.standby.Name, from)
			if err != nil {
				return err
			}
			t.MS = ms(took)
			return d.told(ctx, from, &t)
		})
	}
	if err := errors.Join(err, w.stop()); err != nil {
		return t, err
	}
	if err := d.comesBack(ctx); err != nil {
		return t, err
	}
	return t, d.wait(ctx, fmt.Sprintf("%d sessions on both again", n), d.replicated(n))
}

// comesBack has the gateway that was active, and is dead, return as the standby.
func (d *duo) comesBack(ctx context.Context) error {
	dead := d.active
	d.active, d.standby = d.standby, d.active
	if err := dead.FlushConntrack(); err != nil { // see close
		return err
	}
	if err := dead.Reboot(); err != nil {
		return err
	}
	if err := d.start(dead); err != nil {
		return err
	}
	return d.wait(ctx, "both gateways in their roles, in sync", d.settled)
}

// settled is a condition: one gateway is active, the other is ready. On a busy
// machine with short advert intervals it may be the one that has just returned.
func (d *duo) settled(ctx context.Context) error {
	err := d.Settled(d.active)(ctx)
	if err != nil && d.Settled(d.standby)(ctx) == nil {
		d.active, d.standby = d.standby, d.active
		return nil
	}
	return err
}

// told reads what the survivor says of its session plane.
func (d *duo) told(ctx context.Context, since time.Time, t *Takeover) error {
	s, err := d.standby.Status(ctx)
	if err != nil {
		return err
	}
	if s.Sessions == nil || s.Sessions.LastTakeover == nil || s.Sessions.LastTakeover.At.Before(since.Round(0)) {
		return fmt.Errorf("%w: %s knows of none", errNotYet, d.standby.Name)
	}
	t.Installed = s.Sessions.LastTakeover.Installed
	t.SessionsMS = round(s.Sessions.LastTakeover.DurationSeconds * 1e3)
	return nil
}

func (o TakeoverOptions) say(format string, args ...any) {
	if o.Progress != nil {
		fmt.Fprintf(o.Progress, format+"\n", args...)
	}
}
