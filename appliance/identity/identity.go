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

// Identity is everything a node holds. Both lists are sorted and unique; make
// one with [New] and [Identity.With]. The zero value is the identity of a node
// that holds nothing.
type Identity struct {
	Addresses []Address
	// Devices are the links of ours that must be up: those that addresses are on.
	Devices []Device
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
	return Identity{Addresses: slices.Compact(out)}
}

// With returns the identity and the devices, in any order.
func (i Identity) With(devices ...Device) Identity {
	all := slices.Concat(i.Devices, devices)
	slices.SortFunc(all, Device.Compare)
	i.Devices = slices.Compact(all)
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
	for _, p := range parts {
		all = append(all, p.Addresses...)
		devices = append(devices, p.Devices...)
	}
	return New(all...).With(devices...)
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
// addresses. A link-local IPv6 address counts on one link only and has the name of
// that interface for its zone; if that is a device, it is there a second time with
// the parent's.
func (i Identity) Gated() []netip.Addr {
	out := make([]netip.Addr, 0, len(i.Addresses))
	for _, a := range i.Addresses {
		addr := a.Prefix.Addr()
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
	return slices.Equal(i.Addresses, o.Addresses) && slices.Equal(i.Devices, o.Devices)
}

// String returns one line a device and one an address, each ended by a newline;
// empty for the identity of nothing.
func (i Identity) String() string {
	var b strings.Builder
	for _, d := range i.Devices {
		b.WriteString("device ")
		b.WriteString(d.String())
		b.WriteByte('\n')
	}
	for _, a := range i.Addresses {
		b.WriteString("address ")
		b.WriteString(a.String())
		b.WriteByte('\n')
	}
	return b.String()
}
