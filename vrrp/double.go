package vrrp

import (
	"net/netip"
	"time"
)

// An advert from our own address is one of ours that came back, or another router has the address too. RFC 9568 says
// nothing about the second: neither hears the other, so both are Active for as long as it lasts. The first is what we have just sent,
// and it comes back at once.

const (
	// doubleMany is how many that cannot be ours are no accident, within doubleWithin of each other.
	doubleMany   = 3
	doubleWithin = time.Minute
)

// double counts adverts from our own address that are not ours.
type double struct {
	left        time.Time // when our last advert left
	said        uint8     // … and its priority
	count       int
	first, last time.Time
	src         netip.Addr
	priority    uint8
}

func (d *double) sent(now time.Time, priority uint8) { d.left, d.said = now, priority }

// doubled looks at an advert from our own address. A quarter of an interval is long for a packet to come back in, and
// one in four of somebody else's fall into it.
func (s *Set) doubled(now time.Time, r *router, in SetInput) {
	d := &r.double
	at := in.Rx
	if at.IsZero() {
		at = now
	}
	if since := at.Sub(d.left); !d.left.IsZero() && since <= r.m.cfg.Interval/4 && in.Advert.Priority == d.said {
		return
	}
	if now.Sub(d.last) > doubleWithin {
		d.count, d.first = 0, now
	}
	d.count++
	d.last, d.src, d.priority = now, in.Src.WithZone(""), in.Advert.Priority
	if d.count >= doubleMany {
		s.notice(now, &r.paces, r.doubleNotice())
	}
}

func (r *router) doubleNotice() Notice {
	return Notice{Kind: NoticeDuplicate, Router: r.index, Interface: r.cfg.Interface, Src: r.double.src, Priority: r.double.priority, Own: r.m.cfg.Priority}
}
