package demo

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"sort"
	"time"

	"understudy/appliance/lab/pair"
)

type demo struct {
	opt     Options
	program *program
	pair    *pair.Pair
	traffic *pair.Traffic
	began   time.Time
	report  Report
	lost    []pair.Lost
	broken  bool // new connections did not work
	moved   bool // a role did that was to stay
}

// Run is the whole demo. An error means that it did not come to its end; whether
// everything survived is for [Report].OK to say. When Run returns, nothing of
// what it started is left, also if ctx was cancelled.
func Run(ctx context.Context, opt Options) (report *Report, err error) {
	d := &demo{opt: opt.withDefaults(), began: time.Now()}
	if os.Geteuid() != 0 {
		return nil, errors.New("demo: network namespaces need root")
	}
	if d.program, err = newProgram(d.opt.Binary); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, d.program.remove()) }()
	d.say("two gateways, a host inside and one outside, in namespaces of this machine")
	d.pair, err = pair.New(pair.Options{
		Binary: d.program.path, Interval: d.opt.Interval, NoNAT: d.opt.NoNAT, NoSessions: d.opt.NoSessions, Log: d.opt.Log,
	})
	if err != nil {
		return nil, fmt.Errorf("demo: %w", err)
	}
	defer func() {
		if d.traffic != nil {
			d.traffic.Stop()
		}
		if cerr := d.pair.Close(); cerr != nil {
			err = errors.Join(err, fmt.Errorf("demo: clean up: %w", cerr))
		}
	}()
	if err := d.run(ctx); err != nil {
		return nil, fmt.Errorf("demo: %w", err)
	}
	return &d.report, nil
}

func (d *demo) run(ctx context.Context) error {
	gw1, gw2 := d.pair.Gateways[0], d.pair.Gateways[1]
	for _, g := range d.pair.Gateways {
		if err := g.Start(); err != nil {
			return err
		}
	}
	if err := d.wait(ctx, "gw1 active, gw2 standing by, in sync", d.pair.Settled(gw1)); err != nil {
		return err
	}
	d.say("gw1 is active, gw2 stands by")

	watch, err := d.pair.StartWatch()
	if err != nil {
		return err
	}
	err = d.watched(ctx, gw1, gw2)
	findings, werr := watch.Result()
	if err := errors.Join(err, werr); err != nil {
		return err
	}
	d.report.Capture = findings
	d.sum()
	return ctx.Err()
}

// watched is what happens while captures run.
func (d *demo) watched(ctx context.Context, gw1, gw2 *pair.Gateway) error {
	err := d.patiently(ctx, func(ctx context.Context) (err error) {
		d.traffic, err = d.pair.StartTraffic(ctx, pair.TrafficOptions{Connections: d.opt.Connections, NoFlows: d.opt.NoSessions})
		return err
	})
	if err != nil {
		return d.explain(err)
	}
	d.say("traffic: %s", d.describe())
	if err := d.events(ctx, gw1, gw2); err != nil {
		return err
	}
	return d.patiently(ctx, func(ctx context.Context) error {
		d.lost = merge(d.lost, d.traffic.Finish(ctx))
		return nil
	})
}

func (d *demo) events(ctx context.Context, gw1, gw2 *pair.Gateway) error {
	for n := range d.opt.Crashes {
		if n == 0 {
			// Sampled in the calm before the first event, not in the middle of
			// the connections' opening.
			if err := sleep(ctx, d.opt.calm/2); err != nil {
				return err
			}
			if err := d.traffic.Translated(); err != nil {
				return err
			}
			if err := d.replicated(ctx, gw2); err != nil {
				return err
			}
			d.sample(ctx, gw1, gw2)
		}
		if err := d.crash(ctx, gw1); err != nil {
			return err
		}
		if err := d.back(ctx, gw1); err != nil {
			return err
		}
	}
	if d.opt.NoHandover {
		return nil
	}
	if err := d.inPlace(ctx, gw1); err != nil {
		return err
	}
	return d.handover(ctx, gw1)
}

// replicated waits until the standby has every flow: what a crash a moment earlier would
// cost is what the lag says, and not what is shown here.
func (d *demo) replicated(ctx context.Context, standby *pair.Gateway) error {
	if d.opt.NoSessions {
		return nil
	}
	return d.wait(ctx, standby.Name+" to have every flow", func(ctx context.Context) error {
		s, err := standby.Status(ctx)
		if err == nil && (s.Sessions == nil || s.Sessions.Foreign < d.traffic.Total()) {
			err = fmt.Errorf("it has %+v, of %d", s.Sessions, d.traffic.Total())
		}
		return err
	})
}

// sample asks both gateways how well the sessions are replicated.
func (d *demo) sample(ctx context.Context, active, standby *pair.Gateway) {
	if s, err := standby.Status(ctx); err == nil && s.Sessions != nil {
		d.report.Sessions.Replicated = s.Sessions.Foreign
	}
	if s, err := active.Status(ctx); err == nil && s.Sessions != nil {
		d.report.Sessions.LagSeconds = s.Sessions.LagSeconds
		if lag := s.Sessions.LagSeconds; lag != nil {
			d.say("%s holds %d sessions, %s has %d of them, %.1f ms behind", active.Name, s.Sessions.Local, standby.Name, d.report.Sessions.Replicated, *lag*1e3)
		}
	}
}

func (d *demo) sum() {
	r := &d.report
	r.AdvertIntervalMS = ms(d.opt.Interval)
	r.Flows = Flows{Total: d.traffic.Total(), Survived: d.traffic.Total() - len(d.lost)}
	r.Lost = append([]pair.Lost{}, d.lost...)
	for _, e := range r.Events {
		r.NoiseMS = max(r.NoiseMS, e.NoiseMS["udp_out"], e.NoiseMS["udp_in"])
	}
	sort.SliceStable(r.Timeline, func(i, j int) bool { return r.Timeline[i].Seconds < r.Timeline[j].Seconds })
	r.OK = len(d.lost) == 0 && r.Capture.Clean() && !d.broken && !d.moved
}

func (d *demo) describe() string {
	if d.opt.NoSessions {
		return "a datagram each millisecond, both ways, and a ping"
	}
	return fmt.Sprintf("a datagram each millisecond and a long transfer, both ways; %d connections through the forward, half of them idle; a ping", d.opt.Connections)
}

// wait looks at the gateways until a condition is met.
func (d *demo) wait(ctx context.Context, what string, met func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return d.pair.Wait(ctx, what, met)
}

// explain adds what the gateways wrote last.
func (d *demo) explain(err error) error { return fmt.Errorf("%w%s", err, d.pair.Logs()) }

// say tells of something that happens now.
func (d *demo) say(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	at := time.Since(d.began)
	d.report.Timeline = append(d.report.Timeline, moment(at, text))
	fmt.Fprintf(d.opt.Progress, "%7.3f s  %s\n", at.Seconds(), text)
}

// note puts something into the timeline that happened earlier, by the wall
// clock.
func (d *demo) note(at time.Time, format string, args ...any) {
	d.report.Timeline = append(d.report.Timeline, moment(at.Sub(d.began.Round(0)), fmt.Sprintf(format, args...)))
}

func moment(since time.Duration, text string) Moment {
	return Moment{Seconds: math.Round(since.Seconds()*1e3) / 1e3, Text: text}
}
