package config

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// addresses reads the list of a router's addresses.
func (c *checker) addresses(path string, raw []*string) []addressAt {
	if len(raw) == 0 {
		c.add(path, "missing: a router without addresses keeps nothing alive", `list them with their prefix length, like addresses = ["10.0.0.1/24"]`)
		return nil
	}
	var list []addressAt
	known := map[netip.Addr]bool{}
	for i, v := range raw {
		if v == nil {
			continue
		}
		a, ok := c.placed(at(path, i), *v)
		if ok && a.again && !known[a.Addr()] {
			c.add(a.path, a.Addr().String()+" is not there before: again has adverts list an address once more", "remove again")
			continue
		}
		known[a.Addr()] = true // also if something about it was refused
		if ok {
			list = append(list, a)
		}
	}
	return list
}

// address reads one address with its prefix length.
func (c *checker) address(path, v string) (netip.Prefix, bool) {
	if a, err := netip.ParseAddr(v); err == nil {
		switch {
		case c.mapped(path, a):
		case a.Zone() != "":
			c.add(path, v+" names an interface, which the router has one of", fmt.Sprintf("write %s/64", a.WithZone("")))
		case a.Is6():
			c.add(path, v+" has no prefix length", fmt.Sprintf("write the length of its subnet too, like %s/64", v))
		default:
			c.add(path, v+" has no prefix length", fmt.Sprintf("write the length of its subnet too, like %s/24", v))
		}
		return netip.Prefix{}, false
	}
	p, err := netip.ParsePrefix(v)
	if err != nil {
		c.add(path, quote(v)+" is not an address with a prefix length", `write it like "10.0.0.1/24"`)
		return netip.Prefix{}, false
	}
	if c.mapped(path, p.Addr()) {
		return netip.Prefix{}, false
	}
	if why := notHost(p.Addr()); why != "" {
		c.add(path, fmt.Sprintf("%s is %s", v, why), "use an address that a host can have")
		return netip.Prefix{}, false
	}
	if p.Addr().Is6() {
		return p, c.address6(path, p)
	}
	// A /31 is a link of two hosts (RFC 3021), a /32 just a host.
	if p.Bits() < 31 {
		first := p.Masked().Addr().Next()
		switch p.Addr() {
		case p.Masked().Addr():
			c.add(path, v+" is the subnet itself, not a host in it", fmt.Sprintf("use an address of a host, like %s/%d", first, p.Bits()))
			return netip.Prefix{}, false
		case broadcast(p):
			c.add(path, v+" is the broadcast address of its subnet", fmt.Sprintf("use an address of a host, like %s/%d", first, p.Bits()))
			return netip.Prefix{}, false
		}
	}
	return p, true
}

// groupAddress reads a multicast group that the node joins, with its prefix length.
func (c *checker) groupAddress(path, v string) (netip.Prefix, bool) {
	p, err := netip.ParsePrefix(v)
	if err != nil || !p.Addr().IsMulticast() || p.Addr().Is4In6() {
		c.add(path, quote(v)+" is no multicast group, and autojoin joins one", `remove autojoin, or write a group with its length, like "239.1.1.1/32"`)
		return netip.Prefix{}, false
	}
	return p, true
}

// mapped refuses what is IPv4 and does not look like it.
func (c *checker) mapped(path string, a netip.Addr) bool {
	if a.Is4In6() {
		c.add(path, a.String()+" is IPv4 written as IPv6", "write "+a.Unmap().String())
	}
	return a.Is4In6()
}

// notHost says why no host can have a; empty if one can.
func notHost(a netip.Addr) string {
	switch {
	case a == netip.IPv6Unspecified():
		return "no particular host"
	case a.Is4() && a.As4()[0] == 0:
		return "in 0.0.0.0/8, which means no particular host"
	case a.IsLoopback():
		return "a loopback address"
	case a.IsMulticast():
		return "a multicast address"
	case a.Is4() && a.As4()[0] >= 240:
		return "in the reserved block 240.0.0.0/4"
	}
	return ""
}

// broadcast returns the last address of an IPv4 prefix.
func broadcast(p netip.Prefix) netip.Addr {
	b := p.Masked().Addr().As4()
	for i := p.Bits(); i < 32; i++ {
		b[i/8] |= 1 << (7 - i%8)
	}
	return netip.AddrFrom4(b)
}

// host reads a bare address that a host can have.
func (c *checker) host(path string, v *string, missing string) (netip.Addr, bool) {
	a, ok := c.bareAddr(path, v, missing)
	return a, ok && c.hostAddr(path, a)
}

// bareAddr reads an address without a prefix length.
func (c *checker) bareAddr(path string, v *string, missing string) (netip.Addr, bool) {
	if v == nil {
		c.add(path, "missing", missing)
		return netip.Addr{}, false
	}
	a, err := netip.ParseAddr(*v)
	if err != nil {
		fix := `write it like "203.0.113.1"`
		if p, err := netip.ParsePrefix(*v); err == nil {
			fix = fmt.Sprintf("write %s without the prefix length", quote(p.Addr().String()))
		}
		c.add(path, quote(*v)+" is not an address", fix)
		return netip.Addr{}, false
	}
	return a, true
}

func (c *checker) hostAddr(path string, a netip.Addr) bool {
	if c.mapped(path, a) {
		return false
	}
	if why := notHost(a); why != "" {
		c.add(path, fmt.Sprintf("%s is %s", a, why), "use an address that a host can have")
		return false
	}
	return true
}

// addrPort reads ADDRESS:PORT. Port 0 is refused, the address is not looked at.
func (c *checker) addrPort(path, v, like string) (netip.AddrPort, bool) {
	ap, err := netip.ParseAddrPort(v)
	switch {
	case err == nil && ap.Port() != 0:
		return ap, true
	case err == nil:
		c.add(path, v+" has port 0", "use a port from 1 to 65535")
	case strings.HasPrefix(v, ":"):
		c.add(path, quote(v)+" has no address", "write the address before the port, like "+quote(like))
	default:
		fix := "write an IP address and a port, like " + quote(like)
		if a, err := netip.ParseAddr(v); err == nil {
			fix = "add the port, like " + quote(netip.AddrPortFrom(a, portOf(like)).String())
		}
		c.add(path, quote(v)+" is not an address and a port", fix)
	}
	return netip.AddrPort{}, false
}

func portOf(addrPort string) uint16 {
	ap, _ := netip.ParseAddrPort(addrPort)
	return ap.Port()
}

// duplicateAddresses refuses an address that two routers have, or one twice.
func (c *checker) duplicateAddresses() {
	c.holders = map[netip.Addr]holder{}
	for _, r := range c.routers {
		for _, a := range append(slices.Clone(r.addresses), r.excluded...) {
			key := onLink(a.Addr(), r.On(a.Addr()))
			if first, ok := c.holders[key]; ok {
				c.add(a.path, fmt.Sprintf("%s is also an address of router %s (line %d)", a.Addr(), quote(first.router), c.line(first.path)), "keep it in one place")
				continue
			}
			c.holders[key] = holder{router: r.Name, path: a.path}
		}
	}
}
