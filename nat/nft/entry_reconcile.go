package nft

import (
	"maps"
	"slices"

	"github.com/google/nftables"
	"github.com/mdlayher/netlink"
)

// readEntries reads what the kernel holds of a table of entry points.
func readEntries(c *nftables.Conn, nl *netlink.Conn, table *nftables.Table) (*state, error) {
	return reading{table, func(string) bool { return true }, filled}.read(c, nl)
}

func commentsOf(ch chain) (out []string) {
	for _, r := range ch.rules {
		out = append(out, string(comment(r.comment)))
	}
	return out
}

// sameEntrySet compares forms. The library mistakes the key's type of a verdict map.
func sameEntrySet(have, want *nftables.Set) bool {
	if have == nil || have.IsMap != want.IsMap || have.Interval != want.Interval || have.Concatenation != want.Concatenation ||
		have.HasTimeout != want.HasTimeout || have.Dynamic != want.Dynamic || have.Timeout != want.Timeout {
		return false
	}
	return jumps(want) || sameType(have.KeyType, want.KeyType) && sameType(have.DataType, want.DataType)
}

// reconcileEntries queues what turns have into want. Rules hold sets and chains in use,
// and so do the elements of verdict maps: what goes, goes in that order, and what comes in
// the other. An entry point that stays is not touched: what its kept clients are is known
// to the kernel alone.
func (t *transaction) reconcileEntries(have *state, want wanted) error {
	if have.exists && have.dormant {
		t.deleteTable()
		*have = state{}
	}
	if !have.exists {
		t.addTable()
	}
	wantSet := map[string]set{}
	for _, s := range want.sets {
		wantSet[s.Name] = s
	}
	wantChain := map[string]chain{}
	for _, ch := range want.chains {
		wantChain[ch.name] = ch
	}
	// What is wrong in its form, or not wanted, goes with all that holds it.
	var goneSets []string
	for _, name := range slices.Sorted(maps.Keys(have.sets)) {
		if s, ok := wantSet[name]; !ok || !sameEntrySet(have.sets[name], s.Set) {
			goneSets = append(goneSets, name)
		}
	}
	var goneChains []string
	for _, name := range slices.Sorted(maps.Keys(have.chains)) {
		if ch, ok := wantChain[name]; !ok || !sameChain(have.chains[name], ch) {
			goneChains = append(goneChains, name)
		}
	}
	// A set that changes its form is in rules that otherwise stay: all are made anew.
	rebuilt := slices.ContainsFunc(goneSets, func(name string) bool { _, ok := wantSet[name]; return ok })
	for _, name := range slices.Sorted(maps.Keys(have.chains)) {
		ch, ok := wantChain[name]
		if len(have.rules[name]) > 0 && (!ok || rebuilt || !slices.Equal(have.rules[name], commentsOf(ch))) {
			t.flushChain(name)
			delete(have.rules, name)
		}
	}
	add := map[string][]element{}
	for _, s := range want.sets {
		if filled(s.Set) || slices.Contains(goneSets, s.Name) {
			add[s.Name] = s.elements
			continue
		}
		var remove []element
		had := have.elements[s.Name]
		if jumps(s.Set) {
			had = map[string]element{}
			for id, e := range have.elements[s.Name] {
				had[id] = element{key: e.key, end: e.end, comment: e.comment}
			}
		}
		remove, add[s.Name] = compare(had, s.elements)
		// One that stays leads to a chain that is about to be deleted and made anew.
		if jumps(s.Set) {
			for id, e := range had {
				if slices.Contains(goneChains, leadsTo(s.Set, e.comment)) && !slices.ContainsFunc(remove, func(r element) bool { return r.id() == id }) {
					remove, add[s.Name] = append(remove, e), append(add[s.Name], e)
				}
			}
		}
		if err := t.deleteElements(s.Set, remove); err != nil {
			return err
		}
	}
	for _, name := range goneSets {
		t.deleteSet(name)
		delete(have.sets, name)
	}
	for _, name := range goneChains {
		t.deleteChain(name)
		delete(have.chains, name)
	}
	for _, name := range slices.Sorted(maps.Keys(have.counters)) {
		if !slices.Contains(want.counters, name) {
			t.deleteCounter(name)
		}
	}
	if err := addForm(t, have, want); err != nil {
		return err
	}
	for _, s := range want.sets {
		if jumps(s.Set) {
			continue
		}
		if err := t.addElements(s.Set, add[s.Name]); err != nil {
			return err
		}
	}
	for _, ch := range want.chains {
		if !slices.Equal(have.rules[ch.name], commentsOf(ch)) {
			t.addRules(ch.name, ch.rules)
		}
	}
	for _, s := range want.sets {
		if jumps(s.Set) {
			if err := t.addJumps(s.Set, add[s.Name]); err != nil {
				return err
			}
		}
	}
	return nil
}
