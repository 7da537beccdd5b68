package config

import (
	"net/netip"
	"slices"

	"understudy/vrrp"
)

// peers returns where the router's adverts go to, if not to the group. A peer
// that is in none of the networks of the router's addresses may be a hop away.
func (r Router) peers() (out []vrrp.Peer) {
	for _, a := range r.Unicast {
		near := a.IsLinkLocalUnicast() ||
			slices.ContainsFunc(r.Addresses, func(p netip.Prefix) bool { return p.Masked().Contains(a) })
		out = append(out, vrrp.Peer{Address: a, Routed: !near})
	}
	return out
}
