package vrrp

import (
	"net/netip"
	"time"
)

// RivalStatus is another router of a VRID.
type RivalStatus struct {
	Address  netip.Addr
	Priority uint8
	Interval time.Duration
	Heard    time.Time
}

// Finding is something that is not as it should be, as far as the last minutes show.
type Finding struct {
	Kind        string // of a Notice
	Since, Last time.Time
	Detail      string
}

func (r *router) known(now time.Time) []RivalStatus {
	out := []RivalStatus{}
	for i := range r.rivals {
		if k := &r.rivals[i]; k.recent(now, rivalMemory) {
			out = append(out, RivalStatus{Address: k.src, Priority: k.priority, Interval: k.interval, Heard: k.heard})
		}
	}
	return out
}

func (r *router) findings(now time.Time) []Finding {
	out := []Finding{}
	add := func(n Notice, since, last time.Time) {
		out = append(out, Finding{Kind: n.Kind.String(), Since: since, Last: last, Detail: n.String()})
	}
	own := r.m.cfg.Priority
	for i := range r.rivals {
		k := &r.rivals[i]
		if !k.recent(now, findingHold) || k.priority != own {
			continue
		}
		n := Notice{Kind: NoticeEqual, Src: k.src, Priority: k.priority, Own: own}
		if own == 255 {
			n.Kind = NoticeOwners
		}
		add(n, k.since, k.heard)
	}
	if p, ok := r.closest(now, findingHold); ok {
		add(r.tooClose(p), p.a.since, p.a.heard)
	}
	if f := &r.flap; f.count >= flapMany && now.Sub(f.last) <= findingHold {
		add(r.flapNotice(), f.first, f.last)
	}
	if d := &r.double; d.count >= doubleMany && now.Sub(d.last) <= findingHold {
		add(r.doubleNotice(), d.first, d.last)
	}
	return out
}
