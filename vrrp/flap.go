package vrrp

import (
	"net/netip"
	"time"
)

// RFC 9568, 2.5: with short intervals an advert that waits in a queue for longer than an Active_Down_Interval makes
// a Backup take over from an Active that is alive, which then takes it back, and so on. Both sides see it.

const (
	// flapMany is how many takeovers from one that was alive are no accident, within flapWithin.
	flapMany   = 3
	flapWithin = time.Minute
)

// flap counts takeovers that should not have been.
type flap struct {
	count       int
	first, last time.Time
	rival       time.Time // when a worse rival was heard while we were Active
	lower       bool      // the last time it was we who took over
	src         netip.Addr
	priority    uint8
	late        time.Duration // the latest that an advert of ours left, lateAt
	lateAt      time.Time
}

// left notes how late an advert leaves.
func (f *flap) left(now, due time.Time) {
	if late := max(now.Sub(due), 0); late >= f.late || now.Sub(f.lateAt) > flapWithin {
		f.late, f.lateAt = late, now
	}
}

// flapped counts one.
func (f *flap) flapped(now time.Time, src netip.Addr, priority uint8, lower bool) {
	if f.count == 0 || now.Sub(f.first) > flapWithin {
		f.count, f.first = 0, now
	}
	f.count++
	f.last, f.lower, f.src, f.priority = now, lower, src, priority
}

// rivalry sees, before the machine does, an Active that hears a worse one. In its first Active_Down_Interval that is
// the one it has taken over from, or one that took over together with it; after that, one that did not hear it. One
// that never hears it is heard all the time: that counts once.
func (s *Set) rivalry(now time.Time, r *router, in Input) {
	m, f := r.m, &r.flap
	if m.state != Active || m.left || in.Priority == 0 || m.outranked(in) {
		return
	}
	down := m.cfg.down(m.cfg.Interval)
	quiet := f.rival.IsZero() || now.Sub(f.rival) > down
	f.rival = now
	if quiet && now.Sub(m.entered) > down {
		f.left(now, m.timer) // the one that is due has not left yet
		f.flapped(now, in.Source, in.Priority, false)
		s.flapping(now, r)
	}
}

// outdone sees an Active that goes back to Backup: entered is when it became Active. So soon means that the better
// one was there all the time.
func (s *Set) outdone(now time.Time, r *router, in Input, entered time.Time) {
	m := r.m
	if now.Sub(entered) > m.cfg.down(m.cfg.Interval) {
		return
	}
	r.flap.flapped(now, in.Source, in.Priority, true)
	s.flapping(now, r)
}

func (s *Set) flapping(now time.Time, r *router) {
	if r.flap.count >= flapMany {
		s.notice(now, &r.paces, r.flapNotice())
	}
}

func (r *router) flapNotice() Notice {
	f := &r.flap
	return Notice{Kind: NoticeFlapping, Router: r.index, Interface: r.cfg.Interface, Src: f.src, Priority: f.priority,
		Own: r.m.cfg.Priority, Late: f.late, Lower: f.lower}
}
