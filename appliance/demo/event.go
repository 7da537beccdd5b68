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
	if err := sleep(ctx, d.opt.calm); err != nil {
		return err
	}
	calmEnd := time.Now()
	from, cut, err := act(ctx)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if err := d.patiently(ctx, func(ctx context.Context) error { return d.traffic.Resumed(ctx, cut) }); err != nil {
		return d.explain(fmt.Errorf("%s: %w", name, err))
	}
	if err := sleep(ctx, d.opt.after); err != nil {
		return err
	}
	end := time.Now()

	e := Event{
		Name: name, BoundMS: ms(bound), AtSeconds: from.Sub(d.began).Seconds(),
		OutagesMS: map[string]float64{}, NoiseMS: map[string]float64{}, NewMS: map[string]float64{},
	}
	e.Window = d.window(from, end, bound)
	for _, s := range d.traffic.Series() {
		e.OutagesMS[s.Name] = ms(s.Gap(from, end).Duration())
		e.NoiseMS[s.Name] = ms(s.Noise(calmEnd.Add(-d.opt.calm), calmEnd))
	}
	if d.traffic.Up != nil {
		e.OutagesMS["tcp"] = max(e.OutagesMS["tcp_up"], e.OutagesMS["tcp_down"])
		e.OutagesMS["request"] = ms(d.traffic.In.Slowest(from, end))
	}
	out, _ := d.traffic.UDPOut.Lost(from, end.Add(-d.opt.after/2))
	in, _ := d.traffic.UDPIn.Lost(from, end.Add(-d.opt.after/2))
	e.LostPackets = max(out, in)

	// From here on the flows are disturbed by being looked at.
	_ = d.patiently(ctx, func(ctx context.Context) error {
		d.lost = merge(d.lost, d.traffic.Lost(ctx, cut))
		return nil
	})
	e.Survived = d.traffic.Total() - len(d.lost)
	d.fresh(ctx, &e)
	d.ask(ctx, next, &e, from)
	changes := d.changes(ctx, from)
	if e.Changes = len(changes); staying(name) && len(changes) > 0 {
		d.moved = true
		for _, c := range changes {
			d.say("CHANGED: %s", c)
		}
	}
	d.report.Events = append(d.report.Events, e)
	d.say("%s", d.told(e))
	return ctx.Err()
}

// windowSteps is how many steps a window has.
const windowSteps = 220

// window is what came through around an event that began at from and was over by end. Of
// a crash it is as long as is of interest; of what was planned, all of it.
func (d *demo) window(from, end time.Time, bound time.Duration) Window {
	all := d.traffic.Series()
	length := end.Sub(from)
	if bound > 0 {
		longest := bound
		for _, s := range all {
			longest = max(longest, s.Gap(from, end).Duration())
		}
		length = min(length, longest*2)
	}
	lead := length / 5
	step := (lead + length) / windowSteps
	w := Window{FromMS: -ms(lead), StepMS: float64(step) / float64(time.Millisecond), Counts: map[string][]int{}, GapsMS: map[string][2]float64{}}
	for _, s := range all {
		w.Counts[s.Name] = s.Counts(from.Add(-lead), step, windowSteps)
		gap := s.Gap(from, end)
		w.GapsMS[s.Name] = [2]float64{ms(gap.From.Sub(from)), ms(gap.To.Sub(from))}
	}
	return w
}

// told is what there is to say about an event while the demo goes on.
func (d *demo) told(e Event) string {
	s := fmt.Sprintf("traffic flows; at the longest nothing came through for %s ms outwards, %s ms inwards",
		number(e.OutagesMS["udp_out"]), number(e.OutagesMS["udp_in"]))
	if n := d.traffic.Total(); n > 0 {
		s += fmt.Sprintf("; %d of %d flows alive", e.Survived, n)
	}
	if staying(e.Name) {
		s += fmt.Sprintf("; %d changes of state", e.Changes)
	}
	return s
}

// fresh makes new connections after the event.
func (d *demo) fresh(ctx context.Context, e *Event) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for name, c := range map[string]interface {
		Fresh(context.Context) (time.Duration, error)
	}{"in": d.traffic.In, "out": d.traffic.Out} {
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
			if r.State == "active" {
				e.ActiveSeconds = r.LastTransition.Sub(d.began.Round(0)).Seconds()
			}
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
		d.say("%s has its role back", g.Name)
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

// patiently gives fn a context that ends after patience.
func (d *demo) patiently(ctx context.Context, fn func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return fn(ctx)
}

// merge adds those of more whose flow is not in lost yet.
func merge(lost, more []pair.Lost) []pair.Lost {
next:
	for _, m := range more {
		for _, l := range lost {
			if l.Flow == m.Flow {
				continue next
			}
		}
		lost = append(lost, m)
	}
	return lost
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
