package identity

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"
)

// Address is one address on one interface. The prefix keeps its host part: it
// is the address and the length of its subnet as the operator wrote it.
type Address struct {
	Interface string
	Prefix    netip.Prefix
	// How it is added. Two addresses that differ in that alone are the same.
	Attributes Attributes
}

// Attributes are what the kernel keeps with an address beside where it is. The zero value
// is as usual: of the whole world, without a broadcast address or a label; of IPv6 not
// chosen for connections of this node's own.
type Attributes struct {
	Label         string     // IPv4: as of an alias, "lan0:1"
	Scope         uint8      // RT_SCOPE_*; 0 is the world
	Broadcast     netip.Addr // IPv4; invalid: none
	NoPrefixRoute bool       // the kernel adds no route to its network
	Home          bool       // IPv6: a home address of RFC 6275
	Peer          netip.Addr // the other end of the link, whose network Prefix then has the length of; invalid: none
	Preferred     Preference
	Join          bool // of a multicast group: the node joins it
	Temporaries   bool // IPv6: the kernel makes temporary addresses of its network (RFC 8981), if it makes any
}

// Preference is for how long an address is chosen for new connections of this node's own.
type Preference int64

// Preferences beside a number of seconds.
const (
	PreferredUsually Preference = 0  // IPv4 for ever, IPv6 never
	PreferredEver    Preference = -1 // both
	PreferredNever   Preference = -2
)

// String returns the address for a log line, as "10.0.0.1/24 dev lan0".
func (a Address) String() string { return a.Prefix.String() + " dev " + a.Interface }

// Compare orders by interface, then address, then prefix length.
func (a Address) Compare(b Address) int {
	return cmp.Or(
		strings.Compare(a.Interface, b.Interface),
		a.Prefix.Addr().Compare(b.Prefix.Addr()),
		cmp.Compare(a.Prefix.Bits(), b.Prefix.Bits()),
	)
}

// Identity is everything a node holds. The lists are sorted and unique; make
// one with [New] and the methods that begin with With. The zero value is the
// identity of a node that holds nothing.
type Identity struct {
	Addresses []Address
	// Devices are the links of ours that must be up: those that addresses are on.
	Devices []Device
	// Routes are in the order in which they can be added. No two have one
	// [RouteKey]; whoever makes the identity sees to it.
	Routes []Route
	Rules  []Rule
}

// New returns the identity that consists of the addresses, in any order.
// IPv4-mapped IPv6 addresses become IPv4; invalid prefixes are left out.
func New(addresses ...Address) Identity {
	out := make([]Address, 0, len(addresses))
	for _, a := range addresses {
		a.Prefix = canonical(a.Prefix)
		if a.Prefix.IsValid() {
			out = append(out, a)
		}
	}
	slices.SortFunc(out, Address.Compare)
	return Identity{Addresses: slices.CompactFunc(out, func(a, b Address) bool { return a.Compare(b) == 0 })}
}

// With returns the identity and the devices, in any order.
func (i Identity) With(devices ...Device) Identity {
	all := slices.Concat(i.Devices, devices)
	slices.SortFunc(all, Device.Compare)
	i.Devices = slices.Compact(all)
	return i
}

// WithRoutes returns the identity and the routes, in any order. Those without a
// valid destination are left out.
func (i Identity) WithRoutes(routes ...Route) Identity {
	all := slices.Clone(i.Routes)
	for _, r := range routes {
		if r.To.IsValid() {
			all = append(all, r.canonical())
		}
	}
	slices.SortFunc(all, Route.Compare)
	i.Routes = slices.CompactFunc(all, func(a, b Route) bool { return a.Compare(b) == 0 })
	return i
}

// WithRules returns the identity and the rules, in any order.
func (i Identity) WithRules(rules ...Rule) Identity {
	all := slices.Clone(i.Rules)
	for _, r := range rules {
		all = append(all, r.canonical())
	}
	slices.SortFunc(all, Rule.Compare)
	i.Rules = slices.Compact(all)
	return i
}

func canonical(p netip.Prefix) netip.Prefix {
	if addr := p.Addr(); addr.Is4In6() {
		return netip.PrefixFrom(addr.Unmap(), p.Bits()-96)
	}
	return p
}

// Union returns what a node holds that holds each of the parts, as a node that
// is Active for several groups does.
func Union(parts ...Identity) Identity {
	var all []Address
	var devices []Device
	var routes []Route
	var rules []Rule
	for _, p := range parts {
		all = append(all, p.Addresses...)
		devices = append(devices, p.Devices...)
		routes = append(routes, p.Routes...)
		rules = append(rules, p.Rules...)
	}
	return New(all...).With(devices...).WithRoutes(routes...).WithRules(rules...)
}

// Diff returns the addresses that are to be added to and removed from have to
// get want, both sorted.
func Diff(have, want Identity) (add, del []Address) {
	return diff(have.Addresses, want.Addresses)
}

// DiffDevices does the same for the devices.
func DiffDevices(have, want Identity) (add, del []Device) {
	return diff(have.Devices, want.Devices)
}

// DiffRoutes does the same for the routes. One that is changed is in both.
func DiffRoutes(have, want Identity) (add, del []Route) {
	return diff(have.Routes, want.Routes)
}

// DiffRules does the same for the rules.
func DiffRules(have, want Identity) (add, del []Rule) {
	return diff(have.Rules, want.Rules)
}

// diff walks two sorted lists once.
func diff[T interface{ Compare(T) int }](h, w []T) (add, del []T) {
	for len(h) > 0 && len(w) > 0 {
		switch c := h[0].Compare(w[0]); {
		case c < 0:
			del, h = append(del, h[0]), h[1:]
		case c > 0:
			add, w = append(add, w[0]), w[1:]
		default:
			h, w = h[1:], w[1:]
		}
	}
	return append(add, w...), append(del, h...)
}

// Gated returns what a gate keeps out while the identity is not held, sorted: its
// addresses, but for multicast groups. A link-local IPv6 address counts on one link only and has the name of
// that interface for its zone; if that is a device, it is there a second time with
// the parent's.
func (i Identity) Gated() []netip.Addr {
	out := make([]netip.Addr, 0, len(i.Addresses))
	for _, a := range i.Addresses {
		addr := a.Prefix.Addr()
		if addr.IsMulticast() {
			continue // of whoever has joined it
		}
		if !addr.Is6() || !addr.IsLinkLocalUnicast() {
			out = append(out, addr)
			continue
		}
		out = append(out, addr.WithZone(a.Interface))
		for _, d := range i.Devices {
			if d.Name == a.Interface {
				out = append(out, addr.WithZone(d.Parent))
			}
		}
	}
	slices.SortFunc(out, netip.Addr.Compare)
	return slices.Compact(out)
}

// Equal reports whether the two are the same.
func (i Identity) Equal(o Identity) bool {
	return slices.Equal(i.Addresses, o.Addresses) && slices.Equal(i.Devices, o.Devices) && slices.Equal(i.Rules, o.Rules) &&
		slices.EqualFunc(i.Routes, o.Routes, func(a, b Route) bool { return a.Compare(b) == 0 })
}

// String returns one line for each device, address, route and rule, in this
// order, which is that of adding them; empty for the identity of nothing.
func (i Identity) String() string {
	var b strings.Builder
	lines(&b, "device ", i.Devices)
	lines(&b, "address ", i.Addresses)
	lines(&b, "route ", i.Routes)
	lines(&b, "rule ", i.Rules)
	return b.String()
}

func lines[T interface{ String() string }](b *strings.Builder, what string, list []T) {
	for _, x := range list {
		b.WriteString(what)
		b.WriteString(x.String())
		b.WriteByte('\n')
	}
}
