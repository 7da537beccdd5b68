package replica

import (
	"fmt"
	"time"

	"understudy/nat/session"
)

// Reconfigure changes, while flows go on, which addresses and networks the groups
// have, which flows are replicated, and the hash of what must be the same on all
// nodes: Groups, Inside, Routed, Bound, Classes and Hash of c; the rest of it does
// not matter. The groups themselves stay: others than those of Open are an error,
// and nothing has changed then.
//
// The owner finds by a dump which flows belong to it now; a standby asks for
// them. Peers are told the new hash by new connections.
func (e *Engine) Reconfigure(c Config) error {
	if len(c.Groups) != len(e.cfg.Groups) {
		return fmt.Errorf("replica: %d groups, were %d", len(c.Groups), len(e.cfg.Groups))
	}
	groups, seen := make([]Group, len(c.Groups)), 0
	for _, g := range c.Groups {
		i, err := e.group(g.Name)
		if err != nil {
			return err
		}
		groups[i] = g
		seen |= 1 << i
	}
	if seen != 1<<len(groups)-1 {
		return fmt.Errorf("replica: a group is named twice")
	}
	c.Groups = groups
	hash := c.Hash
	now := time.Now()
	// A dump reads the scope without mu, but under dumpMu.
	e.dumpMu.Lock()
	defer e.dumpMu.Unlock()
	e.mu.Lock()
	defer e.mu.Unlock()
	e.scope.Set(c.scopeOf(e.scope.Own))
	e.comeOfAge(now, true)
	e.cfg.Classes = c.Classes
	e.young = session.NewNursery(c.Classes)
	e.reconcile, e.lost = now, true // a dump that has begun already is not enough
	kick(e.dump)
	told := hash == e.cfg.Hash
	e.cfg.Hash = hash
	for _, p := range e.peers {
		p.sender.SetConfig(hash)
		p.receiver.SetConfig(hash)
		if !told && p.out != nil {
			p.out.tap.Close() // dialled again at once
		}
		for g := range e.cfg.Groups {
			if !e.groups.Active().Has(g) {
				p.receiver.Ask(g)
			}
		}
		kick(p.reply)
	}
	return nil
}

// differs compares two hashes of configuration; 0 is none.
func differs(theirs, ours uint64) bool { return theirs != 0 && ours != 0 && theirs != ours }
