package appliance

import (
	"time"

	"understudy/vrrp"
)

// Causes of what is told of a group that has no cause of the election's.
const (
	CauseAttached     = "attached" // the daemon has come to an election that is under way
	CauseElectionLost = "election-lost"
	CauseFenced       = "fenced"
	CauseReload       = "reload"
	CauseShutdown     = "shutdown"
)

// newsOf notes that a group is in another state. It is told once what belongs to
// that state is in place, so that a program that hears "active" finds the addresses,
// and one that hears "backup" does not; the last state only, if there were several
// until then.
func (c *Core) newsOf(g *group, cause string, known bool) {
	if !g.Notifies {
		return
	}
	g.news, g.hasNews = Notify{Group: g.Name, State: g.State, Term: g.Term, Cause: cause, Known: known}, true
}

// tellNews does so. During a stop only the end is told.
func (c *Core) tellNews() {
	if !c.stopping.IsZero() {
		return
	}
	for _, g := range c.groups {
		if g.Notifies && g.hasNews && g.placed && g.preparing.IsZero() {
			g.hasNews = false
			c.tell(g)
		}
	}
}

func (c *Core) tell(g *group) {
	g.news.Weight = g.effect.Weight
	c.do(g.news)
}

// prepare has the programs run that activation waits for. The gate is shut until
// they have ended, or their time is up.
func (c *Core) prepare(now time.Time, g *group, cause string) {
	if g.Prepare <= 0 || g.Leaving {
		return
	}
	g.preparing = now.Add(g.Prepare)
	c.do(Prepare{Notify: Notify{Group: g.Name, State: g.State, Term: g.Term, Cause: cause, Weight: g.effect.Weight}, Bound: g.Prepare})
}

// onPrepared goes on with an activation. One that is over by now is not meant.
func (c *Core) onPrepared(ev Prepared) {
	if g := c.group(ev.Group); g != nil && g.Active() && g.Term == ev.Term && !g.preparing.IsZero() {
		g.preparing = time.Time{}
		c.hold()
	}
}

// serves tells whether the group is to be served here now.
func (g *group) serves() bool { return g.Active() && g.preparing.IsZero() }

// renews tells again how things are, for what a reload has added. Programs that
// have been told do not run for it.
func (c *Core) renews() {
	for _, g := range c.groups {
		if !g.hasNews && g.State != vrrp.Initialize {
			c.newsOf(g, CauseReload, true)
		}
	}
}

// finish ends the daemon, which is the last that is told.
func (c *Core) finish() {
	for _, g := range c.groups {
		if !g.Notifies || g.State == vrrp.Initialize && !g.hasNews {
			continue
		}
		g.hasNews = false
		g.news = Notify{Group: g.Name, State: vrrp.Initialize, Term: g.Term, Cause: CauseShutdown}
		c.tell(g)
	}
	c.do(ElectStop{})
	c.do(Finish{})
}
