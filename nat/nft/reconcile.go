package nft

import (
	"maps"
	"slices"

	"github.com/google/nftables"

	"understudy/nat"
)

// wanted is our table as it should be.
type wanted struct {
	chains   []chain
	sets     []set
	counters []string
}

// want is the table for plan, with the parts that are state and not
// configuration, the gates and the unknown mode, as they are.
func (a *Applier) want(plan nat.Plan, have *state, links links) wanted {
	unknown := UnknownDrop
	switch {
	case a.unknown != nil:
		unknown = *a.unknown
	case slices.Equal(have.rules[chainUnknown], fingerprints(unknownChain(UnknownReset))):
		unknown = UnknownReset
	}
	w := wanted{
		chains:   chains(plan, unknown),
		sets:     sets(plan, have.shut(plan), links),
		counters: []string{counterGate},
	}
	if len(plan.Refused) > 0 {
		w.counters = append(w.counters, counterRefused)
	}
	if plan.Mirror != nil {
		w.counters = append(w.counters, counterQuiet)
	}
	if plan.Guard() {
		w.counters = append(w.counters, counterInside, counterStray, counterUnknown)
	}
	return w
}

func fingerprints(ch chain) []string {
	var out []string
	for _, r := range ch.rules {
		if inWords(ch.name) {
			out = append(out, string(comment(r.comment)))
			continue
		}
		out = append(out, fingerprint(r.exprs, comment(r.comment)))
	}
	return out
}

// The gate's own parts. They stay while they are whole: another process
// may shut a gate between our reading and our writing, and a set that was deleted
// and made anew from what we read would forget that.
func ofGate(name string) bool {
	return slices.Contains([]string{chainGate, setClosed, setAddresses, setClosedDevices, setDevices, counterGate}, name)
}

// reconcile queues what turns have into want, and forgets in have what it deletes.
// Connection tracking notices none of it.
func reconcile(t *transaction, have *state, want wanted) (report Report, err error) {
	if have.exists && (have.dormant || !gateWhole(have, want)) {
		t.deleteTable()
		*have = state{}
		report.Rebuilt = true
	}
	if !have.exists {
		report.NewGate = true
		t.addTable()
	}
	if removeForm(t, have, want) {
		report.Rebuilt = true
	}
	if err := addForm(t, have, want); err != nil {
		return report, err
	}
	// What goes makes room before what comes: an interval may grow into another's place.
	for _, s := range want.sets {
		if s.Dynamic {
			continue // the kernel fills it
		}
		remove, add := compare(have.elements[s.Name], s.elements)
		if err := t.deleteElements(s.Set, remove); err != nil {
			return report, err
		}
		if err := t.addElements(s.Set, add); err != nil {
			return report, err
		}
		report.Removed += len(remove)
		report.Added += len(add)
	}
	for _, ch := range want.chains {
		if slices.Equal(have.rules[ch.name], fingerprints(ch)) {
			continue
		}
		if len(have.rules[ch.name]) > 0 {
			t.flushChain(ch.name)
		}
		t.addRules(ch.name, ch.rules)
		report.Chains = append(report.Chains, ch.name)
	}
	return report, nil
}

// gateWhole tells whether the gate's own parts are there in the right form.
func gateWhole(have *state, want wanted) bool {
	for _, ch := range want.chains {
		if ofGate(ch.name) && !sameChain(have.chains[ch.name], ch) {
			return false
		}
	}
	for _, s := range want.sets {
		if ofGate(s.Name) && !sameSet(have.sets[s.Name], s.Set) {
			return false
		}
	}
	_, counted := have.counters[counterGate]
	return counted
}

// removeForm deletes chains, sets and counters that are not wanted, or not in
// this form. Rules hold them in use, so if there are any, rules go first; they
// come again with addForm.
func removeForm(t *transaction, have *state, want wanted) bool {
	extra := func(names []string, wanted func(string) bool) []string {
		slices.Sort(names)
		return slices.DeleteFunc(names, wanted)
	}
	chains := extra(slices.Collect(maps.Keys(have.chains)), func(name string) bool {
		i := slices.IndexFunc(want.chains, func(c chain) bool { return c.name == name })
		return i >= 0 && sameChain(have.chains[name], want.chains[i])
	})
	sets := extra(slices.Collect(maps.Keys(have.sets)), func(name string) bool {
		i := slices.IndexFunc(want.sets, func(s set) bool { return s.Name == name })
		return i >= 0 && sameSet(have.sets[name], want.sets[i].Set)
	})
	counters := extra(slices.Collect(maps.Keys(have.counters)), func(name string) bool { return slices.Contains(want.counters, name) })
	if len(chains)+len(sets)+len(counters) == 0 {
		return false
	}
	for _, name := range slices.Sorted(maps.Keys(have.chains)) {
		if !ofGate(name) {
			t.flushChain(name)
			delete(have.rules, name)
		}
	}
	for _, name := range chains {
		t.deleteChain(name)
		delete(have.chains, name)
	}
	for _, name := range sets {
		t.deleteSet(name)
		delete(have.sets, name)
		delete(have.elements, name)
	}
	for _, name := range counters {
		t.deleteCounter(name)
		delete(have.counters, name)
	}
	return true
}

// addForm adds the chains, sets and counters that are missing, all empty.
func addForm(t *transaction, have *state, want wanted) error {
	for _, name := range want.counters {
		if _, ok := have.counters[name]; !ok {
			t.addCounter(name)
		}
	}
	for _, s := range want.sets {
		if have.sets[s.Name] == nil {
			if err := t.addSet(s.Set); err != nil {
				return err
			}
		}
	}
	for _, ch := range want.chains {
		if have.chains[ch.name] == nil {
			t.addChain(ch)
		}
	}
	return nil
}

// compare returns what must go and what must come, in a stable order.
func compare(have map[string]element, want []element) (remove, add []element) {
	kept := make(map[string]bool, len(want))
	for _, e := range want {
		old, ok := have[e.id()]
		switch {
		case !ok:
			add = append(add, e)
		case !old.same(e):
			remove, add = append(remove, old), append(add, e)
		}
		kept[e.id()] = true
	}
	for id, e := range have {
		if !kept[id] {
			remove = append(remove, e)
		}
	}
	slices.SortFunc(remove, func(a, b element) int { return cmpString(a.id(), b.id()) })
	return remove, add
}

func cmpString(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

func sameChain(have *nftables.Chain, want chain) bool {
	if have == nil || (have.Hooknum == nil) != (want.hook == nil) {
		return false
	}
	return want.hook == nil ||
		*have.Hooknum == *want.hook && *have.Priority == want.priority && have.Type == want.kind &&
			have.Policy != nil && *have.Policy == nftables.ChainPolicyAccept
}

func sameSet(have, want *nftables.Set) bool {
	return have != nil &&
		have.IsMap == want.IsMap && have.Interval == want.Interval && have.Concatenation == want.Concatenation &&
		have.Constant == want.Constant && have.HasTimeout == want.HasTimeout && have.Dynamic == want.Dynamic && have.Size == want.Size &&
		sameType(have.KeyType, want.KeyType) && sameType(have.DataType, want.DataType)
}

func sameType(a, b nftables.SetDatatype) bool {
	return a.Bytes == b.Bytes && a.GetNFTMagic() == b.GetNFTMagic()
}
