package vrrp

import (
	"cmp"
	"fmt"
	"net/netip"
)

// Peer is another router of the same virtual router, where adverts go to one by one instead of to the group. RFC 9568
// knows no such thing; it is for networks without multicast, and keepalived's unicast_peer.
type Peer struct {
	Address netip.Addr
	Routed  bool // it may be a hop away: its adverts need not come with TTL 255
	// Its adverts have to come with a TTL of Least to Most, Routed or not; Most 0: nothing is said.
	Least, Most uint8
}

// comes tells whether an advert of the peer may come with that TTL.
func (p *Peer) comes(hops uint8) bool {
	if p.Most > 0 {
		return hops >= p.Least && hops <= p.Most
	}
	return p.Routed || hops == ttl
}

// maxUnicast bounds what a single Adver_Timer sends.
const maxUnicast = 32

// Unicast is how adverts of a router with peers have to be addressed. Without peers: to the group (5.1.1.2, 5.1.2.2).
type Unicast struct {
	Peers []Peer
	Own   netip.Addr // adverts come to; invalid: not known, any
	Group netip.Addr // without peers: which; invalid: that of RFC 9568
}

func (u *Unicast) on() bool { return len(u.Peers) > 0 }

// Knows says whether adverts of src count: those of every sender, or only the peers'.
func (u *Unicast) Knows(src netip.Addr) bool { return !u.on() || u.peer(src) != nil }

// group is where adverts of src go.
func (u *Unicast) group(src netip.Addr) netip.Addr {
	if u.Group.IsValid() {
		return u.Group
	}
	return groupOf(src)
}

func (u *Unicast) peer(src netip.Addr) *Peer {
	for i := range u.Peers {
		if u.Peers[i].Address == src {
			return &u.Peers[i]
		}
	}
	return nil
}

// judge finds ReasonTTL and ReasonDestination. That a sender is unknown is found last: it needs the configuration.
func (u *Unicast) judge(d Datagram) Reason {
	if !u.on() {
		switch {
		case d.TTL != ttl:
			return ReasonTTL
		case d.Dst != u.group(d.Src):
			return ReasonDestination
		}
		return ReasonNone
	}
	p := u.peer(d.Src)
	switch {
	case p != nil && !p.comes(d.TTL):
		return ReasonTTL
	case d.Dst.IsMulticast(), u.Own.IsValid() && d.Dst != u.Own:
		// The latter may be on its way through us to another peer.
		return ReasonDestination
	}
	return ReasonNone
}

// validatePeers is what is wrong with Source and Peers.
func (r RouterConfig) validatePeers(bad func(format string, args ...any)) {
	if src := r.Source; src.IsValid() {
		switch {
		case src.Is4() != (r.Family == 4) || src.Is4In6() || src.Zone() != "":
			bad("source %v is not of family %d", src, r.Family)
		case r.Family == 6 && len(r.Peers) == 0 && !src.IsLinkLocalUnicast():
			bad("source %v: IPv6 multicast adverts come from a link-local address (RFC 9568, 5.1.2.1)", src)
		}
	}
	if len(r.Peers) > maxUnicast {
		bad("%d peers: at most %d", len(r.Peers), maxUnicast)
	}
	seen := make(map[netip.Addr]bool)
	for _, p := range r.Peers {
		a := p.Address
		switch {
		case !a.IsValid() || a.Is4() != (r.Family == 4) || a.Is4In6() || a.Zone() != "":
			bad("peer %v is not of family %d", a, r.Family)
		case a.IsMulticast() || a.IsUnspecified() || a.IsLoopback():
			bad("peer %v is not the address of another router", a)
		case seen[a]:
			bad("peer %v is there twice", a)
		case p.Least > p.Most:
			bad("peer %v: no TTL is at least %d and at most %d", a, p.Least, p.Most)
		case a == r.Source && len(r.Peers) == 1:
			bad("the only peer, %v, is the router itself", a)
		}
		seen[a] = true
	}
}

// ParseAdvertTo is ParseAdvert with another judgment of how the advert is addressed. It does not say ReasonSource.
func ParseAdvertTo(d Datagram, a *Advert, addressed *Unicast) Reason {
	return parseAdvert(d, a, nil, addressed)
}

// Parse is ParseAdvert for one router, which may have peers.
func (s *Set) Parse(router int, d Datagram, a *Advert) Reason {
	r := s.routers[router]
	reason := parseAdvert(d, a, nil, &Unicast{Peers: r.cfg.Peers, Own: r.m.cfg.Source, Group: r.cfg.Multicast})
	if reason == ReasonLinkLocal && r.cfg.AnyFirst {
		return ReasonNone // it is the last that is looked for
	}
	if reason == ReasonNone {
		return r.expect.sealed(d, a)
	}
	return reason
}

// Peers is where op, an OpSend of the last step, goes, one by one; none: to the group, see AppendPacket. One of them
// may be this router itself: the list can be the same on every node. See Set.Source.
func (s *Set) Peers(op Op) []Peer {
	r, _ := s.outgoing(op)
	return r.cfg.Peers
}

// AppendPacketTo is AppendPacket for one of Peers.
func (s *Set) AppendPacketTo(b []byte, op Op, peer netip.Addr) []byte {
	r, a := s.outgoing(op)
	return appendPacket(b, &a, r.cfg.Addresses, r.m.cfg.Source, peer, cmp.Or(r.cfg.HopLimit, ttl), true)
}

// unsourced says why the router has no address to send from.
func (r *router) unsourced() string {
	if r.cfg.Source.IsValid() {
		return fmt.Sprintf("source %v is not on %s", r.cfg.Source, r.cfg.Interface)
	}
	if r.cfg.Family == 6 {
		return "no link-local address on " + r.cfg.Interface
	}
	return "no address on " + r.cfg.Interface
}
