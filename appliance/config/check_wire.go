package config

import (
	"fmt"
	"net/netip"
	"slices"
)

// wire reads what a router does otherwise than RFC 9568 has it on the wire.
func (c *checker) wire(path string, raw *rawRouter, r *Router) {
	def := c.defaults.Router
	r.LinkLocal = or(raw.LinkLocal, def.LinkLocal)
	r.Assert = or(raw.Assert, def.Assert)
	r.DownAdverts = uint8(c.count(join(path, "down_adverts"), raw.DownAdverts, int(def.DownAdverts), 1, 100))
	r.TrackOwn = or(raw.TrackOwn, def.TrackOwn)
	r.UnicastTTL = uint8(c.count(join(path, "unicast_ttl"), raw.UnicastTTL, int(def.UnicastTTL), 1, 255))
	if raw.UnicastTTL != nil && len(raw.Unicast) == 0 {
		c.add(join(path, "unicast_ttl"), "adverts go to the group, with 255 (RFC 9568 section 5.1.1.3)", "remove it, or list the other nodes in unicast")
	}
	r.AdvertMAC = known(c, join(path, "advert_mac"), raw.AdvertMAC, "", []MAC{MACInterface, MACVirtual})
	if r.AdvertMAC == MACVirtual && r.MAC != MACVirtual {
		c.add(join(path, "advert_mac"), "the router has no virtual MAC", `write mac = "virtual", or remove it`)
	}
}

// multicast reads the groups that adverts go to, one for each family, and gives them to the
// routers at that place of the file.
func (c *checker) multicast(router string, raw *rawRouter) {
	var seen []netip.Addr
	for i, v := range raw.Multicast {
		path := join(router, "multicast")
		if len(raw.Multicast) > 1 {
			path = at(path, i)
		}
		if v == nil {
			continue
		}
		a, ok := c.bareAddr(path, v, "")
		switch {
		case !ok || c.mapped(path, a):
			continue
		case !a.IsMulticast() || a.Zone() != "":
			c.add(path, a.String()+" is not a multicast group", `write one, like "224.0.0.99" or "ff02::99"`)
			continue
		case slices.ContainsFunc(seen, func(o netip.Addr) bool { return o.Is4() == a.Is4() }):
			c.add(path, fmt.Sprintf("there is an %s group already", family(a.Is6())), "remove one")
			continue
		}
		seen = append(seen, a)
		taken := false
		for k := range c.routers {
			r := &c.routers[k]
			if r.path != router || r.Family != familyOf(a) || len(r.addresses) == 0 {
				continue
			}
			taken = true
			if len(r.Unicast) > 0 {
				c.add(path, "adverts go by unicast", "remove it, or unicast")
			}
			r.Multicast = a
		}
		if !taken {
			c.add(path, fmt.Sprintf("%s is an %s group, and the router has no such address", a, family(a.Is6())), "remove it")
		}
	}
}
