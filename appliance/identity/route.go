package identity

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// RouteKind says what becomes of packets that a route matches. Its text is the
// word of ip-route(8).
type RouteKind string

// The kinds of routes.
const (
	Unicast     RouteKind = "unicast"     // they go on, by a hop
	Blackhole   RouteKind = "blackhole"   // they are dropped in silence
	Unreachable RouteKind = "unreachable" // ICMP host unreachable
	Prohibit    RouteKind = "prohibit"    // ICMP administratively prohibited
	Throw       RouteKind = "throw"       // the next routing rule is asked
)

// Scope is how far an IPv4 destination is away, as the kernel numbers it
// (rtnetlink(7), rtm_scope). IPv6 routes have none.
type Scope uint8

// The scopes. Another number is one that the kernel has and a configuration
// cannot ask for.
const (
	ScopeGlobal Scope = 0   // behind a gateway
	ScopeLink   Scope = 253 // on the link itself
)

// Numbers of the kernel's.
const (
	MainTable  = 254
	metricIPv6 = 1024 // of an IPv6 route that says none
)

// Route is a route that a node has while it is Active. Make it part of an
// [Identity] with [Identity.WithRoutes], which fills in what is left out.
type Route struct {
	To     netip.Prefix // without host part; its address is of the route's family
	Table  uint32       // 0: the main one
	Metric uint32       // the lowest is used; IPv6: 0 is 1024
	Kind   RouteKind    // "": unicast
	Scope  Scope
	Source netip.Addr // that the node's own packets get; invalid: the kernel chooses
	MTU    uint32     // bytes, 0: that of the link
	RouteOptions
	// Hops share the traffic by weight; one for a plain route, none unless
	// unicast.
	Hops []Hop
}

// Hop is where a unicast route leads.
type Hop struct {
	Via       netip.Addr // the next router; invalid: the destination is on the link
	Interface string
	Weight    uint16 // 1 to 256; 0 is 1
	Onlink    bool   // Via is taken to be on the link though no subnet says so
	Encap     Encap  // what packets are wrapped into
}

// RouteKey is what two routes of a kernel cannot have in common.
type RouteKey struct {
	To     netip.Prefix
	Table  uint32
	Metric uint32
}

// Key returns the key of the route.
func (r Route) Key() RouteKey { return RouteKey{To: r.To, Table: r.Table, Metric: r.Metric} }

// Uses reports whether the route leads by the interface.
func (r Route) Uses(name string) bool {
	return slices.ContainsFunc(r.Hops, func(h Hop) bool { return h.Interface == name })
}

// canonical fills in what may be left out and sorts the hops, whose order means
// nothing.
func (r Route) canonical() Route {
	r.To = canonical(r.To).Masked()
	r.Source = r.Source.Unmap()
	if r.Table == 0 {
		r.Table = MainTable
	}
	if r.Kind == "" {
		r.Kind = Unicast
	}
	if r.To.Addr().Is6() {
		r.Scope = ScopeGlobal
		if r.Metric == 0 {
			r.Metric = metricIPv6
		}
	}
	r.Hops = slices.Clone(r.Hops)
	for i := range r.Hops {
		h := &r.Hops[i]
		h.Via = h.Via.Unmap()
		h.Weight = max(h.Weight, 1)
	}
	slices.SortFunc(r.Hops, Hop.Compare)
	return r
}

// direct reports whether the route leads to its destination itself.
func (r Route) direct() bool {
	return !slices.ContainsFunc(r.Hops, func(h Hop) bool { return h.Via.IsValid() })
}

// Compare orders routes as they are added: a gateway may only be reached by a
// route that is there before, so those without one come first, and then the
// longer prefixes.
func (r Route) Compare(o Route) int {
	return cmp.Or(
		boolCompare(!r.direct(), !o.direct()),
		-cmp.Compare(r.To.Bits(), o.To.Bits()),
		r.To.Addr().Compare(o.To.Addr()),
		cmp.Compare(r.Table, o.Table),
		cmp.Compare(r.Metric, o.Metric),
		cmp.Compare(r.Kind, o.Kind),
		cmp.Compare(r.Scope, o.Scope),
		r.Source.Compare(o.Source),
		cmp.Compare(r.MTU, o.MTU),
		r.compareOptions(o),
		slices.CompareFunc(r.Hops, o.Hops, Hop.Compare),
	)
}

func (r Route) compareOptions(o Route) int {
	if r.RouteOptions == o.RouteOptions {
		return 0 // as nearly always
	}
	return strings.Compare(r.RouteOptions.String(), o.RouteOptions.String())
}

// Compare orders by gateway, then interface.
func (h Hop) Compare(o Hop) int {
	return cmp.Or(
		h.Via.Compare(o.Via),
		strings.Compare(h.Interface, o.Interface),
		cmp.Compare(h.Weight, o.Weight),
		boolCompare(h.Onlink, o.Onlink),
		h.Encap.Compare(o.Encap),
	)
}

func boolCompare(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}

// String returns the route for a log line, in the words of ip-route(8):
// "192.0.2.0/24 via 10.0.0.254 dev lan0 table 100 metric 10".
func (r Route) String() string {
	var b strings.Builder
	if r.Kind != Unicast && r.Kind != "" {
		b.WriteString(string(r.Kind) + " ")
	}
	b.WriteString(r.To.String())
	if len(r.Hops) == 1 {
		b.WriteString(r.Hops[0].text(false))
	}
	if r.Table != MainTable && r.Table != 0 {
		fmt.Fprintf(&b, " table %d", r.Table)
	}
	switch {
	case r.Scope == ScopeLink:
		b.WriteString(" scope link")
	case r.Scope != ScopeGlobal:
		fmt.Fprintf(&b, " scope %d", r.Scope)
	}
	if r.Source.IsValid() {
		b.WriteString(" src " + r.Source.String())
	}
	if r.Metric != 0 {
		fmt.Fprintf(&b, " metric %d", r.Metric)
	}
	if r.MTU != 0 {
		fmt.Fprintf(&b, " mtu %d", r.MTU)
	}
	b.WriteString(r.RouteOptions.String())
	if len(r.Hops) > 1 {
		for _, h := range r.Hops {
			b.WriteString(" nexthop" + h.text(true))
		}
	}
	return b.String()
}

func (h Hop) text(several bool) string {
	var b strings.Builder
	if h.Encap.Kind != "" {
		b.WriteString(" encap " + h.Encap.String())
	}
	if h.Via.IsValid() {
		b.WriteString(" via " + h.Via.String())
	}
	if h.Interface != "" {
		b.WriteString(" dev " + h.Interface)
	}
	if several || h.Weight > 1 {
		fmt.Fprintf(&b, " weight %d", max(h.Weight, 1))
	}
	if h.Onlink {
		b.WriteString(" onlink")
	}
	return b.String()
}
