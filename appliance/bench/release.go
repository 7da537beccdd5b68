package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"syscall"
	"time"

	"understudy/appliance/lab"
	"understudy/appliance/lab/pair"
	"understudy/appliance/lab/probe"
)

// ReleaseOptions sets [RunRelease] up. The zero value releases 20 times each way,
// at adverts of 100 ms, with the interface's MAC and with the virtual one.
type ReleaseOptions struct {
	Beside
	Interval time.Duration
	MACs     []bool // as in OutageOptions
}

func (o ReleaseOptions) withDefaults() ReleaseOptions {
	o.Beside = o.Beside.withDefaults(20)
	if o.Interval == 0 {
		o.Interval = 100 * time.Millisecond
	}
	if len(o.MACs) == 0 {
		o.MACs = []bool{false, true}
	}
	return o
}

// ReleaseReport is what [RunRelease] found. Its JSON form is a contract: keys may
// be added, never removed.
type ReleaseReport struct {
	Machine    Machine      `json:"machine"`
	IntervalMS float64      `json:"interval_ms"`
	Rows       []ReleaseRow `json:"rows"`
}

// ReleaseRow is one program, released one way.
type ReleaseRow struct {
	Software string    `json:"software"`
	MAC      string    `json:"mac"` // interface or virtual
	Way      string    `json:"way"` // stop or failover
	Releases []Release `json:"releases"`
	Lost     Summary   `json:"lost"`
	Clean    int       `json:"clean"` // releases without a loss
	SilentMS Summary   `json:"silent_ms"`
	NoiseMS  Summary   `json:"noise_ms"`
	// Before is datagrams lost in the time before each release, of all releases:
	// what the machine loses by itself.
	Before int `json:"lost_before"`
	// TookMS is from the successor's first advert to the first announcement of its
	// last address.
	TookMS Summary `json:"took_ms"`
	// Within: at most one release in twenty with a loss.
	Within bool `json:"within"`
}

// Release is one release: datagrams each millisecond, there and back, in both
// directions.
type Release struct {
	Lost     int     `json:"lost"`
	SilentMS float64 `json:"silent_ms"` // longest silence since the release, of the worse direction
	NoiseMS  float64 `json:"noise_ms"`  // the same of the time before
	Before   int     `json:"lost_before"`
	// OutMS and InMS are when what was lost was sent, after the release, by
	// direction.
	OutMS []float64 `json:"lost_out_ms"`
	InMS  []float64 `json:"lost_in_ms"`
	// What was on the wire, after the release: the first advert of priority 0, the
	// successor's first advert, and the first announcement of its last address.
	ResignedMS  float64 `json:"resigned_ms"`
	AdvertMS    float64 `json:"advert_ms"`
	AnnouncedMS float64 `json:"announced_ms"`
}

// way is how an active gateway is made to give up.
type way struct {
	name string
	do   func(context.Context, *stage) error
}

// stop is SIGTERM, as a system that shuts down sends it.
var stop = way{"stop", func(_ context.Context, s *stage) error { return s.procs[0].Signal(syscall.SIGTERM) }}

// failover is the operator's command.
var failover = way{"failover", func(ctx context.Context, s *stage) error { return s.active.Failover(ctx) }}

// RunRelease has the active gateway give up in good order. When it returns,
// nothing of what it started is left.
func RunRelease(ctx context.Context, opt ReleaseOptions) (*ReleaseReport, error) {
	opt = opt.withDefaults()
	r := &ReleaseReport{Machine: thisMachine(time.Now()), IntervalMS: ms(opt.Interval)}
	for _, virtual := range opt.MACs {
		if err := r.compare(ctx, opt, virtual); err != nil {
			return nil, fmt.Errorf("bench: release, %s MAC: %w", macName(virtual), err)
		}
	}
	r.Machine.LoadAfter = load()
	return r, nil
}

func (r *ReleaseReport) compare(ctx context.Context, opt ReleaseOptions, virtual bool) (err error) {
	all, err := contenders(opt.Interval, virtual)
	if err != nil {
		return err
	}
	st, err := newStage(pair.Options{Binary: opt.Binary, Interval: opt.Interval, Log: opt.Log, RouterKeys: routerKeys(virtual)})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	turns := []struct {
		software
		way
	}{{all[0], stop}, {all[1], stop}, {all[0], failover}}
	rows := make([]ReleaseRow, len(turns))
	for i, t := range turns {
		rows[i] = ReleaseRow{Software: t.Name(), MAC: macName(virtual), Way: t.name}
	}
	for range opt.Runs {
		for i, t := range turns {
			one, err := release(ctx, opt.Beside, st, t.software, t.way)
			if err != nil {
				return fmt.Errorf("%s, %s: %w", t.Name(), t.name, err)
			}
			rows[i].Releases = append(rows[i].Releases, one)
			opt.say("%s, %s MAC, %s: %d datagrams lost, silence %.1f ms, %.1f ms and %d lost before it; priority 0 after %.1f ms, the successor's advert %.1f ms, announcement %.1f ms%s",
				t.Name(), macName(virtual), t.name, one.Lost, one.SilentMS, one.NoiseMS, one.Before, one.ResignedMS, one.AdvertMS, one.AnnouncedMS, one.when())
		}
	}
	for i := range rows {
		rows[i].sum()
	}
	r.Rows = append(r.Rows, rows...)
	return nil
}

// release boots, starts the program, and has gw1 give up.
func release(ctx context.Context, opt Beside, st *stage, sw software, how way) (one Release, err error) {
	if err := st.play(ctx, sw); err != nil {
		return one, err
	}
	traffic, err := st.traffic(ctx)
	if err != nil {
		return one, err
	}
	defer traffic.Stop()
	w, err := watch(st.Pair)
	if err != nil {
		return one, err
	}
	defer func() { err = errors.Join(err, w.stop()) }()
	if err := sleep(ctx, opt.calm+100*time.Millisecond); err != nil {
		return one, err
	}
	began := time.Now()
	if err := patiently(ctx, func(ctx context.Context) error { return how.do(ctx, st) }); err != nil {
		return one, fmt.Errorf("%w%s", err, st.logs())
	}
	// What is measured goes on until gw2 has it all, and gw1 has cleared up.
	if err := st.wait(ctx, "the addresses to be on gw2 alone", st.holds(st.standby)); err != nil {
		return one, err
	}
	if how.name == stop.name {
		if err := st.ended(ctx, st.procs[0]); err != nil {
			return one, err
		}
	}
	moved := time.Now()
	if err := patiently(ctx, func(ctx context.Context) error { return traffic.Resumed(ctx, moved) }); err != nil {
		return one, fmt.Errorf("%w%s", err, st.logs())
	}
	if err := sleep(ctx, 500*time.Millisecond); err != nil {
		return one, err
	}
	end := time.Now().Add(-300 * time.Millisecond) // what was sent later may be on its way still
	for _, d := range []struct {
		echo *probe.Echo
		at   *[]float64
	}{{traffic.UDPOut, &one.OutMS}, {traffic.UDPIn, &one.InMS}} {
		lost, _ := d.echo.Missing(began, end)
		for _, at := range lost {
			*d.at = append(*d.at, ms(at.Sub(began)))
		}
		one.Lost += len(lost)
		before, _ := d.echo.Missing(began.Add(-opt.calm), began)
		one.Before += len(before)
		one.SilentMS = max(one.SilentMS, ms(d.echo.Gap(began, end).Duration()))
		one.NoiseMS = max(one.NoiseMS, ms(d.echo.Noise(began.Add(-opt.calm), began)))
	}
	return one, one.read(w, st, began)
}

// read finds on the wire what the release was.
func (r *Release) read(w *wire, st *stage, began time.Time) error {
	resigned, err := resigned(w.sides, st.active.Name, began)
	if err != nil {
		return err
	}
	advert, announced, err := moments(w.sides, st.standby.Name, began)
	if err != nil {
		return err
	}
	r.ResignedMS, r.AdvertMS, r.AnnouncedMS = ms(resigned.Sub(began)), ms(advert.Sub(began)), ms(announced.Sub(began))
	return nil
}

// when tells when what was lost was sent.
func (r Release) when() string {
	out := ""
	for _, d := range []struct {
		name string
		at   []float64
	}{{"out", r.OutMS}, {"in", r.InMS}} {
		if len(d.at) > 0 {
			out += fmt.Sprintf("; %s: %d sent %.1f to %.1f ms after it", d.name, len(d.at), slices.Min(d.at), slices.Max(d.at))
		}
	}
	return out
}

// holds is a condition: this gateway has both addresses, the other one none. It
// asks the kernel, not the program.
func (s *stage) holds(g *pair.Gateway) func(context.Context) error {
	return func(context.Context) error {
		for _, other := range s.Gateways {
			lan, err1 := has(other.Node, pair.LANAddress.Addr())
			wan, err2 := has(other.Node, pair.WANAddress.Addr())
			if err := errors.Join(err1, err2); err != nil {
				return err
			}
			if want := other == g; lan != want || wan != want {
				return fmt.Errorf("%s holds the addresses: %v, %v", other.Name, lan, wan)
			}
		}
		return nil
	}
}

// ended waits for the end of a process.
func (s *stage) ended(ctx context.Context, p *lab.Process) error {
	return patiently(ctx, func(ctx context.Context) error {
		select {
		case <-p.Done():
			return nil
		case <-ctx.Done():
			return fmt.Errorf("%s: %s does not end: %w%s", s.played, p.Name, os.ErrDeadlineExceeded, s.logs())
		}
	})
}

func (r *ReleaseRow) sum() {
	r.Lost = collect(r.Releases, func(o Release) float64 { return float64(o.Lost) })
	r.SilentMS = collect(r.Releases, func(o Release) float64 { return o.SilentMS })
	r.NoiseMS = collect(r.Releases, func(o Release) float64 { return o.NoiseMS })
	r.TookMS = collect(r.Releases, func(o Release) float64 { return round(o.AnnouncedMS - o.AdvertMS) })
	r.Clean, r.Before = 0, 0
	for _, o := range r.Releases {
		if o.Lost == 0 {
			r.Clean++
		}
		r.Before += o.Before
	}
	r.Within = 20*(len(r.Releases)-r.Clean) <= len(r.Releases)
}
