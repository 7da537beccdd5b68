package bench

import (
	"context"
	"errors"
	"fmt"
	"time"

	"understudy/appliance/lab/pair"
)

// VersusOptions sets [RunVersus] up.
type VersusOptions struct {
	SessionsOptions
	Idle time.Duration // how long a stream of datagrams lasts whose record must stay; 0: 30 s
	// Truth is the number of sessions of the tables that are compared after a storm
	// and after a restart; 0: 20,000, below 0: they are not.
	Truth int

	together int // of the programs whose tables are compared at the same time; 0: one
}

// VersusReport is what [RunVersus] found. Its JSON form is a contract: keys may be
// added, never removed.
type VersusReport struct {
	Machine Machine `json:"machine"`
	Mode    string  `json:"mode"` // of ours
	Rate    int     `json:"rate"`
	IdleMS  float64 `json:"idle_ms"`
	// Limits is what this kernel alone takes for each number of sessions.
	Limits map[int]KernelLimits `json:"limits"`
	Rows   []VersusRow          `json:"rows"`
	Truths []TruthRow           `json:"truths"`
	Aims   []Aim                `json:"aims"`
}

// VersusRow is one program in one setting with one number of sessions.
type VersusRow struct {
	Software string       `json:"software"`
	Setting  string       `json:"setting"`
	Sessions int          `json:"sessions"`
	Runs     []PlaneRun   `json:"runs"`
	Sum      PlaneSummary `json:"summary"`
}

// TruthRow is what was found wrong with one program's tables in one setting.
type TruthRow struct {
	Software string `json:"software"`
	Setting  string `json:"setting"`
	Truths   Truths `json:"truths"`
}

// Aim is one aim, and what was measured of it.
type Aim struct {
	What   string  `json:"what"`
	Value  float64 `json:"value"`
	Most   float64 `json:"most"`
	Within bool    `json:"within"`
}

// RunVersus measures ours beside conntrackd, in turn: `install = "takeover"` beside
// its external cache, and the hot standby beside its direct injection.
func RunVersus(ctx context.Context, opt VersusOptions) (_ *VersusReport, err error) {
	opt.SessionsOptions = opt.SessionsOptions.withDefaults(3, 100_000, 1_000_000)
	if opt.Idle == 0 {
		opt.Idle = 30 * time.Second
	}
	if opt.Truth == 0 {
		opt.Truth = 20_000
	}
	if err := conntrackdAvailable(); err != nil {
		return nil, err
	}
	r := &VersusReport{Machine: thisMachine(time.Now()), Rate: opt.Rate, IdleMS: ms(opt.Idle), Limits: map[int]KernelLimits{}}
	if r.Mode, err = opt.taken(); err != nil {
		return nil, err
	}
	all, err := opt.contenders(r.Mode)
	if err != nil {
		return nil, err
	}
	k, err := roomFor(opt.most()+opt.most()/4+100_000, opt.say)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, k.close()) }()
	for _, n := range opt.Sessions {
		if r.Limits[n], err = kernelLimits(ctx, n); err != nil {
			return nil, err
		}
		opt.say("this kernel alone: %d sessions inserted in %.0f ms, read in %.0f", n, r.Limits[n].InsertMS, r.Limits[n].DumpMS)
		rows, err := opt.measure(ctx, all, n)
		if err != nil {
			return nil, err
		}
		r.Rows = append(r.Rows, rows...)
	}
	if opt.Truth > 0 {
		r.Truths = make([]TruthRow, len(all))
		if err := atOnce(len(all), opt.together, func(i int) error {
			c := all[i]
			opt.say("%s, %s", c.Software, c.Setting)
			t, err := measureTruths(ctx, c, opt.Truth, opt.Idle, opt.say)
			if err != nil {
				return fmt.Errorf("bench: %s, %s, %w", c.Software, c.Setting, err)
			}
			r.Truths[i] = TruthRow{c.Software, c.Setting, t}
			return nil
		}); err != nil {
			return nil, err
		}
	}
	r.aim()
	r.Machine.LoadAfter = load()
	return r, nil
}

// taken is the mode of ours: the first of those asked for that it takes.
func (o VersusOptions) taken() (string, error) {
	modes := o.Modes
	if len(modes) == len(Modes()) {
		modes = []string{"hybrid", "incremental"}
	}
	why := ""
	for _, m := range modes {
		var err error
		if m == modeActive {
			why = "mode active: what is made by ctnetlink, as for conntrackd, its standby does not see"
			continue
		}
		if why, err = refused(pair.Options{Binary: o.Binary, Mode: m}); err != nil || why == "" {
			return m, err
		}
	}
	return "", fmt.Errorf("bench: %s", why)
}

// contenders in the order of a round; a setting that ours does not have is left
// out with the one it is compared with.
func (o VersusOptions) contenders(mode string) (all []contender, err error) {
	for _, x := range []struct {
		install string
		direct  bool
	}{{"takeover", false}, {"hot", true}} {
		keys := fmt.Sprintf("install = %q", x.install)
		why, err := refused(pair.Options{Binary: o.Binary, Mode: mode, SessionKeys: keys})
		if err != nil {
			return nil, err
		}
		if why != "" {
			o.say("%s: %s", keys, why)
		} else {
			all = append(all, oursIn(o.Binary, mode, x.install, keys, o.Log))
		}
		all = append(all, conntrackd(x.direct))
	}
	return all, nil
}

func (o VersusOptions) measure(ctx context.Context, all []contender, n int) ([]VersusRow, error) {
	rows := make([]VersusRow, len(all))
	for i, c := range all {
		rows[i] = VersusRow{Software: c.Software, Setting: c.Setting, Sessions: n, Runs: []PlaneRun{}}
	}
	for range o.runsOf(n) {
		for i, c := range all {
			o.say("%s, %s, %d sessions", c.Software, c.Setting, n)
			p := plan{sessions: n, rate: o.Rate, lives: o.lives, livesRate: o.livesRate, resync: true, crash: true, calm: o.calm, say: o.say}
			one, err := measurePlane(ctx, c, p)
			if err != nil {
				return nil, fmt.Errorf("bench: %s, %s, %d sessions: %w", c.Software, c.Setting, n, err)
			}
			rows[i].Runs = append(rows[i].Runs, *one)
		}
	}
	for i := range rows {
		rows[i].Sum = sumPlane(rows[i].Runs)
	}
	return rows, nil
}

// row finds a row of the last number of sessions, or of one.
func (r *VersusReport) row(software, setting string, sessions int) *VersusRow {
	for i := range r.Rows {
		if x := &r.Rows[i]; x.Software == software && x.Setting == setting && x.Sessions == sessions {
			return x
		}
	}
	return nil
}

// million is the number of sessions for which the aims of memory are set.
const million = 1_000_000

// aim holds what was measured against what was aimed at.
func (r *VersusReport) aim() {
	add := func(what string, value, most float64) {
		r.Aims = append(r.Aims, Aim{what, value, most, value <= most})
	}
	us, them := (ours{}).Name(), "conntrackd"
	few, many := 0, 0
	for _, x := range r.Rows {
		if few == 0 || x.Sessions < few {
			few = x.Sessions
		}
		many = max(many, x.Sessions)
	}
	for _, n := range []int{few, many} {
		if n == few && n == many && len(r.Aims) > 0 {
			break
		}
		at := func(what string) string { return fmt.Sprintf("%s, %d sessions", what, n) }
		for _, x := range []struct {
			install, setting string
			standby          float64
		}{{"takeover", "external cache", 0.25}, {"hot", "direct injection", 0.5}} {
			a, b := r.row(us, x.install, n), r.row(them, x.setting, n)
			if a == nil || b == nil {
				continue
			}
			beside := fmt.Sprintf("%s to %s", x.install, x.setting)
			add(at("processor time a connection, active, "+beside), ratio(a.Sum.Life.ActiveUS.Median, b.Sum.Life.ActiveUS.Median), 0.333)
			add(at("processor time a connection, standby, "+beside), ratio(a.Sum.Life.StandbyUS.Median, b.Sum.Life.StandbyUS.Median), x.standby)
			add(at("bytes on the link, a connection's whole life, "+x.install), a.Sum.Life.Link.Median, 50)
			if n == million {
				add(at("resident memory a session, active, "+x.install), a.Sum.ActiveMemory.Median, 105)
				add(at("resident memory a session, standby, "+x.install), a.Sum.StandbyMemory.Median, 93)
			}
			limit, what := r.Limits[n].DumpMS, "a dump"
			if x.install == "hot" {
				limit, what = r.Limits[n].InsertMS, "inserting them"
			}
			add(at("resynchronisation to "+what+" by this kernel alone, "+x.install), ratio(a.Sum.ResyncMS.Median, limit), 1.5)
			add(at("wrong entries after crashes, "+x.install), a.Sum.Faults.Max, 0)
		}
		if a := r.row(us, "hot", n); a != nil {
			add(at("installed by a takeover, hot"), a.Sum.Installed.Max, 0)
		}
	}
	if a, b := r.row(us, "hot", many), r.row(us, "hot", few); a != nil && b != nil && many > few {
		add(fmt.Sprintf("takeover with %d sessions to one with %d, hot", many, few), ratio(a.Sum.TakeoverMS.Median, b.Sum.TakeoverMS.Median), 1.5)
	}
	for _, t := range r.Truths {
		if t.Software == us {
			bad := 0
			for _, x := range []Truth{t.Truths.Storm, t.Truths.Restart, t.Truths.Idle} {
				bad += x.Missing + x.Ghosts + x.Wrong
			}
			add("missing, wrong and ghosts after storm, restart, idle stream, "+t.Setting, float64(bad), 0)
		}
	}
}
