package config

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// maxUnicast bounds how many adverts leave at once.
const maxUnicast = 32

// addressing reads where the adverts of the routers at that place of the file
// come from and go to.
func (c *checker) addressing(router string, raw *rawRouter) {
	peers, ttls := c.unicast(join(router, "unicast"), raw.Unicast)
	source := c.advertSource(join(router, "source"), raw.Source)
	taken := false // by a router of its family
	for i := range c.routers {
		r := &c.routers[i]
		if r.path != router || len(r.Addresses) == 0 {
			continue
		}
		v6 := r.Addresses[0].Addr().Is6()
		if source.IsValid() && source.Is6() == v6 {
			r.Source, taken = source, true
		}
		for _, p := range peers {
			if p.Is6() == v6 {
				r.Unicast = append(r.Unicast, p)
				if ttl, ok := ttls[p]; ok {
					if r.PeerTTLs == nil {
						r.PeerTTLs = map[netip.Addr]TTLRange{}
					}
					r.PeerTTLs[p] = ttl
				}
			}
		}
		c.addressed(r)
	}
	c.ofNoFamily(router, raw, peers, source, taken)
}

// unicast reads the list of peers, each "ADDRESS [ttl LEAST[-MOST]]".
func (c *checker) unicast(path string, raw []*string) (peers []netip.Addr, ttls map[netip.Addr]TTLRange) {
	if len(raw) > maxUnicast {
		c.add(path, fmt.Sprintf("%d nodes are too many to tell each of them", len(raw)), fmt.Sprintf("list at most %d", maxUnicast))
		return nil, nil
	}
	ttls = map[netip.Addr]TTLRange{}
	for i, v := range raw {
		if v == nil {
			continue
		}
		text, ttl, ranged := strings.Cut(*v, " ")
		a, ok := c.station(at(path, i), text)
		switch {
		case !ok:
		case ranged && !c.peerTTL(at(path, i), a, ttl, ttls):
		case slices.Contains(peers, a):
			c.add(at(path, i), a.String()+" is there already", "remove it")
		default:
			peers = append(peers, a)
			c.notMoving(at(path, i), a, "that node")
		}
	}
	return peers, ttls
}

// peerTTL reads "ttl LEAST[-MOST]", which is behind the address of a peer.
func (c *checker) peerTTL(path string, a netip.Addr, v string, to map[netip.Addr]TTLRange) bool {
	text, ok := strings.CutPrefix(strings.TrimSpace(v), "ttl ")
	low, high, ranged := strings.Cut(strings.TrimSpace(text), "-")
	if !ranged {
		high = "255"
	}
	least, err := strconv.ParseUint(low, 10, 8)
	most, err2 := strconv.ParseUint(high, 10, 8)
	if !ok || err != nil || err2 != nil || least == 0 || least > most {
		c.add(path, quote(v)+" is no range of TTLs", fmt.Sprintf(`write %s, or %s: 1 to 255, the least first`, quote(a.String()+" ttl 250"), quote(a.String()+" ttl 60-64")))
		return false
	}
	to[a] = TTLRange{uint8(least), uint8(most)}
	return true
}

// advertSource reads where adverts come from.
func (c *checker) advertSource(path string, v *string) netip.Addr {
	if v == nil || *v == "" { // as if it were left out
		return netip.Addr{}
	}
	a, _ := c.station(path, *v)
	return a
}

// station reads the address of a node on the router's network, of either family.
func (c *checker) station(path, v string) (netip.Addr, bool) {
	a, err := netip.ParseAddr(v)
	if err != nil {
		fix := `write it like "10.0.0.3"`
		if p, err := netip.ParsePrefix(v); err == nil {
			fix = fmt.Sprintf("write %s without the prefix length", quote(p.Addr().String()))
		}
		c.add(path, quote(v)+" is not an address", fix)
		return netip.Addr{}, false
	}
	switch {
	case a.Is4In6():
		c.add(path, a.String()+" is IPv4 written as IPv6", "write "+a.Unmap().String())
	case a.Zone() != "":
		c.add(path, v+" names an interface, which the router has one of", "write "+a.WithZone("").String())
	case a.IsUnspecified() || a.IsLoopback() || a.IsMulticast() || a == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		c.add(path, v+" is not the address of a node", "use one that the node has on the network")
	default:
		return a, true
	}
	return netip.Addr{}, false
}

// addressed refuses what cannot work for one router.
func (c *checker) addressed(r *routerAt) {
	single := len(r.Unicast) > 0
	v6 := r.Addresses[0].Addr().Is6()
	owner := r.Priority == ownerPriority
	sourcePath := join(r.path, "source")
	switch {
	case r.Source.IsValid() && (single || !owner):
		c.notMoving(sourcePath, r.Source, "this node")
	case single && owner:
		c.add(sourcePath, "missing: with priority 255 adverts would come from one of the router's addresses, which another node has while it stands in",
			"write an address of this node alone, which the others list in unicast")
	}
	if single && len(r.Unicast) == 1 && r.Unicast[0] == r.Source {
		c.add(join(r.path, "unicast"), "it lists nobody but this node (source)", "add the other nodes")
	}
	switch {
	case !v6:
	case !single && r.Source.IsValid() && !r.Source.IsLinkLocalUnicast():
		c.add(sourcePath, r.Source.String()+" is not link-local, as the source of an IPv6 advert to the group has to be (RFC 9568 section 5.1.2.1)",
			"use a link-local address, or remove it")
	case single && !r.Source.IsValid():
		for _, p := range r.Unicast {
			if !p.IsLinkLocalUnicast() {
				c.add(sourcePath, fmt.Sprintf("missing: adverts to %s would come from a link-local address", p),
					"write the address of this node that the others list in unicast")
				return
			}
		}
	}
}

// ofNoFamily refuses addresses of a family that the router is not of, and a list
// without a node for one of its families.
func (c *checker) ofNoFamily(router string, raw *rawRouter, peers []netip.Addr, source netip.Addr, taken bool) {
	has := map[bool]bool{}
	for _, r := range c.routers {
		if r.path == router && len(r.Addresses) > 0 {
			has[r.Addresses[0].Addr().Is6()] = true
		}
	}
	if len(has) == 0 {
		return // its addresses were refused
	}
	for i, v := range raw.Unicast {
		if v == nil {
			continue
		}
		text, _, _ := strings.Cut(*v, " ")
		if a, err := netip.ParseAddr(text); err == nil && slices.Contains(peers, a) && !has[a.Is6()] {
			c.add(at(join(router, "unicast"), i), fmt.Sprintf("%s is an %s address, and the router has none of those", a, family(a.Is6())), "remove it")
		}
	}
	for _, v6 := range []bool{false, true} {
		isOf := func(a netip.Addr) bool { return a.Is6() == v6 }
		if len(has) == 2 && len(peers) > 0 && !slices.ContainsFunc(peers, isOf) {
			c.add(join(router, "unicast"), fmt.Sprintf("no node of the list has an %s address, and the router has", family(v6)),
				"add them, or make a [[router]] of its own for the other family")
		}
	}
	if source.IsValid() && !taken {
		c.add(join(router, "source"), fmt.Sprintf("%s is an %s address, and the router has none of those", source, family(source.Is6())), "remove it")
	}
}

func family(v6 bool) string {
	if v6 {
		return "IPv6"
	}
	return "IPv4"
}
