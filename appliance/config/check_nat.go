package config

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"understudy/nat"
)

func (c *checker) checkNAT(raw *rawNAT) {
	if raw == nil {
		return
	}
	m := &Mappings{}
	c.config.Mappings = m
	for i, rs := range raw.Source {
		if rs != nil {
			m.Sources = append(m.Sources, c.source(at("nat.source", i), rs))
		} else {
			m.Sources = append(m.Sources, Source{}) // keeps positions; never matches anything
		}
	}
	c.overlappingSources(m.Sources)
	for i, rs := range raw.Static {
		if rs != nil {
			m.Statics = append(m.Statics, c.static(at("nat.static", i), rs))
		} else {
			m.Statics = append(m.Statics, Static{})
		}
	}
	for i, rf := range raw.Forward {
		if rf != nil {
			m.Forwards = append(m.Forwards, c.forward(at("nat.forward", i), rf))
		} else {
			m.Forwards = append(m.Forwards, Forward{})
		}
	}
	c.overlappingForwards(m.Forwards)
	c.notOurs(m.Forwards)
	c.belowPool(m)
	c.checkEntries(raw.Entries, m)
	m.Moves = c.moveBounds(raw)
	m.Unknown = known(c, "nat.unknown", raw.Unknown, c.defaults.Mappings.Unknown, []Unknown{UnknownReset, UnknownDrop})
}

func (c *checker) source(path string, raw *rawSource) Source {
	s := Source{From: c.sourcePrefix(join(path, "from"), raw.From)}
	s.Out = c.outInterface(join(path, "out"), raw.Out)
	s.Ports = known(c, join(path, "ports"), raw.Ports, c.defaults.Source.Ports, []PortUse{PortsShared, PortsSplit})
	s.Onlink = or(raw.Onlink, c.defaults.Source.Onlink)
	s.Except = c.exceptions(join(path, "except"), raw.Except, s.From)
	to := c.pool(path, raw.To)
	if len(to) == 0 {
		return s
	}
	s.To = to[0]
	if len(to) > 1 {
		s.Also = to[1:]
	}
	if s.From.IsValid() {
		c.alike(join(path, "to"), s.To, s.From.Addr())
	}
	for _, a := range to {
		if router := c.routerOfAddress(path, "to", a, raw.Router, s.Onlink); s.Router == "" {
			s.Router = router
		} else if router != "" && router != s.Router {
			c.add(join(path, "to"), fmt.Sprintf("%s moves with router %s, %s with router %s", s.To, quote(s.Router), a, quote(router)), "use addresses of one router")
			break
		}
	}
	for _, a := range to {
		if s.From.IsValid() && s.From.Contains(a) {
			c.add(join(path, "from"), fmt.Sprintf("%s holds the public address %s itself", s.From, a), "name only the networks inside, or translate to an address outside of them")
			break
		}
	}
	return s
}

// sourcePrefix reads the network whose addresses are translated.
func (c *checker) sourcePrefix(path string, v *string) netip.Prefix {
	if v == nil {
		c.add(path, "missing", `name the network inside, like from = "10.0.0.0/24"`)
		return netip.Prefix{}
	}
	if a, err := netip.ParseAddr(*v); err == nil {
		if !c.mapped(path, a) {
			c.add(path, *v+" has no prefix length", fmt.Sprintf("write %s/%d for this one host", a, a.BitLen()))
		}
		return netip.Prefix{}
	}
	p, err := netip.ParsePrefix(*v)
	if err != nil {
		c.add(path, quote(*v)+" is not a network", `write it like "10.0.0.0/24"`)
		return netip.Prefix{}
	}
	if c.mapped(path, p.Addr()) {
		return netip.Prefix{}
	}
	if p.Addr().Is6() && p.Addr().IsLinkLocalUnicast() {
		c.add(path, *v+" does not leave its link", "name the networks behind the gateway by their other addresses")
		return netip.Prefix{}
	}
	if p != p.Masked() {
		c.add(path, *v+" has bits set beyond its prefix length", fmt.Sprintf("write %s, or %s/%d for this one host", p.Masked(), p.Addr(), p.Addr().BitLen()))
		return netip.Prefix{}
	}
	return p
}

// outInterface checks that out is where a router is: the address that flows get
// must live on the node that carries them.
func (c *checker) outInterface(path string, v *string) string {
	out := c.interfaceName(path, v, `name the interface towards the world, like out = "wan0"`)
	if out == "" {
		return ""
	}
	var interfaces []string
	for _, r := range c.routers {
		if r.Interface == out {
			return out
		}
		if r.Interface != "" {
			interfaces = append(interfaces, r.Interface)
		}
	}
	c.add(path, quote(out)+" is the interface of no router", suggest(out, interfaces, "name the interface of a router of this file"))
	return ""
}

// routerOfAddress returns the name of the router that a public address moves
// with: the one that is named; else the one that has the address itself; else
// the only one whose subnet it is in.
//
// An address that is not onlink is in the holders too, as one that others route here.
func (c *checker) routerOfAddress(path, key string, a netip.Addr, named *string, onlink bool) string {
	if c.bad(join(path, "router")) {
		return ""
	}
	name := ""
	first, held := c.holders[a]
	switch {
	case held && first.offlink == onlink:
		was := map[bool]string{false: "an address that the gateways have", true: "one that is routed to them"}
		c.add(join(path, key), fmt.Sprintf("%s is %s in line %d", a, was[first.offlink], c.line(first.path)), `write the same "onlink" in both places, or use another address`)
		return ""
	case named != nil && !c.hasRouter(*named):
		names := c.routerNames()
		c.add(join(path, "router"), fmt.Sprintf("there is no router %s", quote(*named)), suggest(*named, names, "name a router of this file"))
		return ""
	case named != nil && !held && !c.hasFamily(*named, familyOf(a)):
		c.add(join(path, "router"), fmt.Sprintf("router %s has IPv%d addresses only", quote(*named), 10-familyOf(a)), fmt.Sprintf("name one that has an IPv%d address", familyOf(a)))
		return ""
	case named != nil && held && first.router != *named:
		c.add(join(path, "router"), fmt.Sprintf("%s moves with router %s already (line %d)", a, quote(first.router), c.line(first.path)), "name that router, or use another address")
		return ""
	case named != nil:
		name = *named
	case held:
		return first.router
	default:
		name = c.routerBySubnet(join(path, key), a)
	}
	if name != "" && !held {
		c.holders[a] = holder{name, join(path, key), !onlink}
	}
	return name
}

// routerBySubnet returns the only router whose subnet a is in.
func (c *checker) routerBySubnet(path string, a netip.Addr) string {
	const fix = "write router = NAME to say which router it moves with"
	var near []string
	for _, r := range c.routers {
		if r.Name != "" && slices.ContainsFunc(r.Held(), func(p netip.Prefix) bool { return p.Contains(a) }) {
			near = append(near, r.Name)
		}
	}
	switch len(near) {
	case 1:
		return near[0]
	case 0:
		c.add(path, fmt.Sprintf("%s is in the subnet of no router", a), fix)
	default:
		c.add(path, fmt.Sprintf("%s is in the subnets of several routers (%s)", a, strings.Join(near, ", ")), fix)
	}
	return ""
}

// overlappingSources refuses two rules for one packet: which of them wins would
// depend on their order.
func (c *checker) overlappingSources(sources []Source) {
	for i, s := range sources {
		if !s.From.IsValid() || s.Out == "" {
			continue
		}
		for j, first := range sources[:i] {
			if first.Out == s.Out && first.From.IsValid() && first.From.Overlaps(s.From) {
				c.add(join(at("nat.source", i), "from"),
					fmt.Sprintf("%s overlaps %s of line %d on %s", s.From, first.From, c.line(join(at("nat.source", j), "from")), s.Out),
					"make the networks disjoint")
				break
			}
		}
	}
}

func (c *checker) forward(path string, raw *rawForward) Forward {
	f := Forward{Onlink: or(raw.Onlink, c.defaults.Forward.Onlink)}
	if raw.Name != nil {
		f.Name = c.name(join(path, "name"), raw.Name, "")
	}
	if raw.Address == nil {
		c.add(join(path, "address"), "missing", `name the public address, port and protocol, like address = "203.0.113.1:8080/tcp"`)
	} else {
		f.Address, f.Last, f.Proto = c.service(join(path, "address"), *raw.Address)
	}
	if f.Address.IsValid() {
		f.Router = c.routerOfAddress(path, "address", f.Address.Addr(), raw.Router, f.Onlink)
		if raw.Name == nil {
			f.Name = f.service()
		}
	}
	if raw.To == nil {
		c.add(join(path, "to"), "missing", `name the server's address and port, like to = "10.0.0.20:80"`)
	} else if to, last, ok := c.addrPorts(join(path, "to"), *raw.To, "10.0.0.20:80"); ok && c.translatable(join(path, "to"), to.Addr()) {
		f.To, f.ToLast = to, last
		if n := ports(f.Address, f.Last); f.Address.IsValid() && last != 0 && ports(to, last) != n {
			c.add(join(path, "to"), fmt.Sprintf("%d ports for the %d that are forwarded", ports(to, last), n), "name as many ports, or one port for all of them")
		}
		if f.Address.IsValid() {
			c.alike(join(path, "to"), to.Addr(), f.Address.Addr())
		}
	}
	return f
}

// service reads ADDRESS:PORT/PROTOCOL, or ADDRESS:FIRST-LAST/PROTOCOL.
func (c *checker) service(path, v string) (netip.AddrPort, uint16, Proto) {
	addr, proto, ok := strings.Cut(v, "/")
	if !ok {
		c.add(path, quote(v)+" has no protocol", fmt.Sprintf("write %s or %s", quote(v+"/tcp"), quote(v+"/udp")))
		return netip.AddrPort{}, 0, ""
	}
	if p := Proto(proto); p != TCP && p != UDP && p != SCTP {
		c.add(path, quote(proto)+" is not a protocol that can be forwarded", fmt.Sprintf("write %s, %s or %s", quote(addr+"/tcp"), quote(addr+"/udp"), quote(addr+"/sctp")))
		return netip.AddrPort{}, 0, ""
	}
	ap, last, ok := c.addrPorts(path, addr, "203.0.113.1:8080")
	if !ok || !c.translatable(path, ap.Addr()) {
		return netip.AddrPort{}, 0, ""
	}
	return ap, last, Proto(proto)
}

// notOurs refuses servers that are one of the gateways' own addresses: the
// forward would lead back to the gateway. It runs when all of them are known.
func (c *checker) notOurs(forwards []Forward) {
	for i, f := range forwards {
		if h, ok := c.holders[f.To.Addr()]; ok && f.To.IsValid() {
			c.add(join(at("nat.forward", i), "to"),
				fmt.Sprintf("%s is an address of the gateway itself, with router %s (line %d)", f.To.Addr(), quote(h.router), c.line(h.path)),
				"name a server behind the gateway")
		}
	}
}

// belowPool refuses to forward a port that source translation may choose on the
// same address: a reply to a flow that is not known here yet would be taken for
// a new one to the server.
func (c *checker) belowPool(m *Mappings) {
	pools := map[netip.Addr]bool{}
	for _, s := range m.Sources {
		for _, a := range s.addresses() {
			pools[a] = true
		}
	}
	pool := nat.DefaultPorts()
	for i, f := range m.Forwards {
		port := max(f.Address.Port(), f.Last)
		if pool.Contains(port) && pools[f.Address.Addr()] {
			c.add(join(at("nat.forward", i), "address"),
				fmt.Sprintf("port %d is among those (%s) that source translation uses on %s", port, pool, f.Address.Addr()),
				fmt.Sprintf("forward a port below %d, or another address", pool.First))
		}
	}
}

// askNAT lets the NAT package look at the whole, so that nothing that it refuses
// is accepted here. What it can say is mostly said before, with better words.
func (c *checker) askNAT() {
	for _, p := range nat.Check(c.config.NAT()) {
		if p.Kind == nat.KindSource && p.Index >= len(c.config.Mappings.Sources) ||
			p.Kind == nat.KindStatic && p.Index >= len(c.config.Mappings.Statics) {
			continue // of a device: the same has been said of its parent
		}
		path := "nat"
		if p.Kind != nat.KindGroup && p.Kind != nat.KindException {
			path = join(at(join("nat", p.Kind.String()), p.Index), p.Key)
		}
		what, fix, ok := strings.Cut(p.Reason, "; ")
		if !ok {
			fix = "change it"
		}
		c.add(path, what, fix)
	}
}

func (c *checker) overlappingForwards(forwards []Forward) {
	type service struct {
		netip.Addr
		Proto
	}
	names := map[string]int{}
	services := map[service]map[uint16]int{} // port -> forward
	for i, f := range forwards {
		path := at("nat.forward", i)
		if !f.Address.IsValid() {
			continue
		}
		key := service{f.Address.Addr(), f.Proto}
		if services[key] == nil {
			services[key] = map[uint16]int{}
		}
		first, twice := f.taken(services[key])
		if twice {
			c.add(join(path, "address"),
				fmt.Sprintf("%s is forwarded in line %d already", f.service(), c.line(join(at("nat.forward", first), "address"))),
				"use another address or port")
			continue
		}
		for p := range ports(f.Address, f.Last) {
			services[key][f.Address.Port()+uint16(p)] = i
		}
		if j, ok := names[f.Name]; ok && f.Name != "" {
			c.add(join(path, "name"),
				fmt.Sprintf("%s is also the forward in line %d", quote(f.Name), c.line(at("nat.forward", j))),
				"give each forward a name of its own")
			continue
		}
		names[f.Name] = i
	}
}

// taken tells whether one of the ports is, and by which forward.
func (f Forward) taken(by map[uint16]int) (first int, ok bool) {
	for p := range ports(f.Address, f.Last) {
		if first, ok = by[f.Address.Port()+uint16(p)]; ok {
			return first, true
		}
	}
	return 0, false
}

// ports is how many there are from the port of a on.
func ports(a netip.AddrPort, last uint16) int {
	if last == 0 {
		return 1
	}
	return int(last) - int(a.Port()) + 1
}

// service is what is forwarded, as the file spells it.
func (f Forward) service() string {
	s := f.Address.String()
	if f.Last != 0 {
		s += "-" + strconv.Itoa(int(f.Last))
	}
	return s + "/" + string(f.Proto)
}
