package nft

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"

	"understudy/nat"
)

// shape is plan with one mapping of each sort. Chains, rules and the form of the sets are
// the same for it as for all of plan, for none of them goes by how many mappings there
// are; so who asks for these alone need not have an element made for each.
func shape(plan nat.Plan) nat.Plan {
	type sourceSort struct {
		six, keeps bool
		ports      nat.Ports
		addresses  int
	}
	plan.Sources = oneOfEach(plan.Sources, func(s nat.Source) sourceSort {
		return sourceSort{s.To.Is6(), s.Keeps, s.Ports, 1 + len(s.Also)}
	})
	type networkSort struct {
		six   bool
		bits  int
		group string
	}
	plan.Statics = oneOfEach(plan.Statics, func(s nat.Static) networkSort {
		return networkSort{six: s.Public.Addr().Is6(), bits: s.Public.Bits()}
	})
	plan.Blocks = oneOfEach(plan.Blocks, func(b nat.Block) networkSort {
		return networkSort{b.Network.Addr().Is6(), b.Network.Bits(), b.Group}
	})
	plan.Forwards = oneOfEach(plan.Forwards, func(f nat.Forward) bool { return f.Address.Is6() })
	plan.Exceptions = oneOfEach(plan.Exceptions, func(e nat.Exception) bool { return e.From.Addr().Is6() })
	return plan
}

// oneOfEach keeps the first of each sort, in order. Of sorted ones many alike follow each
// other.
func oneOfEach[T any, K comparable](all []T, sort func(T) K) (out []T) {
	seen := map[K]bool{}
	var last K
	for i, x := range all {
		k := sort(x)
		if i > 0 && k == last || seen[k] {
			continue
		}
		seen[k], last = true, k
		out = append(out, x)
	}
	return out
}

// ofMappings tells whether mappings fill the set: those of a plan are most of what the
// table holds. Each of the names has others made of it, by family, pool or length.
func ofMappings(set string) bool {
	return slices.ContainsFunc([]string{mapForward, mapSource, setInside, mapSpread, setExceptions, mapStaticIn, mapStaticOut, setPool, setBlocks},
		func(name string) bool { return strings.HasPrefix(set, name) })
}

// mappedElements are those of these sets, by set.
func mappedElements(plan nat.Plan) map[string][]element {
	out := map[string][]element{}
	add := func(all []set) {
		for _, s := range all {
			if ofMappings(s.Name) {
				out[s.Name] = s.elements
			}
		}
	}
	for _, f := range bothFamilies() {
		add(f.sets(f.of(plan)))
	}
	add(blockSets(plan))
	return out
}

// difference is what of those sets can differ between two plans: what one has and what the
// other has, at a cost that goes by the mappings that differ. What both have may be in
// both.
func difference(old, new nat.Plan) (had, has map[string][]element) {
	d := nat.Diff(old, new)
	// Two mappings one to one may have an element in common.
	public := publics(d.Statics)
	had = mappedElements(nat.Plan{Sources: d.Sources.Remove, Statics: withPublic(old.Statics, public), Forwards: d.Forwards.Remove,
		Exceptions: d.Exceptions.Remove, Blocks: d.Blocks.Remove})
	has = mappedElements(nat.Plan{Sources: d.Sources.Add, Statics: withPublic(new.Statics, public), Forwards: d.Forwards.Add,
		Exceptions: d.Exceptions.Add, Blocks: d.Blocks.Add})
	// And pools of several sources are one range where they touch.
	for _, f := range bothFamilies() {
		name := f.name(setPool)
		delete(had, name)
		delete(has, name)
		if !d.Sources.Empty() {
			had[name], has[name] = poolElements(f.of(old).Pools()), poolElements(f.of(new).Pools())
		}
	}
	return had, has
}

// publics are the public networks of mappings that come or go, each once.
func publics(d nat.Delta[nat.Static]) (out []netip.Prefix) {
	for _, s := range slices.Concat(d.Remove, d.Add) {
		out = append(out, s.Public)
	}
	slices.SortFunc(out, comparePrefix)
	return slices.Compact(out)
}

// withPublic returns the statics, which are sorted as those of a plan, of public networks.
func withPublic(statics []nat.Static, public []netip.Prefix) (out []nat.Static) {
	for _, p := range public {
		i, _ := slices.BinarySearchFunc(statics, p, func(s nat.Static, p netip.Prefix) int { return comparePrefix(s.Public, p) })
		for ; i < len(statics) && statics[i].Public == p; i++ {
			out = append(out, statics[i])
		}
	}
	return out
}

// comparePrefix is the order of statics in a plan.
func comparePrefix(a, b netip.Prefix) int {
	return cmp.Or(a.Addr().Compare(b.Addr()), cmp.Compare(a.Bits(), b.Bits()))
}
