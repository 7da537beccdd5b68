package election

import (
	"time"

	"understudy/vrrp"
	"understudy/vrrp/vrrpnet"
)

// earlyBound is for how long after its activation a group may advertise without its
// virtual MACs. A daemon that is well takes a few milliseconds.
const earlyBound = 100 * time.Millisecond

// source is the Ethernet address that an advert comes from; zero: the interface's own.
func (l *loop) source(r *route, op *vrrp.Op) vrrpnet.MAC {
	if op.Priority > 0 && !op.Old && l.early(&l.groups[r.group]) {
		return vrrpnet.MAC{}
	}
	return r.mac
}

// early tells whether a group has become Active, or is about to, and is not in service
// yet. A frame from a virtual MAC moves that MAC in every switch, so an advert from it
// is an announcement as well, and those come last: until the daemon has made them,
// what is sent to the MAC goes on to the predecessor, which serves until it has heard
// us for a while, rather than to a gate that is still shut. Receivers go by IP and VRRP
// alone. A deviation from RFC 9568 7.2, which is bounded, and which there is none of
// where nobody is going to tell us more.
func (l *loop) early(g *member) bool {
	if g.announced || !l.responsive(l.now) {
		return false
	}
	return g.state != vrrp.Active || l.now.Before(g.since.Add(earlyBound))
}

// onAnnounced: the announcements have moved the virtual MACs, and adverts keep them
// there. What is said of a group that is not Active any more is late.
func (l *loop) onAnnounced(group string) {
	if i, ok := l.index[group]; ok {
		g := &l.groups[i]
		g.announced = g.state == vrrp.Active
	}
}
