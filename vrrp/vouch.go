package vrrp

import (
	"net/netip"
	"time"
)

// A claim is what a peer says, by another way than an advert, of a router that it is Active for. It stands in for the
// advert that should have come, and is weighed by the same order (RFC 9568, 6.4.2 and 6.4.3).
type Claim struct {
	Router   int // index in the configuration's Routers
	Priority uint8
	Source   netip.Addr // that its adverts come from
}

// hold is how a group stands with takeovers that are put off because a peer vouches for itself. It deviates from
// 6.4.2 in that a group whose every Active_Down_Timer ran out stays Backup; HoldLimit bounds the sum of that, from one
// advert heard to the next.
type hold struct {
	vouched []word        // by peer: its last one
	beat    time.Duration // interval of the heartbeats heard last
	excuse  time.Time     // we were late ourselves, and wait until then for another word; once
	since   time.Time     // the takeover is being put off; zero: it is not
	ends    time.Time     // when to look again at it
	before  time.Duration
	spent   bool // all of HoldLimit: from now on by the RFC alone, until an advert is heard
}

// word is until when what a peer said last counts: with those that it outranks, and with those that do not preempt.
type word struct{ rank, meek time.Time }

// onVouch takes a peer's word. A word that is fresh counts for two of the peer's heartbeats and one Skew_Time: in a
// crash heartbeats end with the adverts, and then the last of them is older when the timer runs out.
func (s *Set) onVouch(now time.Time, g *group, in SetInput) {
	if s.cfg.HoldLimit <= 0 || in.Peer < 0 || in.Peer >= maxPeers {
		return
	}
	for len(g.wait.vouched) <= in.Peer {
		g.wait.vouched = append(g.wait.vouched, word{})
	}
	vouched := &g.wait.vouched[in.Peer]
	if !in.On {
		*vouched, g.wait.excuse = word{}, time.Time{}
		if g.state == Active && g.vouchedUntil(now).IsZero() {
			g.wait.over() // nobody else is Active: the next silence is another one
		}
		s.settle(now, g)
		return
	}
	*vouched = word{} // the newest one counts: it may have come down in the world
	for _, c := range in.Claims {
		if r := s.member(g, c.Router); r != nil && !r.isSelf(c) {
			until := in.Rx.Add(2*in.Interval + r.m.skew())
			if r.ranksBelow(c) {
				vouched.rank = later(vouched.rank, until)
			}
			vouched.meek = later(vouched.meek, until)
		}
	}
	until := vouched.until(g.meek(now))
	if until.After(now) {
		g.wait.beat, g.wait.excuse = in.Interval, time.Time{}
	}
	s.weighAgain(now, g)
	if g.state == Active && in.Known && g.leaveUntil.IsZero() && !g.wait.spent && until.After(now) && s.outclaimed(g, in.Claims) {
		s.stepAside(now, g)
	}
}

// maxPeers bounds what is kept for them.
const maxPeers = 64

func (s *Set) member(g *group, i int) *router {
	if i < 0 || i >= len(s.routers) || s.routers[i].group != g {
		return nil
	}
	return s.routers[i]
}

// isSelf tells whether the claim is for adverts with our own address.
func (r *router) isSelf(c Claim) bool { return c.Source.WithZone("") == r.m.cfg.Source }

// ranksBelow tells whether an advert that said the same would keep a router that preempts Backup, or make it so.
func (r *router) ranksBelow(c Claim) bool {
	if r.m.State() == Active {
		return r.m.outranked(Input{Priority: c.Priority, Source: c.Source})
	}
	return c.Priority >= r.m.cfg.Priority
}

// meek tells whether a member would leave a worse Active alone.
func (g *group) meek(now time.Time) bool {
	for _, r := range g.members {
		if r.m.State() != Active && !r.m.preempts(now) {
			return true
		}
	}
	return false
}

func (w word) until(meek bool) time.Time {
	if meek {
		return later(w.rank, w.meek)
	}
	return w.rank
}

// outclaimed tells whether the anchor would yield: as with adverts it decides for its group, because the addresses may
// order two nodes differently on each segment.
func (s *Set) outclaimed(g *group, claims []Claim) bool {
	for _, c := range claims {
		if s.member(g, c.Router) == g.members[0] {
			return g.members[0].m.outranked(Input{Priority: c.Priority, Source: c.Source})
		}
	}
	return false
}

// stepAside takes an Active group to Backup because a better Active is there, though its adverts are not. Without
// priority 0: that would tell a third node to take over.
func (s *Set) stepAside(now time.Time, g *group) {
	s.op(Op{Kind: OpGateClose, Group: g.name})
	for _, r := range g.members {
		s.step(now, r, Input{Event: EventYield})
	}
	s.transition(now, g, Backup, string(CauseWitness))
}

// held tells whether a takeover that is due is put off. Never after priority 0: then nobody is Active.
func (s *Set) held(now time.Time, g *group) bool {
	h := &g.wait
	// Who was late for its own timer may have slept past heartbeats too: as with adverts, it waits once more.
	if until := g.vouchedUntil(now); !h.since.IsZero() && h.excuse.IsZero() && now.Sub(until) > h.beat && !until.IsZero() {
		h.excuse = now.Add(h.beat + g.members[0].m.skew())
	}
	if s.cfg.HoldLimit <= 0 || h.spent || g.released() || !now.Before(g.vouchedUntil(now)) {
		h.end(now)
		return false
	}
	if h.since.IsZero() {
		h.since = now
		s.announce(now, g, Backup, CauseHeld)
	}
	if !now.Before(h.limit(s.cfg.HoldLimit)) {
		h.end(now)
		h.spent = true
		return false
	}
	h.ends = g.vouchedUntil(now)
	if l := h.limit(s.cfg.HoldLimit); l.Before(h.ends) {
		h.ends = l
	}
	return true
}

// limit is when all that a hold may take is used up.
func (h *hold) limit(limit time.Duration) time.Time { return h.since.Add(limit - h.before) }

func (h *hold) end(now time.Time) {
	if !h.since.IsZero() {
		h.before += now.Sub(h.since)
		h.since, h.ends = time.Time{}, time.Time{}
	}
}

// weighAgain looks at a takeover that is put off when what we are has changed: a word that was given to a group that
// was not eligible, or had a lower priority, does not bind it.
func (s *Set) weighAgain(now time.Time, g *group) {
	if !g.wait.since.IsZero() {
		s.settle(now, g)
	}
}

// over begins anew: an advert was heard, or nobody claims anything any more.
func (h *hold) over() {
	h.since, h.ends, h.excuse, h.before, h.spent = time.Time{}, time.Time{}, time.Time{}, 0, false
}

// vouchedUntil is by what we are now: a group that has become eligible, or better, is not bound by a word that was
// given to what it was.
func (g *group) vouchedUntil(now time.Time) (until time.Time) {
	until = g.wait.excuse
	meek := g.meek(now)
	for _, w := range g.wait.vouched {
		until = later(until, w.until(meek))
	}
	return until
}

// released tells whether the timer of a member ran out after a priority 0.
func (g *group) released() bool {
	for _, r := range g.members {
		if r.m.onSkew {
			return true
		}
	}
	return false
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
