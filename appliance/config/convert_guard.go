package config

import (
	"fmt"
	"net/netip"
	"slices"

	"understudy/vrrp/witness"
)

// Witness returns who sends heartbeats to whom, and what is done about them.
// Without sessions, or without the secret, there are none.
func (c *Config) Witness() (witness.Config, error) {
	out := witness.Config{Node: c.Node, Mode: witness.Mode(c.Guard.Mode)}
	if c.Sessions == nil || len(c.Sessions.Secret) == 0 {
		return out, nil
	}
	var err error
	if out.Key, err = witness.NewKey(c.Sessions.Secret[0][:], c.Node); err != nil {
		return out, fmt.Errorf("config: %w", err)
	}
	out.Listen, out.Also = c.guardAddresses(c.Sessions.Listen)
	for _, p := range c.Sessions.Peers {
		wp := witness.Peer{Name: p.Name}
		wp.Address, wp.Also = c.guardAddresses(p.Addresses)
		for _, s := range c.Sessions.Secret {
			k, err := witness.NewKey(s[:], p.Name)
			if err != nil {
				return out, fmt.Errorf("config: %w", err)
			}
			wp.Keys = append(wp.Keys, k)
		}
		out.Peers = append(out.Peers, wp)
	}
	return out, nil
}

func (c *Config) guardAddresses(list []netip.AddrPort) (first netip.AddrPort, also []netip.AddrPort) {
	first = c.guardAddress(list[0])
	for _, a := range list[1:] {
		// With a port of their own, two may be the same.
		if a := c.guardAddress(a); a != first && !slices.Contains(also, a) {
			also = append(also, a)
		}
	}
	return first, also
}

// guardAddress is where heartbeats go instead of sessions.
func (c *Config) guardAddress(a netip.AddrPort) netip.AddrPort {
	if c.Guard.Port != 0 {
		return netip.AddrPortFrom(a.Addr(), c.Guard.Port)
	}
	return a
}
