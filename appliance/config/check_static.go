package config

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"understudy/nat"
)

// blockAt is a network that others route to the gateways, and where the file says so.
type blockAt struct {
	netip.Prefix
	path string
}

// static reads a mapping one to one.
func (c *checker) static(path string, raw *rawStatic) Static {
	s := Static{Onlink: or(raw.Onlink, c.defaults.Static.Onlink)}
	public, ok := c.hostsOrOne(join(path, "public"), raw.Public, `name the public address, or network, like public = "203.0.113.20"`)
	private, ok2 := c.hostsOrOne(join(path, "private"), raw.Private, `name the address, or network, inside, like private = "10.0.0.20"`)
	if ok2 {
		s.Private = private
		c.notAGateway(join(path, "private"), private)
	}
	s.Except = c.exceptions(join(path, "except"), raw.Except, s.Private)
	if !ok {
		return s
	}
	s.Public = public
	if ok2 && familyOf(public.Addr()) != familyOf(private.Addr()) {
		c.alike(join(path, "private"), private.Addr(), public.Addr())
	} else if ok2 && public.Bits() != private.Bits() {
		c.add(join(path, "private"), fmt.Sprintf("%s is not as large as %s", network(private), network(public)), "give both the same prefix length: each address has one counterpart")
	}
	if s.Onlink {
		s.Router = c.routerOfStatic(path, public, raw.Router)
	} else {
		s.Router = c.routerOfBlock(path, public, raw.Router)
	}
	for _, r := range c.routers {
		if r.Name == s.Router {
			s.Out = r.Interface
		}
	}
	return s
}

// hostsOrOne reads an address, or a network without host bits.
func (c *checker) hostsOrOne(path string, v *string, missing string) (netip.Prefix, bool) {
	if v == nil {
		c.add(path, "missing", missing)
		return netip.Prefix{}, false
	}
	if a, err := netip.ParseAddr(*v); err == nil {
		return netip.PrefixFrom(a.WithZone(""), a.BitLen()), c.translatable(path, a)
	}
	p, err := netip.ParsePrefix(*v)
	switch {
	case err != nil:
		c.add(path, quote(*v)+" is neither an address nor a network", `write it like "203.0.113.20" or "203.0.113.32/28"`)
	case c.mapped(path, p.Addr()):
	case p != p.Masked():
		c.add(path, *v+" has bits set beyond its prefix length", fmt.Sprintf("write %s, or %s for this one host", p.Masked(), p.Addr()))
	case p.Bits() == 0:
		c.add(path, *v+" is every address there is", "name a network")
	case p.Addr().Is6() && p.Addr().IsLinkLocalUnicast():
		c.add(path, *v+" counts on one link only", "use addresses that are routed")
	case notHost(p.Addr()) != "":
		c.add(path, fmt.Sprintf("%s is %s", *v, notHost(p.Addr())), "use addresses that hosts can have")
	default:
		return p, true
	}
	return netip.Prefix{}, false
}

// network is an address, or a network if it has several, as the file spells it.
func network(p netip.Prefix) string {
	if p.IsSingleIP() {
		return p.Addr().String()
	}
	return p.String()
}

// notAGateway refuses to give the gateway's own address to somebody outside.
func (c *checker) notAGateway(path string, private netip.Prefix) {
	if h, ok := c.holders[private.Addr()]; ok && private.IsSingleIP() {
		c.add(path, fmt.Sprintf("%s is an address of the gateway itself, with router %s (line %d)", private.Addr(), quote(h.router), c.line(h.path)),
			"name a host behind the gateway")
	}
}

// routerOfStatic is the router that the public addresses move with. Each of them is
// added to its interface.
func (c *checker) routerOfStatic(path string, public netip.Prefix, named *string) (name string) {
	key := join(path, "public")
	if n := public.Addr().BitLen() - public.Bits(); n > 10 {
		c.add(key, fmt.Sprintf("%s has more than %d addresses, which a gateway would have to answer for one by one", public, nat.MostAddresses),
			"have the network routed to the gateways and write onlink = false, or map less of it")
		return ""
	}
	for a := public.Addr(); public.Contains(a); a = a.Next() {
		if h, ok := c.holders[a]; ok {
			c.add(key, fmt.Sprintf("%s is in use in line %d already", a, c.line(h.path)), "map addresses one to one that are used for nothing else")
			return ""
		}
		if r, p, ok := c.endOfSubnet(a); ok {
			c.add(key, fmt.Sprintf("%s is no host of %s, the network of router %s", a, p, quote(r)), "leave out the first and the last address of the network")
			return ""
		}
		if name = c.routerOfAddress(path, "public", a, named, true); name == "" {
			return ""
		}
	}
	return name
}

// endOfSubnet tells whether a is the network or the broadcast address of a router's
// network.
func (c *checker) endOfSubnet(a netip.Addr) (router string, of netip.Prefix, ok bool) {
	for _, r := range c.routers {
		for _, p := range r.Addresses {
			if a.Is4() && p.Bits() < 31 && p.Contains(a) && (a == p.Masked().Addr() || a == broadcast(p)) {
				return r.Name, p.Masked(), true
			}
		}
	}
	return "", netip.Prefix{}, false
}

// routerOfBlock is the router that a network moves with which others route here: the
// one that is named, else the only one of the family.
func (c *checker) routerOfBlock(path string, public netip.Prefix, named *string) string {
	key := join(path, "public")
	for _, r := range c.routers {
		for _, p := range r.Addresses {
			if public.Contains(p.Addr()) {
				c.add(key, fmt.Sprintf("%s holds %s, an address of router %s", network(public), p.Addr(), quote(r.Name)), "map a network that is used for nothing else")
				return ""
			}
		}
	}
	if public.IsSingleIP() {
		return c.routerOfAddress(path, "public", public.Addr(), named, false)
	}
	c.blocks = append(c.blocks, blockAt{public, key})
	switch family := familyOf(public.Addr()); {
	case c.bad(join(path, "router")):
		return ""
	case named == nil:
		return c.routerBySubnet(key, public.Addr())
	case !c.hasRouter(*named):
		c.add(join(path, "router"), fmt.Sprintf("there is no router %s", quote(*named)), suggest(*named, c.routerNames(), "name a router of this file"))
		return ""
	case !c.hasFamily(*named, family):
		c.add(join(path, "router"), fmt.Sprintf("router %s has IPv%d addresses only", quote(*named), 10-family), fmt.Sprintf("name one that has an IPv%d address", family))
		return ""
	}
	return *named
}

// exceptions reads destinations for which nothing is translated.
func (c *checker) exceptions(path string, raw []*string, from netip.Prefix) (out []netip.Prefix) {
	for i, v := range raw {
		if v == nil {
			continue
		}
		key := path
		if len(raw) > 1 {
			key = at(path, i)
		}
		p, ok := c.hostsOrOne(key, v, "")
		switch {
		case !ok:
		case from.IsValid() && familyOf(p.Addr()) != familyOf(from.Addr()):
			c.alike(key, p.Addr(), from.Addr())
		case slices.Contains(out, p):
			c.add(key, network(p)+" is there twice", "name it once")
		default:
			out = append(out, p)
		}
	}
	return out
}

// pool reads the addresses that a source is translated to: each an address, a range or
// a network.
func (c *checker) pool(path string, raw []*string) (out []netip.Addr) {
	key := join(path, "to")
	if len(raw) == 0 {
		c.add(key, "missing", "name the public address that the network gets")
		return nil
	}
	seen := map[netip.Addr]bool{}
	for i, v := range raw {
		if v == nil {
			continue
		}
		key := key
		if len(raw) > 1 {
			key = at(key, i)
		}
		first, last, ok := c.addressRange(key, *v)
		if !ok {
			return nil
		}
		for a := first; ; a = a.Next() {
			if seen[a] {
				c.add(key, a.String()+" is there twice", "name each address once")
				return nil
			}
			if len(out) == nat.MostAddresses {
				c.add(key, fmt.Sprintf("more than %d addresses", nat.MostAddresses), "use less of them, or several sources")
				return nil
			}
			if len(out) > 0 && familyOf(a) != familyOf(out[0]) {
				c.alike(key, a, out[0])
				return nil
			}
			seen[a] = true
			out = append(out, a)
			if a == last {
				break
			}
		}
	}
	return out
}

// addressRange reads ADDRESS, FIRST-LAST or NETWORK/LENGTH.
func (c *checker) addressRange(key, v string) (first, last netip.Addr, ok bool) {
	from, to, ranged := strings.Cut(v, "-")
	if p, err := netip.ParsePrefix(v); err == nil && !p.IsSingleIP() {
		if p != p.Masked() {
			c.add(key, v+" has bits set beyond its prefix length", fmt.Sprintf("write %s, or %s for this one address", p.Masked(), quote(p.Addr().String())))
			return first, last, false
		}
		if p.Addr().BitLen()-p.Bits() > 10 {
			c.add(key, fmt.Sprintf("%s has more than %d addresses", v, nat.MostAddresses), "use less of them, or several sources")
			return first, last, false
		}
		first, last = p.Addr(), p.Addr()
		for p.Contains(last.Next()) {
			last = last.Next()
		}
		return first, last, c.translatable(key, first) && c.translatable(key, last)
	}
	if !ranged {
		a, ok := c.bareAddr(key, &v, "")
		return a, a, ok && c.translatable(key, a)
	}
	first, err := netip.ParseAddr(strings.TrimSpace(from))
	last, err2 := netip.ParseAddr(strings.TrimSpace(to))
	switch {
	case err != nil || err2 != nil:
		c.add(key, quote(v)+" is not a range of addresses", `write it like "203.0.113.10-203.0.113.20"`)
		return first, last, false
	case !c.translatable(key, first) || !c.translatable(key, last):
		return first, last, false
	case familyOf(first) != familyOf(last):
		c.alike(key, last, first)
		return first, last, false
	case last.Less(first):
		c.add(key, v+" ends before it begins", fmt.Sprintf("write %s", quote(last.String()+"-"+first.String())))
		return first, last, false
	}
	return first, last, true
}

// addrPorts reads ADDRESS:PORT, or ADDRESS:FIRST-LAST.
func (c *checker) addrPorts(path, v, like string) (ap netip.AddrPort, last uint16, ok bool) {
	i := strings.LastIndexAny(v, ":-")
	if i < 0 || v[i] != '-' {
		ap, ok = c.addrPort(path, v, like)
		return ap, 0, ok
	}
	if ap, ok = c.addrPort(path, v[:i], like); !ok {
		return ap, 0, false
	}
	p, err := netip.ParseAddrPort("0.0.0.0:" + v[i+1:])
	if err != nil || p.Port() <= ap.Port() {
		c.add(path, quote(v[i+1:])+" is not the last port of a range", fmt.Sprintf("write a port above %d, as in %s-%d", ap.Port(), ap, min(65535, int(ap.Port())+9)))
		return ap, 0, false
	}
	return ap, p.Port(), true
}

// addresses are all that the source is translated to.
func (s Source) addresses() []netip.Addr {
	if !s.To.IsValid() {
		return nil
	}
	return append([]netip.Addr{s.To}, s.Also...)
}
