package daemon

import (
	"time"

	"understudy/garp"
)

// announcement is an order to the announcer.
type announcement struct {
	group  string
	kind   announcementKind
	claims []garp.Claim
}

type announcementKind int

const (
	none  announcementKind = iota // the group's addresses are not here any more
	part                          // some are; the others follow
	whole                         // these are all
)

// announcements are the addresses that are being announced, of which group each is,
// and when the next one is due.
type announcements struct {
	paced
	held  map[string][]garp.Claim // told of as a whole
	begun map[string][]garp.Claim // told of in parts since
}

func newAnnouncements() *announcements {
	return &announcements{held: map[string][]garp.Claim{}, begun: map[string][]garp.Claim{}}
}

// take follows an order. Of a whole, what its parts told of goes on, all else
// begins anew, and what is not in it is not announced again.
func (a *announcements) take(now time.Time, w announcement) {
	if w.kind == part {
		a.Announce(now, w.claims)
		a.begun[w.group] = append(a.begun[w.group], w.claims...)
		return
	}
	begun := a.begun[w.group]
	a.Withdraw(less(a.held[w.group], w.claims))
	a.Withdraw(less(begun, w.claims))
	delete(a.held, w.group)
	delete(a.begun, w.group)
	if w.kind == whole {
		a.held[w.group] = w.claims
		a.Announce(now, less(w.claims, begun))
	}
}

// less is what is in all and not in some.
func less(all, some []garp.Claim) []garp.Claim {
	if len(some) == 0 {
		return all
	}
	in := make(map[garp.Claim]bool, len(some))
	for _, c := range some {
		in[c] = true
	}
	var out []garp.Claim
	for _, c := range all {
		if !in[c] {
			out = append(out, c)
		}
	}
	return out
}
