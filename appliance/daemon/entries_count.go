package daemon

import (
	"context"
	"slices"
	"time"

	"understudy/nat/entry"
)

// count is the goroutine that counts connections.
func (e *entries) count(ctx context.Context) {
	var flows entryFlows
	defer func() {
		if flows != nil {
			flows.Close()
		}
	}()
	for wait := countPeriod; ; {
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
		wait = countPeriod
		if !e.counted() {
			continue
		}
		if flows == nil {
			var err error
			if flows, err = e.open(); err != nil {
				e.log.Error("counting connections", "err", err)
				continue
			}
		}
		began := time.Now()
		if err := e.countNow(flows); err != nil {
			e.log.Error("counting connections", "err", err)
		}
		wait = max(countPeriod, countShare*time.Since(began))
	}
}

// counted tells whether anybody goes by the number of connections.
func (e *entries) counted() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.ContainsFunc(e.points, func(p *steered) bool { c := p.set.Config(); return c.Counted() })
}

func (e *entries) countNow(flows entryFlows) error {
	e.mu.Lock()
	of, points := e.points, pointsOf(e.points)
	e.mu.Unlock()
	began := time.Now()
	counts, err := flows.Count(points)
	if err != nil {
		return err
	}
	counters, err := e.table.Counters()
	if err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	now := time.Now()
	e.took = now.Sub(began)
	if !slices.Equal(of, e.points) {
		return nil // a reload came between
	}
	for i, p := range e.points {
		total := counters.New[points[i].Name]
		fresh := 0
		if total >= p.seen {
			fresh = int(total - p.seen)
		}
		p.seen = total
		e.step(now, p, entry.Input{Kind: entry.InCounts, Counts: counts[i], New: fresh})
	}
	return nil
}
