package replica

import (
	"time"
)

// A node may become Active before it has the sessions of the last owner: it has
// just started, or the link between them is cut. It serves with what it has, but
// what it lacks must not be swept elsewhere. So its full transfers wait until it
// has asked those that can be reached for what they kept of the group.

// Bounds of a salvage.
const (
	// salvageReach is how long an owner that never had the sessions waits for a
	// link; a connection whose segments find no session may be idle for so long.
	salvageReach = 5 * time.Minute
	// salvageRecent is the same for one that had them all until just before: what
	// has ended here since must not come back.
	salvageRecent = 30 * time.Second
	// caughtUpLasts is how old being in sync may be to count as having had all.
	caughtUpLasts = 10 * time.Second
)

// salvage is how far that is for a group.
type salvage struct {
	on     bool
	had    bool      // all but the last moments of the last owner is here
	until  time.Time // when to stop waiting for a peer to ask
	asked  time.Time // zero, or when the first peer was
	before uint64    // sessions salvaged before this one began

	whole   time.Time // when this node last had all sessions of the group
	claimed time.Time // zero, or since when a peer claims it too
}

// caughtUp tells whether this node, before it becomes Active for group g, has all
// sessions that anybody who can be asked has. Held: e.mu.
func (e *Engine) caughtUp(g int) bool {
	st := e.groups.At(g)
	greeted := 0
	for _, p := range e.peers {
		if p.in == nil || p.receiver.Peer() == nil {
			continue
		}
		greeted++
		if (st.Holder == p.Name || st.Holder == "") && p.receiver.Synced(g) {
			return true
		}
	}
	// Nobody is left to ask, or nobody has ever owned it.
	return greeted == len(e.peers) && st.Term == 0
}

// beginSalvage holds back full transfers of group g, which is Active here, and
// has the peers asked. had: what the last owner had until just before is here.
// Held: e.mu.
func (e *Engine) beginSalvage(now time.Time, g int, had bool) {
	st := e.groups.At(g)
	if !st.Active {
		return
	}
	v := &e.salvages[g]
	if !v.on {
		*v = salvage{on: true, before: e.salvaged(), whole: v.whole, claimed: v.claimed}
		e.groups.SetIncomplete(g, true)
		e.log.Info("the last owner may have sessions that are not here", "group", st.Name)
		e.notify(Change{Kind: SyncChanged, Group: st.Name})
	}
	v.had, v.asked = had, time.Time{}
	if v.until = now.Add(salvageReach); v.had {
		v.until = now.Add(salvageRecent)
	}
}

// hadAll tells whether all sessions of group g were here a moment ago. Held: e.mu.
func (e *Engine) hadAll(now time.Time, g int) bool {
	at := e.salvages[g].whole
	return !at.IsZero() && now.Sub(at) < caughtUpLasts
}

// lacking tells whether sessions of group g may be missing that matter now. What
// was born in the last moments of a dead owner does not: nobody has it. Held:
// e.mu.
func (e *Engine) lacking(g int) bool { return e.salvages[g].on && !e.salvages[g].had }

// salvaged is how many sessions were ever salvaged. Held: e.mu.
func (e *Engine) salvaged() (n uint64) {
	for _, p := range e.peers {
		n += p.receiver.Stats().Kept
	}
	return n
}

// noteWhole notes which groups have all their sessions here: when an activation
// comes, nobody may be there to ask. Held: e.mu.
func (e *Engine) noteWhole(now time.Time) {
	for g := range e.cfg.Groups {
		v := &e.salvages[g]
		if st := e.groups.At(g); st.Active && !v.on || !st.Active && e.caughtUp(g) {
			v.whole = now
		}
	}
}

// watchOwners looks for another node that goes on claiming a group that is
// Active here. Held: e.mu.
func (e *Engine) watchOwners(now time.Time) {
	e.noteWhole(now)
	for g := range e.cfg.Groups {
		v := &e.salvages[g]
		rival := e.rival(now, g)
		switch {
		case !e.owned().Has(g) || rival == nil:
			v.claimed = time.Time{}
		case v.claimed.IsZero():
			v.claimed = now
		case now.Sub(v.claimed) > e.cfg.Late:
			// No hand-over: flows begin on both. One of them will give way.
			rival.receiver.AskAgain(g)
			e.beginSalvage(now, g, false)
		}
	}
}

// meet is when p is heard again, or for the first time. Held: e.mu.
func (e *Engine) meet(now time.Time, p *peer) {
	for g := range e.cfg.Groups {
		e.claimed(now, p, g)
	}
}

// claimed is when p begins or ceases to say that it is Active for group g. If it is Active
// here as well, flows have begun on both while they were apart: p is asked for its own as
// soon as it has let go. What it may have answered before is of no account, as who is
// Active has kept nothing. Held: e.mu.
func (e *Engine) claimed(now time.Time, p *peer, g int) {
	if e.owned().Has(g) && p.receiver.Claims(g) {
		p.receiver.AskAgain(g)
		e.beginSalvage(now, g, false)
	}
}

// cutShort is when the connection of p ends. Of a group that is Active here p has not said
// that it gives it up, so there may have been more to say: it is asked when it is back
// soon. Most often it is dead. Held: e.mu.
func (e *Engine) cutShort(now time.Time, p *peer) {
	for g := range e.cfg.Groups {
		if e.owned().Has(g) && p.receiver.Claims(g) {
			e.beginSalvage(now, g, !e.lacking(g))
		}
	}
}

// rival is a peer that claims group g, and lives: one that has died did until
// then. Held: e.mu.
func (e *Engine) rival(now time.Time, g int) *peer {
	for _, p := range e.peers {
		if p.in != nil && p.receiver.Claims(g) && !p.receiver.Silent(now) {
			return p
		}
	}
	return nil
}

// salvage asks whom it can, and ends what is over. Held: e.mu.
func (e *Engine) salvage(now time.Time) {
	for g := range e.cfg.Groups {
		v := &e.salvages[g]
		if !v.on {
			continue
		}
		st := e.groups.At(g)
		if !st.Active {
			v.on = false
			continue
		}
		told := 0
		for _, p := range e.peers {
			// Our own sessions must be known first, and a rival still has new ones.
			if p.in == nil || p.receiver.Peer() == nil || st.Partial || p.receiver.Claims(g) {
				continue
			}
			if p.receiver.AskKept(g); p.receiver.ToldKept(g) {
				told++
			}
			if kick(p.reply); v.asked.IsZero() {
				v.asked = now
			}
		}
		if told == len(e.peers) || !v.asked.IsZero() && now.Sub(v.asked) > e.cfg.Salvage || v.asked.IsZero() && now.After(v.until) {
			e.endSalvage(now, g)
		}
	}
}

// endSalvage makes the set of group g here the one that counts. Held: e.mu.
func (e *Engine) endSalvage(now time.Time, g int) {
	v := &e.salvages[g]
	v.on, v.whole = false, now
	e.groups.SetIncomplete(g, false)
	e.strict[g] = now.Add(e.cfg.Strict)
	e.announce(now, 1<<uint(g))
	n := e.salvaged() - v.before
	e.log.Info("no more sessions of the last owner are missing", "group", e.groups.At(g).Name, "salvaged", n, "asked", !v.asked.IsZero())
	e.notify(Change{Kind: SyncChanged, Group: e.groups.At(g).Name})
}
