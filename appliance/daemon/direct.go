package daemon

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"understudy/nat"
	"understudy/nat/entry"
	"understudy/nat/entry/entrynet"
	"understudy/nat/nft"
)

// Entry points that hand packets to their servers as they are have tables of their own, and
// their flows are nowhere but in these. To the lane of entry points both kinds are one.

// directTable has packets handed on.
type directTable interface {
	Apply(points []entry.Point) (changed bool, err error)
	Steer(points ...entry.Point) error
	Remember(name string, clients []nft.Remembered) error
	Flows(name string) ([]nft.DirectFlow, error)
	Forget(name string, flows []nft.DirectFlow) error
	Counters() (nft.EntryCounters, error)
}

// bothTables sorts entry points by their kind.
type bothTables struct {
	translate entryTable
	direct    directTable
}

// byKind are the points that are translated, and those that are not.
func byKind(points []entry.Point) (translated, direct []entry.Point) {
	for _, p := range points {
		if p.Direct {
			direct = append(direct, p)
		} else {
			translated = append(translated, p)
		}
	}
	return translated, direct
}

func (b bothTables) Apply(points []entry.Point) (changed bool, err error) {
	translated, direct := byKind(points)
	changed, err = b.translate.Apply(translated)
	if err != nil {
		return changed, err
	}
	also, err := b.direct.Apply(direct)
	return changed || also, err
}

func (b bothTables) Steer(points ...entry.Point) error {
	translated, direct := byKind(points)
	var errs []error
	if len(translated) > 0 {
		errs = append(errs, b.translate.Steer(translated...))
	}
	if len(direct) > 0 {
		errs = append(errs, b.direct.Steer(direct...))
	}
	return errors.Join(errs...)
}

func (b bothTables) Cut(flows []nft.CutFlow) error { return b.translate.Cut(flows) }

// Remember is of one of them; the other has not heard of the name.
func (b bothTables) Remember(name string, clients []nft.Remembered) error {
	return errors.Join(b.translate.Remember(name, clients), b.direct.Remember(name, clients))
}

func (b bothTables) Counters() (nft.EntryCounters, error) {
	out, err := b.translate.Counters()
	if err != nil {
		return out, err
	}
	more, err := b.direct.Counters()
	out.Unserved += more.Unserved
	for name, n := range more.New {
		out.New[name] = n
	}
	return out, err
}

// bothFlows adds the flows that are handed on to those in the kernel's table of
// connections.
type bothFlows struct {
	entryFlows
	direct directTable
	again  []entrynet.Flow // clients that were woken, and may not have heard
}

func (b *bothFlows) Count(points []entry.Point) ([][]int, error) {
	out, err := b.entryFlows.Count(points)
	if err != nil {
		return out, err
	}
	return out, b.each(points, func(i int, w nft.DirectFlow) {
		if w.Server < len(out[i]) && !w.Ended {
			out[i][w.Server]++
		}
	})
}

// each calls fn for each flow that is handed on, with its entry point's number.
func (b *bothFlows) each(points []entry.Point, fn func(i int, w nft.DirectFlow)) error {
	for i, p := range points {
		if !p.Direct {
			continue
		}
		flows, err := b.direct.Flows(p.Name)
		if err != nil {
			return err
		}
		for _, w := range flows {
			fn(i, w)
		}
	}
	return nil
}

// Cut ends the flows of servers that have died. New ones go elsewhere already, and so does
// what comes of those that are handed on: whoever gets it has not heard of the connection,
// and resets it. So it is enough that clients say something.
func (b *bothFlows) Cut(points []entry.Point, dead []entrynet.Server, mark func([]entrynet.Flow) error) (entrynet.Outcome, error) {
	var handed, translated []entrynet.Server
	for _, d := range dead {
		if points[d.Point].Direct {
			handed = append(handed, d)
		} else {
			translated = append(translated, d)
		}
	}
	var out entrynet.Outcome
	var errs []error
	if len(translated) > 0 {
		var err error
		out, err = b.entryFlows.Cut(points, translated, mark)
		errs = append(errs, err)
	}
	for i, p := range points {
		if !slices.ContainsFunc(handed, func(d entrynet.Server) bool { return d.Point == i }) {
			continue
		}
		flows, err := b.direct.Flows(p.Name)
		flows = slices.DeleteFunc(flows, func(w nft.DirectFlow) bool {
			return !slices.Contains(handed, entrynet.Server{Point: i, Number: w.Server})
		})
		errs = append(errs, err, b.direct.Forget(p.Name, flows))
		out.Deleted += len(flows)
		var wake []entrynet.Flow
		for _, w := range flows {
			if nat.Proto(w.Proto) == nat.TCP && !w.Ended {
				wake = append(wake, entrynet.Flow{Proto: nat.TCP, Client: w.Client, To: w.To})
			}
		}
		n, err := b.entryFlows.Wake(wake)
		errs, out.Woken, b.again = append(errs, err), out.Woken+n, append(b.again, wake...)
	}
	return out, errors.Join(errs...)
}

func (b *bothFlows) Wake(flows []entrynet.Flow) (int, error) {
	flows = append(slices.Clone(flows), b.again...)
	b.again = nil
	return b.entryFlows.Wake(flows)
}

// neighbours tell which servers can be called by their MAC.
type neighbours interface {
	Look(hosts []netip.Addr) (map[netip.Addr]entrynet.Reach, error)
	Close() error
}

// reachPeriod is how often they are asked. A server that dies is noticed by its check, and
// much sooner.
const reachPeriod = time.Second

// reach is the goroutine that looks whether servers have a MAC: who has none is not offered
// anything. It goes by what the kernel knows, which hears of a new MAC by itself.
func (e *entries) reach(ctx context.Context) {
	var n neighbours
	defer func() {
		if n != nil {
			n.Close()
		}
	}()
	said := map[string]entrynet.Reach{}
	for t := time.NewTicker(reachPeriod); ; {
		if hosts := e.hosts(); len(hosts) > 0 {
			var err error
			if n == nil {
				n, err = e.lookOut()
			}
			if err == nil {
				err = e.reachNow(n, hosts, said)
			}
			if err != nil {
				e.log.Error("MACs of servers", "err", err)
			}
		}
		select {
		case <-ctx.Done():
			t.Stop()
			return
		case <-t.C:
		}
	}
}

// hosts are those of servers that packets are handed to by MAC.
func (e *entries) hosts() (out []netip.Addr) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, p := range e.points {
		if cfg := p.set.Config(); cfg.ByMAC() {
			for _, a := range p.set.Addresses() {
				out = append(out, a.Addr())
			}
		}
	}
	return out
}

func (e *entries) reachNow(n neighbours, hosts []netip.Addr, said map[string]entrynet.Reach) error {
	reach, err := n.Look(hosts)
	if err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	now := time.Now()
	for _, p := range e.points {
		cfg := p.set.Config()
		for i := range cfg.Servers {
			s := &cfg.Servers[i]
			r := reach[s.Address.Addr()]
			if !cfg.ByMAC() || r == entrynet.Asked {
				continue
			}
			name := fmt.Sprintf("%s %s", cfg.Name, entry.AddressText(s.Address))
			if was, ok := said[name]; (ok || r != entrynet.Reached) && was != r {
				e.log.Warn("server", "entry", cfg.Name, "server", entry.AddressText(s.Address), "mac", r.String())
			}
			said[name] = r
			e.step(now, p, entry.Input{Kind: entry.InReach, Server: s.Address, On: r == entrynet.Reached})
		}
	}
	return nil
}
