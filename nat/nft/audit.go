package nft

import (
	"errors"
	"time"

	"github.com/google/nftables"

	"understudy/nat"
)

// ErrInterrupted says that an audit has given way to something that could not wait.
var ErrInterrupted = errors.New("interrupted")

// Audit is [Applier.Apply], unless the whole ruleset is still that in which this Applier
// has read all of its table and found that it says plan: then it reads nothing of it. It
// gives way to whoever opens or shuts a gate meanwhile: the error is then [ErrInterrupted],
// and nothing was done.
func (a *Applier) Audit(plan nat.Plan) (Report, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.applyWith(plan, func(plan nat.Plan, links links) (Report, error) {
		if a.base != nil && a.agreed != 0 && plan.Mirror == nil && nat.Diff(*a.base, plan).Empty() {
			if now, err := a.link.generation(); err == nil && now == a.agreed {
				return Report{}, nil
			}
		}
		return a.applyTable(plan, links, a.readUnlessUrgent)
	})
}

// lockAtOnce locks for who cannot wait for an audit: to read a hundred thousand mappings
// takes a second and more, and a takeover opens a gate.
func (a *Applier) lockAtOnce() {
	a.urgent.Add(1)
	if c := a.auditing.Swap(nil); c != nil {
		_ = c.SetReadDeadline(time.Unix(1, 0))
	}
	a.mu.Lock()
	a.urgent.Add(-1)
}

// readUnlessUrgent is read for an audit.
func (a *Applier) readUnlessUrgent() (*state, error) {
	c, err := a.link.conn()
	if err != nil {
		return nil, err
	}
	a.auditing.Store(a.link.nl)
	defer a.auditing.Store(nil)
	if a.urgent.Load() > 0 { // who came before the line above has not found it
		return nil, ErrInterrupted
	}
	s, err := reading{ourTable(), inWords, func(*nftables.Set) bool { return false }}.read(c, a.link.nl)
	if err != nil {
		_ = a.link.close()
	}
	if a.urgent.Load() > 0 {
		return nil, ErrInterrupted
	}
	return s, err
}
