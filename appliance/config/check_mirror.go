package config

import (
	"fmt"
	"net/netip"
	"strconv"
)

// checkMirror looks at whether packets can be copied to the other node: it must make
// the same of them without asking.
func (c *checker) checkMirror(raw *rawSessions, s *Sessions) {
	if !s.Knobs.Mirror {
		if raw.Mirror != nil && !c.bad("sessions.mode") {
			c.add("sessions.mirror", "mode "+quote(string(s.Mode))+" copies no packets", `remove it, or use mode = "active"`)
		}
		return
	}
	const missing = `name an interface that leads to the other node and to nobody else, like mirror = "mirror0"`
	if s.Mirror = c.interfaceName("sessions.mirror", raw.Mirror, missing); s.Mirror != "" {
		for _, r := range c.routers {
			if r.Interface == s.Mirror {
				c.add("sessions.mirror", fmt.Sprintf("%s is the interface of router %s: it would copy its own copies", quote(s.Mirror), quote(r.Name)), missing)
				break
			}
		}
	}
	const other = `use mode = "hybrid"`
	if s.Install == InstallTakeover {
		c.add("sessions.install", `with mode = "active" the packets make the flows in the kernel, whoever stands by`, `write install = "hot", or `+other)
	}
	if len(raw.Peers) > 1 {
		c.add("sessions.mode", `"active" is for two nodes, and there are `+strconv.Itoa(1+len(raw.Peers)), other)
	}
	if n := len(c.config.Groups); n > 1 {
		c.add("sessions.mode", fmt.Sprintf(`"active" is for one group, and there are %d: a node that stands by for the one forwards for the other`, n), "put all routers in one [[group]], or "+other)
	}
	for _, r := range c.routers {
		switch {
		case r.MAC == MACVirtual:
			c.add(join(r.path, "mac"), `mode = "active" of [sessions] copies what is sent to the MAC of an interface`, `use mac = "interface", or another mode`)
		case len(r.Routes) > 0:
			c.add(join(r.path, "routes"), `with mode = "active" of [sessions] the node that stands by needs them as well, to follow the packets`,
				"put them on both nodes by other means, or use another mode")
		}
	}
	if c.config.Mappings == nil {
		return
	}
	first := map[netip.Addr]int{}
	for i, m := range c.config.Mappings.Sources {
		path := at("nat.source", i)
		if !m.From.IsValid() || !m.To.IsValid() {
			continue
		}
		if m.Ports == PortsSplit {
			c.add(join(path, "ports"), `with mode = "active" of [sessions] hosts keep their ports, on whichever node`, `write ports = "shared", or use another mode`)
		}
		if len(m.Also) > 0 {
			c.add(join(path, "to"), `with mode = "active" of [sessions] each host has a public address of its own`, "name one, or use another mode")
			continue
		}
		if !m.From.IsSingleIP() {
			c.add(join(path, "from"), fmt.Sprintf(`the hosts of %s share the ports of %s, by chance where two want the same: with mode = "active" of [sessions] each node would choose for itself`, m.From, m.To),
				"name single hosts, each with a public address of its own, or use another mode")
			continue
		}
		if j, twice := first[m.To]; twice {
			c.add(join(path, "to"), fmt.Sprintf(`%s is that of another host too (line %d): with mode = "active" of [sessions] each node would choose their ports for itself`, m.To, c.line(join(at("nat.source", j), "to"))),
				"give each host a public address of its own, or use another mode")
			continue
		}
		first[m.To] = i
	}
}
