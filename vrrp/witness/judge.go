package witness

import (
	"time"

	"understudy/vrrp"
)

// judging is when what is known was last looked at, and what came of it.
type judging struct {
	judgeAt  time.Time // zero: nothing to look at
	judged   time.Time
	stale    bool // findings are not what is so
	sight    uint64
	findings []Finding
	again    []string
}

// contest is something that should pass by itself.
type contest struct {
	since time.Time // zero: it is not so
	on    bool      // it does not pass
}

// set notes whether it is so. It tells whether a finding begins or ends.
func (c *contest) set(now time.Time, is bool, patience time.Duration) bool {
	if !is {
		was := c.on
		*c = contest{}
		return was
	}
	if c.since.IsZero() {
		c.since = now
	}
	if c.on || now.Sub(c.since) < patience {
		return false
	}
	c.on = true
	return true
}

// judgePause is the least time between two looks.
const judgePause = 50 * time.Millisecond

// wake has everything looked at soon.
func (g *Guard) wake(now time.Time) {
	at := g.judged.Add(judgePause)
	if at.Before(now) {
		at = now
	}
	if g.judgeAt.IsZero() || at.Before(g.judgeAt) {
		g.judgeAt = at
	}
}

// Judge looks at everything, if it is time to. changed tells that Findings are others than before. again lists the
// groups whose addresses are to be announced again: somebody else was Active for a moment, or until now, and may have
// told the neighbours otherwise.
func (g *Guard) Judge(now time.Time, set *vrrp.Set) (changed bool, again []string) {
	g.again = g.again[:0]
	if g.cfg.Mode == ModeOff {
		g.judgeAt = time.Time{}
		changed = len(g.findings) > 0
		g.findings = nil
		return changed, nil
	}
	if !g.stale && (g.judgeAt.IsZero() || now.Before(g.judgeAt)) {
		return false, nil
	}
	g.judged, g.judgeAt = now, time.Time{}
	if g.sends() {
		g.judgeAt = now.Add(max(g.every, judgePause))
	}
	flipped := g.stale
	g.stale = false
	sight := uint64(14695981039346656037)
	for i := range g.groups {
		flipped = g.judgeGroup(now, set, i, &sight) || flipped
	}
	for _, p := range g.peers {
		if p.since.IsZero() {
			p.since = now
		}
		silent := g.sends() && g.cfg.Mode == ModeHold && now.Sub(later(p.heard, p.since)) > p.lasts()
		flipped = p.silent.set(now, silent, 0) || flipped
	}
	if !flipped && sight == g.sight {
		return false, g.again
	}
	g.sight = sight
	g.findings = g.find(now, set)
	return true, g.again
}

// lasts is how long what a peer said counts for findings.
func (p *peer) lasts() time.Duration { return max(remembered, 5*p.interval) }

func (g *Guard) judgeGroup(now time.Time, set *vrrp.Set, i int, sight *uint64) (flipped bool) {
	ours := &g.groups[i]
	view := set.Group(i)
	active := view.State == vrrp.Active && !view.Leaving
	contested := false
	for _, p := range g.peers {
		w := &p.groups[i]
		alive := !w.at.IsZero() && now.Sub(w.at) < p.lasts()
		theirs := alive && w.state == vrrp.Active && !w.leaving
		both := active && theirs && w.answered
		flipped = w.both.set(now, both, 2*max(g.every, p.interval, g.longest(i))) || flipped
		contested = contested || both && g.wins(set, p, i)
		// It has been Active since we are, and nobody told us.
		if active && alive && w.term > max(view.Term, w.above) {
			w.above, ours.owed = w.term, true
		}
		for _, r := range ours.members {
			c := &p.routers[r]
			hears := g.routers[r].hears(now, c.source)
			patience := g.down(set, r)
			flipped = c.unheard.set(now, theirs && view.State == vrrp.Backup && !hears, patience) || flipped
			flipped = c.deaf.set(now, alive && active && w.state == vrrp.Backup && !c.hears, patience) || flipped
			flipped = c.refusing.set(now, alive && active && c.refuses != vrrp.ReasonNone, patience) || flipped
			if w.both.on || c.unheard.on || c.deaf.on {
				mix(sight, hears, c.hears, view.Held)
			}
		}
	}
	for _, r := range ours.members {
		f, c := g.judgeRouter(now, set, r, active)
		flipped, contested = flipped || f, contested || c
	}
	g.reclaim(now, ours, active, contested)
	return flipped
}

func mix(into *uint64, facts ...bool) {
	for _, f := range facts {
		bit := uint64(2)
		if f {
			bit = 3
		}
		*into = (*into ^ bit) * 1099511628211
	}
}

// longest is the longest interval in a group.
func (g *Guard) longest(i int) (d time.Duration) {
	for _, r := range g.groups[i].members {
		d = max(d, g.routers[r].interval)
	}
	return d
}

// down is how long a router waits for an advert.
func (g *Guard) down(set *vrrp.Set, i int) time.Duration {
	v := set.Router(i)
	return vrrp.ActiveDown(g.routers[i].version, v.Priority, max(g.routers[i].interval, v.Learned))
}

// judgeRouter looks at what came in on one router. contested: somebody else's adverts came while we were Active.
func (g *Guard) judgeRouter(now time.Time, set *vrrp.Set, i int, active bool) (flipped, contested bool) {
	r := &g.routers[i]
	down := g.down(set, i)
	lower, forms := false, [2]bool{}
	for k := range r.rivals {
		v := &r.rivals[k]
		if v.src.IsValid() && v.version == 3 && v.src.Is4() && now.Sub(v.heard) < v.lasts() {
			forms[v.form] = true
		}
		switch {
		case v.first.IsZero():
		case !active || now.Sub(v.last) >= v.lasts():
			v.first, v.last = time.Time{}, time.Time{}
		default:
			contested = true
			lower = lower || v.last.Sub(v.first) >= down
		}
	}
	own := set.Router(i).Form
	f := &r.refused
	refusing := active && f.count >= 2 && f.last.Sub(f.first) >= down && now.Sub(f.last) < f.lasts(r)
	// A rival that goes on though we send in another form may be one that refuses ours.
	mixed := r.auto && forms[vrrp.FormMessage] && forms[vrrp.FormPseudo] || lower && forms[1-own] && !r.auto
	flipped = r.lower.set(now, lower, 0)
	flipped = r.incompatible.set(now, refusing, 0) || flipped
	flipped = r.forms.set(now, mixed, 0) || flipped
	if contested || f.count > 0 && now.Sub(f.last) < f.lasts(r) || r.forms.on {
		g.wake(now)
	}
	return flipped, contested
}

// reclaimPause is the least time between two new announcements of a group: a rival must not make us storm.
const reclaimPause = time.Second

// wins tells whether the order of RFC 9568 is for us. As everywhere, the anchor decides for its group.
func (g *Guard) wins(set *vrrp.Set, p *peer, group int) bool {
	anchor := g.groups[group].members[0]
	own, c := set.Router(anchor), &p.routers[anchor]
	if own.Priority != c.priority {
		return own.Priority > c.priority
	}
	return own.Source.Compare(c.source) > 0
}

// reclaim has a group's addresses announced again when somebody else turns out to be Active as well, and when that is
// over.
func (g *Guard) reclaim(now time.Time, ours *group, active, contested bool) {
	was := !ours.contest.since.IsZero()
	ours.contest.set(now, contested, 0)
	switch {
	case !active:
		ours.owed = false
	case contested != was:
		ours.owed = true
	}
	if !ours.owed {
		return
	}
	if now.Sub(ours.told) < reclaimPause {
		g.wake(now)
		return
	}
	ours.told, ours.owed = now, false
	g.again = append(g.again, ours.name)
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
