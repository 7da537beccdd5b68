package config

import (
	"net/netip"
	"slices"
)

// FlowNetworks returns the networks of a group: flows that no address of a group
// translates belong to the group of the router whose network they come from.
// Those that the file names, else those of its routers' addresses.
func (c *Config) FlowNetworks(group string) (out []netip.Prefix) {
	note := func(router string, p netip.Prefix) {
		if g := c.GroupOf(router); g != nil && g.Name == group && !slices.Contains(out, p) {
			out = append(out, p)
		}
	}
	if c.FlowsBound() {
		for _, n := range c.Sessions.Networks {
			note(n.Router, n.Prefix)
		}
		return out
	}
	for _, r := range c.Routers {
		for _, p := range r.Held() {
			if !p.Addr().IsLinkLocalUnicast() { // nobody forwards from there
				note(r.Name, p.Masked())
			}
		}
	}
	return out
}

// FlowsBound tells whether flows count only if they are of one of the networks.
func (c *Config) FlowsBound() bool { return c.Sessions != nil && len(c.Sessions.Networks) > 0 }
