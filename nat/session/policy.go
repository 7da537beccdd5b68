package session

import "net/netip"

// Replicable tells whether the flow is worth a standby's while: one that has
// been answered, and, for TCP, is established and not yet over.
func (r *Record) Replicable() bool {
	switch {
	case r.Status&StatusExpected != 0 && r.Status&StatusSeenReply == 0:
		return false
	case r.Proto == protoTCP:
		return r.TCP.State >= TCPEstablished && r.TCP.State <= TCPLastAck
	default:
		return r.Status&StatusSeenReply != 0
	}
}

// Installable tells whether a kernel may be given the record: a TCP entry
// injected before it is established is dead on arrival.
func (r *Record) Installable() bool { return r.Replicable() }

// SameBinding tells whether two records of one flow translate it alike.
func (r *Record) SameBinding(o *Record) bool {
	return r.ReplySrc == o.ReplySrc && r.ReplyDst == o.ReplyDst &&
		r.ReplySrcPort == o.ReplySrcPort && r.ReplyDstPort == o.ReplyDstPort
}

// Scope decides which group a flow belongs to. Both ends of a link ask it: the
// source so that nothing of the box's own leaves it, the standby so that a peer
// cannot put arbitrary state into its kernel.
type Scope struct {
	groups map[netip.Addr]int
	inside []netip.Prefix
}

// NewScope returns the scope of groups, given by the addresses each of them
// holds. inside lists the networks that are translated, and the servers that
// are forwarded to; empty means any.
func NewScope(groups [][]netip.Addr, inside []netip.Prefix) *Scope {
	s := &Scope{}
	s.Set(groups, inside)
	return s
}

// Set changes the scope for everyone who has it. Records that are in it no more
// are not touched.
func (s *Scope) Set(groups [][]netip.Addr, inside []netip.Prefix) {
	s.groups, s.inside = make(map[netip.Addr]int), inside
	for g, addrs := range groups {
		for _, a := range addrs {
			s.groups[a.Unmap()] = g
		}
	}
}

// GroupOf returns the group that holds the flow's NAT address: where the source
// is translated, the address it is translated to; else the address that was
// called. A flow that is not translated has none.
func (s *Scope) GroupOf(r *Record) (int, bool) {
	if r.Family != 4 && r.Family != 6 {
		return 0, false
	}
	if _, _, ok := r.SNAT(); ok {
		if g, ok := s.groups[r.ReplyDst.Netip(r.Family)]; ok {
			return g, s.isInside(r.Src.Netip(r.Family)) || s.isHairpin(r)
		}
	}
	if _, _, ok := r.DNAT(); ok {
		if g, ok := s.groups[r.Dst.Netip(r.Family)]; ok {
			return g, s.isInside(r.ReplySrc.Netip(r.Family))
		}
	}
	return 0, false
}

// isHairpin allows a source from anywhere when the flow is forwarded as well:
// then the server is what must be inside.
func (s *Scope) isHairpin(r *Record) bool {
	_, _, ok := r.DNAT()
	return ok && s.isInside(r.ReplySrc.Netip(r.Family))
}

func (s *Scope) isInside(a netip.Addr) bool {
	if len(s.inside) == 0 {
		return true
	}
	for _, p := range s.inside {
		if p.Contains(a) {
			return true
		}
	}
	return false
}
