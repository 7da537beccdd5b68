package vrrp

import (
	"net/netip"
	"time"
)

// A link that has just come up (a switch that learns, a bond that negotiates) says that it is up before it delivers
// frames. A Backup that hears nothing then concludes that nobody is Active; one that preempts does so with a side
// that does not work yet. So for RouterConfig.Settle after a link came up:
//
//   - silence on it proves nothing, until it has delivered one advert of this virtual router; from then on an
//     Active_Down_Interval is waited as always. Without one, the wait ends a Skew_Time after Settle;
//   - a live Active of lower priority is left alone, by the whole group. This goes for tracked interfaces too, which
//     may flap as they like.
//
// An owner does not wait (RFC 9568, 6.4.1).

// settleTries bounds the first: a link that does not stay up for as long as Settle is waited for so often, and then
// it has to do.
const settleTries = 3

// link is what is known of an interface.
type link struct {
	primary, locals netip.Addr
	chosen          []netip.Addr // of the routers' sources, those that are there
	up              bool
	since, ended    time.Time // when it came up last, when it went down last
	tries           uint8     // how often it came up without having stayed so
}

// follow takes over what was known of a link before.
func (l *link) follow(now time.Time, was link, settle time.Duration) {
	l.since, l.ended, l.tries = was.since, was.ended, was.tries
	switch {
	case l.up && !was.up:
		if was.ended.Sub(was.since) >= settle {
			l.tries = 0
		}
		l.tries = min(l.tries+1, settleTries+1)
		l.since = now
	case !l.up && was.up:
		l.ended = now
	}
}

// settle is how long an interface may take to settle, for those who depend on it.
func (s *Set) settleOf(iface string) (longest time.Duration) {
	for _, r := range s.routers {
		if r.dependsOn(iface) {
			longest = max(longest, r.settle())
		}
	}
	return longest
}

func (r *router) settle() time.Duration {
	if r.cfg.Priority == 255 {
		return 0
	}
	return r.cfg.Settle
}

// startup is the event that takes a router out of Initialize.
func (s *Set) startup(r *router) Input {
	in := Input{Event: EventStartup, Begin: s.begin}
	l := s.links[r.cfg.Interface]
	if d := r.settle(); d > 0 && l.tries <= settleTries {
		in.Clear = l.since.Add(d)
	}
	for _, member := range r.group.members {
		d := member.settle()
		if d == 0 {
			continue
		}
		in.Stable = latest(in.Stable, s.links[member.cfg.Interface].since.Add(d))
		for _, t := range member.cfg.Track {
			in.Stable = latest(in.Stable, s.links[t].since.Add(d))
		}
	}
	return in
}
