package config

import (
	"slices"

	"understudy/nat"
)

// mirror is what is copied to the other node; nil: nothing.
func (c *Config) mirror() *nat.Mirror {
	if c.Sessions == nil || !c.Sessions.Knobs.Mirror {
		return nil
	}
	m := &nat.Mirror{Link: c.Sessions.Mirror}
	for _, r := range c.Routers {
		if !slices.Contains(m.Data, r.Interface) {
			m.Data = append(m.Data, r.Interface)
		}
	}
	return m
}
