package witness

import (
	"time"

	"understudy/vrrp"
)

// MaxBeats is how many heartbeats one peer is sent at a time. With more routers than they hold, the rest has its turn
// the next time.
const MaxBeats = 8

// Due tells whether heartbeats are to be sent. If so, it counts the time of the next from the time of this one: being
// late must not add up.
func (g *Guard) Due(now time.Time) bool {
	if !g.sends() || now.Before(g.next) {
		return false
	}
	g.next = g.next.Add(g.every)
	if !g.next.After(now) {
		g.next = now.Add(g.every)
	}
	return true
}

// Stir has heartbeats sent at once: a group has changed its state.
func (g *Guard) Stir(now time.Time) {
	if g.sends() {
		g.next = now
	}
	g.wake(now)
}

// Append appends the next heartbeat for a peer to dst. more tells that it does not hold everything; the rest is in the
// next.
func (g *Guard) Append(now time.Time, to int, set *vrrp.Set, dst []byte) (packet []byte, more bool) {
	p := g.peers[to]
	p.sequence++
	p.sent[p.sequence%proofs] = now
	h := &g.beat
	*h = Beat{Groups: h.Groups[:0], routers: h.routers[:0], Incarnation: g.incarnation, Sequence: p.sequence,
		EchoOf: p.incarnation, Echo: p.last, Interval: g.every, Neighbour: g.neighbour}
	if p.candidate != 0 {
		h.EchoOf, h.Echo = p.candidate, p.candidacy
	}
	b := appendHeader(dst, h)
	b = appendNames(b, g.cfg.Node, p.Name)
	room := len(dst) + MaxSize - codeSize
	for ; p.group < len(g.groups); p.group, p.from = p.group+1, 0 {
		if b, more = g.appendMembers(now, p, set, b, room); more {
			return seal(b, len(dst), g.code), true
		}
	}
	p.group, p.from = 0, 0
	return seal(b, len(dst), g.code), false
}

// appendMembers appends a group with as many of its routers as there is room for; more: not with all of them.
func (g *Guard) appendMembers(now time.Time, p *peer, set *vrrp.Set, b []byte, room int) (_ []byte, more bool) {
	const largest = recordSize + routerSize + 16 + maxIfName
	ours := &g.groups[p.group]
	if len(b)+recordSize+groupSize+len(ours.name)+largest > room {
		return b, true
	}
	v := set.Group(p.group)
	b = appendGroup(b, &Group{State: v.State, Leaving: v.Leaving, Term: v.Term}, ours.name)
	w := &p.groups[p.group]
	switch {
	case v.State != vrrp.Active || v.Leaving:
		w.asActive, w.answered = 0, false
	case w.asActive == 0:
		w.asActive = p.sequence
	}
	for ; p.from < len(ours.members); p.from++ {
		if len(b)+largest > room {
			return b, true
		}
		b = g.appendOwn(now, p, set, b, ours.members[p.from])
	}
	return b, false
}

func (g *Guard) appendOwn(now time.Time, p *peer, set *vrrp.Set, b []byte, i int) []byte {
	r, theirs, v := &g.routers[i], &p.routers[i], set.Router(i)
	out := Router{ID: r.id, VRID: r.vrid, Version: r.version, Priority: v.Priority, Form: v.Form, Interval: r.interval,
		Source: v.Source, Hears: r.hears(now, theirs.source)}
	if f := &r.refused; f.src == theirs.source && f.src.IsValid() && now.Sub(f.last) < f.lasts(r) {
		out.Refuses = f.reason
	}
	return appendRouter(b, &out, r.iface)
}
