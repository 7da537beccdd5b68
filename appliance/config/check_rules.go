package config

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"understudy/appliance/identity"
)

// maxPriority is the last before the rule that asks the main table.
const maxPriority = 32765

// ruleAt is a routing rule and its place in the file.
type ruleAt struct {
	identity.Rule
	path string
}

// rule reads one routing rule. One that names no address is for the families that
// the router has.
func (c *checker) rule(path string, of []*routerAt, raw *rawRule) (list []identity.Rule) {
	before := len(c.problems)
	var r identity.Rule
	r.Priority = uint32(c.number(join(path, "priority"), raw.Priority, 1, maxPriority,
		fmt.Sprintf("number it from 1 to %d; the lowest is asked first, and the main table after all of them", maxPriority)))
	c.ruleOptions(join(path, "options"), raw.Options, &r)
	switch {
	case r.Action == identity.ActionTable && !r.L3MDev:
		r.Table = uint32(c.number(join(path, "table"), raw.Table, 1, maxTable, "say which table is asked, like table = 100"))
	case raw.Table != nil:
		c.add(join(path, "table"), "the rule does something else than to ask a table", "remove it, or the word in options that says so")
	}
	r.Mark, r.Mask = c.mark(join(path, "fwmark"), raw.FwMark)
	if raw.IIF != nil {
		r.In = c.interfaceName(join(path, "iif"), raw.IIF, "")
	}
	if raw.OIF != nil {
		r.Out = c.interfaceName(join(path, "oif"), raw.OIF, "")
	}
	families := map[uint8]bool{}
	read := func(key string, v *string, into *netip.Prefix) {
		if v == nil || *v == "all" {
			return
		}
		if *into = c.network(join(path, key), *v); into.IsValid() {
			families[familyOf(into.Addr())] = true
		}
	}
	read("from", raw.From, &r.From)
	read("to", raw.To, &r.To)
	if len(families) > 1 {
		c.add(join(path, "to"), fmt.Sprintf("%s and %s are of two families", r.From, r.To), "make two rules, or correct one")
	}
	if len(c.problems) > before {
		return nil
	}
	if len(families) == 0 {
		for _, o := range of {
			families[o.Family] = true
		}
	}
	for _, family := range []uint8{4, 6} {
		if families[family] {
			r.Family = family
			list = append(list, identity.Identity{}.WithRules(r).Rules[0])
		}
	}
	return list
}

// number reads a number that must be there.
func (c *checker) number(path string, v *int64, least, most int, missing string) int {
	if v == nil {
		c.add(path, "missing", missing)
		return 0
	}
	return c.count(path, v, 0, least, most)
}

// mark reads "0x10" or "0x10/0xff": a value, and which bits of a packet's mark are
// compared with it.
func (c *checker) mark(path string, v *string) (mark, mask uint32) {
	if v == nil {
		return 0, 0
	}
	value, bits, masked := strings.Cut(*v, "/")
	m, err := strconv.ParseUint(value, 0, 32)
	b := uint64(1<<32 - 1)
	if err == nil && masked {
		b, err = strconv.ParseUint(bits, 0, 32)
	}
	switch {
	case err != nil:
		c.add(path, quote(*v)+" is not a mark", `write a number of 32 bits, like "0x10", or with a mask, like "0x10/0xff"`)
	case m&^b != 0:
		c.add(path, fmt.Sprintf("%#x has bits that the mask %#x leaves out", m, b), "correct one of them")
	case b == 0:
		c.add(path, "a mask of 0 compares nothing", "remove the mark")
	}
	return uint32(m), uint32(b)
}
