package nft

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/google/nftables"

	"understudy/nat/entry"
)

// book is a table of entry points, and what was last written into it. It is used under
// the lock of whoever has it.
type book struct {
	table  *nftables.Table
	link   *link
	whole  func(points []entry.Point, have *state) wanted // the table for points
	one    func(entry.Point) wanted                       // of it, what is one entry point's alone
	shared func(t *transaction, old, new entry.Point) error
	have   map[string]entry.Point
}

// apply makes the table say what points say, in one transaction that touches only what
// differs, and tells whether it had to. It reads back what it wrote. Without points there
// is no table.
func (b *book) apply(points []entry.Point) (changed bool, err error) {
	if changed, err = b.write(points); err != nil {
		_ = b.link.close() // with what is queued in it
		b.have = nil
		return changed, err
	}
	b.have = make(map[string]entry.Point, len(points))
	for _, p := range points {
		b.have[p.Name] = p
	}
	return changed, nil
}

func (b *book) write(points []entry.Point) (changed bool, err error) {
	for range rounds {
		c, err := b.link.conn()
		if err != nil {
			return changed, err
		}
		have, err := readEntries(c, b.link.nl, b.table)
		if err != nil {
			return changed, err
		}
		t := &transaction{c: c, table: b.table}
		if len(points) == 0 {
			if !have.exists {
				return changed, nil
			}
			t.deleteTable()
		} else if err := t.reconcileEntries(have, b.whole(points, have)); err != nil {
			return changed, err
		}
		if t.empty() {
			return changed, nil
		}
		if err := b.link.commit(t); err != nil {
			return changed, err
		}
		changed = true
	}
	return changed, fmt.Errorf("table %s does not agree after %d transactions: is something else writing to it?", b.table.Name, rounds)
}

// steer changes the tables of some entry points, in one transaction of what differs,
// without looking at the kernel first. If the kernel has not got what was last applied,
// it applies all anew.
func (b *book) steer(points []entry.Point) error {
	if err := b.turn(points); err == nil {
		return nil
	}
	_ = b.link.close()
	all := maps.Clone(b.have)
	if all == nil {
		return errors.New("none were applied")
	}
	for _, p := range points {
		all[p.Name] = p
	}
	if _, err := b.write(slices.Collect(maps.Values(all))); err != nil {
		_ = b.link.close()
		return err
	}
	b.have = all
	return nil
}

func (b *book) turn(points []entry.Point) error {
	c, err := b.link.conn()
	if err != nil {
		return err
	}
	t := &transaction{c: c, table: b.table}
	for _, p := range points {
		old, ok := b.have[p.Name]
		if !ok || old.Match != p.Match || old.Persist != p.Persist || old.PersistPrefix != p.PersistPrefix || !slices.Equal(old.Servers, p.Servers) {
			return fmt.Errorf("entry %s is another one", p.Name)
		}
		if err := t.resteer(b.one(old), b.one(p)); err != nil {
			return err
		}
		if err := b.shared(t, old, p); err != nil {
			return err
		}
	}
	if err := b.link.commit(t); err != nil {
		return err
	}
	for _, p := range points {
		b.have[p.Name] = p
	}
	return nil
}

// resteer queues what turns one form of an entry point into another that has the same
// sets and chains.
func (t *transaction) resteer(before, after wanted) error {
	for i, s := range after.sets {
		if filled(s.Set) {
			continue
		}
		remove, add := compare(byID(before.sets[i].elements), s.elements)
		if err := t.deleteElements(s.Set, remove); err != nil {
			return err
		}
		if err := t.addElements(s.Set, add); err != nil {
			return err
		}
	}
	for i, ch := range after.chains {
		if !slices.Equal(commentsOf(before.chains[i]), commentsOf(ch)) {
			t.flushChain(ch.name)
			t.addRules(ch.name, ch.rules)
		}
	}
	return nil
}
