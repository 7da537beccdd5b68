package bench

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"syscall"
	"time"

	"golang.org/x/net/bpf"

	"understudy/appliance/lab"
	"understudy/appliance/lab/capture"
)

// FloodOptions sets [RunFlood] up. The zero value floods each program five times
// with 100,000 adverts a second for 10 s.
type FloodOptions struct {
	Beside
	Rate   int // frames a second
	Window time.Duration
}

func (o FloodOptions) withDefaults() FloodOptions {
	o.Beside = o.Beside.withDefaults(5)
	if o.Rate <= 0 {
		o.Rate = 100_000
	}
	if o.Window == 0 {
		o.Window = 10 * time.Second
	}
	return o
}

const (
	floodInterval = 100 * time.Millisecond // of adverts
	// floodSkew is what the standby waits after it has heard the priority 0 of the
	// active one; the silence of one that it did not hear takes three intervals more.
	floodSkew = floodInterval * 156 / 256
)

// floodBound is how long a stop is waited for.
const floodBound = 3 * time.Second

var floodAddress = netip.MustParsePrefix("10.0.1.1/16")

// FloodReport is what [RunFlood] found. Its JSON form is a contract: keys may be
// added, never removed.
type FloodReport struct {
	Machine    Machine    `json:"machine"`
	IntervalMS float64    `json:"interval_ms"`
	WindowMS   float64    `json:"window_ms"`
	Rate       int        `json:"rate"` // asked for
	Rows       []FloodRow `json:"rows"` // ours, then keepalived
}

// FloodRow is one program.
type FloodRow struct {
	Software string  `json:"software"`
	Floods   []Flood `json:"floods"`
	Rate     Summary `json:"rate"` // frames a second
	// Active and Standby are the cost during the flood, Calm the active's before.
	Active  CostSummary `json:"active"`
	Standby CostSummary `json:"standby"`
	Calm    Summary     `json:"calm_cpu_percent"`
	// GrownKB is the growth of memory during the flood, of the node that grew more.
	GrownKB Summary `json:"grown_kb"`
	// Answers is adverts of the active node a second: 10 are due.
	Answers Summary `json:"adverts"`
	HeardMS Summary `json:"heard_ms"`
	// Held: in no flood did the standby take over. Heard: in every flood, it waited
	// its skew after the active one had resigned, and not much longer, as it would
	// have if it had not heard that.
	// Flat: memory grew by less than a megabyte in every one.
	Held  bool `json:"held"`
	Flat  bool `json:"flat"`
	Heard bool `json:"heard"`
}

// Flood is one flood.
type Flood struct {
	Rate      float64 `json:"rate"`
	Takeovers int     `json:"takeovers"` // of the standby while the active one was well, on the wire
	Died      int     `json:"died"`      // processes, on both nodes
	Active    Cost    `json:"active"`
	Standby   Cost    `json:"standby"`
	Calm      float64 `json:"calm_cpu_percent"`
	GrownKB   float64 `json:"grown_kb"`
	Answers   float64 `json:"adverts"`
	// HeardMS is from the active one's priority 0, in the flood, to the standby's
	// first advert; 0 if either did not come.
	HeardMS float64 `json:"heard_ms"`
}

// RunFlood floods a segment with adverts that nobody should believe. When it
// returns, nothing of what it started is left.
func RunFlood(ctx context.Context, opt FloodOptions) (_ *FloodReport, err error) {
	opt = opt.withDefaults()
	r := &FloodReport{Machine: thisMachine(time.Now()), IntervalMS: ms(floodInterval), WindowMS: ms(opt.Window), Rate: opt.Rate}
	all, err := programs(opt.Beside)
	if err != nil {
		return nil, err
	}
	g, err := newGround(2, "lan0")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, g.Close()) }()
	rogue, err := g.Node("rogue")
	if err != nil {
		return nil, err
	}
	if _, err := rogue.Join(g.segments[0], "eth0"); err != nil {
		return nil, err
	}
	for _, p := range all {
		r.Rows = append(r.Rows, FloodRow{Software: p.Name()})
	}
	for n := range opt.Runs {
		for i, p := range all {
			one, err := flood(ctx, opt, g, rogue, p, uint64(n))
			if err != nil {
				return nil, fmt.Errorf("bench: flood of %s: %w", p.Name(), err)
			}
			r.Rows[i].Floods = append(r.Rows[i].Floods, one)
			opt.say("%s, %.0f adverts a second: %d takeovers, %d deaths; active %.1f %% of a processor (%.1f before), standby %.1f; memory %+.0f kB; %.0f adverts a second from the active; heard to resign in %.1f ms",
				p.Name(), one.Rate, one.Takeovers, one.Died, one.Active.CPU, one.Calm, one.Standby.CPU, one.GrownKB, one.Answers, one.HeardMS)
		}
	}
	for i := range r.Rows {
		r.Rows[i].sum()
	}
	r.Machine.LoadAfter = load()
	return r, nil
}

func flooded(box int) setup {
	return setup{node: fmt.Sprintf("gw%d", box+1), priority: 200 - 100*box, interval: floodInterval,
		routers: []virtualRouter{{"lan", "lan0", floodVRID, []netip.Prefix{floodAddress}}}}
}

// flood boots both boxes, floods them, and has the active one stop in the flood.
func flood(ctx context.Context, opt FloodOptions, g *ground, rogue *lab.Node, p program, seed uint64) (one Flood, err error) {
	if err := g.play(ctx, p, flooded); err != nil {
		return one, err
	}
	if err := sleep(ctx, opt.calm); err != nil {
		return one, err
	}
	before, err := g.gauge()
	if err != nil {
		return one, err
	}
	if err := sleep(ctx, opt.calm); err != nil {
		return one, err
	}
	calm, err := g.gauge()
	if err != nil {
		return one, err
	}
	one.Calm = calm.since(before)[0].CPU
	w := &wireCount{}
	var resigned, took time.Time // under w.mu
	c, err := capture.Start(g.segments[0], capture.Options{Filter: notFrom(rogue.Link("eth0").MAC), SnapLen: 64, Keep: func(f capture.Frame) bool {
		w.hear(0, f, g.boxes[0].Name)
		w.mu.Lock()
		defer w.mu.Unlock()
		switch priority := capture.Decode(f.Data).Priority; {
		case f.From == g.boxes[0].Name && priority == 0 && resigned.IsZero():
			resigned = f.At
		case f.From == g.boxes[1].Name && priority > 0 && took.IsZero() && !resigned.IsZero():
			took = f.At
		}
		return false
	}})
	if err != nil {
		return one, err
	}
	defer func() { err = errors.Join(err, c.Stop()) }()
	v, err := openVolley(rogue, "eth0", forge(1000*len(forgeries), seed, [6]byte(rogue.Link("eth0").MAC)))
	if err != nil {
		return one, err
	}
	defer v.close()
	began := time.Now()
	stop := v.fire(opt.Rate)
	defer stop()
	if err := sleep(ctx, opt.Window); err != nil {
		return one, err
	}
	during, err := g.gauge()
	if err != nil {
		return one, err
	}
	one.Died = during.died(calm)
	costs := during.since(calm)
	one.Active, one.Standby = costs[0], costs[1]
	one.Rate = round(float64(v.sent.Load()) / time.Since(began).Seconds())
	for i := range g.boxes {
		one.GrownKB = max(one.GrownKB, round((during.memory[i]-calm.memory[i])*1e3))
	}
	w.mu.Lock()
	one.Takeovers, one.Answers = w.began[0], round(float64(w.adverts)/time.Since(began).Seconds())
	w.mu.Unlock()
	if err := g.procs[0].Signal(syscall.SIGTERM); err != nil {
		return one, err
	}
	for asked := time.Now(); time.Since(asked) < floodBound && one.HeardMS == 0; {
		if err := sleep(ctx, 20*time.Millisecond); err != nil {
			return one, err
		}
		w.mu.Lock()
		if !took.IsZero() {
			one.HeardMS = ms(took.Sub(resigned))
		}
		w.mu.Unlock()
	}
	return one, stop()
}

// notFrom is a filter that passes VRRP over IPv4, but not from one address: what is
// flooded would keep the listener busy.
func notFrom(mac net.HardwareAddr) []bpf.Instruction {
	prog := []bpf.Instruction{
		bpf.LoadAbsolute{Off: 8, Size: 4}, // the end of the source's
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: binary.BigEndian.Uint32(mac[2:]), SkipTrue: 1},
		bpf.RetConstant{Val: 0},
	}
	return append(prog, capture.Protocols(112)...)
}

// gauge is what the boxes have used until now.
type gauge struct {
	at     time.Time
	cpu    []time.Duration
	memory []float64
	pids   []int // of all boxes
}

// died counts the processes that were there before and are no more.
func (g gauge) died(before gauge) (n int) {
	for _, pid := range before.pids {
		if !slices.Contains(g.pids, pid) {
			n++
		}
	}
	return n
}

func (g *ground) gauge() (now gauge, err error) {
	now.at = time.Now()
	for _, box := range g.boxes {
		cpu, err1 := cpuOf(box)
		memory, err2 := memoryOf(box)
		pids, err3 := box.Pids()
		if err := errors.Join(err1, err2, err3); err != nil {
			return now, err
		}
		now.pids = append(now.pids, pids...)
		now.cpu, now.memory = append(now.cpu, cpu), append(now.memory, memory)
	}
	return now, nil
}

// since is the cost of each box between two gauges.
func (g gauge) since(before gauge) (costs []Cost) {
	for i := range g.cpu {
		costs = append(costs, Cost{CPU: round(100 * (g.cpu[i] - before.cpu[i]).Seconds() / g.at.Sub(before.at).Seconds()), Memory: g.memory[i]})
	}
	return costs
}

func (r *FloodRow) sum() {
	r.Rate = collect(r.Floods, func(f Flood) float64 { return f.Rate })
	var active, standby []Cost
	r.Held, r.Flat, r.Heard = true, true, true
	for _, f := range r.Floods {
		active, standby = append(active, f.Active), append(standby, f.Standby)
		r.Held = r.Held && f.Takeovers == 0
		r.Flat = r.Flat && f.GrownKB < 1000
		r.Heard = r.Heard && f.HeardMS > ms(floodSkew*9/10) && f.HeardMS < ms(floodSkew+2*floodInterval)
	}
	r.Active, r.Standby = sumCosts(active), sumCosts(standby)
	r.Calm = collect(r.Floods, func(f Flood) float64 { return f.Calm })
	r.GrownKB = collect(r.Floods, func(f Flood) float64 { return f.GrownKB })
	r.Answers = collect(r.Floods, func(f Flood) float64 { return f.Answers })
	var heard []float64
	for _, f := range r.Floods {
		if f.HeardMS > 0 {
			heard = append(heard, f.HeardMS)
		}
	}
	r.HeardMS = summarize(heard)
}
