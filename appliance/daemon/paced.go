package daemon

import (
	"time"

	"understudy/garp"
)

// paced are schedules, one for each pace that there is; with a gap between frames one for
// each interface as well.
type paced struct {
	paces     map[garp.Claim]garp.Pace // those of which are not announced as usual
	schedules []paceSchedule
}

type paceSchedule struct {
	paceKey
	*garp.Schedule
}

type paceKey struct {
	pace garp.Pace
	link string // "": any
}

func (p *paced) key(c garp.Claim) (k paceKey) {
	k.pace = p.paces[garp.Claim{Interface: c.Interface, Addr: c.Addr}]
	if k.pace.Gap > 0 {
		k.link = c.Interface
	}
	return k
}

// Announce begins the burst of each, at its pace.
func (p *paced) Announce(now time.Time, claims []garp.Claim) {
	by := map[paceKey][]garp.Claim{}
	var order []paceKey
	for _, c := range claims {
		k := p.key(c)
		if by[k] == nil {
			order = append(order, k)
		}
		by[k] = append(by[k], c)
	}
	for _, k := range order {
		for _, s := range p.schedules {
			if s.paceKey != k {
				s.Withdraw(by[k]) // a reload may have changed its pace
			}
		}
		p.schedule(k).Announce(now, by[k])
	}
}

func (p *paced) schedule(k paceKey) *garp.Schedule {
	for _, s := range p.schedules {
		if s.paceKey == k {
			return s.Schedule
		}
	}
	s := garp.NewSchedule(k.pace.Config())
	p.schedules = append(p.schedules, paceSchedule{k, s})
	return s
}

// Withdraw ends the announcement of the claims.
func (p *paced) Withdraw(claims []garp.Claim) {
	for _, s := range p.schedules {
		s.Withdraw(claims)
	}
}

// Step fills out with what is due.
func (p *paced) Step(now time.Time, out []garp.Claim) (n int) {
	for _, s := range p.schedules {
		n += s.Step(now, out[n:])
	}
	return n
}

// Deadline is when the next one is.
func (p *paced) Deadline() (next time.Time) {
	for _, s := range p.schedules {
		if d := s.Schedule.Deadline(); !d.IsZero() && (next.IsZero() || d.Before(next)) {
			next = d
		}
	}
	return next
}

// repace goes over to other paces: what is announced and has another one now is announced
// anew, by it.
func (a *announcements) repace(now time.Time, paces map[garp.Claim]garp.Pace) {
	var moved []garp.Claim
	before := paced{paces: a.paces}
	a.paces = paces
	for _, of := range []map[string][]garp.Claim{a.held, a.begun} {
		for _, claims := range of {
			for _, c := range claims {
				if before.key(c) != a.key(c) {
					moved = append(moved, c)
				}
			}
		}
	}
	a.Announce(now, moved)
	kept := a.schedules[:0]
	for _, s := range a.schedules {
		if s.Len() > 0 {
			kept = append(kept, s)
		}
	}
	a.schedules = kept
}
