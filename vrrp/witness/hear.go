package witness

import (
	"net/netip"
	"time"

	"understudy/vrrp"
)

// rival is somebody whose adverts are heard.
type rival struct {
	src      netip.Addr
	heard    time.Time // last
	priority uint8     // 0: it has given up
	interval time.Duration
	form     vrrp.ChecksumForm
	version  uint8
	// The first and the last advert, of those that came while we were Active: it should have yielded.
	first, last time.Time
}

// lasts is how long a rival counts as there: nobody waits longer for the next advert (RFC 9568, 6.1).
func (v *rival) lasts() time.Duration { return 4 * v.interval }

// refusal is adverts that were refused, one after the other.
type refusal struct {
	src         netip.Addr // of the last one; invalid: unknown
	reason      vrrp.Reason
	count       int
	first, last time.Time
}

// lasts is how long a refusal is remembered. keepalived puts its own advert off whenever it refuses one of ours, and
// then sends one in ten seconds.
func (f *refusal) lasts(r *router) time.Duration { return max(4*r.interval, 15*time.Second) }

// find returns the rival of that address, nil if there is none.
func (r *router) find(src netip.Addr) *rival {
	for i := range r.rivals {
		if v := &r.rivals[i]; v.src == src && src.IsValid() {
			return v
		}
	}
	return nil
}

// hears tells whether adverts from there have come in lately.
func (r *router) hears(now time.Time, src netip.Addr) bool {
	v := r.find(src.WithZone(""))
	return v != nil && now.Sub(v.heard) < v.lasts()
}

// Heard is an advert that the Set has accepted, after its step.
func (g *Guard) Heard(now time.Time, set *vrrp.Set, i int, src netip.Addr, a *vrrp.Advert) {
	if g.cfg.Mode == ModeOff {
		return
	}
	src = src.WithZone("")
	r := &g.routers[i]
	v := r.find(src)
	if v == nil {
		v = &r.rivals[0]
		for k := range r.rivals {
			if r.rivals[k].heard.Before(v.heard) {
				v = &r.rivals[k]
			}
		}
		*v = rival{src: src}
	}
	if now.Sub(v.heard) >= v.lasts() {
		v.first, v.last = time.Time{}, time.Time{}
	}
	v.heard, v.priority, v.form, v.version = now, a.Priority, a.Form, a.Version
	if a.Interval > 0 {
		v.interval = a.Interval
	}
	group := set.Group(r.group)
	switch {
	case a.Priority == 0, group.State != vrrp.Active, group.Leaving:
		if !v.first.IsZero() {
			v.first, v.last = time.Time{}, time.Time{}
			g.wake(now)
		}
		return
	case v.first.IsZero():
		v.first = now
	}
	v.last = now
	g.wake(now)
}

// Refused is an advert for a router of ours that was refused. src is who sent it; invalid if that could not be read.
func (g *Guard) Refused(now time.Time, i int, src netip.Addr, reason vrrp.Reason) {
	if g.cfg.Mode == ModeOff || reason == vrrp.ReasonOwn || reason == vrrp.ReasonTruncated || reason == vrrp.ReasonDelay {
		return
	}
	r := &g.routers[i]
	f := &r.refused
	if now.Sub(f.last) >= f.lasts(r) {
		*f = refusal{first: now}
	}
	f.src, f.reason, f.last = src.WithZone(""), reason, now
	f.count++
	g.wake(now)
}
