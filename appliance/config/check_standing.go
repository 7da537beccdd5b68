package config

import (
	"fmt"
	"net/netip"

	"understudy/appliance/identity"
)

// standingAddresses reads the addresses that do not move. Before the routers: routes of
// these may lead by a network of them.
func (c *checker) standingAddresses(raw *rawStanding) {
	if raw == nil {
		return
	}
	seen := map[netip.Addr]addressAt{}
	for i, v := range raw.Addresses {
		if v == nil {
			continue
		}
		a, ok := c.placed(at("static.addresses", i), *v)
		switch {
		case !ok:
			continue
		case a.virtual:
			c.add(a.path, "a virtual MAC moves with a router, and this address does not", "remove mac virtual")
			continue
		case a.again:
			c.add(a.path, "again is about adverts, and this address is in none", "remove again")
			continue
		case a.dev == "":
			c.add(a.path, a.String()+" is on no interface", fmt.Sprintf("say which, like %s", quote(a.String()+" dev eth0")))
			continue
		}
		key := onLink(a.Addr(), a.dev)
		if first, there := seen[key]; there {
			c.add(a.path, fmt.Sprintf("%s is also in line %d", a.Addr(), c.line(first.path)), "keep it in one place")
			continue
		}
		seen[key] = a
		c.standing = append(c.standing, a)
		if a.Addr().Is6() && a.as.Preferred == identity.PreferredUsually {
			a.as.Preferred = identity.PreferredEver // it is this node's own
		}
		one := identity.Address{Interface: a.dev, Prefix: a.Prefix, Attributes: a.as}
		c.config.Static = identity.Union(c.config.Static, identity.New(one))
	}
}

// standingRouting reads the routes and rules that do not move.
func (c *checker) standingRouting(raw *rawStanding) {
	if raw == nil {
		return
	}
	for i, rr := range raw.Routes {
		if rr == nil {
			continue
		}
		path := at("static.routes", i)
		if r, ok := c.movingRoute(path, Router{}, rr); ok {
			c.config.Static = c.config.Static.WithRoutes(r)
			c.routes = append(c.routes, routeAt{r, path, ""})
		}
	}
	var of []*routerAt
	for i := range c.routers {
		of = append(of, &c.routers[i])
	}
	for i, rr := range raw.Rules {
		if rr == nil {
			continue
		}
		path := at("static.rules", i)
		for _, r := range c.rule(path, of, rr) {
			c.config.Static = c.config.Static.WithRules(r)
			c.rules = append(c.rules, ruleAt{r, path})
		}
	}
}

// standsAlone refuses an address that is to stay here and to move: the other node would
// have it at the same time.
func (c *checker) standsAlone() {
	if len(c.standing) == 0 {
		return
	}
	moves := map[netip.Addr]string{} // with which group
	for _, g := range c.config.Groups {
		for _, a := range c.config.Identity(g.Name).Addresses {
			moves[onLink(a.Prefix.Addr(), a.Interface)] = g.Name
		}
	}
	for _, a := range c.standing {
		if group, ok := moves[onLink(a.Addr(), a.dev)]; ok {
			c.add(a.path, fmt.Sprintf("%s moves with group %s", a.Addr(), quote(group)), "keep it in one place")
		}
	}
}

// Standing is what this node holds for as long as it runs, whoever is active.
func (c *Config) Standing() identity.Identity {
	id := c.Static
	id.Rules = nil
	for _, r := range c.Static.Rules {
		id = id.WithRules(c.byDevices(r)...)
	}
	return id
}
