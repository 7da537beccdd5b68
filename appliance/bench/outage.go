package bench

import (
	"context"
	"errors"
	"fmt"
	"time"

	"understudy/appliance/lab/pair"
)

// OutageOptions sets [RunOutage] up. The zero value crashes each program 20 times
// at adverts of 1 s, 100 ms and 10 ms, with the interface's MAC.
type OutageOptions struct {
	Beside
	Intervals []time.Duration
	MACs      []bool // of addresses: false is the interface's, true the virtual one

	tolerance time.Duration // 0: 2 ms
}

func (o OutageOptions) withDefaults() OutageOptions {
	o.Beside = o.Beside.withDefaults(20)
	if len(o.Intervals) == 0 {
		o.Intervals = []time.Duration{time.Second, 100 * time.Millisecond, 10 * time.Millisecond}
	}
	if len(o.MACs) == 0 {
		o.MACs = []bool{false}
	}
	if o.tolerance == 0 {
		o.tolerance = 2 * time.Millisecond
	}
	return o
}

const (
	// crashPhase is the time from the last advert to the crash.
	crashPhase = time.Millisecond
	// closeEnough is what our median may be past the other's.
	closeEnough = 3 * time.Millisecond
	// tries bounds what is repeated because the crash came at another phase, by
	// the number of runs.
	tries = 3
)

// OutageReport is what [RunOutage] found. Its JSON form is a contract: keys may be
// added, never removed.
type OutageReport struct {
	Machine Machine     `json:"machine"`
	PhaseMS float64     `json:"phase_ms"` // asked for
	Rows    []OutageRow `json:"rows"`     // ours, then keepalived, for each interval and MAC
}

// OutageRow is one program at one interval.
type OutageRow struct {
	Software   string      `json:"software"`
	MAC        string      `json:"mac"` // interface or virtual
	IntervalMS float64     `json:"interval_ms"`
	BoundMS    float64     `json:"bound_ms"` // three intervals and the survivor's skew
	Crashes    []BesideRun `json:"crashes"`
	OutageMS   Summary     `json:"outage_ms"`
	NoiseMS    Summary     `json:"noise_ms"`
	PhaseMS    Summary     `json:"phase_ms"`
	// OffPhase is how many crashes more were made and left out, because on a busy
	// machine they came at another phase.
	OffPhase int `json:"off_phase"`
	// Lost is the datagrams of one direction that did not come through.
	Lost Summary `json:"lost"`
	// Within the bound and 5 ms, and ours within theirs and 3 ms: of the medians.
	Within bool `json:"within"`
	Close  bool `json:"close"`
}

// BesideRun is one crash: the longest silence of datagrams each millisecond, of
// the worse direction, in ms.
type BesideRun struct {
	OutageMS float64 `json:"outage_ms"`
	NoiseMS  float64 `json:"noise_ms"` // the same of the time before
	PhaseMS  float64 `json:"phase_ms"` // from the last advert on the wire to the crash
	Lost     int     `json:"lost"`
}

// RunOutage crashes ours and keepalived in turn, on one network, each crash at the
// same distance from an advert. When it returns, nothing of what it started is
// left.
func RunOutage(ctx context.Context, opt OutageOptions) (*OutageReport, error) {
	opt = opt.withDefaults()
	r := &OutageReport{Machine: thisMachine(time.Now()), PhaseMS: ms(crashPhase)}
	for _, virtual := range opt.MACs {
		for _, interval := range opt.Intervals {
			if err := r.compare(ctx, opt, interval, virtual); err != nil {
				return nil, fmt.Errorf("bench: adverts each %v, %s MAC: %w", interval, macName(virtual), err)
			}
		}
	}
	r.Machine.LoadAfter = load()
	return r, nil
}

func (r *OutageReport) compare(ctx context.Context, opt OutageOptions, interval time.Duration, virtual bool) (err error) {
	all, err := contenders(interval, virtual)
	if err != nil {
		return err
	}
	st, err := newStage(pair.Options{Binary: opt.Binary, Interval: interval, Log: opt.Log, RouterKeys: routerKeys(virtual)})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	rows := make([]OutageRow, len(all))
	for i, sw := range all {
		rows[i] = OutageRow{Software: sw.Name(), MAC: macName(virtual), IntervalMS: ms(interval), BoundMS: ms(st.Bound(st.standby))}
	}
	for range opt.Runs {
		for i, sw := range all {
			if err := rows[i].add(ctx, opt, st, sw); err != nil {
				return err
			}
		}
	}
	for i := range rows {
		rows[i].sum()
		rows[i].Close = rows[0].OutageMS.Median <= rows[i].OutageMS.Median+ms(closeEnough)
	}
	r.Rows = append(r.Rows, rows...)
	return nil
}

// add makes one crash more. One at another phase is made again, a few times; then
// it counts, and shows in the row's phases.
func (r *OutageRow) add(ctx context.Context, opt OutageOptions, st *stage, sw software) error {
	for {
		one, err := crashAt(ctx, opt.Beside, st, sw)
		if err != nil {
			return err
		}
		off := one.PhaseMS < 0 || one.PhaseMS > ms(crashPhase+opt.tolerance)
		opt.say("%s, %s MAC, adverts each %g ms: nothing came through for %.1f ms, %.1f ms before it; the crash came %.2f ms after an advert%s",
			r.Software, r.MAC, r.IntervalMS, one.OutageMS, one.NoiseMS, one.PhaseMS, map[bool]string{true: ", too late"}[off])
		if off && r.OffPhase < tries*opt.Runs {
			r.OffPhase++
			continue
		}
		r.Crashes = append(r.Crashes, one)
		return nil
	}
}

// crashAt boots, starts the program, and crashes gw1 a moment after an advert.
func crashAt(ctx context.Context, opt Beside, st *stage, sw software) (one BesideRun, err error) {
	if err := st.play(ctx, sw); err != nil {
		return one, err
	}
	traffic, err := st.traffic(ctx)
	if err != nil {
		return one, err
	}
	defer traffic.Stop()
	t, err := openTap(st.Pair, st.active.Name)
	if err != nil {
		return one, err
	}
	defer func() { err = errors.Join(err, t.close()) }()
	if err := sleep(ctx, opt.calm); err != nil {
		return one, err
	}
	calm := time.Now()
	one.NoiseMS = max(ms(traffic.UDPOut.Noise(calm.Add(-opt.calm), calm)), ms(traffic.UDPIn.Noise(calm.Add(-opt.calm), calm)))
	var cut time.Time
	if err := patiently(ctx, func(ctx context.Context) error {
		return t.at(ctx, crashPhase, func() (err error) { cut, err = st.active.Crash(); return err })
	}); err != nil {
		return one, err
	}
	if err := patiently(ctx, func(ctx context.Context) error { return traffic.Resumed(ctx, cut) }); err != nil {
		return one, fmt.Errorf("%s: %w%s", sw.Name(), err, st.logs())
	}
	if err := sleep(ctx, 200*time.Millisecond); err != nil {
		return one, err
	}
	latest, _ := t.latest()
	one.PhaseMS = ms(cut.Sub(latest))
	end := time.Now()
	one.OutageMS = max(ms(traffic.UDPOut.Gap(cut, end).Duration()), ms(traffic.UDPIn.Gap(cut, end).Duration()))
	out, _ := traffic.UDPOut.Lost(calm, end.Add(-100*time.Millisecond))
	in, _ := traffic.UDPIn.Lost(calm, end.Add(-100*time.Millisecond))
	one.Lost = max(out, in)
	return one, nil
}

// traffic starts datagrams each way and waits until they come through.
func (s *stage) traffic(ctx context.Context) (t *pair.Traffic, err error) {
	err = patiently(ctx, func(ctx context.Context) error {
		began := time.Now()
		if t, err = s.StartTraffic(ctx, pair.TrafficOptions{NoFlows: true}); err != nil {
			return err
		}
		if err := t.Resumed(ctx, began); err != nil {
			t.Stop()
			return fmt.Errorf("%s: %w%s", s.played, err, s.logs())
		}
		return nil
	})
	return t, err
}

func (r *OutageRow) sum() {
	r.OutageMS = collect(r.Crashes, func(c BesideRun) float64 { return c.OutageMS })
	r.NoiseMS = collect(r.Crashes, func(c BesideRun) float64 { return c.NoiseMS })
	r.PhaseMS = collect(r.Crashes, func(c BesideRun) float64 { return c.PhaseMS })
	r.Lost = collect(r.Crashes, func(c BesideRun) float64 { return float64(c.Lost) })
	r.Within = r.OutageMS.Median <= r.BoundMS+ms(slack)
}
