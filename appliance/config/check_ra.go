package config

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"understudy/garp/ra"
)

// Bounds of our own: what fits into a packet of 1280 octets (RFC 8200 section 5)
// whatever else it says.
const (
	maxRAPrefixes = 16
	maxRDNSS      = 8
	maxDNSSL      = 512 // octets of all names together
)

// raLifetimeMax is the greatest lifetime in an option, in seconds; RFC 4861 has it
// for infinity, which nobody should promise.
const raLifetimeMax = (1<<32 - 2) * time.Second

// advertising reads what the router at that place of the file says to hosts.
func (c *checker) advertising(router string, raw *rawRouter) {
	var six *routerAt
	for i := range c.routers {
		if c.routers[i].path == router && c.routers[i].Family == 6 {
			six = &c.routers[i]
		}
	}
	if p := c.advertisement(router, raw, six); p != nil {
		six.RA = p
	}
}

// advertisement reads what a router with IPv6 addresses says to hosts; nil if it
// says nothing, or if something was refused.
func (c *checker) advertisement(router string, raw *rawRouter, six *routerAt) *ra.Params {
	path := join(router, "ra")
	if raw.RA == nil {
		return nil
	}
	if six == nil {
		if c.bad(join(router, "addresses")) || len(raw.Addresses) == 0 {
			return nil // said already
		}
		c.add(path, "router advertisements are of IPv6, and this router has no IPv6 address", "remove it, or give the router its IPv6 addresses")
		return nil
	}
	before, def, r := len(c.problems), c.defaults.RA, raw.RA
	p := def
	p.Interval = c.raDuration(join(path, "interval"), r.Interval, def.Interval, ra.MinMaxInterval, ra.MaxMaxInterval, "10m")
	p.Lifetime = c.raDuration(join(path, "lifetime"), r.Lifetime, 3*p.Interval, 0, ra.MaxLifetime, "30m")
	if r.Lifetime != nil && p.Lifetime > 0 && p.Lifetime < p.Interval {
		c.add(join(path, "lifetime"), fmt.Sprintf("%v is over before the next advertisement, which may be %v later", p.Lifetime, p.Interval),
			`use three times the interval, or "0s" for no default router`)
	}
	p.Lifetime = min(p.Lifetime, ra.MaxLifetime)
	p.Preference = known(c, join(path, "preference"), r.Preference, def.Preference, []ra.Preference{ra.Low, ra.Medium, ra.High})
	if p.Lifetime == 0 && p.Preference != ra.Medium {
		c.add(join(path, "preference"), "with lifetime = \"0s\" it is no default router, so none to be preferred (RFC 4191 section 2.2)", "remove it")
	}
	p.HopLimit = uint8(c.count(join(path, "hop_limit"), r.HopLimit, int(def.HopLimit), 0, 255))
	if r.MTU != nil {
		p.MTU = uint32(c.count(join(path, "mtu"), r.MTU, 0, ra.MinMTU, 65535))
	}
	p.Managed, p.Other = or(r.Managed, def.Managed), or(r.Other, def.Other)
	p.OnLink, p.Autonomous = or(r.OnLink, def.OnLink), or(r.Autonomous, def.Autonomous)
	p.Valid = c.raDuration(join(path, "valid"), r.Valid, def.Valid, 0, raLifetimeMax, "720h")
	p.Preferred = c.raDuration(join(path, "preferred"), r.Preferred, min(def.Preferred, p.Valid), 0, raLifetimeMax, "168h")
	if p.Preferred > p.Valid {
		c.add(join(path, "preferred"), fmt.Sprintf("%v is longer than addresses are valid, %v", p.Preferred, p.Valid), "use at most as long (RFC 4861 section 6.2.1)")
	}
	p.Prefixes = c.raPrefixes(path, r, six, p.Autonomous)
	slices.SortFunc(p.Prefixes, netip.Prefix.Compare) // the same octets, whatever the order in the file
	p.RDNSS = c.rdnss(join(path, "rdnss"), r.RDNSS)
	p.DNSSL = c.dnssl(join(path, "dnssl"), r.DNSSL)
	if len(c.problems) > before {
		return nil
	}
	return &p
}

// raDuration reads a time that an advertisement says, or that goes with it: whole
// seconds.
func (c *checker) raDuration(path string, v *string, def, least, most time.Duration, like string) time.Duration {
	d := c.duration(path, v, like)
	switch {
	case d == nil:
		return def
	case *d < least || *d > most:
		c.add(path, *v+" is out of range", fmt.Sprintf("use %v to %v", least, most))
	case *d%time.Second != 0:
		c.add(path, *v+" is not in whole seconds, which it is told in", fmt.Sprintf("use %v", (*d).Truncate(time.Second)))
	default:
		return *d
	}
	return def
}

// raPrefixes reads the list, or makes it of the router's addresses.
func (c *checker) raPrefixes(path string, raw *rawRA, six *routerAt, autonomous bool) (list []netip.Prefix) {
	add := func(path string, p netip.Prefix) {
		switch i := slices.IndexFunc(list, p.Overlaps); {
		case autonomous && p.Bits() != 64:
			c.add(path, fmt.Sprintf("%v: hosts make themselves an address in a /64 only", p), "use a /64, or write autonomous = false in ra")
		case i >= 0:
			c.add(path, fmt.Sprintf("%v overlaps with %v", p, list[i]), "list each prefix once")
		default:
			list = append(list, p)
		}
	}
	if raw.Prefixes == nil {
		for _, a := range six.addresses {
			if p := a.Masked(); !a.Addr().IsLinkLocalUnicast() && !slices.Contains(list, p) && !(p.Bits() == 128 && len(six.addresses) > 1) {
				add(a.path, p)
			}
		}
		return list
	}
	path = join(path, "prefixes")
	for i, v := range raw.Prefixes {
		if v == nil {
			continue
		}
		path := at(path, i)
		p, err := netip.ParsePrefix(*v)
		switch {
		case err != nil || p.Addr().Is4() || p.Addr().Is4In6():
			c.add(path, quote(*v)+" is not an IPv6 network", `write it like "2001:db8:1::/64"`)
		case p.Masked() != p:
			c.add(path, *v+" is an address in a network", "use the network itself, "+p.Masked().String())
		case p.Addr().IsLinkLocalUnicast() || p.Addr().IsMulticast() || p.Addr().IsLoopback() || p.Bits() < 3:
			c.add(path, *v+" is no network that hosts can have addresses of", `write it like "2001:db8:1::/64"`)
		default:
			add(path, p)
		}
	}
	if len(raw.Prefixes) > maxRAPrefixes {
		c.add(path, fmt.Sprintf("%d prefixes do not fit into an advertisement", len(raw.Prefixes)), fmt.Sprintf("list at most %d", maxRAPrefixes))
	}
	return list
}

// rdnss reads the addresses of DNS servers.
func (c *checker) rdnss(path string, raw []*string) (list []netip.Addr) {
	for i, v := range raw {
		if v == nil {
			continue
		}
		switch a, err := netip.ParseAddr(*v); {
		case err != nil || a.Is4() || a.Is4In6() || a.Zone() != "":
			c.add(at(path, i), quote(*v)+" is not an IPv6 address", `write it like "2001:db8:1::53"`)
		case a.IsMulticast() || a.IsUnspecified() || a.IsLoopback():
			c.add(at(path, i), *v+" is no address of a DNS server", "use one that hosts can reach")
		case slices.Contains(list, a):
			c.add(at(path, i), *v+" is there twice", "remove it")
		default:
			list = append(list, a)
		}
	}
	if len(raw) > maxRDNSS {
		c.add(path, fmt.Sprintf("%d DNS servers do not fit into an advertisement", len(raw)), fmt.Sprintf("list at most %d", maxRDNSS))
	}
	return list
}

// dnssl reads the domains that hosts search.
func (c *checker) dnssl(path string, raw []*string) (list []string) {
	octets := 0
	for i, v := range raw {
		if v == nil {
			continue
		}
		name := strings.ToLower(strings.TrimSuffix(*v, "."))
		switch {
		case !validDomain(name):
			c.add(at(path, i), quote(*v)+" is not the name of a domain", `write it like "example.org"`)
		case slices.Contains(list, name):
			c.add(at(path, i), *v+" is there twice", "remove it")
		default:
			list = append(list, name)
			octets += len(name) + 2
		}
	}
	if octets > maxDNSSL {
		c.add(path, fmt.Sprintf("%d octets of names do not fit into an advertisement", octets), fmt.Sprintf("use at most %d", maxDNSSL))
	}
	return list
}

// validDomain tells whether s, without a dot at the end, is a host's kind of name
// (RFC 1123 section 2.1).
func validDomain(s string) bool {
	if s == "" || len(s) > 253 {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for _, b := range []byte(label) {
			if b != '-' && (b < '0' || b > '9') && (b < 'a' || b > 'z') {
				return false
			}
		}
	}
	return true
}
