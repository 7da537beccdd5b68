package demo

import (
	"context"
	"fmt"
	"time"

	"understudy/appliance/lab/pair"
)

// event waits for calm, does something to the gateways, and measures what the
// traffic felt. act returns the moment from which an outage counts, and the
// first moment at which traffic can only be what came after it.
func (d *demo) event(ctx context.Context, name string, bound time.Duration, next *pair.Gateway, act func(context.Context) (from, cut time.Time, err error)) error {
	if err := sleep(ctx, calm); err != nil {
		return err
	}
	calmEnd := time.Now()
	from, cut, err := act(ctx)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if err := d.traffic.resumed(ctx, cut); err != nil {
		return d.explain(fmt.Errorf("%s: %w", name, err))
	}
	if err := sleep(ctx, after); err != nil {
		return err
	}
	end := time.Now()

	e := Event{
		Name: name, BoundMS: ms(bound),
		OutagesMS: map[string]float64{}, NoiseMS: map[string]float64{}, NewMS: map[string]float64{},
	}
	for _, s := range d.traffic.named() {
		e.OutagesMS[s.name] = ms(s.Gap(from, end).Duration())
		e.NoiseMS[s.name] = ms(s.Noise(calmEnd.Add(-calm), calmEnd))
	}
	if d.traffic.up != nil {
		e.OutagesMS["tcp"] = max(e.OutagesMS["tcp_up"], e.OutagesMS["tcp_down"])
		e.OutagesMS["request"] = ms(d.traffic.in.Slowest(from, end))
	}
	out, _ := d.traffic.udpOut.Lost(from, end.Add(-after/2))
	in, _ := d.traffic.udpIn.Lost(from, end.Add(-after/2))
	e.LostPackets = max(out, in)

	// From here on the flows are disturbed by being looked at.
	d.lost = merge(d.lost, d.lostSoFar(ctx, cut))
	e.Survived = d.total() - len(d.lost)
	d.fresh(ctx, &e)
	d.ask(ctx, next, &e, from)
	d.report.Events = append(d.report.Events, e)
	d.say("nothing came through for %s ms (datagrams out %s, in %s); %d of %d flows survived",
		number(max(e.OutagesMS["udp_out"], e.OutagesMS["udp_in"])), number(e.OutagesMS["udp_out"]), number(e.OutagesMS["udp_in"]), e.Survived, d.total())
	return ctx.Err()
}

// fresh makes new connections after the event.
func (d *demo) fresh(ctx context.Context, e *Event) {
	ctx, cancel := context.WithTimeout(ctx, patience/4)
	defer cancel()
	for name, c := range map[string]interface {
		Fresh(context.Context) (time.Duration, error)
	}{"in": d.traffic.in, "out": d.traffic.out} {
		took, err := c.Fresh(ctx)
		e.NewMS[name] = ms(took)
		if err != nil {
			e.NewMS[name] = -1
			d.say("no new connection %s: %v", name, err)
			d.broken = true
		}
	}
}

// ask reads from the new active gateway what its activation was like.
func (d *demo) ask(ctx context.Context, g *pair.Gateway, e *Event, from time.Time) {
	s, err := g.Status(ctx)
	if err != nil {
		d.say("no status of %s: %v", g.Name, err)
		return
	}
	for _, r := range s.Routers {
		if r.LastTransition != nil && r.LastTransition.After(from.Round(0)) {
			d.note(*r.LastTransition, "%s: router %s %s (%s)", g.Name, r.Name, r.State, r.Reason)
		}
	}
	if s.Sessions == nil || s.Sessions.LastTakeover == nil || s.Sessions.LastTakeover.At.Before(from.Round(0)) {
		return
	}
	t := s.Sessions.LastTakeover
	e.Takeover = &Takeover{Installed: t.Installed, DurationMS: t.DurationSeconds * 1e3}
	d.note(t.At, "%s: took %d sessions over, %d of them still to install (%.1f ms)", g.Name, s.Sessions.Local, t.Installed, t.DurationSeconds*1e3)
}

// crash is a power cut of the active gateway.
func (d *demo) crash(ctx context.Context, victim *pair.Gateway) error {
	survivor := d.pair.Other(victim)
	return d.event(ctx, "crash", d.pair.Bound(survivor), survivor, func(context.Context) (from, cut time.Time, err error) {
		d.say("CRASH: %s frozen, its cables cut, its processes killed", victim.Name)
		from, err = victim.Crash()
		return from, time.Now(), err
	})
}

// back is the return of a crashed gateway with an empty kernel.
func (d *demo) back(ctx context.Context, g *pair.Gateway) error {
	return d.event(ctx, "return", 0, g, func(ctx context.Context) (from, cut time.Time, err error) {
		from = time.Now()
		d.say("%s boots and starts", g.Name)
		if err := g.Reboot(); err != nil {
			return from, from, err
		}
		if err := g.Start(); err != nil {
			return from, from, err
		}
		if err := d.wait(ctx, g.Name+" active again and in sync", d.pair.Settled(g)); err != nil {
			return from, from, err
		}
		d.say("%s is in sync and has its role back", g.Name)
		return from, time.Now(), nil
	})
}

// handover asks the active gateway to give its role away.
func (d *demo) handover(ctx context.Context, g *pair.Gateway) error {
	next := d.pair.Other(g)
	return d.event(ctx, "handover", 0, next, func(ctx context.Context) (from, cut time.Time, err error) {
		from = time.Now()
		d.say("HAND-OVER: understudy failover on %s", g.Name)
		asking, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
		if err := g.Failover(asking); err != nil {
			return from, from, err
		}
		if err := d.wait(ctx, next.Name+" active", next.Is("active")); err != nil {
			return from, from, err
		}
		return from, time.Now(), nil
	})
}

func sleep(ctx context.Context, dur time.Duration) error {
	timer := time.NewTimer(dur)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
