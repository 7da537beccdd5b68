package config

import (
	"net/netip"
	"slices"
	"strings"

	"understudy/appliance/identity"
)

// placed reads an address, and on which interface it is if that is not the router's:
// "10.0.0.1/24", "10.0.1.1/24 dev wan0".
func (c *checker) placed(path, v string) (addressAt, bool) {
	a := addressAt{path: path}
	words := strings.Fields(v)
	if len(words) < 2 {
		p, ok := c.address(path, v)
		a.Prefix = p
		return a, ok
	}
	read := c.address
	if slices.Contains(words, "autojoin") {
		read = c.groupAddress
	}
	p, ok := read(path, words[0])
	a.Prefix = p
	return a, ok && c.attributes(&a, words[1:])
}

// excluded reads the addresses that a router has and does not advertise.
func (c *checker) excluded(path string, raw []*string) (list []addressAt) {
	for i, v := range raw {
		if v == nil {
			continue
		}
		a, ok := c.placed(at(path, i), *v)
		switch {
		case ok && a.again:
			c.add(a.path, "adverts do not have what is excluded, so they cannot have it again", "remove again")
		case ok:
			list = append(list, a)
		}
	}
	return list
}

// exclude gives what is not advertised to the router of its family, or to the only
// one.
func (c *checker) exclude(routers []routerAt, excluded []addressAt) []routerAt {
	for _, a := range excluded {
		i := max(0, slices.IndexFunc(routers, func(r routerAt) bool { return r.Family == familyOf(a.Addr()) }))
		r := &routers[i]
		if r.Priority == ownerPriority {
			c.add(a.path, "priority 255: the addresses are the interface's own", "remove it, or use a priority up to 254")
			continue
		}
		r.excluded = append(r.excluded, a)
		r.Excluded = append(r.Excluded, a.Prefix)
		r.elsewhere(a)
	}
	return routers
}

func (r *routerAt) elsewhere(a addressAt) {
	if a.virtual {
		if r.Virtual == nil {
			r.Virtual = map[netip.Addr]bool{}
		}
		r.Virtual[a.Addr()] = true
	}
	if a.as != (identity.Attributes{}) {
		if r.Attributes == nil {
			r.Attributes = map[netip.Addr]identity.Attributes{}
		}
		r.Attributes[a.Addr()] = a.as
	}
	if a.dev == "" || a.dev == r.Interface {
		return
	}
	if r.Elsewhere == nil {
		r.Elsewhere = map[netip.Addr]string{}
	}
	r.Elsewhere[a.Addr()] = a.dev
}

// Held are all addresses that move with the router: those that adverts tell, then
// the others.
func (r Router) Held() []netip.Prefix {
	if len(r.Excluded) == 0 {
		return r.Addresses
	}
	return append(slices.Clone(r.Addresses), r.Excluded...)
}

// On is the interface that an address of the router belongs to.
func (r Router) On(a netip.Addr) string {
	if dev, ok := r.Elsewhere[a]; ok {
		return dev
	}
	return r.Interface
}

// Interfaces are the router's own, and those that only addresses of it are on.
func (r Router) Interfaces() []string {
	list := []string{r.Interface}
	for _, p := range r.Held() {
		if on := r.On(p.Addr()); !slices.Contains(list, on) {
			list = append(list, on)
		}
	}
	return list
}

// link is where an address is put, if the others are put on the link named on: a
// device of ours has addresses of its own family only.
func (r Router) link(a netip.Addr, on string) string {
	if r.Virtual[a] {
		return identity.NewDevice(r.On(a), r.VRID, familyOf(a)).Name
	}
	if dev, ok := r.Elsewhere[a]; ok {
		return dev
	}
	if familyOf(a) != r.Family {
		return r.Interface
	}
	return on
}
