package session

import (
	"net/netip"
	"slices"
)

// networks is a table of networks, each with a value. To look an address up costs a
// probe for each different length of theirs, whatever their number.
type networks struct {
	values map[netip.Prefix]int8
	bits   [2][]uint8 // lengths, of IPv4 and IPv6, the longest first
}

func (n *networks) add(p netip.Prefix, v int8) {
	if n.values == nil {
		n.values = make(map[netip.Prefix]int8)
	}
	p = p.Masked()
	n.values[p] = v
	of := &n.bits[familyIndex(p.Addr())]
	if b := uint8(p.Bits()); !slices.Contains(*of, b) {
		*of = append(*of, b)
		slices.SortFunc(*of, func(a, b uint8) int { return int(b) - int(a) })
	}
}

// find returns the value of the longest of them that a is in.
func (n *networks) find(a netip.Addr) (int8, bool) {
	for _, bits := range n.bits[familyIndex(a)] {
		p, err := a.Prefix(int(bits))
		if err != nil {
			return 0, false
		}
		if v, ok := n.values[p]; ok {
			return v, true
		}
	}
	return 0, false
}

func familyIndex(a netip.Addr) int {
	if a.Is4() {
		return 0
	}
	return 1
}
