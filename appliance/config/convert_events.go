package config

import (
	"slices"

	"understudy/nat"
	"understudy/nat/session"
)

// Policy returns what becomes of flows by their class.
func (c *Config) Policy() (p session.Policy) {
	if c.Sessions == nil {
		return nil
	}
	for _, k := range c.Sessions.Classes {
		class := session.Class{Proto: k.Protocol, Never: !k.Replicate, MinAge: k.MinAge}
		for _, r := range k.Ports {
			class.Ports = append(class.Ports, session.Ports(r))
		}
		p = append(p, class)
	}
	return p
}

// events says which connection events the kernel has to make; nil leaves all to it.
// Rules that ask for a flow make a kernel track all of them, which one that only
// forwards may not do otherwise: so by itself it is only where something is
// translated, and they are tracked anyway.
func (c *Config) events() *nat.Events {
	switch {
	case c.Sessions == nil || c.Sessions.Filter == FilterOff:
		return nil
	case c.Sessions.Filter == FilterAuto && !c.translates():
		return nil
	}
	never, late := c.Policy().Silent()
	return &nat.Events{Early: c.Sessions.Knobs.Early, Never: calls(never), Late: calls(late)}
}

// translates tells whether something is translated and forwarded at once.
func (c *Config) translates() bool {
	m := c.Mappings
	return m != nil && (len(m.Sources)+len(m.Forwards) > 0 || slices.ContainsFunc(m.Entries, func(e Entry) bool { return !e.Direct }))
}

func calls(boxes []session.Calls) (out []nat.Calls) {
	for _, b := range boxes {
		out = append(out, nat.Calls{First: nat.Proto(b.First), Last: nat.Proto(b.Last), Ports: nat.Ports(b.Ports)})
	}
	return out
}
