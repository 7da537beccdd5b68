package config

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"understudy/appliance/identity"
)

const (
	localTable = 255 // RT_TABLE_LOCAL, the kernel's own
	maxTable   = 1<<32 - 1
	maxMetric  = 1<<32 - 1
	minMTU     = 68   // RFC 791
	minMTU6    = 1280 // RFC 8200 section 5
	maxMTU     = 65520
	maxWeight  = 256
)

// routeAt is a route and its place in the file.
type routeAt struct {
	identity.Route
	path   string
	router string
}

// routing reads the routes and rules that move with the routers at that place of
// the file. Each goes to the virtual router of its family, or to the only one.
func (c *checker) routing(router string, raw *rawRouter) {
	var of []*routerAt
	for i := range c.routers {
		if c.routers[i].path == router {
			of = append(of, &c.routers[i])
		}
	}
	holder := func(family uint8) *routerAt {
		if i := slices.IndexFunc(of, func(r *routerAt) bool { return r.Family == family }); i >= 0 {
			return of[i]
		}
		return of[0]
	}
	for i, rr := range raw.Routes {
		if rr == nil {
			continue
		}
		path := at(join(router, "routes"), i)
		if r, ok := c.movingRoute(path, of[0].Router, rr); ok {
			to := holder(familyOf(r.To.Addr()))
			to.Routes = append(to.Routes, r)
			c.routes = append(c.routes, routeAt{r, path, to.Name})
		}
	}
	for i, rr := range raw.Rules {
		if rr == nil {
			continue
		}
		path := at(join(router, "rules"), i)
		for _, r := range c.rule(path, of, rr) {
			to := holder(r.Family)
			to.Rules = append(to.Rules, r)
			c.rules = append(c.rules, ruleAt{r, path})
		}
	}
}

func familyOf(a netip.Addr) uint8 {
	if a.Is6() {
		return 6
	}
	return 4
}

// movingRoute reads one route; false if something of it was refused.
func (c *checker) movingRoute(path string, router Router, raw *rawRoute) (r identity.Route, ok bool) {
	before := len(c.problems)
	r.Kind = known(c, join(path, "type"), raw.Type, c.defaults.Route.Kind,
		[]identity.RouteKind{identity.Unicast, identity.Blackhole, identity.Unreachable, identity.Prohibit, identity.Throw})
	r.Hops = c.hops(path, router, r.Kind, raw)
	if raw.Source != nil {
		r.Source = c.routeAddress(join(path, "source"), *raw.Source)
	}
	r.To = c.destination(path, raw, r)
	family := uint8(4)
	if r.To.IsValid() {
		family = familyOf(r.To.Addr())
		c.oneFamily(path, r)
	}
	r.Table = uint32(c.count(join(path, "table"), raw.Table, int(c.defaults.Route.Table), 1, maxTable))
	if r.Table == localTable {
		c.add(join(path, "table"), "255 is the kernel's own table, of local addresses", "use another number")
	}
	r.Metric = uint32(c.count(join(path, "metric"), raw.Metric, int(c.defaults.Route.Metric), 0, maxMetric))
	c.scope(path, raw, &r)
	if raw.MTU != nil {
		least := minMTU
		if family == 6 {
			least = minMTU6
		}
		r.MTU = uint32(c.count(join(path, "mtu"), raw.MTU, 0, least, maxMTU))
	}
	c.routeOptions(join(path, "options"), raw.Options, &r)
	if r.Realms != 0 && len(r.Hops) > 1 {
		c.add(join(path, "options"), "realms are for a route with one way", "remove it, or the nexthops")
	}
	c.fitsKind(path, raw, r)
	if len(c.problems) > before {
		return r, false
	}
	return identity.Identity{}.WithRoutes(r).Routes[0], true
}

// destination reads to. The family of a default route is that of its gateway.
func (c *checker) destination(path string, raw *rawRoute, r identity.Route) netip.Prefix {
	path = join(path, "to")
	switch {
	case raw.To == nil:
		c.add(path, "missing", `say where the route leads, like to = "192.0.2.0/24" or to = "default"`)
		return netip.Prefix{}
	case *raw.To != "default":
		return c.network(path, *raw.To)
	}
	for _, a := range append([]netip.Addr{r.Source}, gateways(r)...) {
		if a.IsValid() {
			return netip.PrefixFrom(unspecified(a), 0)
		}
	}
	c.add(path, `"default" of which family? There is no gateway to tell`, `write "0.0.0.0/0" or "::/0"`)
	return netip.Prefix{}
}

func unspecified(like netip.Addr) netip.Addr {
	if like.Is6() {
		return netip.IPv6Unspecified()
	}
	return netip.IPv4Unspecified()
}

func gateways(r identity.Route) (out []netip.Addr) {
	for _, h := range r.Hops {
		if h.Via.IsValid() {
			out = append(out, h.Via)
		}
	}
	return out
}

// network reads a prefix of either family without bits beyond its length.
func (c *checker) network(path, v string) netip.Prefix {
	p, err := netip.ParsePrefix(v)
	if err != nil {
		fix := `write it like "192.0.2.0/24"`
		if a, err := netip.ParseAddr(v); err == nil {
			fix = fmt.Sprintf("add the prefix length, like %s", quote(netip.PrefixFrom(a, a.BitLen()).String()))
		}
		c.add(path, quote(v)+" is not a network", fix)
		return netip.Prefix{}
	}
	switch {
	case c.mapped(path, p.Addr()):
	case p != p.Masked():
		c.add(path, fmt.Sprintf("%s has bits set beyond its prefix length", v), "write "+p.Masked().String())
	default:
		return p
	}
	return netip.Prefix{}
}

// routeAddress reads a bare address of either family that a host can have.
func (c *checker) routeAddress(path, v string) netip.Addr {
	a, ok := c.station(path, v)
	if !ok {
		return netip.Addr{}
	}
	if why := notHost(a); why != "" {
		c.add(path, fmt.Sprintf("%s is %s", a, why), "use an address that a host can have")
		return netip.Addr{}
	}
	return a
}

// hops reads where a route leads: by via and dev, or by several nexthops.
func (c *checker) hops(path string, router Router, kind identity.RouteKind, raw *rawRoute) []identity.Hop {
	if kind != identity.Unicast {
		return nil // see fitsKind
	}
	if raw.Nexthops == nil {
		h, ok := c.hop(path, router, &rawNexthop{Via: raw.Via, Dev: raw.Dev, Onlink: raw.Onlink, Encap: raw.Encap})
		if !ok {
			return nil
		}
		return []identity.Hop{h}
	}
	for _, k := range []struct {
		key string
		set bool
	}{{"via", raw.Via != nil}, {"dev", raw.Dev != nil}, {"onlink", raw.Onlink != nil}, {"encap", raw.Encap != nil}} {
		if k.set {
			c.add(join(path, k.key), "each of the nexthops has its own", "write it there")
		}
	}
	if len(raw.Nexthops) == 0 {
		c.add(join(path, "nexthops"), "there is none", `list them, like nexthops = [{ via = "10.0.0.253" }, { via = "10.0.0.254" }], or write via`)
	}
	var list []identity.Hop
	for i, rn := range raw.Nexthops {
		if rn == nil {
			continue
		}
		one := at(join(path, "nexthops"), i)
		h, ok := c.hop(one, router, rn)
		if !ok {
			continue
		}
		h.Weight = uint16(c.count(join(one, "weight"), rn.Weight, int(c.defaults.Hop.Weight), 1, maxWeight))
		if slices.ContainsFunc(list, func(o identity.Hop) bool { return o.Via == h.Via && o.Interface == h.Interface }) {
			c.add(one, "it is there already", "give the other one a weight of 2")
			continue
		}
		list = append(list, h)
	}
	return list
}

// hop reads one way out. The interface may be left out where a router's network
// tells it.
func (c *checker) hop(path string, router Router, raw *rawNexthop) (h identity.Hop, ok bool) {
	h.Onlink = or(raw.Onlink, c.defaults.Hop.Onlink)
	h.Encap = c.encap(join(path, "encap"), raw.Encap)
	if raw.Via != nil {
		h.Via = c.routeAddress(join(path, "via"), *raw.Via)
		if !h.Via.IsValid() {
			return h, false
		}
		if first, mine := c.holders[onLink(h.Via, router.Interface)]; mine {
			c.add(join(path, "via"), fmt.Sprintf("%s is an address of router %s itself (line %d)", h.Via, quote(first.router), c.line(first.path)), "write the address of the next router")
			return h, false
		}
	} else if h.Onlink {
		c.add(join(path, "onlink"), "it is about a gateway, and there is none", "remove it, or add via")
		return h, false
	}
	switch {
	case raw.Dev != nil:
		h.Interface = c.interfaceName(join(path, "dev"), raw.Dev, "")
	case raw.Via == nil:
		c.add(path, "it leads nowhere", `write via, dev or nexthops, or type = "blackhole"`)
	default:
		h.Interface = c.leadsTo(path, router, h.Via)
	}
	return h, h.Interface != ""
}

// leadsTo finds the interface by which a gateway is reached.
func (c *checker) leadsTo(path string, router Router, via netip.Addr) string {
	if via.IsLinkLocalUnicast() && router.Interface != "" {
		return router.Interface
	}
	var found []string
	for _, a := range c.standing {
		if a.Contains(via) && !slices.Contains(found, a.dev) {
			found = append(found, a.dev)
		}
	}
	for _, r := range c.routers {
		for _, p := range r.Held() {
			if on := r.On(p.Addr()); p.Contains(via) && !slices.Contains(found, on) {
				found = append(found, on)
			}
		}
	}
	switch {
	case slices.Contains(found, router.Interface):
		return router.Interface
	case len(found) == 1:
		return found[0]
	}
	why := "is in the network of no router of this file"
	if len(found) > 1 {
		why = "is in the network of several routers"
	}
	like := router.Interface
	if like == "" {
		like = "eth0"
	}
	c.add(join(path, "dev"), fmt.Sprintf("missing: %s %s", via, why), fmt.Sprintf("name the interface that leads there, like dev = %s", quote(like)))
	return ""
}

// oneFamily refuses IPv4 by IPv6 and the reverse.
func (c *checker) oneFamily(path string, r identity.Route) {
	other := func(a netip.Addr) bool { return a.IsValid() && a.Is6() != r.To.Addr().Is6() }
	for _, a := range gateways(r) {
		if other(a) {
			c.add(path, fmt.Sprintf("%s and its gateway %s are of two families", r.To, a), "make two routes, or correct one")
		}
	}
	if other(r.Source) {
		c.add(join(path, "source"), fmt.Sprintf("%s and %s are of two families", r.Source, r.To), "use an address of the same")
	}
}

// scope reads how far the destination is, or finds it out.
func (c *checker) scope(path string, raw *rawRoute, r *identity.Route) {
	path = join(path, "scope")
	direct := r.Kind == identity.Unicast && len(gateways(*r)) == 0
	if direct && raw.Scope == nil {
		r.Scope = identity.ScopeLink
	}
	if raw.Scope == nil {
		return
	}
	n, named := scopes[*raw.Scope]
	if !named {
		number, err := strconv.ParseUint(*raw.Scope, 0, 8)
		if err != nil {
			c.add(path, quote(*raw.Scope)+" is no scope", "use global, site, link, host or a number")
			return
		}
		n = uint8(number)
	}
	r.Scope = identity.Scope(n)
	switch {
	case r.To.IsValid() && r.To.Addr().Is6():
		c.add(path, "IPv6 routes have no scope", "remove it")
	case r.Scope >= identity.ScopeLink && !direct:
		c.add(path, "what is behind a gateway, or refused, is not on the link", "remove it")
	}
}

// fitsKind refuses keys that mean nothing for a route that refuses packets.
func (c *checker) fitsKind(path string, raw *rawRoute, r identity.Route) {
	if r.Kind == identity.Unicast {
		return
	}
	for _, k := range []struct {
		key string
		set bool
	}{{"via", raw.Via != nil}, {"dev", raw.Dev != nil}, {"onlink", raw.Onlink != nil}, {"encap", raw.Encap != nil}, {"nexthops", raw.Nexthops != nil},
		{"source", raw.Source != nil}, {"mtu", raw.MTU != nil}} {
		if k.set {
			c.add(join(path, k.key), fmt.Sprintf("a route of type %s leads nowhere", r.Kind), "remove it")
		}
	}
}

// checkRouting looks at all routes and rules together, when routers and groups
// are known.
func (c *checker) checkRouting() {
	keys := map[identity.RouteKey]routeAt{}
	for _, r := range c.routes {
		if first, ok := keys[r.Key()]; ok {
			// Which of them would be there would depend on who came last.
			c.add(r.path, fmt.Sprintf("another route has its destination, table and metric (line %d)", c.line(first.path)), "give one of them another metric, or keep it in one place")
			continue
		}
		keys[r.Key()] = r
		c.notConnected(r)
		c.sourceMovesAlong(r)
	}
	c.removable()
	seen := map[identity.Rule]string{}
	for _, r := range c.rules {
		if first, ok := seen[r.Rule]; ok && first != r.path {
			c.add(r.path, fmt.Sprintf("the same rule is in line %d", c.line(first)), "keep it in one place")
			continue
		}
		seen[r.Rule] = r.path
	}
}

// removable refuses a route that the kernel could not tell from another one when
// it removes it: an IPv4 route is removed without its metric if that is 0.
func (c *checker) removable() {
	type destination struct {
		to    netip.Prefix
		table uint32
	}
	others := map[destination]routeAt{} // that have a metric
	for _, r := range c.routes {
		if r.Metric != 0 {
			others[destination{r.To, r.Table}] = r
		}
	}
	for _, r := range c.routes {
		if o, ok := others[destination{r.To, r.Table}]; ok && r.Metric == 0 {
			c.add(join(r.path, "metric"), fmt.Sprintf("missing: beside another route to %s (line %d) the kernel cannot tell this one when it goes", r.To, c.line(o.path)),
				fmt.Sprintf("give it one, like metric = %d", max(1, o.Metric/2)))
		}
	}
}

// notConnected refuses a route to a router's own network that the kernel makes by
// itself.
func (c *checker) notConnected(r routeAt) {
	if r.Table != identity.MainTable || r.Metric != 0 || r.To.Addr().Is6() {
		return
	}
	for _, o := range c.routers {
		for _, a := range o.addresses {
			if a.Masked() == r.To {
				c.add(join(r.path, "to"), fmt.Sprintf("%s is the network of router %s (line %d), to which the kernel makes a route by itself", r.To, quote(o.Name), c.line(a.path)),
					"remove the route, or give it a metric")
				return
			}
		}
	}
}

// sourceMovesAlong refuses an address that may be on the other node while the
// route is here.
func (c *checker) sourceMovesAlong(r routeAt) {
	first, ok := c.holders[r.Source]
	if !ok || !r.Source.IsValid() {
		return
	}
	if r.router == "" {
		c.add(join(r.path, "source"), fmt.Sprintf("%s moves with router %s (line %d), the route does not", r.Source, quote(first.router), c.line(first.path)),
			"use an address that does not move")
		return
	}
	mine, its := c.config.GroupOf(r.router), c.config.GroupOf(first.router)
	if mine != nil && its != nil && mine.Name != its.Name {
		c.add(join(r.path, "source"), fmt.Sprintf("%s moves with group %s (line %d), the route with group %s", r.Source, quote(its.Name), c.line(first.path), quote(mine.Name)),
			"use an address that moves with the route, or one that does not move")
	}
}

// agreedRoutes are the lines of Agreement about routes and rules: what leads
// where has to be alike, by which gateway and interface is each node's own affair.
func agreedRoutes(r Router, ref string) (lines []string) {
	for _, x := range r.Routes {
		lines = append(lines, strings.TrimRight(fmt.Sprintf("route %s table %d %s with %s", x.To, x.Table, x.Kind, ref), " "))
	}
	for _, x := range r.Rules {
		x.In, x.Out = "", ""
		lines = append(lines, fmt.Sprintf("rule %s with %s", x, ref))
	}
	return lines
}
