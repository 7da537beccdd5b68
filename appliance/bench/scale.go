package bench

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"understudy/appliance/lab"
	"understudy/appliance/lab/capture"
)

// ScaleOptions sets [RunScale] up. The zero value measures 1, 100 and 1000
// virtual routers with adverts each second, five times 10 s.
type ScaleOptions struct {
	Beside
	Routers  []int
	Interval time.Duration
	Window   time.Duration

	rest time.Duration // until announcements are over; 0: by the number of routers
}

func (o ScaleOptions) withDefaults() ScaleOptions {
	o.Beside = o.Beside.withDefaults(5)
	if len(o.Routers) == 0 {
		o.Routers = []int{1, 100, 1000}
	}
	if o.Interval == 0 {
		o.Interval = time.Second
	}
	if o.Window == 0 {
		o.Window = 10 * time.Second
	}
	return o
}

// perSegment is how many virtual routers one interface has at most.
const perSegment = 250

// ScaleReport is what [RunScale] found. Its JSON form is a contract: keys may be
// added, never removed.
type ScaleReport struct {
	Machine    Machine    `json:"machine"`
	IntervalMS float64    `json:"interval_ms"`
	WindowMS   float64    `json:"window_ms"`
	Rows       []ScaleRow `json:"rows"` // ours, then keepalived, for each number
}

// ScaleRow is one program with one number of routers, each with one address and
// by itself.
type ScaleRow struct {
	Software string      `json:"software"`
	Routers  int         `json:"routers"`
	Active   CostSummary `json:"active"`
	Standby  CostSummary `json:"standby"`
	// Adverts a second, on the wire: what the costs are for.
	Adverts Summary `json:"adverts"`
}

// Cost is what all processes of one node use.
type Cost struct {
	CPU    float64 // % of a processor
	Memory float64 // MB, shared pages by their share
}

// CostSummary is [Cost], summarized.
type CostSummary struct {
	CPU    Summary `json:"cpu_percent"`
	Memory Summary `json:"memory_mb"`
}

// RunScale measures what many virtual routers cost. When it returns, nothing of
// what it started is left.
func RunScale(ctx context.Context, opt ScaleOptions) (_ *ScaleReport, err error) {
	opt = opt.withDefaults()
	r := &ScaleReport{Machine: thisMachine(time.Now()), IntervalMS: ms(opt.Interval), WindowMS: ms(opt.Window)}
	all, err := programs(opt.Beside)
	if err != nil {
		return nil, err
	}
	most := 0
	for _, n := range opt.Routers {
		most = max(most, n)
	}
	var segments []string
	for k := range (most + perSegment - 1) / perSegment {
		segments = append(segments, fmt.Sprintf("lan%d", k))
	}
	g, err := newGround(2, segments...)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, g.Close()) }()
	for _, n := range opt.Routers {
		rows := make([]ScaleRow, len(all))
		costs := make([][2][]Cost, len(all))
		adverts := make([][]float64, len(all))
		for range opt.Runs {
			for i, p := range all {
				cost, rate, err := scale(ctx, opt, g, p, n)
				if err != nil {
					return nil, fmt.Errorf("bench: %d virtual routers, %s: %w", n, p.Name(), err)
				}
				opt.say("%s, %d routers: active %.2f %% of a processor, %.1f MB; standby %.2f %%, %.1f MB; %.0f adverts a second",
					p.Name(), n, cost[0].CPU, cost[0].Memory, cost[1].CPU, cost[1].Memory, rate)
				for k := range cost {
					costs[i][k] = append(costs[i][k], cost[k])
				}
				adverts[i] = append(adverts[i], rate)
			}
		}
		for i, p := range all {
			rows[i] = ScaleRow{Software: p.Name(), Routers: n, Active: sumCosts(costs[i][0]), Standby: sumCosts(costs[i][1]), Adverts: summarize(adverts[i])}
		}
		r.Rows = append(r.Rows, rows...)
	}
	r.Machine.LoadAfter = load()
	return r, nil
}

func sumCosts(all []Cost) CostSummary {
	return CostSummary{
		CPU:    collect(all, func(c Cost) float64 { return c.CPU }),
		Memory: collect(all, func(c Cost) float64 { return c.Memory }),
	}
}

// many is the setup of a box with n routers, spread over the segments.
func many(n int, interval time.Duration) func(int) setup {
	return func(box int) setup {
		s := setup{node: fmt.Sprintf("gw%d", box+1), priority: 200 - 100*box, interval: interval}
		for i := range n {
			k, v := i/perSegment, i%perSegment+1
			s.routers = append(s.routers, virtualRouter{fmt.Sprintf("r%d", i+1), fmt.Sprintf("lan%d", k), v,
				[]netip.Prefix{netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(k), 1, byte(v)}), 16)}})
		}
		return s
	}
}

// scale boots both boxes with n routers and looks at them for a window.
func scale(ctx context.Context, opt ScaleOptions, g *ground, p program, n int) (cost [2]Cost, rate float64, err error) {
	if err := g.play(ctx, p, many(n, opt.Interval)); err != nil {
		return cost, 0, err
	}
	rest := opt.rest
	if rest == 0 {
		// keepalived announces all again after five seconds; ours repeats 200 a
		// second, three times each.
		rest = 7*time.Second + time.Duration(n)*15*time.Millisecond
	}
	if err := sleep(ctx, rest); err != nil {
		return cost, 0, err
	}
	var heard []*capture.Capture
	defer func() {
		for _, c := range heard {
			err = errors.Join(err, c.Stop())
		}
	}()
	var count counter
	for _, s := range g.segments {
		c, err := capture.Start(s, capture.Options{Filter: capture.Protocols(112), Keep: count.from(g.boxes[0].Name)})
		if err != nil {
			return cost, 0, err
		}
		heard = append(heard, c)
	}
	began := time.Now()
	var before, after [2]time.Duration
	for i := range before {
		if before[i], err = cpuOf(g.boxes[i]); err != nil {
			return cost, 0, err
		}
	}
	first := count.read()
	if err := sleep(ctx, opt.Window); err != nil {
		return cost, 0, err
	}
	took := time.Since(began).Seconds()
	rate = round(float64(count.read()-first) / took)
	for i, box := range g.boxes[:2] {
		if after[i], err = cpuOf(box); err != nil {
			return cost, 0, err
		}
		cost[i].CPU = round(100 * (after[i] - before[i]).Seconds() / took)
		if cost[i].Memory, err = memoryOf(box); err != nil {
			return cost, 0, err
		}
	}
	return cost, rate, g.split(many(n, opt.Interval)(0))
}

// split makes sure that both boxes were in their roles until now: else there is
// nothing to compare.
func (g *ground) split(s setup) error {
	if err := g.complete(g.boxes[0], s); err != nil {
		return err
	}
	list, err := addressesOf(g.boxes[1])
	if err != nil {
		return err
	}
	for _, a := range s.addresses() {
		if list[a] {
			return fmt.Errorf("gw2 has %v, too%s", a, g.logs())
		}
	}
	return nil
}

// cpuOf is the processor time of all processes of a node that live.
func cpuOf(n *lab.Node) (all time.Duration, err error) {
	return sumOf(n, func(pid int) (time.Duration, error) { return onCPU(pid) })
}

// memoryOf is the memory of all processes of a node, in MB.
func memoryOf(n *lab.Node) (float64, error) {
	all, err := sumOf(n, proportional)
	return round(float64(all) / 1e6), err
}
