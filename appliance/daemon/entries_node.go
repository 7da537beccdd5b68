package daemon

import (
	"context"
	"path/filepath"
	"strings"

	"understudy/appliance"
	"understudy/appliance/config"
	"understudy/health"
	"understudy/nat/entry"
	"understudy/nat/entry/entrynet"
	"understudy/nat/entry/entrynet/splicenet"
	"understudy/nat/nft"
	"understudy/nat/session"
)

// status is the part of `status` that tells of entry points.
func (e *entries) status() []appliance.EntryStatus {
	counters, err := e.table.Counters()
	if err != nil {
		e.log.Debug("reading counters of entry points", "err", err)
	}
	var standing map[session.StandClass]int
	if e.stands != nil && e.stands.table != nil {
		standing = e.stands.table.Standing()
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	out := make([]appliance.EntryStatus, 0, len(e.points))
	for _, p := range e.points {
		cfg := p.set.Config()
		s := appliance.EntryStatus{Name: cfg.Name, Address: cfg.Match.String(), Steer: string(cfg.Steer), Forward: cfg.Forward(), OnFailure: string(cfg.OnFailure),
			Group: p.group, Enough: p.set.Quorate(), NewFlows: counters.New[cfg.Name], Servers: []appliance.ServerStatus{}}
		if point := p.set.Point(); !point.Serves() {
			s.Enough = false
		}
		if e.moves != nil {
			e.moves.counted(&s)
			s.Takeover = standStatus(cfg.Match, standing)
		}
		for _, v := range p.set.States() {
			one := appliance.ServerStatus{Address: entry.AddressText(v.Address), State: v.State.String(), Weight: v.Weight, Check: v.Check,
				Drained: v.Drained, Full: v.Full, Unreachable: v.Unreachable, Share: float64(v.Share) / 1000, Spare: v.Spare}
			if v.Check == "" {
				one.State = health.Up.String()
			}
			if cfg.Counted() && !v.Spare {
				n := v.Connections
				one.Connections = &n
			}
			s.Servers = append(s.Servers, one)
		}
		out = append(out, s)
	}
	return out
}

// lacking says which entry points have not enough servers.
func (e *entries) lacking() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	var out []string
	for _, p := range e.points {
		switch {
		case !p.set.Point().Serves():
			out = append(out, p.set.Config().Name+": no server")
		case !p.set.Quorate():
			out = append(out, p.set.Config().Name+": less than the quorum")
		}
	}
	return strings.Join(out, "; ")
}

// openEntries has the kernel steer from the start: behind shut gates.
func (n *node) openEntries(cfg *config.Config, dir string) (err error) {
	if n.entryTable, err = nft.OpenEntries(nft.Config{}); err != nil {
		return err
	}
	n.undo = append(n.undo, n.entryTable.Close)
	if n.entryWatch, err = nft.OpenEntryWatcher(nft.Config{}); err != nil {
		return err
	}
	n.undo = append(n.undo, n.entryWatch.Close)
	if n.direct, err = nft.OpenDirect(nft.Config{}); err != nil {
		return err
	}
	n.undo = append(n.undo, n.direct.Close)
	if n.directSeen, err = nft.OpenDirectWatcher(nft.Config{}); err != nil {
		return err
	}
	n.undo = append(n.undo, n.directSeen.Close)
	direct := openDirectly(n.direct)
	table := nft.OpenMoves(nft.Config{})
	n.undo = append(n.undo, table.Close)
	moves := newMoves(table, n.log)
	moves.event = n.history.add
	moves.heal = func() (int, error) { return splicenet.Heal(table) }
	copies, err := nft.OpenLogged(nft.Config{})
	if err != nil {
		return err
	}
	n.undo = append(n.undo, copies.Close)
	logged := newLogged(kernelCapturing(copies), n.log)
	warm := newWarm(func() (*splicenet.Shadows, error) { return splicenet.OpenShadows(table, logged) }, n.log)
	logged.watch, moves.partner = warm.heard, warm.partner
	moves.awaited = splicenet.LogTapes{Log: logged}.Awaited
	open := func() (entryFlows, error) {
		flows, err := entrynet.Open(n.dumps.note)
		if err != nil {
			return nil, err
		}
		mover := func() (connectionMover, error) {
			m, err := splicenet.Open(table, moves, splicenet.LogTapes{Log: logged})
			if err != nil {
				return nil, err
			}
			return warmMover{m, warm}, nil
		}
		return &bothFlows{entryFlows: &movingFlows{assignedFlows: flows, moves: moves, open: mover}, direct: direct}, nil
	}
	n.entries = newEntries(loggedTables{movingTables{bothTables{n.entryTable, direct}, moves}, logged, warm}, open, filepath.Join(dir, drainedFile), n.log)
	n.entries.moves, n.entries.logged, n.entries.warm = moves, logged, warm
	n.entries.stands = &stands{moves: moves, whole: splicenet.LogTapes{Log: logged}.Whole}
	if err := n.entries.prepare(cfg); err != nil {
		return err
	}
	n.entries.set(cfg)
	return nil
}

// DrainServer has a server of an entry point get no new flows, or again.
func (n *node) DrainServer(_ context.Context, name, server string, drained bool) error {
	return n.entries.drain(name, server, drained)
}
