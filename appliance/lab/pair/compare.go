package pair

import (
	"fmt"
	"slices"
)

// difference is how one table is not as another one, entry by entry.
type difference struct {
	of                      int      // entries of the first
	lacks, extra, otherwise []string // entries of the second, or of the first that it lacks
}

// compare compares two tables that were looked at in turn, twice each, the first one
// first. They may change meanwhile: what counts is what both looks at one of them have
// seen, and whether the look at the other in between has.
func compare[M ~map[K]V, K comparable, V any](a, b [2]M, same func(x, y V) bool, show func(K, V) string) (d difference) {
	d.of = len(a[0])
	for k, was := range a[0] {
		is, stays := a[1][k]
		if !stays || !same(was, is) {
			continue
		}
		switch have, ok := b[0][k]; {
		case !ok:
			d.lacks = append(d.lacks, show(k, was))
		case !same(have, is):
			d.otherwise = append(d.otherwise, show(k, is)+" but "+show(k, have))
		}
	}
	for k, r := range b[0] {
		_, stays := b[1][k]
		if _, ok := a[1][k]; stays && !ok {
			d.extra = append(d.extra, show(k, r))
		}
	}
	return d
}

// named is how many entries of each kind a difference names.
const named = 4

// in says how the second table is not as the first, nil if it is.
func (d *difference) in(first, second string) error {
	if len(d.lacks)+len(d.extra)+len(d.otherwise) == 0 {
		return nil
	}
	few := func(list []string) []string { slices.Sort(list); return list[:min(named, len(list))] }
	return fmt.Errorf("of %d flows of %s, %s lacks %d %q, has %d more %q, has %d otherwise %q", d.of, first,
		second, len(d.lacks), few(d.lacks), len(d.extra), few(d.extra), len(d.otherwise), few(d.otherwise))
}
