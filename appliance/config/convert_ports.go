package config

import (
	"slices"

	"understudy/nat"
)

// nodes are the names of all nodes, in their order.
func (c *Config) nodes() []string {
	names := []string{c.Node}
	if c.Sessions != nil {
		for _, p := range c.Sessions.Peers {
			names = append(names, p.Name)
		}
	}
	slices.Sort(names)
	return names
}

// place is this node's place among n.
func (c *Config) place() (i, n int) {
	names := c.nodes()
	return slices.Index(names, c.Node), len(names)
}

func (s Source) pool() nat.Ports { return nat.DefaultPorts() }

// source is s as this node translates it.
func (c *Config) source(s Source) nat.Source {
	out := nat.Source{From: s.From, Out: s.Out, To: s.To, Also: s.Also}
	out.Keeps = c.Sessions != nil && c.Sessions.Knobs.Mirror
	if s.Ports == PortsSplit {
		i, n := c.place()
		out.Ports, out.Pool = s.pool().Part(i, n), s.pool()
	}
	return out
}
