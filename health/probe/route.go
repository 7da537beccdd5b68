package probe

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Route asks the kernel whether it has a route. One through a link without
// carrier, or that refuses (unreachable, blackhole, prohibit), is none.
//
// With To it asks for the way to an address, rules included, as a packet of ours
// would go. With Prefix it looks for a route to exactly that prefix: 0.0.0.0/0
// and ::/0 are the default routes. That reads the routing table up to where it
// stands, which is at the beginning for a default route, and can be long for
// others on a machine with the routes of the Internet.
type Route struct {
	To        netip.Addr
	Prefix    netip.Prefix
	Table     int    // with Prefix; 0 means main
	Interface string // optional: it must go out here
}

var _ Prober = (*Route)(nil)

// Probe asks once. The kernel answers without waiting for anyone else, so ctx is
// looked at between two questions only.
func (p *Route) Probe(ctx context.Context) error {
	what := "to " + p.To.String()
	find := p.lookup
	if !p.To.IsValid() {
		what, find = p.Prefix.String(), p.exact
	}
	if err := find(ctx); err != nil {
		return fmt.Errorf("route %s: %w", what, err)
	}
	return nil
}

var errNoRoute = errors.New("there is none")

func (p *Route) lookup(context.Context) error {
	out, err := p.index()
	if err != nil {
		return err
	}
	// Not asked with the interface: the kernel would then take any address for
	// a neighbour on it. And the entry of the table itself, because only that
	// has the state of the link.
	to := p.To.Unmap()
	routes, err := netlink.RouteGetWithOptions(net.IP(to.AsSlice()), &netlink.RouteGetOptions{FIBMatch: true})
	if err != nil {
		return err
	}
	for i := range routes {
		if usable(&routes[i], out) {
			return nil
		}
	}
	return p.unusable()
}

func (p *Route) exact(ctx context.Context) error {
	out, err := p.index()
	if err != nil {
		return err
	}
	family, table := netlink.FAMILY_V6, p.Table
	if p.Prefix.Addr().Is4() {
		family = netlink.FAMILY_V4
	}
	if table == 0 {
		table = unix.RT_TABLE_MAIN
	}
	for {
		seen, found := false, false
		err := netlink.RouteListFilteredIter(family, &netlink.Route{Table: table}, netlink.RT_FILTER_TABLE, func(r netlink.Route) bool {
			if !p.matches(&r) {
				return ctx.Err() == nil
			}
			seen = true
			found = usable(&r, out)
			return !found && ctx.Err() == nil
		})
		switch {
		case found:
			return nil
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case errors.Is(err, netlink.ErrDumpInterrupted):
			continue // the table changed meanwhile: what was not seen may be there
		case err != nil:
			return err
		case seen:
			return p.unusable()
		}
		return errNoRoute
	}
}

func (p *Route) matches(r *netlink.Route) bool {
	if r.Dst == nil {
		return p.Prefix.Bits() == 0
	}
	ones, _ := r.Dst.Mask.Size()
	dst, ok := netip.AddrFromSlice(r.Dst.IP)
	if p.Prefix.Addr().Is4() {
		dst = dst.Unmap() // the library writes 0.0.0.0 in 16 octets
	}
	return ok && ones == p.Prefix.Bits() && dst == p.Prefix.Masked().Addr()
}

func (p *Route) unusable() error {
	if p.Interface != "" {
		return fmt.Errorf("not by %s, or its link is down", p.Interface)
	}
	return errors.New("its link is down, or it refuses")
}

func (p *Route) index() (int, error) {
	if p.Interface == "" {
		return 0, nil
	}
	link, err := net.InterfaceByName(p.Interface)
	if err != nil {
		return 0, fmt.Errorf("interface %s: %w", p.Interface, err)
	}
	return link.Index, nil
}

// usable tells whether packets can take the route; out is the interface that
// they must leave by, if not 0.
func usable(r *netlink.Route, out int) bool {
	if r.Type != unix.RTN_UNICAST && r.Type != unix.RTN_LOCAL {
		return false
	}
	const dead = unix.RTNH_F_DEAD | unix.RTNH_F_LINKDOWN
	if len(r.MultiPath) == 0 {
		return r.Flags&dead == 0 && (out == 0 || r.LinkIndex == out)
	}
	for _, hop := range r.MultiPath {
		if hop.Flags&dead == 0 && (out == 0 || hop.LinkIndex == out) {
			return true
		}
	}
	return false
}
