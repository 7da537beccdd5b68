package appliance

import (
	"time"
)

func (c *Core) onSynced(now time.Time, ev Synced) {
	if c.sync.InSync && !ev.InSync {
		c.preempt = now.Add(syncBound)
	}
	c.lack(now, ev.Incomplete)
	c.sync = ev
	if ev.InSync {
		c.boot = time.Time{}
	}
	c.alarms.set(now, AlarmNoPeer, !ev.Connected, "no session link to any peer: a crash now loses every flow")
	late := "the peer's sessions are not all here yet"
	if ev.NotReady != "" {
		late = "not ready for the peer's sessions: this kernel lacks " + ev.NotReady
	}
	c.alarms.set(now, AlarmNotInSync, ev.Connected && !ev.InSync, late)
	c.alarms.set(now, AlarmLag, ev.Connected && ev.Lag > lagAlarm, "the peer is behind by more than a second of sessions, beside what the mode allows")
}

// lack keeps segments of unknown connections from being answered with a reset
// while their sessions may still come.
func (c *Core) lack(now time.Time, on bool) {
	switch was := c.sync.Incomplete; {
	case on && !was:
		c.lacking = now.Add(lackBound)
	case !on && !c.lacking.IsZero():
		c.lacking = time.Time{}
	default:
		return
	}
	if c.unknown.IsZero() {
		c.hold()
	}
}

// tellEligible lets the election know, when it changes, whether a group may
// preempt: a box that does not have the sessions yet leaves a live Active alone,
// but only for a bounded time, and it says so.
func (c *Core) tellEligible() {
	for _, g := range c.groups {
		ok, reason := true, ""
		switch {
		case c.cfg.Sessions && !c.sync.InSync && !c.preempt.IsZero():
			ok, reason = false, "not-in-sync"
		case g.effect.Unknown && !c.words.IsZero():
			ok, reason = false, "not-checked"
		}
		if g.Active() || (g.told && g.eligible == ok) {
			continue
		}
		g.told, g.eligible = true, ok
		c.do(ElectEligible{Group: g.Name, OK: ok, Reason: reason})
	}
}

// tellOverlap lets the election know, when it changes, whether a group that is Active
// may serve for a moment beside a better Active that it hears: while it does serve,
// and a peer has all of our sessions and is not Active itself, that can only be the
// peer, which preempts and needs that moment to put its addresses in place. One that says that it is Active
// too has been so all along: when a split has healed there is nothing to bridge, and
// whoever is worse goes at once.
func (c *Core) tellOverlap() {
	for _, g := range c.groups {
		ok := g.announced && c.cfg.Sessions && c.sync.Connected && c.sync.Covered && c.sync.Lag <= lagAlarm && !g.claimed
		if !g.Active() || g.overlap == ok && (g.overlapped || !ok) {
			continue
		}
		g.overlapped, g.overlap = true, ok
		c.do(ElectOverlap{Group: g.Name, OK: ok})
	}
}
