package config

import (
	"net/netip"
	"slices"

	"understudy/vrrp"
)

// peers returns where the router's adverts go to, if not to the group. A peer
// that is in none of the networks of the router's addresses may be a hop away.
// So may all of
// them where adverts are not sent with 255: nobody there expects that. Over IPv6 keepalived sends unicast with the kernel's default Hop Limit, so any
// is as good as that; link-local addresses do not come from afar.
func (r Router) peers() (out []vrrp.Peer) {
	for _, a := range r.Unicast {
		near := a.Is4() && r.UnicastTTL%255 == 0 && slices.ContainsFunc(r.Addresses, func(p netip.Prefix) bool { return p.Masked().Contains(a) })
		ttl := r.PeerTTLs[a]
		out = append(out, vrrp.Peer{Address: a, Routed: !near, Least: ttl.Least, Most: ttl.Most})
	}
	return out
}
