package daemon

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"understudy/health"
	"understudy/nat/entry"
	"understudy/nat/entry/entrynet"
	"understudy/nat/nft"
)

// follow is the goroutine that ends flows, and learns from them.
func (e *entries) follow(ctx context.Context) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	var flows entryFlows
	defer func() {
		if flows != nil {
			flows.Close()
		}
	}()
	for {
		select {
		case <-ctx.Done():
			return
		case <-e.followC:
		case <-timer.C:
			e.mu.Lock()
			e.ready, e.later = append(e.ready, e.later...), nil
			e.mu.Unlock()
		}
		if flows == nil {
			var err error
			if flows, err = e.open(); err != nil {
				e.log.Error("flows of entry points", "err", err)
				timer.Reset(sweepPause)
				continue
			}
		}
		if e.followNow(flows) {
			timer.Reset(sweepPause)
		}
	}
}

// followNow does what there is to do, and tells whether there is more to do later.
func (e *entries) followNow(flows entryFlows) (again bool) {
	e.mu.Lock()
	points := pointsOf(e.points)
	var dead []entrynet.Server
	var names []string
	slices.SortFunc(e.ready, func(a, b deadServer) int {
		return cmp.Or(cmp.Compare(a.entry, b.entry), cmp.Compare(a.server, b.server))
	})
	for _, d := range slices.Compact(e.ready) {
		i := slices.IndexFunc(e.points, func(p *steered) bool { return p.set.Config().Name == d.entry })
		n := -1
		if i >= 0 && e.points[i].set.Active() {
			n = slices.IndexFunc(e.points[i].set.States(), func(s entry.ServerState) bool {
				return entry.AddressText(s.Address) == d.server && s.State == health.Down
			})
		}
		if n < 0 {
			delete(e.cuts, d) // it has come back, or has nothing to do with us any more
			continue
		}
		dead, names = append(dead, entrynet.Server{Point: i, Number: n}), append(names, d.entry+" "+d.server)
	}
	e.ready = nil
	woken := e.woken
	e.woken = nil
	restores := e.restores
	e.restores = map[string]bool{}
	e.mu.Unlock()

	if _, err := flows.Wake(woken); err != nil {
		e.log.Debug("waking clients once more", "err", err)
	}
	if len(dead) > 0 {
		began := time.Now()
		var marked []entrynet.Flow
		out, err := flows.Cut(points, dead, func(list []entrynet.Flow) error {
			marked = append(marked, list...)
			return e.mark(list)
		})
		if err != nil {
			e.log.Error("cutting the flows of servers that have died", "servers", names, "err", err)
		}
		if out.Deleted > 0 {
			e.log.Info("flows cut", "servers", names, "flows", out.Deleted, "clients_woken", out.Woken, "took", time.Since(began))
		}
		e.mu.Lock()
		for _, name := range names {
			d := deadServer{}
			d.entry, d.server, _ = strings.Cut(name, " ")
			if e.cuts[d]--; err == nil && e.cuts[d] <= 0 {
				delete(e.cuts, d)
				continue
			}
			e.cuts[d], again = max(1, e.cuts[d]), true
			e.later, e.woken = append(e.later, d), marked
		}
		e.mu.Unlock()
	}
	if len(restores) > 0 {
		e.restore(flows, points, restores)
	}
	return again
}

func (e *entries) mark(list []entrynet.Flow) error {
	out := make([]nft.CutFlow, len(list))
	for i, f := range list {
		out[i] = nft.CutFlow{Client: f.Client, To: f.To, Proto: uint8(f.Proto)}
	}
	return e.table.Cut(out)
}

// restore has the kernel remember where clients go, by the flows that they have.
func (e *entries) restore(flows entryFlows, points []entry.Point, names map[string]bool) {
	points = slices.DeleteFunc(slices.Clone(points), func(p entry.Point) bool { return !names[p.Name] })
	clients, err := flows.Clients(points)
	if err != nil {
		e.log.Error("where clients of entry points go", "err", err)
		return
	}
	for i, p := range points {
		list := make([]nft.Remembered, len(clients[i]))
		for j, c := range clients[i] {
			list[j] = nft.Remembered{Client: c.Address, Server: c.Server}
		}
		if err := e.table.Remember(p.Name, list); err != nil {
			e.log.Error("where clients of entry points go", "err", err)
		}
	}
}
