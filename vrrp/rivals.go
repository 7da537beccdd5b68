package vrrp

import (
	"net/netip"
	"time"
)

const (
	// MinApart is how far the Skew_Times of two Backups should lie apart: twice what an advert may take to leave,
	// cross the segment and be read. Closer ones may both take over (RFC 9568, 8.3.2).
	MinApart = 2 * time.Millisecond
	// findingHold is how long the status tells what nothing has confirmed since.
	findingHold = 5 * time.Minute
	// rivalMemory is how long another router counts as one of this VRID though it is silent: a Backup is.
	rivalMemory = 24 * time.Hour
	// maxRivals bounds how many are remembered. A sender who makes up more displaces real ones, nothing else.
	maxRivals = 4
)

// known is another router of the same VRID, as last heard.
type known struct {
	src      netip.Addr
	priority uint8 // never 0
	interval time.Duration
	since    time.Time // with that priority
	heard    time.Time
}

// remember notes who said an advert, unless it is one that gives up.
func (r *router) remember(now time.Time, src netip.Addr, a *Advert) *known {
	if a.Priority == 0 {
		return nil
	}
	k, oldest := (*known)(nil), &r.rivals[0]
	for i := range r.rivals {
		if r.rivals[i].src == src {
			k = &r.rivals[i]
		}
		if r.rivals[i].heard.Before(oldest.heard) {
			oldest = &r.rivals[i]
		}
	}
	if k == nil {
		k = oldest
		*k = known{src: src}
	}
	if k.priority != a.Priority || now.Sub(k.heard) > findingHold {
		k.priority, k.since = a.Priority, now
	}
	k.interval, k.heard = a.Interval, now
	return k
}

// pair is two routers of one VRID.
type pair struct {
	a, b  *known // b nil: ourselves
	apart time.Duration
}

// closest finds two Backups that are too close to each other: neither is the best, so it takes three routers.
// Only pairs with one that was heard within hold are looked at.
func (r *router) closest(now time.Time, hold time.Duration) (p pair, ok bool) {
	own := r.m.cfg.Priority
	best := own
	for i := range r.rivals {
		if k := &r.rivals[i]; k.recent(now, rivalMemory) {
			best = max(best, k.priority)
		}
	}
	ai := r.m.cfg.Interval
	if r.m.state == Backup {
		ai = r.m.learned
	}
	look := func(a, b *known, pb uint8) {
		// Of two equals at the top one is a Backup too, but that is said more plainly (NoticeEqual).
		if a.priority == best || pb == best || b == nil && pb == a.priority {
			return
		}
		apart := skew(r.cfg.Version, a.priority, ai) - skew(r.cfg.Version, pb, ai)
		if apart = max(apart, -apart); apart < MinApart && (!ok || apart < p.apart) {
			p, ok = pair{a, b, apart}, true
		}
	}
	for i := range r.rivals {
		a := &r.rivals[i]
		if !a.recent(now, hold) {
			continue
		}
		look(a, nil, own)
		for j := range r.rivals {
			if b := &r.rivals[j]; b != a && b.recent(now, rivalMemory) {
				look(a, b, b.priority)
			}
		}
	}
	return p, ok
}

func (k *known) recent(now time.Time, within time.Duration) bool {
	return k.src.IsValid() && now.Sub(k.heard) <= within
}

// compare notices what an accepted advert tells about the priorities of this VRID.
func (s *Set) compare(now time.Time, r *router, src netip.Addr, a *Advert) {
	k := r.remember(now, src, a)
	if k == nil {
		return
	}
	own := r.m.cfg.Priority
	n := Notice{Router: r.index, Interface: r.cfg.Interface, Src: src, Priority: a.Priority, Own: own, Interval: a.Interval, Expected: r.cfg.Interval}
	switch {
	case own == 255 && a.Priority == 255:
		n.Kind = NoticeOwners
		s.notice(now, &r.paces, n)
	case own == 255 && r.m.state == Active && !r.m.left:
		n.Kind = NoticeOwned
		s.notice(now, &r.paces, n)
	case own == a.Priority:
		n.Kind = NoticeEqual
		s.notice(now, &r.paces, n)
	}
	if p, ok := r.closest(now, 0); ok {
		s.notice(now, &r.paces, r.tooClose(p))
	}
}

func (r *router) tooClose(p pair) Notice {
	n := Notice{Kind: NoticeClose, Router: r.index, Interface: r.cfg.Interface, Src: p.a.src, Priority: p.a.priority,
		Own: r.m.cfg.Priority, OtherPriority: r.m.cfg.Priority, Interval: r.m.cfg.Interval, Apart: p.apart}
	if r.m.state == Backup {
		n.Interval = r.m.learned
	}
	if p.b != nil {
		n.Other, n.OtherPriority = p.b.src, p.b.priority
	}
	return n
}
