package config

import "strconv"

// minPart is the least number of ports that a node may have of a pool.
const minPart = 1024

// checkPorts looks at whether pools can be split among the nodes.
func (c *checker) checkPorts() {
	if c.config.Mappings == nil {
		return
	}
	for i, s := range c.config.Mappings.Sources {
		if s.Ports != PortsSplit {
			continue
		}
		path := join(at("nat.source", i), "ports")
		if c.config.Sessions == nil {
			c.add(path, "among whom is told by [sessions], which is missing", `add it, or write ports = "shared"`)
			continue
		}
		if _, n := c.config.place(); part(s, 0, n) < minPart {
			c.add(path, strconv.Itoa(n)+" nodes leave each of them with less than "+strconv.Itoa(minPart)+" ports", `write ports = "shared"`)
		}
	}
}

// part is how many ports the i-th of n nodes has.
func part(s Source, i, n int) int {
	p := s.pool().Part(i, n)
	return int(p.Last) - int(p.First) + 1
}
