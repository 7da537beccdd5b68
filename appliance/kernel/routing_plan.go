package kernel

import (
	"slices"

	"understudy/appliance/identity"
)

// wish is a wanted route with its links looked up.
type wish struct {
	want identity.Route
	// full is the route with all its hops; now, with those whose link is up. A
	// route none of whose links is up cannot be there, and the kernel has removed
	// it if it was: that is for its links to mend, and no failure.
	full, now route
	waits     string // what it waits for; "": it is to be there
}

// lookLink tells whether an interface exists (index not 0) and is up.
type lookLink func(name string) (index int, up bool)

// wishFor looks the links of a route up.
func wishFor(want identity.Route, look lookLink) wish {
	w := wish{want: want}
	bare := want
	bare.Hops = nil
	w.full.Route, w.now.Route = bare, bare
	missing := false
	for _, h := range want.Hops {
		index, up := look(h.Interface)
		missing = missing || index == 0
		one := hop{via: h.Via, index: index, weight: h.Weight, onlink: h.Onlink, encap: h.Encap}
		w.full.hops = append(w.full.hops, one)
		if up {
			w.now.hops = append(w.now.hops, one)
		} else if w.waits == "" {
			w.waits = "interface " + h.Interface + " is down"
			if index == 0 {
				w.waits = "there is no interface " + h.Interface
			}
		}
	}
	slices.SortFunc(w.full.hops, hop.compare)
	slices.SortFunc(w.now.hops, hop.compare)
	if len(w.now.hops) > 0 || len(want.Hops) == 0 {
		w.waits = ""
	}
	if missing {
		w.full = w.now
	}
	return w
}

// met reports whether the route of ours that the kernel has is as wished. Of
// several hops those whose link went down after they were added stay in the
// route, and are not used; so the route is then whole too.
func (w wish) met(have route) bool { return have.is(w.now) || have.is(w.full) }

// routeStep is a change and, if it adds, what it is for.
type routeStep struct {
	routeChange
	wish wish
}

// planRoutes compares the routes of ours that the kernel has with what is wished.
// A route that is to be another is removed and added in one go, because two with
// one key cannot be there, and to replace one might hit somebody else's.
func planRoutes(have []route, wishes []wish) (steps []routeStep) {
	at := make(map[identity.RouteKey]route, len(have))
	for _, h := range have {
		at[h.Key()] = h
	}
	wanted := make(map[identity.RouteKey]bool, len(wishes))
	for _, w := range wishes {
		wanted[w.want.Key()] = true
		h, there := at[w.want.Key()]
		if there && (w.waits != "" || !w.met(h)) {
			steps = append(steps, routeStep{routeChange: routeChange{remove: true, route: h}})
			there = false
		}
		if !there && w.waits == "" {
			steps = append(steps, routeStep{routeChange{route: w.now}, w})
		}
	}
	return append(steps, unwantedRoutes(have, wanted)...)
}

// unwantedRoutes removes what of ours is not wanted.
func unwantedRoutes(have []route, wanted map[identity.RouteKey]bool) (steps []routeStep) {
	for _, h := range have {
		if !wanted[h.Key()] {
			steps = append(steps, routeStep{routeChange: routeChange{remove: true, route: h}})
		}
	}
	return steps
}

// planRules does the same with rules. A rule of somebody else's that says the
// same serves as it is.
func planRules(have []rule, want []identity.Rule) (steps []ruleChange) {
	there := make(map[identity.Rule]bool, len(have))
	for _, h := range have {
		if h.simple {
			there[h.canonical()] = true
		}
	}
	for _, w := range want {
		if !there[w] {
			steps = append(steps, ruleChange{Rule: w})
		}
	}
	return append(steps, unwantedRules(have, want)...)
}

// unwantedRules removes what of ours is not wanted.
func unwantedRules(have []rule, want []identity.Rule) (steps []ruleChange) {
	for _, h := range have {
		if h.ours() && !slices.Contains(want, h.canonical()) {
			steps = append(steps, ruleChange{remove: true, Rule: h.Rule})
		}
	}
	return steps
}

// ours tells whether we added the rule: it has our mark, and nothing that we
// cannot say.
func (r rule) ours() bool { return r.protocol == RouteProtocol && r.simple }

// canonical is the rule in the form of an identity.
func (r rule) canonical() identity.Rule {
	return identity.Identity{}.WithRules(r.Rule).Rules[0]
}
