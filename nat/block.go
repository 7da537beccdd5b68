package nat

import (
	"cmp"
	"fmt"
	"hash/fnv"
	"net/netip"
	"slices"
)

// Block is a public network that others route to the gateways. What is addressed to it
// is shut out while its group is not Active here, and is let in to be translated only.
type Block struct {
	Network netip.Prefix
	Group   string
}

func (b Block) line() string { return "gate block " + bare(b.Network) + " group " + b.Group }

func compareBlock(a, b Block) int {
	return cmp.Or(cmp.Compare(a.Group, b.Group), comparePrefix(a.Network, b.Network))
}

// BlockGate is the name under which the blocks of a group are behind its gate: it stands
// among devices ([Plan.GroupDevices]), and can be that of none. So a gate
// opens and closes at once, however many blocks there are.
func BlockGate(group string) string {
	h := fnv.New32a()
	h.Write([]byte(group))
	return fmt.Sprintf("blocks:%08x", h.Sum32()) // no interface has a colon in its name
}

// checkBlocks looks at the blocks of all groups.
func (k *checker) checkBlocks() {
	type owned struct {
		netip.Prefix
		group int
	}
	var all []owned
	for i, g := range k.cfg.Groups {
		for _, b := range g.Blocks {
			switch {
			case !b.IsValid() || b.Addr().Is4In6() || b.Bits() == 0 || b != b.Masked():
				k.add(KindGroup, i, "blocks", "%v is no network", b)
				continue
			case b.IsSingleIP() && notUnicast(b.Addr()) != "":
				k.add(KindGroup, i, "blocks", "%v %s", b.Addr(), notUnicast(b.Addr()))
				continue
			}
			all = append(all, owned{b, i})
			k.blocks.add(b)
		}
	}
	slices.SortStableFunc(all, func(a, b owned) int { return comparePrefix(a.Prefix, b.Prefix) })
	for n := 1; n < len(all); n++ {
		if a, b := all[n-1], all[n]; a.group != b.group && a.Overlaps(b.Prefix) {
			k.add(KindGroup, b.group, "blocks", "%v overlaps %v of group %q; an address moves with one group", b.Prefix, a.Prefix, k.cfg.Groups[a.group].Name)
		}
	}
	gates := map[string]int{}
	for i, g := range k.cfg.Groups {
		if j, dup := gates[BlockGate(g.Name)]; dup && g.Name != k.cfg.Groups[j].Name && len(g.Blocks) > 0 {
			k.add(KindGroup, i, "name", "cannot be told from %q where both have blocks; rename one of the two", k.cfg.Groups[j].Name)
		}
		if len(g.Blocks) > 0 {
			gates[BlockGate(g.Name)] = i
		}
	}
}

// nets is a set of networks that is asked for those around an address, at a cost that
// does not grow with their number.
type nets struct {
	all  map[netip.Prefix]bool
	bits []int // the different lengths, of both families
}

func (n *nets) add(p netip.Prefix) {
	if n.all == nil {
		n.all = map[netip.Prefix]bool{}
	}
	n.all[p] = true
	if !slices.Contains(n.bits, p.Bits()) {
		n.bits = append(n.bits, p.Bits())
	}
}

// holds tells whether one of them is p or around it.
func (n *nets) holds(p netip.Prefix) bool {
	for _, bits := range n.bits {
		if bits > p.Bits() {
			continue
		}
		if around, err := p.Addr().Prefix(bits); err == nil && n.all[around] {
			return true
		}
	}
	return false
}
