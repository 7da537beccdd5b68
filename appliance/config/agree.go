package config

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// Agreement returns, as sorted lines of text, what all nodes must have in
// common to be able to stand in for each other: virtual routers with their
// addresses, which MAC these have, whether they are talked to, the version of
// VRRP and whether its adverts go by unicast, where their routes and rules lead,
// groups, translation. Interfaces, gateways, priorities and timers are each node's own affair, and
// so are the names of routers, except that a router in no [[group]] gives its
// group its name. Where two nodes differ, the difference of their texts says in
// what.
func (c *Config) Agreement() string {
	var lines []string
	refs := map[string][]string{} // name of a router -> what all nodes call it, of each family
	for _, r := range c.Routers {
		var addrs []string
		for _, p := range r.Addresses {
			addrs = append(addrs, p.String())
		}
		slices.Sort(addrs)
		refs[r.Name] = append(refs[r.Name], fmt.Sprintf("ipv%d/%d/%s", r.Family, r.VRID, addrs[0]))
		line := fmt.Sprintf("router ipv%d/%d addresses %s", r.Family, r.VRID, strings.Join(addrs, " "))
		if len(r.Advertised) > 0 {
			var listed []string
			for _, a := range slices.SortedFunc(slices.Values(r.Advertised), netip.Addr.Compare) {
				listed = append(listed, a.String())
			}
			line += " listed " + strings.Join(listed, " ")
		}
		if len(r.Excluded) > 0 {
			var also []string
			for _, p := range r.Excluded {
				also = append(also, p.String())
			}
			slices.Sort(also)
			line += " excluded " + strings.Join(also, " ")
		}
		if r.MAC == MACVirtual {
			line += " mac virtual"
		}
		if !r.Accept {
			line += " not accepted"
		}
		if r.Version != 3 {
			line += fmt.Sprintf(" version %d", r.Version)
		}
		if r.AuthType == AuthAH {
			line += " auth_type ah"
		}
		if r.RA != nil { // RFC 9568 section 8.2.3
			line += " advertises " + r.RA.String()
		}
		if len(r.Unicast) > 0 {
			line += " unicast"
		}
		if r.Multicast.IsValid() {
			line += " to " + r.Multicast.String()
		}
		lines = append(lines, line)
		lines = append(lines, agreedRoutes(r, refs[r.Name][0])...)
	}
	for _, g := range c.Groups {
		var members []string
		for _, name := range g.Routers {
			members = append(members, refs[name]...)
		}
		slices.Sort(members)
		lines = append(lines, fmt.Sprintf("group %s members %s", g.Name, strings.Join(members, " ")))
	}
	ref := func(router string, a netip.Addr) string {
		for _, r := range refs[router] {
			if strings.HasPrefix(r, fmt.Sprintf("ipv%d/", familyOf(a))) {
				return r
			}
		}
		return "" // check has seen to it that there is one
	}
	if c.Mappings != nil {
		for _, s := range c.Mappings.Sources {
			var out []string
			for _, r := range c.Routers {
				if r.Interface == s.Out && r.Family == familyOf(s.To) {
					out = append(out, ref(r.Name, s.To))
				}
			}
			slices.Sort(out)
			line := fmt.Sprintf("source %s out %s to %s with %s", s.From, strings.Join(out, " "), joined(s.addresses()), ref(s.Router, s.To)) +
				apart(s.Except, s.Onlink)
			if s.Ports == PortsSplit {
				line += " ports split among " + strings.Join(c.nodes(), " ")
			}
			lines = append(lines, line)
		}
		for _, e := range c.Mappings.Entries {
			like := e.Match.Address
			if !like.IsValid() {
				like = e.Servers[0].Address.Addr()
			}
			lines = append(lines, e.agreed(ref(e.Router, like)))
		}
		for _, f := range c.Mappings.Forwards {
			line := fmt.Sprintf("forward %s to %s", f.service(), f.To)
			if f.ToLast != 0 {
				line += fmt.Sprintf("-%d", f.ToLast)
			}
			lines = append(lines, line+" with "+ref(f.Router, f.Address.Addr())+apart(nil, f.Onlink))
		}
		for _, s := range c.Mappings.Statics {
			lines = append(lines, fmt.Sprintf("static %s to %s with %s", network(s.Public), network(s.Private), ref(s.Router, s.Public.Addr()))+
				apart(s.Except, s.Onlink))
		}
	}
	if c.mirror() != nil {
		lines = append(lines, "packets are copied")
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n") + "\n"
}

// joined is addresses in one order, whatever that of the file.
func joined(addrs []netip.Addr) string {
	addrs = slices.SortedFunc(slices.Values(addrs), netip.Addr.Compare)
	var out []string
	for _, a := range addrs {
		out = append(out, a.String())
	}
	return strings.Join(out, " ")
}

// apart is what a mapping says beside the usual.
func apart(except []netip.Prefix, onlink bool) (s string) {
	var to []string
	for _, p := range except {
		to = append(to, p.String())
	}
	slices.Sort(to)
	if len(to) > 0 {
		s = " except " + strings.Join(to, " ")
	}
	if !onlink {
		s += " routed here"
	}
	return s
}

// Hash returns 64 bits of the SHA-256 of [Config.Agreement], never 0. It is the
// same on all nodes whose configurations fit together, whatever the order of
// their files.
func (c *Config) Hash() uint64 {
	sum := sha256.Sum256([]byte(c.Agreement()))
	return max(1, binary.BigEndian.Uint64(sum[:8]))
}
