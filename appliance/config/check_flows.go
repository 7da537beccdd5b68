package config

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"understudy/nat"
)

// maxMinAge bounds how long a flow may go untold.
const maxMinAge = time.Hour

// flowProtocols are the protocols that a class can name, and whether their ports
// say which service was called.
var flowProtocols = []struct {
	name   string
	number uint8
	ports  bool
}{
	{"tcp", 6, true}, {"udp", 17, true}, {"icmp", 1, false}, {"sctp", 132, true}, {"gre", 47, false},
	{"dccp", 33, true}, {"udplite", 136, true}, {"esp", 50, false}, {"ipip", 4, false},
}

// checkFlows reads which flows are kept.
func (c *checker) checkFlows(raw *rawSessions, s *Sessions) {
	s.Routed = or(raw.Routed, c.defaults.Sessions.Routed)
	written := map[FlowNetwork]string{}
	for i, rn := range raw.Networks {
		if rn == nil {
			continue
		}
		path := at("sessions.networks", i)
		if n, ok := c.flowNetwork(path, rn); ok {
			if first, ok := written[n]; ok {
				c.add(join(path, "network"), fmt.Sprintf("%s is also in line %d", n.Prefix, c.line(first)), "name each network once")
			}
			written[n] = join(path, "network")
			s.Networks = append(s.Networks, n)
		}
	}
	if !s.Routed && len(raw.Networks) > 0 {
		c.add("sessions.networks", "flows that are only forwarded are not kept (line "+strconv.Itoa(c.line("sessions.routed"))+")", "remove this, or routed = false")
	}
	all := "" // path of a class that has every flow
	for i, rc := range raw.Classes {
		if rc == nil {
			continue
		}
		path := at("sessions.class", i)
		s.Classes = append(s.Classes, c.flowClass(path, rc))
		switch {
		case all != "":
			c.add(path, fmt.Sprintf("the class in line %d has every flow already", c.line(all)), "write that one last")
		case rc.Protocol == nil && rc.Ports == nil:
			all = path
		}
	}
}

func (c *checker) flowNetwork(path string, raw *rawNetwork) (n FlowNetwork, ok bool) {
	if raw.Network == nil {
		c.add(join(path, "network"), "missing", `name a network, like network = "10.0.0.0/8"`)
		return n, false
	}
	p, err := netip.ParsePrefix(*raw.Network)
	switch {
	case err != nil:
		c.add(join(path, "network"), quote(*raw.Network)+" is not a network", `write it like "10.0.0.0/8"`)
		return n, false
	case p != p.Masked():
		c.add(join(path, "network"), *raw.Network+" has bits set beyond its prefix length", fmt.Sprintf("write %s", p.Masked()))
		return n, false
	}
	n.Prefix = p
	var names []string
	for _, r := range c.routers {
		names = append(names, r.Name)
	}
	switch {
	case raw.Router != nil && !c.hasRouter(*raw.Router):
		c.add(join(path, "router"), fmt.Sprintf("there is no router %s", quote(*raw.Router)), suggest(*raw.Router, names, "name a router of this file"))
		return n, false
	case raw.Router != nil:
		n.Router = *raw.Router
	case len(c.config.Groups) > 1:
		c.add(join(path, "router"), "missing: there are several groups", "name the router by which flows from this network come in")
		return n, false
	case len(c.routers) > 0:
		n.Router = c.routers[0].Name
	}
	return n, n.Router != ""
}

func (c *checker) flowClass(path string, raw *rawClass) (k FlowClass) {
	ports := true
	if raw.Protocol != nil {
		k.Protocol, ports = c.flowProtocol(join(path, "protocol"), *raw.Protocol)
	}
	for i, v := range raw.Ports {
		if v == nil {
			continue
		}
		p, err := parsePorts(*v)
		if err != nil {
			c.add(at(join(path, "ports"), i), quote(*v)+" is no port and no range of ports", `write "443" or "5060-5061"`)
			continue
		}
		k.Ports = append(k.Ports, p)
	}
	if len(raw.Ports) > 0 && !ports {
		c.add(join(path, "ports"), *raw.Protocol+" has no ports that say what was called", "remove it")
	}
	k.Replicate = or(raw.Replicate, c.defaults.Class.Replicate)
	if d := c.duration(join(path, "min_age"), raw.MinAge, "3s"); d != nil {
		k.MinAge = *d
		switch {
		case *d < 0 || *d > maxMinAge:
			c.add(join(path, "min_age"), *raw.MinAge+" is out of range", "use 0s to 1h")
		case *d > 0 && !k.Replicate:
			c.add(join(path, "min_age"), "these flows are never sent", "remove it, or replicate = false")
		}
	}
	return k
}

// flowProtocol reads a name or a number.
func (c *checker) flowProtocol(path, v string) (number uint8, ports bool) {
	var names []string
	for _, p := range flowProtocols {
		if n, err := strconv.Atoi(v); p.name == v || err == nil && n == int(p.number) {
			return p.number, p.ports
		}
		names = append(names, p.name)
	}
	n, err := strconv.ParseUint(v, 10, 8)
	if err != nil || n == 0 {
		c.add(path, quote(v)+" is not a protocol", suggest(v, names, "use "+strings.Join(names, ", ")+` or a number of IP's, like "89"`))
	}
	return uint8(n), err != nil
}

func parsePorts(v string) (p nat.Ports, err error) {
	first, last, isRange := strings.Cut(v, "-")
	if !isRange {
		last = first
	}
	a, err := strconv.ParseUint(first, 10, 16)
	if err != nil {
		return p, err
	}
	b, err := strconv.ParseUint(last, 10, 16)
	if err == nil && (a == 0 || a > b) {
		err = strconv.ErrRange
	}
	return nat.Ports{First: uint16(a), Last: uint16(b)}, err
}
