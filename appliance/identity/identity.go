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
}

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

// Identity is everything a node holds. Addresses are sorted and unique; make
// one with [New]. The zero value is the identity of a node that holds nothing.
type Identity struct {
	Addresses []Address
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
	return Identity{slices.Compact(out)}
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
	for _, p := range parts {
		all = append(all, p.Addresses...)
	}
	return New(all...)
}

// Diff returns what is to be added to and removed from have to get want, both
// sorted.
func Diff(have, want Identity) (add, del []Address) {
	h, w := have.Addresses, want.Addresses
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

// Equal reports whether the two are the same.
func (i Identity) Equal(o Identity) bool { return slices.Equal(i.Addresses, o.Addresses) }

// String returns one line an address, each ended by a newline; empty for the
// identity of nothing.
func (i Identity) String() string {
	var b strings.Builder
	for _, a := range i.Addresses {
		b.WriteString("address ")
		b.WriteString(a.String())
		b.WriteByte('\n')
	}
	return b.String()
}
