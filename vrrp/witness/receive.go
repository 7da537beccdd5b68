package witness

import (
	"time"

	"understudy/vrrp"
)

// Receive takes a heartbeat that reached the kernel at rx. What it says of groups is then in Said and Vouch. Every
// refusal is counted.
func (g *Guard) Receive(now, rx time.Time, packet []byte) Reason {
	g.said = g.said[:0]
	p, reason := g.open(packet)
	if p == nil {
		g.drops[reason]++
		return reason
	}
	proven := false
	if reason == ReasonNone {
		proven, reason = p.admit(now, g.incarnation, g.every, &g.beat)
	}
	switch {
	case reason != ReasonNone:
		p.drops[reason]++
	case proven:
		p.received++
		g.note(p, rx)
	default:
		p.received++
		p.unproven++
	}
	return reason
}

// open finds the sender and has it proven that it is the one. nil: it is nobody we know.
func (g *Guard) open(packet []byte) (*peer, Reason) {
	h := &g.beat
	if reason := h.ParseHeader(packet); reason != ReasonNone {
		return nil, reason
	}
	if string(h.From) == g.cfg.Node {
		return nil, ReasonOwn
	}
	var p *peer
	for _, known := range g.peers {
		if string(h.From) == known.Name {
			p = known
		}
	}
	switch {
	case p == nil:
		return nil, ReasonStranger
	case string(h.To) != g.cfg.Node:
		return p, ReasonDestination
	}
	for _, c := range p.codes {
		if c.fits(h.sealed) {
			return p, h.ParseRecords()
		}
	}
	return p, ReasonCode
}

// admit judges the heartbeat's place in time. It is proven if it was said just now, and not before: it repeats one of
// ours. If it does not, all that comes of it is our answer.
func (p *peer) admit(now time.Time, incarnation uint64, every time.Duration, h *Beat) (proven bool, _ Reason) {
	proven = h.EchoOf == incarnation && p.wrote(now, h.Echo, every)
	switch {
	case h.Incarnation == p.incarnation:
		if h.Sequence <= p.last {
			return false, p.again(p.last - h.Sequence)
		}
		p.last = h.Sequence
	case proven:
		p.incarnation, p.last = h.Incarnation, h.Sequence
	case p.incarnation != 0 && now.Sub(p.heard) < 2*p.interval+every:
		// Another life, or a recording of an old one. It is not answered while the one that we know goes on.
		return false, ReasonNone
	case h.Incarnation == p.candidate && h.Sequence <= p.candidacy:
		return false, p.again(p.candidacy - h.Sequence)
	default:
		p.candidate, p.candidacy = h.Incarnation, h.Sequence
		return false, ReasonNone
	}
	if proven {
		p.candidate, p.candidacy = 0, 0
	}
	return proven, ReasonNone
}

// again says what it is when a heartbeat comes that is so many numbers behind the last
// one: over several paths each one comes several times, and not all are as fast.
func (p *peer) again(behind uint64) Reason {
	if len(p.Also) > 0 && behind < proofs {
		return ReasonDuplicate
	}
	return ReasonReplay
}

// wrote tells whether we sent it a heartbeat of that number lately.
func (p *peer) wrote(now time.Time, sequence uint64, every time.Duration) bool {
	if sequence == 0 || sequence > p.sequence || p.sequence-sequence >= proofs {
		return false
	}
	return now.Sub(p.sent[sequence%proofs]) <= max(proofAge, 4*every)
}

// note keeps what the heartbeat says.
func (g *Guard) note(p *peer, rx time.Time) {
	h := &g.beat
	p.heard, p.interval, p.neighbour = rx, h.Interval, h.Neighbour
	for i := range h.Groups {
		said := &h.Groups[i]
		k, ours := g.byName[string(said.Name)]
		if !ours {
			g.said = append(g.said, -1)
			continue
		}
		g.said = append(g.said, k)
		w := &p.groups[k]
		w.at, w.state, w.leaving, w.term = rx, said.State, said.Leaving, said.Term
		w.answered = w.asActive != 0 && h.Echo >= w.asActive
		for _, r := range h.Routers(said) {
			k, ours := g.byID[r.ID]
			if !ours {
				continue
			}
			c := &p.routers[k]
			c.at, c.source, c.priority, c.hears, c.refuses, c.form = rx, r.Source, r.Priority, r.Hears, r.Refuses, r.Form
			c.ifLen = uint8(copy(c.iface[:], r.Interface))
		}
	}
}

// Said is how many groups the heartbeat received last speaks of, if it may be believed.
func (g *Guard) Said() int { return len(g.said) }

// Term is a term of one of them that [vrrp.Set] has not heard of; false: there is none. What was Active while nothing
// but the heartbeats came through is known by it.
func (g *Guard) Term(i int, set *vrrp.Set) (group int, term uint64, news bool) {
	group = g.said[i]
	if group < 0 {
		return 0, 0, false
	}
	term = g.beat.Groups[i].Term
	return group, term, term > set.Group(group).Highest
}

// Vouch is what [vrrp.Set] is to be told of one of them; false: nothing. The next call uses the same claims.
func (g *Guard) Vouch(i int) (vrrp.SetInput, bool) {
	k := g.said[i]
	if k < 0 || g.cfg.Mode != ModeHold {
		return vrrp.SetInput{}, false
	}
	h := &g.beat
	said := &h.Groups[i]
	index, p := g.sender()
	if p == nil {
		return vrrp.SetInput{}, false
	}
	in := vrrp.SetInput{Kind: vrrp.InVouch, Group: g.groups[k].name, Peer: index, Rx: p.heard, Interval: p.interval,
		On: said.State == vrrp.Active && !said.Leaving && h.Neighbour == NeighbourUp, Known: p.groups[k].answered}
	if !in.On {
		return in, true
	}
	g.claim = g.claim[:0]
	for _, r := range h.Routers(said) {
		if k, ours := g.byID[r.ID]; ours {
			g.claim = append(g.claim, vrrp.Claim{Router: k, Priority: r.Priority, Source: r.Source})
		}
	}
	in.Claims = g.claim
	return in, true
}

// sender is who sent the heartbeat received last.
func (g *Guard) sender() (int, *peer) {
	for i, p := range g.peers {
		if string(g.beat.From) == p.Name {
			return i, p
		}
	}
	return 0, nil
}
