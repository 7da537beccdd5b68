package config

import (
	"fmt"
	"net/netip"
	"strings"

	"understudy/nat/entry"
)

// Entries are the entry points.
func (c *Config) Entries() (out []entry.Config) {
	if c.Mappings == nil {
		return nil
	}
	for _, e := range c.Mappings.Entries {
		p := e.Config
		for _, link := range c.links() {
			if link.Addr().Is6() == p.Six() && !p.Direct {
				p.Links = append(p.Links, link)
			}
		}
		out = append(out, p)
	}
	return out
}

// EntryGroup is the group that an entry point moves with; "" if there is no such entry
// point.
func (c *Config) EntryGroup(name string) string {
	if c.Mappings == nil {
		return ""
	}
	for _, e := range c.Mappings.Entries {
		if e.Name == name {
			return c.GroupOf(e.Router).Name
		}
	}
	return ""
}

// serverHosts are the hosts that flows to entry points are translated to.
func (e Entry) serverHosts() (out []netip.Addr) {
	if e.Direct {
		return nil // nothing is translated, nor tracked
	}
	for _, s := range e.Servers {
		out = append(out, s.Address.Addr())
	}
	if e.Spare.IsValid() {
		out = append(out, e.Spare.Addr())
	}
	return out
}

// agreed is what all nodes must have in common of the entry point.
func (e Entry) agreed(with string) string {
	var servers []string
	for _, s := range e.Servers {
		servers = append(servers, fmt.Sprintf("%s*%d", entry.AddressText(s.Address), s.Weight))
	}
	line := fmt.Sprintf("entry %s %v by %s to %s with %s", e.Name, e.Match, e.Steer, strings.Join(servers, " "), with)
	if e.ByPort {
		line += " by port"
	}
	if e.Spare.IsValid() {
		line += " spare " + entry.AddressText(e.Spare)
	}
	switch {
	case e.Tunnel != entry.Tunnel{}:
		line += " in " + e.Tunnel.String()
	case e.Direct:
		line += " directly"
	}
	if e.Persist > 0 {
		line += " kept " + e.Persist.String()
		if e.PersistPrefix > 0 {
			line += fmt.Sprintf(" by /%d", e.PersistPrefix)
		}
	}
	return line
}
