package replica

import (
	"net"
	"net/netip"
	"slices"

	"understudy/nat/conntrack"
	"understudy/nat/session"
)

// scopeOf returns what the configuration says about whose flows are whose. own are
// the addresses of this node.
func (c *Config) scopeOf(own []netip.Addr) session.ScopeConfig {
	s := session.ScopeConfig{Inside: c.Inside, Routed: c.Routed, Bound: c.Bound, Own: own}
	for g := range c.Groups {
		s.Groups = append(s.Groups, c.Groups[g].Addresses)
		s.Blocks = append(s.Blocks, c.Groups[g].Blocks)
		for _, p := range c.Groups[g].Networks {
			i := slices.IndexFunc(s.Networks, func(n session.Network) bool { return n.Prefix == p })
			if i < 0 {
				i = len(s.Networks)
				s.Networks = append(s.Networks, session.Network{Prefix: p})
			}
			s.Networks[i].Groups |= 1 << uint(g)
		}
	}
	return s
}

// ownAddresses lists the addresses of this node's interfaces, those of the groups
// among them.
func (e *Engine) ownAddresses() (own []netip.Addr, err error) {
	err = e.cfg.Namespace(func() error {
		addrs, err := net.InterfaceAddrs()
		for _, a := range addrs {
			if n, ok := a.(*net.IPNet); ok {
				if ip, ok := netip.AddrFromSlice(n.IP); ok {
					own = append(own, ip.Unmap())
				}
			}
		}
		return err
	})
	return own, err
}

// lookAround takes note of the addresses that this node has now. Held: e.dumpMu.
func (e *Engine) lookAround() {
	own, err := e.ownAddresses()
	if err != nil {
		e.log.Warn("addresses of this node not read", "err", err)
		return
	}
	e.mu.Lock()
	if !slices.Equal(own, e.scope.Own) {
		e.scope.SetOwn(own)
	}
	e.mu.Unlock()
}

// groupOf tells which of the groups gs, which it can belong to, the kernel's entry
// of ev is counted to. packet: a packet or a timer has changed it here. Held: e.mu.
//
// Where a network has routers of several groups, the entry alone does not tell: it
// is of the group that it was, and if that is another node's, and packets come here,
// of one that is Active here.
func (e *Engine) groupOf(ev *conntrack.Event, gs session.GroupSet, packet bool) (g int, owned bool) {
	active := e.groups.Active() | e.taking
	g, _ = gs.Pick(active)
	if gs&(gs-1) != 0 {
		if s, known := e.table.Lookup(&ev.Rec.Key); known {
			if was := e.table.Group(s); gs.Has(was) && (active.Has(was) || !packet || gs&active == 0) {
				g = was
			}
		}
	}
	return g, active.Has(g)
}
