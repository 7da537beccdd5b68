package config

import (
	"fmt"
	"net/netip"
	"slices"
)

// maxAddresses6 is how many addresses a packet of 1500 octets holds beside the
// IPv6 header (40) and that of the advert (8).
const maxAddresses6 = (1500 - 40 - 8) / 16

// linkLocal is the network of the link-local addresses of every interface (RFC
// 4291 section 2.5.6).
var linkLocal = netip.MustParsePrefix("fe80::/64")

// families makes of what was read of a [[router]] a virtual router for each
// family that it has addresses of, IPv4 first. The IPv6 one has a link-local
// address before all others, whatever the order in the file: adverts must have
// it there (RFC 9568 section 5.2.9).
func (c *checker) families(r routerAt, raw *rawRouter, addresses []addressAt) []routerAt {
	path := join(r.path, "addresses")
	four, six := r, r
	four.Family, six.Family = 4, 6
	for _, a := range addresses {
		if a.Addr().Is4() {
			four.addresses = append(four.addresses, a)
		} else {
			six.addresses = append(six.addresses, a)
		}
	}
	slices.SortStableFunc(six.addresses, func(a, b addressAt) int {
		switch x, y := a.Addr().IsLinkLocalUnicast(), b.Addr().IsLinkLocalUnicast(); {
		case x == y:
			return 0
		case x:
			return -1
		}
		return 1
	})
	c.fits(path, four, maxAddresses, "")
	c.fits(path, six, maxAddresses6, "IPv6 ")
	if len(six.addresses) == 0 {
		return []routerAt{four.complete()} // also if it has none at all: others may name it
	}
	c.family6(r, raw, six, len(four.addresses) == 0)
	if len(four.addresses) == 0 {
		return []routerAt{six.complete()}
	}
	return []routerAt{four.complete(), six.complete()}
}

func (r routerAt) complete() routerAt {
	var listed []netip.Addr
	own := r.addresses[:0:0]
	for _, a := range r.addresses {
		listed = append(listed, a.Addr())
		if a.again {
			continue
		}
		own = append(own, a)
		r.Addresses = append(r.Addresses, a.Prefix)
		r.elsewhere(a)
	}
	if len(listed) > len(own) {
		r.addresses, r.Advertised = own, listed
	}
	return r
}

func (c *checker) fits(path string, r routerAt, most int, kind string) {
	if n := len(r.addresses); n > most {
		c.add(path, fmt.Sprintf("%d %saddresses do not fit into an advert", n, kind),
			fmt.Sprintf("list at most %d, and make a second router for the rest", most))
	}
}

// family6 checks what IPv6 asks of a router; alone says that there is no IPv4 in it.
func (c *checker) family6(r routerAt, raw *rawRouter, six routerAt, alone bool) {
	path := join(r.path, "addresses")
	refused := slices.ContainsFunc(six.addresses, func(a addressAt) bool { return c.bad(a.path) })
	for i := range raw.Addresses {
		refused = refused || c.bad(at(path, i))
	}
	switch first := six.addresses[0]; {
	case r.Version == 2:
		c.add(six.addresses[0].path, fmt.Sprintf("%s is an IPv6 address, and version 2 knows IPv4 only", first), "use version = 3, or give IPv6 a router of its own")
	case !first.Addr().IsLinkLocalUnicast() && r.LinkLocal && !refused:
		c.add(path, "IPv6 without a link-local address, which adverts begin with and hosts have as their gateway (RFC 9568 section 5.2.9)",
			fmt.Sprintf("add one, the same on all nodes, like %s", quote("fe80::1/64")))
	}
	if alone && raw.Checksum != nil && r.Checksum != ChecksumAuto {
		c.add(join(r.path, "checksum"), "IPv6 has one form of the checksum", "remove it")
	}
}

// address6 refuses what no router can have as an address with a prefix length.
func (c *checker) address6(path string, p netip.Prefix) bool {
	switch a := p.Addr(); {
	case a.IsLinkLocalUnicast() && p.Masked() != linkLocal:
		c.add(path, fmt.Sprintf("%s is not in fe80::/64, where all link-local addresses are", p), linkLocalFix(a))
	case p.Bits() < 127 && a == p.Masked().Addr(): // RFC 4291 section 2.6.1, RFC 6164
		c.add(path, fmt.Sprintf("%s is the anycast address of all routers in its subnet", p), fmt.Sprintf("use an address of a host, like %s/%d", a.Next(), p.Bits()))
	default:
		return true
	}
	return false
}

func linkLocalFix(a netip.Addr) string {
	if p, err := a.Prefix(64); err == nil && p == linkLocal && a != linkLocal.Addr() {
		return fmt.Sprintf("write %s/64", a)
	}
	return "use one like fe80::1/64"
}

// onLink tells a from the same link-local address on another interface: it
// counts on its own link only, so routers of several interfaces can have it.
func onLink(a netip.Addr, iface string) netip.Addr {
	if onLinkOnly(a) {
		return a.WithZone(iface)
	}
	return a
}

// onLinkOnly tells whether a is a link-local address of IPv6.
func onLinkOnly(a netip.Addr) bool { return a.Is6() && a.IsLinkLocalUnicast() }
