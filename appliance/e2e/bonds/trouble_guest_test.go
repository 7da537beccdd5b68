//go:build guest

package bonds

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"understudy/appliance"
)

// trouble is something that happens to a link: the first ones of its findings, in this
// order, each with a part of its evidence.
type trouble struct {
	name       string
	begin, end func(s *scene, i int)
	signs      []sign
}

type sign struct{ finding, evidence string }

// put is a trouble's beginning, which ends at home.
func put(at place) func(*scene, int) {
	return func(s *scene, i int) { s.t.Helper(); s.peer.put(i, at) }
}

var (
	pulled = trouble{"pulled", func(s *scene, i int) { s.down(s.sw, port(i)) }, func(s *scene, i int) { s.up(s.sw, port(i)) },
		[]sign{{"link_down", "no carrier"}}}
	recabled = trouble{"in another switch", put(otherSwitch), put(home),
		[]sign{{"different_partner_system", "it leads to " + otherSystem.String()}}}
	rekeyed = trouble{"in another port channel", put(otherChannel), put(home),
		[]sign{{"different_partner_key", "it leads to " + system.String()}}}
	silent = trouble{"silent partner", put(nowhere), put(home),
		[]sign{{"expired", "from " + system.String()}, {"defaulted", system.String() + " was there before"}}}
	// The far end hears nothing of us, and says so. That it has given us up, partner_defaulted,
	// the bonding driver tells half a minute later only, others at once.
	unheard = trouble{"one way, from us", func(s *scene, i int) { s.cut(s.gw.Node, eth(i), unix.ETH_P_ALL) }, func(s *scene, i int) { s.mend(s.gw.Node, eth(i)) },
		[]sign{{"partner_expired", "expired)"}, {"unidirectional", "we hear " + system.String()}}}
	// We hear nothing of it.
	unhearing = trouble{"one way, to us", func(s *scene, i int) { s.cut(s.sw, port(i), unix.ETH_P_ALL) }, func(s *scene, i int) { s.mend(s.sw, port(i)) },
		[]sign{{"expired", "from " + system.String()}, {"defaulted", system.String() + " was there before"}}}
)

// hit is a trouble of a link.
type hit struct {
	trouble
	link int
}

// on are troubles of the links from 1 on; link 0 stays well.
func on(troubles ...trouble) (all []hit) {
	for i, t := range troubles {
		all = append(all, hit{t, i + 1})
	}
	return all
}

// found is what was said of a hit, in its order.
type found []said

// strike lets troubles begin, all at once, follows them to the traffic, and lets them
// end. Each of the links that are hit weighs that much. It returns when the trouble
// began, and the findings of each.
func (s *scene) strike(weight int, hits ...hit) (begun time.Time, findings []found) {
	s.t.Helper()
	begun = time.Now()
	left := names(port, s.links)
	for _, h := range hits {
		h.begin(s, h.link)
		left = slices.DeleteFunc(left, func(name string) bool { return name == port(h.link) })
	}
	findings = s.signs(begun, hits)
	now := uint8(priority + weight*len(hits))
	s.until("every loss to weigh", weighs(now), func(st appliance.Status) error {
		if got, want := st.Bonds[0].Carrying, s.links-len(hits); got != want {
			return fmt.Errorf("%d carry, not %d: %+v", got, want, st.Bonds[0])
		}
		for _, h := range hits { // what was found last is still so
			last := h.signs[len(h.signs)-1]
			if f, ok := find(st, last.finding, eth(h.link)); !ok || !strings.Contains(f.Detail, last.evidence) {
				return fmt.Errorf("%s: no %s of %s in %+v", h.name, last.finding, eth(h.link), st.Bonds[0].Findings)
			}
		}
		return nil
	})
	s.serves(now, begun, left)
	ended := time.Now()
	for _, h := range hits {
		h.end(s, h.link)
	}
	s.until("the end of it", weighs(priority), clean)
	s.serves(priority, ended, names(port, s.links))
	return begun, findings
}

// signs waits for what is to be found of each hit, in its order. The gateway's log has
// it, however short it was seen.
func (s *scene) signs(since time.Time, hits []hit) []found {
	s.t.Helper()
	all := make([]found, len(hits))
	s.until("what is to be found", func(st appliance.Status) (missing error) {
		log := s.gw.found(since)
		for i, h := range hits {
			all[i] = all[i][:0]
			for _, f := range log {
				if n := len(all[i]); n < len(h.signs) && f.Interface == eth(h.link) && f.Finding == h.signs[n].finding {
					if !strings.Contains(f.Evidence, h.signs[n].evidence) {
						s.t.Fatalf("%s: %s of %s: %q says nothing of %q", h.name, f.Finding, f.Interface, f.Evidence, h.signs[n].evidence)
					}
					all[i] = append(all[i], f)
				}
			}
			if n := len(all[i]); n < len(h.signs) {
				missing = fmt.Errorf("%s: no %s of %s: %+v", h.name, h.signs[n].finding, eth(h.link), log)
			}
		}
		return missing
	})
	return all
}

// serves waits until all is as it should be with that priority of the first gateway:
// who says so, who has the role, and how the traffic goes. left are the ports of the
// switch by which it comes from the first gateway.
func (s *scene) serves(now uint8, since time.Time, left []string) {
	s.t.Helper()
	if now < priority2 {
		s.untilOf(s.gw2, "the other gateway to serve", role("active"))
		s.until("the gateway to let go", role("backup"))
		s.net.advertised("gw", now, priority2-1, since)
		s.net.advertised("gw2", priority2, priority2, since)
		s.net.passes("gw2", "w0")
		return
	}
	s.until("the gateway to serve", role("active"))
	s.untilOf(s.gw2, "the other gateway to stand by", role("backup"))
	s.net.advertised("gw", now, now, since)
	s.net.passes("gw", left...)
}
