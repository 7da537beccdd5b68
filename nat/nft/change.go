package nft

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/google/nftables"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"understudy/nat"
)

// Change does what [Applier.Apply] does, going by the plan that was applied last instead of
// by what the kernel has of it: so it writes, and reads, nothing of a mapping that stays,
// and takes as long with a hundred thousand of them as with one. Of the table it reads what
// is small: rules, the form of sets, gates.
//
// What somebody else has done to mappings meanwhile it does not see, unless the kernel
// refuses the transaction for it: then, and when this Applier has applied nothing yet, it
// is Apply. [Applier.Audit] finds the rest.
func (a *Applier) Change(plan nat.Plan) (Report, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.applyWith(plan, a.changeTable)
}

func (a *Applier) changeTable(plan nat.Plan, links links) (Report, error) {
	if a.base != nil {
		report, err := a.fromBase(plan, links)
		if err == nil {
			return report, nil
		}
		_ = a.link.close() // with what is queued in it
	}
	return a.applyTable(plan, links, a.read)
}

// errNotLeftSo: the table is not as it was left.
var errNotLeftSo = errors.New("the table has another form")

// fromBase makes the table say plan, which says the base by now.
func (a *Applier) fromBase(plan nat.Plan, links links) (report Report, err error) {
	generation, err := a.link.generation()
	if err != nil {
		return report, err
	}
	have, err := a.readWith(func(s *nftables.Set) bool { return s.Dynamic || ofMappings(s.Name) })
	if err != nil {
		return report, err
	}
	if have.dormant || !sameForm(have, a.want(shape(*a.base), have, links)) {
		return report, errNotLeftSo
	}
	want := a.want(shape(plan), have, links)
	had, has := difference(*a.base, plan)
	for i, s := range want.sets {
		if ofMappings(s.Name) {
			want.sets[i].elements = has[s.Name]
		}
	}
	for name := range have.sets {
		if ofMappings(name) {
			have.elements[name] = byID(had[name])
		}
	}
	t := &transaction{c: a.link.c}
	if report, err = reconcile(t, have, want); err != nil {
		return report, err
	}
	if err := a.link.commit(t); err != nil {
		return report, err
	}
	a.settle(plan, generation, t)
	return report, nil
}

// sameForm tells whether only rules and elements can differ: chains, sets and counters do not.
func sameForm(have *state, want wanted) bool {
	if len(have.chains) != len(want.chains) || len(have.sets) != len(want.sets) || len(have.counters) != len(want.counters) {
		return false
	}
	for _, ch := range want.chains {
		if !sameChain(have.chains[ch.name], ch) {
			return false
		}
	}
	for _, s := range want.sets {
		if !sameSet(have.sets[s.Name], s.Set) {
			return false
		}
	}
	for _, name := range want.counters {
		if _, ok := have.counters[name]; !ok {
			return false
		}
	}
	return true
}

// settle remembers the plan that the table says, and the generation of the ruleset in which
// it does: one transaction makes one of it, more were made by others.
func (a *Applier) settle(plan nat.Plan, before uint32, t *transaction) {
	a.base = &plan
	if a.agreed != before {
		a.agreed = 0
		return
	}
	if t.empty() {
		return
	}
	after, err := a.link.generation()
	if a.agreed = after; err != nil || after != before+1 {
		a.agreed = 0
	}
}

// generation numbers the rulesets of the network namespace: each transaction of anybody
// makes another one. What packets put into sets makes none.
func (l *link) generation() (uint32, error) {
	if _, err := l.conn(); err != nil {
		return 0, err
	}
	id, err := readGeneration(l.nl)
	if err != nil {
		_ = l.close()
		return 0, fmt.Errorf("read the generation of the ruleset: %w", err)
	}
	return id, nil
}

func readGeneration(nl *netlink.Conn) (uint32, error) {
	messages, err := nl.Execute(netlink.Message{
		Header: netlink.Header{Type: unix.NFNL_SUBSYS_NFTABLES<<8 | unix.NFT_MSG_GETGEN, Flags: netlink.Request},
		Data:   []byte{unix.AF_UNSPEC, unix.NFNETLINK_V0, 0, 0},
	})
	if err != nil {
		return 0, err
	}
	for _, m := range messages {
		if len(m.Data) < nfgenmsgSize {
			continue
		}
		d, err := netlink.NewAttributeDecoder(m.Data[nfgenmsgSize:])
		if err != nil {
			return 0, err
		}
		d.ByteOrder = binary.BigEndian
		for d.Next() {
			if d.Type() == unix.NFTA_GEN_ID {
				return d.Uint32(), nil
			}
		}
		if err := d.Err(); err != nil {
			return 0, err
		}
	}
	return 0, errors.New("the kernel does not number it")
}
