package nat

import (
	"cmp"
	"net/netip"
	"slices"
)

// Static is a translation one to one, address by address, in both directions: hosts of
// Private get their counterparts in Public when they leave by Out, and who calls one
// of Public reaches its counterpart in Private. Ports stay as they are.
//
// Nothing has to be remembered of it: whatever node meets the middle of a flow makes
// of it what any other node has made.
//
// In IPv6 that is what RFC 6296 is for, but for the neutrality of checksums: those of
// the transport are changed instead.
type Static struct {
	Public, Private netip.Prefix // of one family and one length, without host bits
	Out             string       // outside interface, by name
}

// String is the mapping as messages name it: "static 203.0.113.20 out wan0",
// "static 203.0.113.32/28 out wan0".
func (s Static) String() string { return "static " + bare(s.Public) + " out " + s.Out }

func (s Static) line() string { return s.String() + " to " + bare(s.Private) }

// bare is a network, or the address if it has one alone.
func bare(p netip.Prefix) string {
	if p.IsSingleIP() {
		return p.Addr().String()
	}
	return p.String()
}

func compareStatic(a, b Static) int {
	return cmp.Or(comparePrefix(a.Public, b.Public), cmp.Compare(a.Out, b.Out), comparePrefix(a.Private, b.Private))
}

// comparePrefix sorts a larger network before those inside it.
func comparePrefix(a, b netip.Prefix) int {
	return cmp.Or(a.Addr().Compare(b.Addr()), cmp.Compare(a.Bits(), b.Bits()))
}

// checkStatics looks at each, and at them together.
func (k *checker) checkStatics() {
	good := make([]int, 0, len(k.cfg.Statics))
	for i, s := range k.cfg.Statics {
		if k.static(i, s) {
			good = append(good, i)
		}
	}
	k.staticsApart(good, "public", func(s Static) netip.Prefix { return s.Public }, func(a, b Static) bool {
		// On two interfaces one pair may be mapped twice.
		return a.Public == b.Public && a.Private == b.Private && a.Out != b.Out
	})
	k.staticsApart(good, "private", func(s Static) netip.Prefix { return s.Private }, func(a, b Static) bool { return a.Out != b.Out })
	k.publicPrivate(good)
	k.staticPools(good)
}

// static looks at one alone.
func (k *checker) static(i int, s Static) bool {
	n := len(k.problems)
	for _, e := range []struct {
		key string
		p   netip.Prefix
	}{{"public", s.Public}, {"private", s.Private}} {
		switch {
		case !e.p.IsValid() || e.p.Addr().Is4In6():
			k.add(KindStatic, i, e.key, "want an address, or a network such as 203.0.113.32/28")
		case e.p != e.p.Masked():
			k.add(KindStatic, i, e.key, "has host bits; write %v", e.p.Masked())
		case e.p.Bits() == 0:
			k.add(KindStatic, i, e.key, "every address there is; name a network")
		default:
			if why := notUnicast(e.p.Addr()); why != "" && (e.p.IsSingleIP() || !e.p.Addr().IsUnspecified()) {
				k.add(KindStatic, i, e.key, "%v %s", e.p.Addr(), why)
			}
		}
	}
	if why := badInterface(s.Out); why != "" {
		k.add(KindStatic, i, "out", "%s", why)
	}
	if len(k.problems) > n {
		return false
	}
	switch {
	case s.Public.Addr().Is4() != s.Private.Addr().Is4():
		k.add(KindStatic, i, "private", "%v is of another family than %v", s.Private, s.Public)
	case s.Public.Bits() != s.Private.Bits():
		k.add(KindStatic, i, "private", "%v is not as large as %v; give both the same prefix length", s.Private, s.Public)
	case !k.heldAll(s.Public):
		k.add(KindStatic, i, "public", "%s belongs to no group; add it to the router whose subnet holds it", bare(s.Public))
	}
	if _, ours := k.group[s.Private.Addr()]; ours && s.Private.IsSingleIP() {
		k.add(KindStatic, i, "private", "%v is an address of the gateways; name the server behind them", s.Private.Addr())
	}
	return len(k.problems) == n
}

// heldAll tells whether each address of p belongs to a group.
func (k *checker) heldAll(p netip.Prefix) bool {
	if k.blocks.holds(p) {
		return true
	}
	if p.Addr().BitLen()-p.Bits() > 16 {
		return false // nobody has so many addresses
	}
	for a := p.Addr(); p.Contains(a); a = a.Next() {
		if _, ok := k.group[a]; !ok && !k.blocks.holds(netip.PrefixFrom(a, a.BitLen())) {
			return false
		}
	}
	return true
}

// staticsApart refuses two that share addresses, unless both may be.
func (k *checker) staticsApart(of []int, key string, network func(Static) netip.Prefix, both func(a, b Static) bool) {
	order := slices.Clone(of)
	slices.SortStableFunc(order, func(a, b int) int {
		return comparePrefix(network(k.cfg.Statics[a]), network(k.cfg.Statics[b]))
	})
	// Those around the current one: networks are disjoint or nested.
	var around []int
	for _, i := range order {
		s := k.cfg.Statics[i]
		for len(around) > 0 && !network(k.cfg.Statics[around[len(around)-1]]).Overlaps(network(s)) {
			around = around[:len(around)-1]
		}
		for _, j := range around {
			if o := k.cfg.Statics[j]; !both(o, s) {
				k.add(KindStatic, i, key, "overlaps %s, which is mapped to %s; map each address once", bare(network(o)), bare(counterpart(o, key)))
				break
			}
		}
		around = append(around, i)
	}
}

func counterpart(s Static, key string) netip.Prefix {
	if key == "public" {
		return s.Private
	}
	return s.Public
}

// publicPrivate refuses what would be translated twice.
func (k *checker) publicPrivate(of []int) {
	type side struct {
		netip.Prefix
		of      int
		private bool
	}
	var all, around []side
	for _, i := range of {
		all = append(all, side{k.cfg.Statics[i].Public, i, false}, side{k.cfg.Statics[i].Private, i, true})
	}
	slices.SortStableFunc(all, func(a, b side) int { return comparePrefix(a.Prefix, b.Prefix) })
	for _, s := range all {
		for len(around) > 0 && !around[len(around)-1].Overlaps(s.Prefix) {
			around = around[:len(around)-1]
		}
		for _, o := range around {
			if o.private != s.private {
				i := s.of
				if s.private {
					i = o.of
				}
				k.add(KindStatic, i, "public", "%s is a private address of a mapping too; use other addresses", bare(k.cfg.Statics[i].Public))
				break
			}
		}
		around = append(around, s)
	}
}

// staticPools refuses addresses whose ports belong to the flows of a source.
func (k *checker) staticPools(of []int) {
	var public nets
	for _, i := range of {
		public.add(k.cfg.Statics[i].Public)
	}
	for i, s := range k.cfg.Sources {
		for _, a := range s.Addresses() {
			if a.IsValid() && public.holds(netip.PrefixFrom(a, a.BitLen())) {
				k.add(KindSource, i, "to", "%v is mapped one to one, all its ports belong to one host; use another address", a)
				break
			}
		}
	}
}
