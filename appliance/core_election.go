package appliance

import (
	"slices"
	"time"

	"understudy/health"
	"understudy/vrrp"
)

// onAttached takes over the election's view: a restarted daemon finds its groups
// Active and goes on holding them. The same is told when a transition could not
// be delivered, so each group is compared with what was known.
func (c *Core) onAttached(now time.Time, ev Attached) {
	if c.near.state != health.Unknown { // of which an election knows nothing but what it is told
		c.near.said = health.Unknown
	}
	for _, s := range ev.Groups {
		if g := c.group(s.Group); g != nil {
			g.told, g.weightTold, g.unfit, g.overlapped = false, false, "", false
			g.inherited = s.State == vrrp.Fault
			c.become(now, g, s, CauseAttached, !c.met)
			if g.State != vrrp.Initialize {
				c.joined = true
				c.boot = time.Time{} // it is us who restarted, not the box: the election waits for us
			}
			if g.Active() && !g.Leaving && g.handOver != nil && g.handOver.began {
				c.do(ElectHandOver{Group: g.Name}) // the election that was told is dead
			}
		}
	}
	c.met = true
	c.hold()
}

func (c *Core) onTransition(now time.Time, ev Transition) {
	g := c.group(ev.Group)
	if g == nil { // one that a reload has just taken away, or brings in a moment
		c.early = append(slices.DeleteFunc(c.early, func(e Transition) bool { return e.Group == ev.Group }), ev)
		return
	}
	was := *g
	c.become(now, g, ev.GroupState, ev.Cause, false)
	if g.Active() != was.Active() || g.Active() && g.Term != was.Term {
		c.hold()
	}
}

// onFenced: the identity is out of service already, whatever follows.
func (c *Core) onFenced(now time.Time, ev Fenced) {
	if g := c.group(ev.Group); g != nil && g.Active() {
		c.become(now, g, GroupState{Group: g.Name, State: vrrp.Initialize, Term: g.Term}, CauseFenced, false)
	}
	c.hold()
}

// become moves a group to what the election says of it. known: it may have been so
// before us, and its programs may know.
func (c *Core) become(now time.Time, g *group, s GroupState, cause string, known bool) {
	was, state := g.Active(), g.State
	g.GroupState = s
	if s.State != state {
		c.newsOf(g, cause, known)
	}
	g.inherited = g.inherited && s.State == vrrp.Fault
	switch {
	case !was && g.Active():
		g.announced, g.overlapped = false, false
		c.unknown = now.Add(unknownGrace)
		if !known { // else the addresses are there, and must not go
			c.prepare(now, g, cause)
		}
	case was && !g.Active():
		c.letGo(now, g)
	}
}

// letGo ends what was going on while the group was Active here.
func (c *Core) letGo(now time.Time, g *group) {
	g.preparing = time.Time{}
	if g.announced {
		g.announced = false
		c.do(Withdraw{Group: g.Name})
	}
	if h := g.handOver; h != nil {
		g.handOver = nil
		c.reply(h, nil)
	}
	// What the other box now owns has to be learned from it again.
	c.preempt = now.Add(syncBound)
}

// onElectionLost: without an election process nothing announces us. Either a new
// one resumes before the peer notices, or we let go first and start as Backup:
// never serve while another box may.
func (c *Core) onElectionLost(now time.Time, ev ElectionLost) {
	c.resume = nil
	lost := false
	for _, g := range c.groups {
		if i := slices.IndexFunc(ev.Resume, func(s GroupState) bool { return s.Group == g.Name }); i >= 0 && g.Active() {
			c.resume = append(c.resume, ev.Resume[i])
			continue
		}
		lost = lost || g.Active()
		c.become(now, g, GroupState{Group: g.Name, State: vrrp.Initialize, Term: g.Term}, CauseElectionLost, false)
	}
	if !lost {
		c.respawnElection()
		return
	}
	c.respawn = true
	c.hold()
}

// respawnElection starts a new election, which has to be told again that we are
// ready. One that was never told says nothing until it is, so what makes us ready
// must not wait for it.
func (c *Core) respawnElection() {
	c.respawn = false
	c.applied = false // it attaches, and what it says is applied first
	c.do(ElectRespawn{Resume: c.resume})
	if !c.electable {
		c.hold()
	}
	c.electable = false
}

func (c *Core) active() (out []GroupState) {
	for _, g := range c.groups {
		if g.Active() {
			out = append(out, g.GroupState)
		}
	}
	return out
}

// onTermHeard: a term above that of a group that is Active here means that another
// box was Active as well and has given way. The neighbours may have learned the
// addresses from it.
func (c *Core) onTermHeard(ev TermHeard) {
	g := c.group(ev.Group)
	if g == nil || ev.Term <= g.Term {
		return
	}
	c.do(ElectTerm(ev))
	c.announceAgain(g)
}

// onApplied hears what the holder lane achieved.
func (c *Core) onApplied(now time.Time, ev Applied) {
	// What was put back counts even if a newer Want is on its way: that one finds
	// nothing to put back.
	for _, name := range ev.Restored {
		if g := c.group(name); g != nil {
			g.restored = true
		}
	}
	for name, n := range ev.PutBack {
		if g := c.group(name); g != nil {
			g.putBack += n
		}
	}
	if ev.Gen != c.gen {
		return
	}
	c.onRoutes(now, ev)
	for _, g := range c.groups {
		err := ev.Failed[g.Name]
		g.placed = err == nil || !g.Active()
		if err != nil {
			c.onFailed(now, g, err)
		} else {
			c.onHeld(g)
		}
	}
	if err := ev.Failed[""]; err != nil {
		c.alarms.raise(now, AlarmApplyFailed, err.Error())
		c.retry = now.Add(faultRetry)
	}
	c.onStatic(now, ev)
	if len(ev.Failed) > 0 {
		return
	}
	if !c.faulted() && ev.Static == nil {
		c.alarms.clear(AlarmApplyFailed)
	}
	c.applied = true
	if c.respawn {
		c.respawnElection()
	}
	if !c.stopping.IsZero() && len(c.active()) == 0 {
		c.stopping = time.Time{}
		c.finish()
	}
}

// begin lets the election begin: everything an Active needs is in place, and so
// are the peer's sessions and the first word of what could put us in fault, or
// they have been waited for long enough.
func (c *Core) begin() {
	if c.applied && !c.electable && c.boot.IsZero() && !c.awaitsWord() {
		c.electable = true
		c.do(ElectReady{})
	}
}

func (c *Core) faulted() bool {
	for _, g := range c.groups {
		if !g.fault.IsZero() {
			return true
		}
	}
	return false
}

func (c *Core) onHeld(g *group) {
	again := g.restored
	g.restored = false
	if g.serves() && !g.Leaving && (!g.announced || again) {
		g.announced = true
		g.faultPause = 0
		c.do(Announce{Group: g.Name, Addresses: g.Identity.Addresses})
	}
}

// onFailed: a box that cannot hold the identity must not claim it.
func (c *Core) onFailed(now time.Time, g *group, err error) {
	c.alarms.raise(now, AlarmApplyFailed, "group "+g.Name+": "+err.Error())
	if !g.Active() {
		c.retry = now.Add(faultRetry)
		return
	}
	if g.announced { // it is not in place, or will not be for long
		g.announced = false
		c.do(Withdraw{Group: g.Name})
	}
	g.faultPause = min(max(2*g.faultPause, faultRetry), faultRetryMax)
	g.fault = now.Add(g.faultPause)
}
