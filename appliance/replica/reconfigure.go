package replica

import (
	"fmt"
	"reflect"
	"time"

	"understudy/nat/session"
)

// Reconfigure changes, while flows go on, which addresses and networks the groups
// have, which flows are replicated, how and where, and the hash of what must be the same
// on all nodes: Groups, Inside, Routed, Bound, Classes, Knobs, Cold, Journal.When and Hash
// of c; the rest of it does not matter. The groups themselves stay: others than those of
// Open are an error, and nothing has changed then.
//
// The owner finds by a dump which flows belong to it now; a standby asks for
// them, unless all is as it was. Peers are told the new hash by new connections.
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
	same := reflect.DeepEqual(flowsOf(&c), e.flows)
	e.flows = flowsOf(&c)
	e.scope.Set(c.scopeOf(e.scope.Own))
	e.comeOfAge(now, true)
	if c.Knobs.Dump && !e.knobs().Dump {
		e.compared = now // up to here events have told
	}
	e.cfg.Classes, e.cfg.Knobs = c.Classes, c.Knobs
	err := e.turn()
	if err != nil {
		e.flows = Config{} // the next one tries again
	}
	e.setCold(now, c.Cold)
	e.young = session.NewNursery(c.Classes)
	e.reconcile, e.anew = now, true // a dump that has begun already is not enough
	kick(e.dump)
	told := hash == e.cfg.Hash
	e.cfg.Hash = hash
	e.cfg.Journal.When = c.Journal.When
	if !told {
		e.forgetRestored(now, e.groups.All())
		e.disk.book.Renew() // it is refused with another hash
	}
	for _, p := range e.peers {
		p.sender.SetConfig(hash)
		p.receiver.SetConfig(hash)
		if !told && p.out != nil {
			p.out.tap.Close() // dialled again at once
		}
		for g := range e.cfg.Groups {
			if !same && !e.groups.Active().Has(g) {
				p.receiver.Ask(g)
			}
		}
		kick(p.reply)
	}
	return err
}

// setCold takes peers' sessions from the kernel's future, or gives them to it. What it
// has it keeps. Held: e.mu.
func (e *Engine) setCold(now time.Time, on bool) {
	was := e.cfg.Cold
	e.cfg.Cold = on
	e.table.SetCold(e.cold())
	if !was || on {
		return
	}
	e.table.Each(e.groups.All()&^(e.groups.Active()|e.taking), func(s session.Slot) bool {
		if !e.table.Installed(s) {
			e.table.Offer(s, now)
		}
		return true
	})
	kick(e.install)
}

// flowsOf is the part of a configuration that Reconfigure can change.
func flowsOf(c *Config) Config {
	return Config{Groups: c.Groups, Inside: c.Inside, Routed: c.Routed, Bound: c.Bound, Classes: c.Classes,
		Knobs: c.Knobs, Cold: c.Cold, Hash: c.Hash}
}

// differs compares two hashes of configuration; 0 is none.
func differs(theirs, ours uint64) bool { return theirs != 0 && ours != 0 && theirs != ours }
