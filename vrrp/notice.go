package vrrp

import (
	"net/netip"
	"time"
)

// NoticeKind says what a Notice is about.
type NoticeKind uint8

// The kinds. Everything that is noticed can be made up by whoever can send a packet, so a notice never has an
// effect on the election; those that last are findings of the status too.
const (
	NoticeRefused   NoticeKind = iota // packets that were dropped, by Reason (RFC 9568, 7.1)
	NoticeInterval                    // an advert that was used though its interval is not ours (7.1)
	NoticeAddresses                   // ... though its addresses are not ours (7.1)
	NoticeOwned                       // we own the addresses, and somebody else advertises them (erratum 8298)
	NoticeOwners                      // ... and says that it owns them too (8.3.2)
	NoticeEqual                       // somebody has our priority (8.3.2)
	NoticeClose                       // two Backups whose priorities do not keep them apart (8.3.2)
	NoticeFlapping                    // one that is alive is taken over from, again and again (2.5)
	NoticeDuplicate                   // somebody else advertises from our address
	numNotices
)

var noticeNames = [numNotices]string{"refused", "interval", "addresses", "owned", "owners", "equal-priority", "close-priorities", "flapping", "duplicate"}

// String is the name for logs and alarms.
func (k NoticeKind) String() string {
	if k < numNotices {
		return noticeNames[k]
	}
	return "unknown"
}

// Notice is something that whoever runs the box should read. A Set gives it out at most once a NoticeWindow for each
// router and kind (each reason of NoticeRefused), half as often each time while it goes on, down to once in
// 64 windows; and of all routers together at most 16 of a kind in a window. So nobody can fill a log.
type Notice struct {
	Kind      NoticeKind
	Router    int // -1: a packet for none of ours on Interface
	Interface string
	Count     uint32 // how often it was, since it was said last
	Reason    Reason // NoticeRefused

	Src                netip.Addr // of the advert; invalid where it could not be read
	Priority, Own      uint8      // the sender's and ours
	Interval, Expected time.Duration

	Other         netip.Addr    // NoticeClose: the second of the pair; invalid: ourselves
	OtherPriority uint8         // NoticeClose
	Apart         time.Duration // NoticeClose: difference of their Skew_Times
	Late          time.Duration // NoticeFlapping: the latest that an advert of ours left
	Lower         bool          // NoticeFlapping: it is we who took over
}

// NoticeWindow is how often the same is said at most.
const NoticeWindow = time.Minute

const (
	noticesPerWindow = 16 // of a kind, all routers together
	noticeRarest     = 64 // windows between two of the same, while it goes on
)

// pace is how often one thing is said.
type pace struct {
	next, count uint32 // the window in which it may be said again; how often it was since
	wait        uint8  // windows from then to now
}

// due counts (0 times is once), and says whether to tell: in the first window, and then half as often each time.
func (p *pace) due(window, times uint32) bool {
	if p.count += max(times, 1); p.wait != 0 && window < p.next {
		return false
	}
	return true
}

// said starts the wait anew. What was not seen for as long as it would have been quiet is new.
func (p *pace) said(window uint32) (count uint32) {
	if p.wait == 0 || window >= p.next+uint32(p.wait) {
		p.wait = 1
	} else {
		p.wait = min(2*p.wait, noticeRarest)
	}
	p.next = window + uint32(p.wait)
	count, p.count = p.count, 0
	return count
}

// paces are all that can be said about a router, or about the packets for none.
type paces struct {
	refused [numReasons]pace
	other   [numNotices]pace
}

func (p *paces) of(n *Notice) *pace {
	if n.Kind == NoticeRefused {
		return &p.refused[n.Reason]
	}
	return &p.other[n.Kind]
}

// notices is what a Set has to say.
type notices struct {
	since  time.Time // windows are counted from
	window uint32
	said   [numNotices]uint8 // in this window
	list   []Notice          // of this step
}

// notice says n if it is time to. Its Count is how often it is now; it goes out with what was not said before.
func (s *Set) notice(now time.Time, p *paces, n Notice) {
	s.turnWindow(now)
	pace := p.of(&n)
	if !pace.due(s.notices.window, n.Count) || s.notices.said[n.Kind] == noticesPerWindow {
		return
	}
	s.notices.said[n.Kind]++
	n.Count = pace.said(s.notices.window)
	s.notices.list = append(s.notices.list, n)
}

func (s *Set) turnWindow(now time.Time) {
	ns := &s.notices
	if ns.since.IsZero() {
		ns.since = now
	}
	if w := uint32(max(now.Sub(ns.since), 0) / NoticeWindow); w != ns.window {
		ns.window, ns.said = w, [numNotices]uint8{}
	}
}

// onRefused counts a packet that ParseDatagram or ParseAdvert refused, or that is for a VRID we do not have.
func (s *Set) onRefused(now time.Time, in SetInput) {
	if in.Refused == ReasonNone || in.Refused >= numReasons {
		return
	}
	n := Notice{Kind: NoticeRefused, Router: -1, Interface: in.Interface, Reason: in.Refused, Src: in.Src, Count: in.Times}
	if in.Router >= 0 && in.Router < len(s.routers) {
		s.refuse(now, s.routers[in.Router], n)
		return
	}
	if p := s.strays[in.Interface]; p != nil {
		s.notice(now, p, n)
	}
}

// refuse counts a packet that was for a router of ours.
func (s *Set) refuse(now time.Time, r *router, n Notice) {
	r.facts.drops[n.Reason] += uint64(max(n.Count, 1))
	n.Router, n.Interface = r.index, r.cfg.Interface
	s.notice(now, &r.paces, n)
}

// watchStrays makes room for what is noticed of packets for no router, interface by interface.
func (s *Set) watchStrays() {
	strays := make(map[string]*paces)
	for i := range s.cfg.Routers {
		name := s.cfg.Routers[i].Interface
		if strays[name] = s.strays[name]; strays[name] == nil {
			strays[name] = new(paces)
		}
	}
	s.strays = strays
}
