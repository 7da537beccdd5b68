package identity

import (
	"cmp"
	"fmt"
	"net/netip"
	"strings"
)

// Rule is a routing rule that a node has while it is Active: which table is
// asked for which packets (ip-rule(8)). Make it part of an [Identity] with
// [Identity.WithRules].
type Rule struct {
	Family   uint8 // 4 or 6
	Priority uint32
	From, To netip.Prefix // without host part; invalid: any
	// Mark is compared with what Mask leaves of the packet's mark; not at all
	// where both are 0.
	Mark, Mask uint32
	In, Out    string // interface that it came by, that its sender is bound to; "": any
	Table      uint32 // of ActionTable alone
	RuleOptions
}

func (r Rule) canonical() Rule {
	r.From, r.To = maskedOrZero(r.From), maskedOrZero(r.To)
	if r.Mark != 0 && r.Mask == 0 {
		r.Mask = ^uint32(0) // as the kernel has it
	}
	switch {
	case r.Action != ActionTable || r.L3MDev:
		r.Table = 0
	case r.Table == 0:
		r.Table = MainTable
	}
	return r
}

// maskedOrZero makes one value of all that means any address.
func maskedOrZero(p netip.Prefix) netip.Prefix {
	if !p.IsValid() || p.Bits() == 0 {
		return netip.Prefix{}
	}
	return canonical(p).Masked()
}

// Compare orders by priority.
func (r Rule) Compare(o Rule) int {
	return cmp.Or(
		cmp.Compare(r.Priority, o.Priority),
		cmp.Compare(r.Family, o.Family),
		comparePrefix(r.From, o.From),
		comparePrefix(r.To, o.To),
		cmp.Compare(r.Mark, o.Mark),
		cmp.Compare(r.Mask, o.Mask),
		strings.Compare(r.In, o.In),
		strings.Compare(r.Out, o.Out),
		cmp.Compare(r.Table, o.Table),
		r.compareOptions(o),
	)
}

func (r Rule) compareOptions(o Rule) int {
	if r.RuleOptions == o.RuleOptions {
		return 0 // as nearly always
	}
	return strings.Compare(r.String(), o.String())
}

func comparePrefix(a, b netip.Prefix) int {
	return cmp.Or(a.Addr().Compare(b.Addr()), cmp.Compare(a.Bits(), b.Bits()))
}

// String returns the rule for a log line, in the words of ip-rule(8):
// "1000: ipv4 from 10.0.0.0/24 iif lan0 lookup 100".
func (r Rule) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d: ipv%d from ", r.Priority, r.Family)
	if r.From.IsValid() {
		b.WriteString(r.From.String())
	} else {
		b.WriteString("all")
	}
	if r.To.IsValid() {
		b.WriteString(" to " + r.To.String())
	}
	if r.Mark != 0 || r.Mask != 0 {
		fmt.Fprintf(&b, " fwmark %#x/%#x", r.Mark, r.Mask)
	}
	if r.In != "" {
		b.WriteString(" iif " + r.In)
	}
	if r.Out != "" {
		b.WriteString(" oif " + r.Out)
	}
	b.WriteString(r.RuleOptions.String())
	switch {
	case r.Action == ActionGoto:
		fmt.Fprintf(&b, " goto %d", r.Goto)
	case r.Action != ActionTable:
		b.WriteString(" " + string(r.Action))
	case r.L3MDev:
		b.WriteString(" l3mdev")
	default:
		fmt.Fprintf(&b, " lookup %d", r.Table)
	}
	return b.String()
}
