package bench

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"understudy/appliance/lab/pair"
)

// SessionsOptions is what every measurement of the session plane in more than one
// setting is told.
type SessionsOptions struct {
	Binary   string // our program; "": the running executable
	Modes    []string
	Sessions []int // numbers of sessions, measured one after the other
	Runs     int   // measurements of each
	Rate     int   // connections a second; 0: 10,000
	// Once is the number of sessions from which on one measurement is enough; 0: none.
	Once int

	Progress io.Writer // a line for each result; nil: nobody
	Log      io.Writer // what our gateways write; nil: only with an error

	calm      time.Duration // before each measurement; 0: 1 s
	unaudited bool          // see [plan]
	// Of lives, and how many of them a second; of first packets, and of flows in a flood. 0: what
	// the rate gives.
	lives, livesRate, first, flood int
}

func (o SessionsOptions) withDefaults(runs int, sessions ...int) SessionsOptions {
	if len(o.Modes) == 0 {
		o.Modes = Modes()
	}
	if len(o.Sessions) == 0 {
		o.Sessions = sessions
	}
	if o.Runs <= 0 {
		o.Runs = runs
	}
	if o.Rate <= 0 {
		o.Rate = 10_000
	}
	if o.calm == 0 {
		o.calm = time.Second
	}
	o.lives, o.livesRate = cmp.Or(o.lives, 4*o.Rate), cmp.Or(o.livesRate, o.Rate)
	o.first, o.flood = cmp.Or(o.first, 3000), cmp.Or(o.flood, min(100_000, 20*o.Rate))
	if o.Progress == nil {
		o.Progress = io.Discard
	}
	return o
}

func (o SessionsOptions) say(format string, args ...any) {
	fmt.Fprintf(o.Progress, format+"\n", args...)
}

func (o SessionsOptions) most() (n int) {
	for _, s := range o.Sessions {
		n = max(n, s)
	}
	return n
}

func (o SessionsOptions) runsOf(sessions int) int {
	if o.Once > 0 && sessions >= o.Once {
		return 1
	}
	return o.Runs
}

// ModesReport is the survey's table, as [RunModes] has filled it. Its JSON form is a
// contract: keys may be added, never removed.
type ModesReport struct {
	Machine Machine   `json:"machine"`
	Rate    int       `json:"rate"`
	Rows    []ModeRow `json:"rows"`
}

// ModeRow is one mode with one number of sessions. Mode "off" is without any
// replication.
type ModeRow struct {
	Mode     string `json:"mode"`
	Sessions int    `json:"sessions"`
	Refused  string `json:"refused,omitempty"` // why this program does not run in the mode
	// Packets says that the sessions are connections of real packets, as the standby learns of
	// no others, where those of other rows are made by ctnetlink.
	Packets bool         `json:"packets,omitempty"`
	Runs    []PlaneRun   `json:"runs"`
	Sum     PlaneSummary `json:"summary"`
}

// RunModes measures every mode with every number of sessions, in turn. The limits of
// this machine's connection table are raised, and put back at the end.
func RunModes(ctx context.Context, opt SessionsOptions) (_ *ModesReport, err error) {
	opt = opt.withDefaults(3, 1_000, 100_000, 1_000_000)
	r := &ModesReport{Machine: thisMachine(time.Now()), Rate: opt.Rate}
	k, err := roomFor(opt.most()+opt.most()/4+100_000, opt.say)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, k.close()) }()
	modes := append([]string{modeOff}, opt.Modes...)
	for _, n := range opt.Sessions {
		rows := make([]ModeRow, len(modes))
		for i, mode := range modes {
			rows[i] = ModeRow{Mode: mode, Sessions: n, Runs: []PlaneRun{}}
			if mode == modeOff {
				continue
			}
			if rows[i].Refused, err = refused(pair.Options{Binary: opt.Binary, Mode: mode}); err != nil {
				return nil, err
			}
		}
		for range opt.runsOf(n) {
			for i := range rows {
				if rows[i].Refused != "" {
					continue
				}
				opt.say("%s, %d sessions", rows[i].Mode, n)
				one, err := measurePlane(ctx, oursIn(opt.Binary, rows[i].Mode, rows[i].Mode, "", opt.Log), opt.plan(n))
				if err != nil {
					return nil, fmt.Errorf("bench: mode %s, %d sessions: %w", rows[i].Mode, n, err)
				}
				rows[i].Runs = append(rows[i].Runs, *one)
				rows[i].Packets = rows[i].Mode == modeActive
			}
		}
		for i := range rows {
			rows[i].Sum = sumPlane(rows[i].Runs)
		}
		r.Rows = append(r.Rows, rows...)
	}
	r.Machine.LoadAfter = load()
	return r, nil
}

// plan is everything that the survey's table has a column for.
func (o SessionsOptions) plan(n int) plan {
	return plan{sessions: n, rate: o.Rate, lives: o.lives, livesRate: o.livesRate, flood: o.flood, first: o.first, crash: true, calm: o.calm, unaudited: o.unaudited, say: o.say}
}

// off is the row without replication for the same number of sessions.
func (r *ModesReport) off(sessions int) *ModeRow {
	for i := range r.Rows {
		if r.Rows[i].Mode == modeOff && r.Rows[i].Sessions == sessions {
			return &r.Rows[i]
		}
	}
	return nil
}

// PlaneSummary is the essence of several runs.
type PlaneSummary struct {
	Rate          Summary      `json:"rate"`
	Missing       Summary      `json:"missing"`
	Full          PriceSummary `json:"full"`
	ActiveMemory  Summary      `json:"active_memory_bytes"`
	StandbyMemory Summary      `json:"standby_memory_bytes"`
	Kernel        Summary      `json:"kernel_bytes"`
	Life          PriceSummary `json:"life"`
	LifeRate      Summary      `json:"life_rate"`
	Disk          Summary      `json:"disk_bytes"`
	Syncs         Summary      `json:"syncs"`
	Flood         Summary      `json:"flood"`
	FirstP50      Summary      `json:"first_p50_us"`
	FirstP99      Summary      `json:"first_p99_us"`
	ResyncMS      Summary      `json:"resync_ms"`
	TakeoverMS    Summary      `json:"takeover_ms"`
	Installed     Summary      `json:"installed"`
	Lost          Summary      `json:"lost"`
	WindowMS      Summary      `json:"window_ms"`
	Faults        Summary      `json:"faults"` // wrong entries after the crash
}

// PriceSummary is [Price], summarized.
type PriceSummary struct {
	ActiveUS  Summary `json:"active_us"`
	StandbyUS Summary `json:"standby_us"`
	Link      Summary `json:"link_bytes"`
}

func sumPlane(all []PlaneRun) PlaneSummary {
	of := func(f func(PlaneRun) float64) Summary { return collect(all, f) }
	prices := func(f func(PlaneRun) Price) PriceSummary {
		return PriceSummary{
			of(func(r PlaneRun) float64 { return f(r).ActiveUS }),
			of(func(r PlaneRun) float64 { return f(r).StandbyUS }),
			of(func(r PlaneRun) float64 { return f(r).Link }),
		}
	}
	return PlaneSummary{
		Rate:          of(func(r PlaneRun) float64 { return r.Rate }),
		Missing:       of(func(r PlaneRun) float64 { return float64(r.Missing) }),
		Full:          prices(func(r PlaneRun) Price { return r.Full }),
		ActiveMemory:  of(func(r PlaneRun) float64 { return r.ActiveMemory }),
		StandbyMemory: of(func(r PlaneRun) float64 { return r.StandbyMemory }),
		Kernel:        of(func(r PlaneRun) float64 { return r.Kernel }),
		Life:          prices(func(r PlaneRun) Price { return r.Life }),
		LifeRate:      of(func(r PlaneRun) float64 { return r.LifeRate }),
		Disk:          of(func(r PlaneRun) float64 { return r.Disk }),
		Syncs:         of(func(r PlaneRun) float64 { return r.Syncs }),
		Flood:         of(func(r PlaneRun) float64 { return r.Flood }),
		FirstP50:      of(func(r PlaneRun) float64 { return r.FirstP50 }),
		FirstP99:      of(func(r PlaneRun) float64 { return r.FirstP99 }),
		ResyncMS:      of(func(r PlaneRun) float64 { return r.ResyncMS }),
		TakeoverMS:    of(func(r PlaneRun) float64 { return r.Takeover.MS }),
		Installed:     of(func(r PlaneRun) float64 { return float64(r.Takeover.Installed) }),
		Lost:          of(func(r PlaneRun) float64 { return float64(r.After.Missing) }),
		WindowMS:      of(func(r PlaneRun) float64 { return r.WindowMS }),
		Faults:        of(func(r PlaneRun) float64 { return float64(r.After.Wrong) }),
	}
}
