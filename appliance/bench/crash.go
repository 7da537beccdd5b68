package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"time"

	"understudy/appliance/lab/pair"
)

// CrashOptions sets [RunCrash] up. The zero value crashes five times at an
// advert interval of 100 ms and five times at 10 ms, with the demo's traffic.
type CrashOptions struct {
	Binary      string // the program; "": the running executable
	Intervals   []time.Duration
	Crashes     int
	Connections int      // through the port forward; 0: 200; unused with Beside
	Beside      []string // other software to crash likewise: see [Rivals]

	Progress io.Writer // a line for each crash; nil: nobody
	Log      io.Writer // what the gateways write; nil: only with an error

	calm time.Duration // before each crash; 0: 1 s
}

func (o CrashOptions) withDefaults() CrashOptions {
	if len(o.Intervals) == 0 {
		o.Intervals = []time.Duration{100 * time.Millisecond, 10 * time.Millisecond}
	}
	if o.Crashes <= 0 {
		o.Crashes = 5
	}
	if o.Connections <= 0 {
		o.Connections = 200
	}
	if o.calm == 0 {
		o.calm = time.Second
	}
	if o.Progress == nil {
		o.Progress = io.Discard
	}
	return o
}

// slack is what a median may be past the protocol's bound.
const slack = 5 * time.Millisecond

// patience bounds each wait for the gateways, or for traffic to resume.
const patience = 20 * time.Second

// CrashReport is what [RunCrash] found. Its JSON form is a contract: keys may be
// added, never removed.
type CrashReport struct {
	Machine Machine    `json:"machine"`
	Rows    []CrashRow `json:"rows"`
}

// CrashRow is one software at one interval.
type CrashRow struct {
	Software   string  `json:"software"`
	IntervalMS float64 `json:"interval_ms"`
	BoundMS    float64 `json:"bound_ms"` // three intervals and the survivor's skew
	Crashes    []Crash `json:"crashes"`
	Outage     Summary `json:"outage_ms"`
	Noise      Summary `json:"noise_ms"`
	// Within: the median of the outages is at most BoundMS and 5 ms.
	Within bool `json:"within"`
	// Flows is how many stood before the first crash, and Lost how many of them
	// did not survive all crashes; both 0 beside other software.
	Flows int `json:"flows"`
	Lost  int `json:"lost"`
}

// Crash is the longest silence of datagrams each millisecond, in ms.
type Crash struct {
	OutMS   float64 `json:"out_ms"`
	InMS    float64 `json:"in_ms"`
	NoiseMS float64 `json:"noise_ms"` // the same of the time before, of the worse direction
	Lost    int     `json:"lost"`     // flows, since before the first crash
}

func (c Crash) outage() float64 { return max(c.OutMS, c.InMS) }

// RunCrash measures outages. When it returns, nothing of what it started is left.
func RunCrash(ctx context.Context, opt CrashOptions) (*CrashReport, error) {
	opt = opt.withDefaults()
	r := &CrashReport{Machine: thisMachine(time.Now())}
	for _, interval := range opt.Intervals {
		all := []software{ours{}}
		for _, name := range opt.Beside {
			s, err := rival(name, interval)
			if err != nil {
				return nil, err
			}
			all = append(all, s)
		}
		for _, s := range all {
			row, err := crashes(ctx, opt, s, interval)
			if err != nil {
				return nil, fmt.Errorf("bench: %s, adverts each %v: %w", s.Name(), interval, err)
			}
			r.Rows = append(r.Rows, *row)
		}
	}
	r.Machine.LoadAfter = load()
	return r, nil
}

func crashes(ctx context.Context, opt CrashOptions, s software, interval time.Duration) (row *CrashRow, err error) {
	p, err := pair.New(pair.Options{Binary: opt.Binary, Interval: interval, Log: opt.Log})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, p.Close()) }()
	c := &crasher{opt: opt, software: s, pair: p, gw1: p.Gateways[0]}
	for _, g := range p.Gateways {
		if _, err := s.Start(g); err != nil {
			return nil, err
		}
	}
	if err := c.settled(ctx); err != nil {
		return nil, err
	}
	if err := patiently(ctx, func(ctx context.Context) (err error) {
		// Without sessions no flow survives, and a transfer would only disturb.
		c.traffic, err = p.StartTraffic(ctx, pair.TrafficOptions{Connections: opt.Connections, NoFlows: len(opt.Beside) > 0})
		return err
	}); err != nil {
		return nil, err
	}
	defer c.traffic.Stop()

	row = &CrashRow{Software: s.Name(), IntervalMS: ms(interval), BoundMS: ms(p.Bound(p.Gateways[1])), Flows: c.traffic.Total()}
	for range opt.Crashes {
		one, err := c.crash(ctx)
		if err != nil {
			return nil, fmt.Errorf("%w%s", err, p.Logs())
		}
		row.Crashes = append(row.Crashes, one)
		fmt.Fprintf(opt.Progress, "%s, adverts each %v, crash %d: nothing came through for %.1f ms out, %.1f ms in; %.1f ms before it; %d flows lost\n",
			s.Name(), interval, len(row.Crashes), one.OutMS, one.InMS, one.NoiseMS, one.Lost)
	}
	row.sum()
	return row, nil
}

func (r *CrashRow) sum() {
	r.Outage = collect(r.Crashes, Crash.outage)
	r.Noise = collect(r.Crashes, func(c Crash) float64 { return c.NoiseMS })
	r.Within = r.Outage.Median <= r.BoundMS+ms(slack)
	r.Lost = 0
	for _, c := range r.Crashes {
		r.Lost = max(r.Lost, c.Lost)
	}
}

// crasher crashes gw1 again and again; it takes its role back each time.
type crasher struct {
	opt      CrashOptions
	software software
	pair     *pair.Pair
	gw1      *pair.Gateway
	traffic  *pair.Traffic
}

func (c *crasher) crash(ctx context.Context) (one Crash, err error) {
	// Crashes must not fall into step with adverts.
	calm := c.opt.calm + rand.N(100*time.Millisecond)
	if err := sleep(ctx, calm); err != nil {
		return one, err
	}
	now := time.Now()
	one.NoiseMS = max(ms(c.traffic.UDPOut.Noise(now.Add(-calm), now)), ms(c.traffic.UDPIn.Noise(now.Add(-calm), now)))
	from, err := c.gw1.Crash()
	if err != nil {
		return one, err
	}
	cut := time.Now()
	if err := patiently(ctx, func(ctx context.Context) error { return c.traffic.Resumed(ctx, cut) }); err != nil {
		return one, err
	}
	if err := sleep(ctx, 200*time.Millisecond); err != nil {
		return one, err
	}
	end := time.Now()
	one.OutMS, one.InMS = ms(c.traffic.UDPOut.Gap(from, end).Duration()), ms(c.traffic.UDPIn.Gap(from, end).Duration())
	_ = patiently(ctx, func(ctx context.Context) error {
		one.Lost = len(c.traffic.Lost(ctx, cut)) // dead connections are those that do not answer in time
		return nil
	})
	if err := c.gw1.Reboot(); err != nil {
		return one, err
	}
	if _, err := c.software.Start(c.gw1); err != nil {
		return one, err
	}
	return one, c.settled(ctx)
}

func (c *crasher) settled(ctx context.Context) error {
	return patiently(ctx, func(ctx context.Context) error {
		return c.pair.Wait(ctx, "gw1 active, gw2 standing by", c.software.Settled(c.pair, c.gw1))
	})
}

// patiently gives fn a context that ends after patience.
func patiently(ctx context.Context, fn func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return fn(ctx)
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
