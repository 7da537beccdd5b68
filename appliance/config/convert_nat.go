package config

import (
	"net/netip"
	"slices"

	"understudy/nat"
)

// mappings adds the translation to n.
func (c *Config) mappings(n *nat.Config) {
	m := c.Mappings
	for _, s := range m.Sources {
		n.Sources = append(n.Sources, c.source(s))
	}
	for _, s := range m.Statics {
		n.Statics = append(n.Statics, nat.Static{Public: s.Public, Private: s.Private, Out: s.Out})
	}
	// Where only a device has an address in a subnet, what goes there leaves by
	// the device, and is translated all the same.
	for _, s := range m.Sources {
		for _, out := range c.devicesOn(s.Out, familyOf(s.To)) {
			on := c.source(s)
			on.Out = out
			n.Sources = append(n.Sources, on)
		}
		for _, to := range s.Except {
			for _, out := range append(c.devicesOn(s.Out, familyOf(s.To)), s.Out) {
				n.Exceptions = append(n.Exceptions, nat.Exception{From: s.From, Out: out, To: to})
			}
		}
	}
	for _, s := range m.Statics {
		devices := c.devicesOn(s.Out, familyOf(s.Public.Addr()))
		for _, out := range devices {
			n.Statics = append(n.Statics, nat.Static{Public: s.Public, Private: s.Private, Out: out})
		}
		for _, to := range s.Except {
			for _, out := range append(devices, s.Out) {
				n.Exceptions = append(n.Exceptions, nat.Exception{From: s.Private, Out: out, To: to})
			}
		}
	}
	protos := map[Proto]nat.Proto{TCP: nat.TCP, UDP: nat.UDP, SCTP: nat.SCTP}
	for _, f := range m.Forwards {
		n.Forwards = append(n.Forwards, nat.Forward{Address: f.Address.Addr(), Proto: protos[f.Proto], Port: f.Address.Port(), Last: f.Last, To: f.To, ToLast: f.ToLast})
	}
	n.Links = append(n.Links, c.links()...)
}

// links are the networks that routers are in.
func (c *Config) links() (out []netip.Prefix) {
	for _, r := range c.Routers {
		for _, p := range r.Held() {
			if !onLinkOnly(p.Addr()) && !p.IsSingleIP() && p.Bits() > 0 {
				out = append(out, p.Masked())
			}
		}
	}
	return out
}

// devicesOn are the names of the devices of a family that are on an interface.
func (c *Config) devicesOn(iface string, family uint8) (out []string) {
	for _, d := range c.Devices() {
		if d.Parent == iface && d.Family() == family {
			out = append(out, d.Name)
		}
	}
	return out
}

// translated returns the addresses that move with the router only because
// something is translated to or from them.
func (c *Config) translated(r Router) []netip.Addr {
	if c.Mappings == nil {
		return nil
	}
	var list []netip.Addr
	seen := map[netip.Addr]bool{}
	for _, p := range r.Held() {
		seen[p.Addr()] = true
	}
	note := func(router string, onlink bool, a netip.Addr) {
		if onlink && router == r.Name && familyOf(a) == r.Family && !seen[a] {
			seen[a] = true
			list = append(list, a)
		}
	}
	for _, s := range c.Mappings.Sources {
		for _, a := range s.addresses() {
			note(s.Router, s.Onlink, a)
		}
	}
	for _, s := range c.Mappings.Statics {
		if !s.Onlink || s.Router != r.Name {
			continue // not one by one: it may be large
		}
		for a := s.Public.Addr(); s.Public.Contains(a); a = a.Next() {
			note(s.Router, true, a)
		}
	}
	for _, f := range c.Mappings.Forwards {
		note(f.Router, f.Onlink, f.Address.Addr())
	}
	for _, e := range c.Mappings.Entries {
		if e.Match.Address.IsValid() {
			note(e.Router, true, e.Match.Address)
		}
	}
	return list
}

// Blocks returns the public networks that move with a group and are on no interface:
// others route them to its addresses.
func (c *Config) Blocks(group string) (out []netip.Prefix) {
	if c.Mappings == nil {
		return nil
	}
	mine := map[string]bool{}
	for _, g := range c.Groups {
		for _, r := range g.Routers {
			mine[r] = g.Name == group
		}
	}
	for _, s := range c.Mappings.Statics {
		if !s.Onlink && mine[s.Router] {
			out = append(out, s.Public)
		}
	}
	single := func(router string, onlink bool, a netip.Addr) {
		if !onlink && mine[router] {
			out = append(out, netip.PrefixFrom(a, a.BitLen()))
		}
	}
	for _, s := range c.Mappings.Sources {
		for _, a := range s.addresses() {
			single(s.Router, s.Onlink, a)
		}
	}
	for _, f := range c.Mappings.Forwards {
		single(f.Router, f.Onlink, f.Address.Addr())
	}
	slices.SortFunc(out, func(a, b netip.Prefix) int {
		if n := a.Addr().Compare(b.Addr()); n != 0 {
			return n
		}
		return a.Bits() - b.Bits()
	})
	return slices.Compact(out)
}

// Inside returns the networks that are translated, and the servers that are forwarded
// to.
func (m *Mappings) Inside() (out []netip.Prefix) {
	if m == nil {
		return nil
	}
	for _, s := range m.Sources {
		out = append(out, s.From)
	}
	for _, s := range m.Statics {
		out = append(out, s.Private)
	}
	for _, f := range m.Forwards {
		a := f.To.Addr()
		out = append(out, netip.PrefixFrom(a, a.BitLen()))
	}
	for _, e := range m.Entries {
		for _, a := range e.serverHosts() {
			out = append(out, netip.PrefixFrom(a, a.BitLen()))
		}
	}
	return out
}
