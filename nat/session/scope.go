package session

import (
	"math/bits"
	"net/netip"
)

// Scope decides which groups a flow can belong to. Both ends of a link ask it:
// the source so that nothing of the box's own leaves it, the standby so that a
// peer cannot put arbitrary state into its kernel.
//
// A flow that is translated to, or called at, an address of a group is that
// group's. Of any other the kernel tells no interface, so the group is that of
// the router whose network it comes from; where several groups have routers in
// that network, of that one of them which is Active where the flow is seen.
type Scope struct {
	ScopeConfig
	holders map[netip.Addr]int8 // group, or nodesOwn
	blocks  networks            // group
	inside  networks
	all     GroupSet
}

// ScopeConfig is what a [Scope] judges by.
type ScopeConfig struct {
	Groups [][]netip.Addr // the addresses that each group holds
	// Blocks are networks of each group whose addresses are on no interface.
	Blocks [][]netip.Prefix
	// Inside lists the networks that are translated to these addresses, and the
	// servers that are forwarded to; empty means any.
	Inside []netip.Prefix
	// Routed: flows count that no address of a group translates: those that are
	// only forwarded, and those that somebody else's rules translate.
	Routed bool
	// Networks say which groups such flows belong to, by their source, else by
	// their destination; the longest prefix counts. Bound: other flows are not
	// taken. Else they belong to whichever group is Active.
	Networks []Network
	Bound    bool
	// Own lists the addresses of this node alone. What has one of them, or
	// untranslated one of a group, ends here and is of no use elsewhere.
	Own []netip.Addr
}

// Network is one that routers of the groups are in.
type Network struct {
	Prefix netip.Prefix
	Groups GroupSet
}

// nodesOwn stands for a group where an address does not move.
const nodesOwn = -1

// NewScope returns the scope that c describes.
func NewScope(c ScopeConfig) *Scope {
	s := &Scope{}
	s.Set(c)
	return s
}

// Set changes the scope for everyone who has it. Records that are in it no more
// are not touched.
func (s *Scope) Set(c ScopeConfig) {
	s.ScopeConfig = c
	s.all = 1<<uint(len(c.Groups)) - 1
	s.holders = make(map[netip.Addr]int8)
	for _, a := range c.Own {
		s.holders[a.Unmap()] = nodesOwn
	}
	for g, addrs := range c.Groups {
		for _, a := range addrs {
			s.holders[a.Unmap()] = int8(g)
		}
	}
	s.blocks, s.inside = networks{}, networks{}
	for g, blocks := range c.Blocks {
		for _, p := range blocks {
			s.blocks.add(p, int8(g))
		}
	}
	for _, p := range c.Inside {
		s.inside.add(p, 0)
	}
}

// SetOwn changes the addresses of this node alone.
func (s *Scope) SetOwn(own []netip.Addr) {
	c := s.ScopeConfig
	c.Own = own
	s.Set(c)
}

// Groups returns the groups that the flow can belong to: none, if it is not to
// be replicated; more than one only if the addresses alone do not tell.
func (s *Scope) Groups(r *Record) GroupSet {
	g, ours := s.Translated(r)
	switch {
	case ours && g >= 0:
		return 1 << uint(g)
	case ours || !s.Routed || r.Family != 4 && r.Family != 6:
		return 0
	}
	return s.routed(r)
}

// Translated tells whether the flow is translated to or called at an address of a
// group, and which group's; -1 if that is so, but the host behind it is not
// inside.
func (s *Scope) Translated(r *Record) (g int, ours bool) {
	if r.Family != 4 && r.Family != 6 {
		return -1, false
	}
	if _, _, ok := r.SNAT(); ok {
		if g, ok := s.holder(r.ReplyDst, r.Family); ok {
			if s.isInside(r.Src.Netip(r.Family)) || s.isHairpin(r) {
				return g, true
			}
			return -1, true
		}
	}
	if _, _, ok := r.DNAT(); ok {
		if g, ok := s.holder(r.Dst, r.Family); ok {
			if s.isInside(r.ReplySrc.Netip(r.Family)) {
				return g, true
			}
			return -1, true
		}
	}
	return -1, false
}

// Pick chooses among the groups of a flow: one of the given Active ones, if there
// is one. It returns false if there is none at all.
func (s GroupSet) Pick(active GroupSet) (g int, ok bool) {
	if s == 0 {
		return 0, false
	}
	if s&active != 0 {
		s &= active
	}
	return bits.TrailingZeros64(uint64(s)), true
}

// holder returns the group that holds an address.
func (s *Scope) holder(a Addr, family uint8) (int, bool) {
	ip := a.Netip(family)
	if g, ok := s.holders[ip]; ok {
		return int(g), g != nodesOwn
	}
	g, ok := s.blocks.find(ip)
	return int(g), ok
}

// isHairpin allows a source from anywhere when the flow is forwarded as well:
// then the server is what must be inside.
func (s *Scope) isHairpin(r *Record) bool {
	_, _, ok := r.DNAT()
	return ok && s.isInside(r.ReplySrc.Netip(r.Family))
}

// isInside tells whether translation to a group's address is for the host a.
func (s *Scope) isInside(a netip.Addr) bool {
	if len(s.Inside) == 0 {
		return true
	}
	if _, ok := s.inside.find(a); ok {
		return true
	}
	if s.Bound {
		for i := range s.Networks {
			if s.Networks[i].Prefix.Contains(a) {
				return true
			}
		}
	}
	return false
}

// routed returns the groups of a flow that no address of a group translates.
func (s *Scope) routed(r *Record) GroupSet {
	if ownProtocol(&r.Key) {
		return 0
	}
	ends := [...]netip.Addr{r.Src.Netip(r.Family), r.ReplySrc.Netip(r.Family), r.Dst.Netip(r.Family), r.ReplyDst.Netip(r.Family)}
	for _, a := range ends {
		if _, held := s.holders[a]; held || !forwardable(a) {
			return 0
		}
	}
	for _, a := range ends[:2] { // who called, and who answers
		if g := s.network(a); g != 0 {
			return g
		}
	}
	if s.Bound {
		return 0
	}
	return s.all
}

// network returns the groups of the longest prefix that a is in.
func (s *Scope) network(a netip.Addr) (g GroupSet) {
	longest := -1
	for i := range s.Networks {
		if n := &s.Networks[i]; n.Prefix.Bits() > longest && n.Prefix.Contains(a) {
			longest, g = n.Prefix.Bits(), n.Groups
		}
	}
	return g
}

// forwardable tells whether a router forwards packets from and to a.
func forwardable(a netip.Addr) bool {
	return !a.IsUnspecified() && !a.IsLoopback() && !a.IsMulticast() && !a.IsLinkLocalUnicast() &&
		a != netip.AddrFrom4([4]byte{255, 255, 255, 255})
}

// ownProtocol tells whether routers speak so among themselves: VRRP, and BFD
// (RFC 5881, 5883, 7130, 7881).
func ownProtocol(k *Key) bool {
	switch k.Proto {
	case protoVRRP:
		return true
	case protoUDP:
		switch k.DstPort {
		case 3784, 3785, 4784, 6784, 7784:
			return true
		}
	}
	return false
}
