package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"understudy/nat/conntrack"
)

// TakeoverOptions sets [RunTakeover] up. The zero value compares 100 sessions
// with 100,000, over nine crashes each.
type TakeoverOptions struct {
	Binary   string        // the program; "": the running executable
	Interval time.Duration // of adverts; 0: 100 ms
	Few      int           // sessions; 0: 100
	Many     int           // 0: 100,000, or fewer if the kernel's table is small
	Runs     int           // crashes for each number; 0: 9
	Sizes    int           // measurements of memory and processor time; 0: 5, below 0: none

	Progress io.Writer // nil: nobody
	Log      io.Writer // what the gateways write; nil: only with an error

	quick bool // do not wait for quiet: the figures mean nothing
}

func (o TakeoverOptions) withDefaults() (TakeoverOptions, error) {
	if o.Interval == 0 {
		o.Interval = 100 * time.Millisecond
	}
	if o.Few <= 0 {
		o.Few = 100
	}
	if o.Runs <= 0 {
		o.Runs = 9
	}
	if o.Sizes == 0 {
		o.Sizes = 5
	}
	if o.Many <= 0 {
		l, err := conntrack.ReadLimits()
		if err != nil {
			return o, fmt.Errorf("bench: %w", err)
		}
		o.Many = room(100_000, l.Max)
	}
	return o, nil
}

// aims of the product
const (
	aimRatio  = 1.5 // of a takeover's duration, many sessions to few
	aimMemory = 150 // bytes a session
)

// TakeoverReport is what [RunTakeover] found. Its JSON form is a contract: keys
// may be added, never removed.
type TakeoverReport struct {
	Machine    Machine       `json:"machine"`
	IntervalMS float64       `json:"interval_ms"`
	Rows       []TakeoverRow `json:"rows"`  // few sessions, then many
	Ratio      float64       `json:"ratio"` // of the medians, many to few
	// Sizes are single measurements, Size their essence; null if there are none.
	Sizes []Size       `json:"sizes"`
	Size  *SizeSummary `json:"size"`
}

// TakeoverRow is all takeovers with one number of sessions.
type TakeoverRow struct {
	Sessions  int        `json:"sessions"`
	Takeovers []Takeover `json:"takeovers"`
	Installed int        `json:"installed"` // the most of all takeovers; 0 with a hot standby
	TookMS    Summary    `json:"took_ms"`
	PlaneMS   Summary    `json:"plane_ms"` // of it the session plane's part, as the program says
}

// Takeover is one crash.
type Takeover struct {
	MS         float64 `json:"ms"` // first advert to last first announcement, on the wire
	Installed  int     `json:"installed"`
	SessionsMS float64 `json:"sessions_ms"`
}

func (r *TakeoverRow) sum() {
	r.Installed = 0
	for _, t := range r.Takeovers {
		r.Installed = max(r.Installed, t.Installed)
	}
	r.TookMS = collect(r.Takeovers, func(t Takeover) float64 { return t.MS })
	r.PlaneMS = collect(r.Takeovers, func(t Takeover) float64 { return t.SessionsMS })
}

// RunTakeover measures takeovers, memory and processor time. When it returns,
// nothing of what it started is left.
func RunTakeover(ctx context.Context, opt TakeoverOptions) (*TakeoverReport, error) {
	r := &TakeoverReport{Machine: thisMachine(time.Now())}
	opt, err := opt.withDefaults()
	if err != nil {
		return nil, err
	}
	r.IntervalMS = ms(opt.Interval)
	if err := r.takeovers(ctx, opt); err != nil {
		return nil, err
	}
	r.Ratio = ratio(r.Rows[1].TookMS.Median, r.Rows[0].TookMS.Median)
	for i := range max(0, opt.Sizes) {
		s, err := measureSize(ctx, opt)
		if err != nil {
			return nil, fmt.Errorf("bench: size of %d sessions: %w", opt.Many, err)
		}
		opt.say("size %d: %s", i+1, s)
		r.Sizes = append(r.Sizes, *s)
	}
	if len(r.Sizes) > 0 {
		r.Size = sumSizes(r.Sizes)
	}
	r.Machine.LoadAfter = load()
	return r, nil
}

// takeovers crashes a pair with few sessions and one with many in turn: what
// else goes on in this machine then falls on both alike.
func (r *TakeoverReport) takeovers(ctx context.Context, opt TakeoverOptions) (err error) {
	duos := make([]*duo, 2)
	defer func() {
		for _, d := range duos {
			if d != nil {
				err = errors.Join(err, d.close())
			}
		}
	}()
	r.Rows = []TakeoverRow{{Sessions: opt.Few}, {Sessions: opt.Many}}
	for i := range duos {
		if duos[i], err = startDuo(ctx, opt); err != nil {
			return err
		}
		if err := duos[i].fill(ctx, r.Rows[i].Sessions); err != nil {
			return err
		}
	}
	for range opt.Runs {
		for i, d := range duos {
			if err := r.Rows[i].takeover(ctx, opt, d); err != nil {
				return fmt.Errorf("bench: takeover with %d sessions: %w", r.Rows[i].Sessions, err)
			}
		}
	}
	for i := range r.Rows {
		r.Rows[i].sum()
	}
	return nil
}

func (r *TakeoverRow) takeover(ctx context.Context, opt TakeoverOptions, d *duo) error {
	if err := opt.rest(ctx, time.Second); err != nil {
		return err
	}
	t, err := d.crash(ctx, r.Sessions)
	if err != nil {
		return err
	}
	r.Takeovers = append(r.Takeovers, t)
	opt.say("takeover %d of %d sessions: %.2f ms on the wire, session plane %.3f ms, %d still to install",
		len(r.Takeovers), r.Sessions, t.MS, t.SessionsMS, t.Installed)
	return nil
}

// rest lets the machine come to rest.
func (o TakeoverOptions) rest(ctx context.Context, d time.Duration) error {
	if o.quick {
		d /= 20
	}
	return sleep(ctx, d)
}
