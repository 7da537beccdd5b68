package daemon

import (
	"understudy/appliance"
	"understudy/appliance/kernel"
)

// ofRoutes hears what others do to routes and rules of ours; true if that was
// all that the event says. The kernel removes routes whose link goes down, without
// a word, and nobody else puts them back when it is up again.
func (n *node) ofRoutes(ev kernel.Event) bool {
	switch ev.Kind {
	case kernel.RouteLost:
		if n.addresses.WantsRoute(ev.Route) {
			n.runner.Post(appliance.Drifted{Why: "the route to " + ev.Route.To.String() + " was removed or replaced"})
		}
		return true
	case kernel.RuleLost:
		n.runner.Post(appliance.Drifted{Why: "rule " + ev.Rule.String() + " was removed"})
		return true
	case kernel.LinkNew, kernel.LinkChanged, kernel.LinkGone:
		up := ev.Kind != kernel.LinkGone && ev.Link.Up
		was, known := n.up[ev.Interface]
		if known && was == up {
			return false
		}
		n.up[ev.Interface] = up
		n.saysLink(ev.Interface, up)
		if !n.addresses.UsesLink(ev.Interface) {
			return false
		}
		word := " is down"
		if up {
			word = " is up"
		}
		n.runner.Post(appliance.Drifted{Why: "interface " + ev.Interface + ", which routes lead by," + word})
	}
	return false
}
