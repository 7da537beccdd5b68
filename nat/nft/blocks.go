package nft

import (
	"slices"
	"strings"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"

	"understudy/nat"
)

// Blocks are networks that are routed to the gateways, and on no interface. A group has
// a set of them for each length of prefix, and one gate for all of them, which stands
// among those of devices.

// blockLengths are those of the blocks of a family.
func blockLengths(blocks []nat.Block) []int {
	return lengths(blocks, func(b nat.Block) int { return b.Network.Bits() })
}

// groupsOf are those that have blocks, sorted as these are.
func groupsOf(blocks []nat.Block) (out []string) {
	for _, b := range blocks {
		if !slices.Contains(out, b.Group) {
			out = append(out, b.Group)
		}
	}
	return out
}

func blocksOf(blocks []nat.Block, group string) []nat.Block {
	return slices.DeleteFunc(slices.Clone(blocks), func(b nat.Block) bool { return b.Group != group })
}

func (f family) blockSet(group string, bits int) string {
	_, hash, _ := strings.Cut(nat.BlockGate(group), ":")
	return f.sized(setBlocks, bits) + "_" + hash
}

// blockChain keeps out what is addressed to blocks of groups that are not Active here,
// as gateChain does for addresses. It asks first whether the gate is shut.
func blockChain(plan nat.Plan) chain {
	out := chain{name: chainBlocks, kind: nftables.ChainTypeFilter, hook: nftables.ChainHookPrerouting, priority: priorityRaw}
	for _, f := range bothFamilies() {
		blocks := f.of(plan).Blocks
		for _, g := range groupsOf(blocks) {
			shut := do(&expr.Immediate{Register: word(0), Data: []byte(ifname(nat.BlockGate(g)))}, within(setClosedDevices))
			for _, n := range blockLengths(blocksOf(blocks, g)) {
				out.rules = append(out.rules, say("blocks of a group that is not active here", f.is(), shut, f.network(f.daddr, n, 0),
					do(within(f.blockSet(g, n)), count(counterGate), drop())))
			}
		}
	}
	return out
}

// blockForwardRules: what is addressed to a block and was not given to anybody would be
// routed back to where it came from.
func (f family) blockForwardRules(blocks []nat.Block) (out []rule) {
	for _, g := range groupsOf(blocks) {
		for _, n := range blockLengths(blocksOf(blocks, g)) {
			out = append(out, say("to a block, and nobody's", f.is(), f.network(f.daddr, n, 0),
				do(within(f.blockSet(g, n)), count(counterStray), drop())))
		}
	}
	return out
}

func blockSets(plan nat.Plan) (out []set) {
	for _, f := range bothFamilies() {
		blocks := f.of(plan).Blocks
		for _, g := range groupsOf(blocks) {
			of := blocksOf(blocks, g)
			for _, n := range blockLengths(of) {
				s := set{Set: &nftables.Set{Table: ourTable(), Name: f.blockSet(g, n), KeyType: f.address()}}
				for _, b := range of {
					if b.Network.Bits() == n {
						s.elements = append(s.elements, element{key: first(b.Network), owner: b.Network})
					}
				}
				out = append(out, s)
			}
		}
	}
	return out
}

// hasDevices tells whether a group has a MAC of its own.
func hasDevices(plan nat.Plan) bool {
	return slices.ContainsFunc(plan.Devices, func(d nat.DeviceGate) bool { return d.Device != nat.BlockGate(d.Group) })
}
