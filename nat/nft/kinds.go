package nft

import (
	"net/netip"
	"slices"

	"github.com/google/nftables"

	"understudy/nat"
)

// kind is a kind of address: each has sets of its own, because their keys have a
// form of their own.
type kind struct {
	closed, all, refused string // names of the sets
	key                  nftables.SetDatatype
	concat               bool
	has                  func(netip.Addr) bool
}

// kinds are IPv4, IPv6, and IPv6 that counts on one interface only.
func kinds() []kind {
	return []kind{
		{setClosed, setAddresses, setRefused, nftables.TypeIPAddr, false, netip.Addr.Is4},
		{setClosed6, setAddresses6, setRefused6, nftables.TypeIP6Addr, false, func(a netip.Addr) bool { return a.Is6() && a.Zone() == "" }},
		{setClosedLocal, setAddressesLocal, setRefusedLocal, concat(nftables.TypeIFName, nftables.TypeIP6Addr), true,
			func(a netip.Addr) bool { return a.Is6() && a.Zone() != "" }},
	}
}

func (k kind) set(name string) *nftables.Set {
	return &nftables.Set{Table: ourTable(), Name: name, KeyType: k.key, Concatenation: k.concat}
}

// elements are those of addrs that are of the kind.
func (k kind) elements(addrs []netip.Addr) []element {
	var out []element
	for _, a := range addrs {
		if k.has(a) {
			out = append(out, element{key: addressKey(a), owner: a})
		}
	}
	return out
}

// known keeps the group beside each address: what is read back tells which
// addresses are known and whose gate they are, also to a new process.
func (k kind) known(gates []nat.Gate) []element {
	var out []element
	for _, g := range gates {
		if k.has(g.Address) {
			out = append(out, element{key: addressKey(g.Address), comment: g.Group, owner: g.Address})
		}
	}
	return out
}

// refusedSets are those that the rules for refused addresses look into.
func refusedSets(refused []netip.Addr) (out []set) {
	for _, k := range kinds() {
		alike := netip.Addr.Is6
		if k.refused == setRefused {
			alike = netip.Addr.Is4
		}
		if slices.ContainsFunc(refused, alike) {
			out = append(out, set{k.set(k.refused), k.elements(refused)})
		}
	}
	return out
}

// addressKey is the address as the key of its kind; the zone is an interface.
func addressKey(a netip.Addr) string {
	switch {
	case a.Is4():
		return ip4(a)
	case a.Zone() != "":
		return ifname(a.Zone()) + string(a.AsSlice())
	}
	return string(a.AsSlice())
}
