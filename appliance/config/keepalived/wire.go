package keepalived

import "net/netip"

// wire reads a keyword of what is on the wire; word is it without what says that it is
// global.
func (p *parser) wire(to *Wire, n *Node, word string) {
	switch word {
	case "down_timer_adverts":
		if v, ok := p.number(n, 1, 100); ok {
			to.DownAdverts = of(v, n.At)
		}
	case "lower_prio_no_advert":
		to.Quiet = p.boolean(n)
	}
}

// multicast reads a group of a family.
func (p *parser) multicast(n *Node, six bool) Of[netip.Addr] {
	a, err := netip.ParseAddr(n.arg(0))
	if err != nil || a.Is4In6() || a.Is6() != six || !a.IsMulticast() {
		p.say(n.At, Fault, "Configuration error: Cannot parse given %s address '%s'", n.Word, n.arg(0))
		return Of[netip.Addr]{}
	}
	return of(a.WithZone(""), n.At)
}

// downAdverts is how many adverts have to be missing.
func (c *converter) downAdverts(in *Instance) Of[int] {
	if in.Wire.DownAdverts.Set {
		return in.Wire.DownAdverts
	}
	return c.file.Global.Wire.DownAdverts
}

// wire sets what a router does otherwise than RFC 9568 has it.
func (c *converter) wire(in *Instance, t *Table, six, strict bool) {
	g := c.file.Global
	group, word := in.Group, "mcast_dst_ip"
	switch {
	case group.Set && group.V.Is6() != six:
		c.say(group.At, Fault, "(%s) address family of mcast_dst_ip does not match the VRRP instance - ignoring", in.Name)
		group.Set = false
	case group.Set:
	case six:
		group, word = g.Group6, "vrrp_mcast_group6"
	default:
		group, word = g.Group4, "vrrp_mcast_group4"
	}
	if group.Set && !in.Unicast {
		t.set("multicast", group.V.String(), Origin{group.At, word})
	}
	// keepalived complains of it in strict mode only, and sends the addresses as they are written.
	if six && !in.Addresses[0].Prefix.Addr().IsLinkLocalUnicast() {
		t.set("link_local", false, Origin{in.Addresses[0].At, "virtual_ipaddress"})
	}
	if in.BaseMAC.V && in.VMAC.V {
		t.set("advert_mac", "interface", Origin{in.BaseMAC.At, "vmac_xmit_base"})
	}
	if down := c.downAdverts(in); down.Set && down.V != 3 {
		t.set("down_adverts", down.V, Origin{down.At, "down_timer_adverts"})
	}
	quiet := in.Wire.Quiet
	if !quiet.Set {
		quiet = g.Wire.Quiet
	}
	if quiet.V || strict && !quiet.Set {
		at := quiet.At
		if !quiet.Set {
			if at = g.Strict.At; in.Strict.Set {
				at = in.Strict.At
			}
		}
		t.set("assert", false, Origin{at, "lower_prio_no_advert"})
	}
}
