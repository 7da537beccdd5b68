package nft

import (
	"strconv"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"

	"understudy/nat"
)

// What is mapped one to one has a map for each direction and each length of prefix
// there is: the kernel finds a network by its first bits in a hash, so that a flow costs
// the same whether one is mapped or a hundred thousand. Each length has a rule a
// direction, the longest first. To a network belongs the first and the last
// address of its counterpart, of which the kernel makes the bits that it replaces.

// lengths are those of the prefixes, the longest first.
func lengths[T any](all []T, bits func(T) int) (out []int) {
	var seen [129]bool
	for _, x := range all {
		seen[bits(x)] = true
	}
	for n := len(seen) - 1; n >= 0; n-- {
		if seen[n] {
			out = append(out, n)
		}
	}
	return out
}

func staticLengths(statics []nat.Static) []int {
	return lengths(statics, func(s nat.Static) int { return s.Public.Bits() })
}

// bits is how long an address is.
func (f family) bits() int { return int(32 * f.words()) }

// sized is the name of a map for prefixes of a length.
func (f family) sized(name string, bits int) string { return f.name(name) + "_" + strconv.Itoa(bits) }

// network loads an address into the words from i on, and leaves of it the first bits.
func (f family) network(load func(i uint32) expr.Any, bits int, i uint32) []expr.Any {
	if bits == f.bits() {
		return do(load(i))
	}
	mask := make([]byte, f.bits()/8)
	for b := range bits {
		mask[b/8] |= 1 << (7 - b%8)
	}
	return do(load(i), masked(i, mask...))
}

// privateKey is what a mapping one to one applies to on the way out.
func (f family) privateKey(bits int) []expr.Any {
	return append(do(oifname(0)), f.network(f.saddr, bits, 4)...)
}

// found asks whether the words from 0 are a key of the map, by fetching its value, which
// nobody uses. (nft does not show that; what the rule says of itself does.)
func found(m string) []expr.Any { return do(mapped(m)) }

// counterpart is what a network is mapped to.
func (f family) counterpart(bits int) nftables.SetDatatype {
	if bits == f.bits() {
		return f.address()
	}
	return concat(f.address(), f.address())
}

// translate takes it from word 0 on.
func (f family) translate(kind expr.NATType, bits int) expr.Any {
	out := &expr.NAT{Type: kind, Family: f.nfproto(), RegAddrMin: word(0), RegAddrMax: word(0)}
	if bits != f.bits() {
		out.RegAddrMax, out.Prefix = word(f.words()), true
	}
	return out
}

func (f family) staticDNATRules(statics []nat.Static) (out []rule) {
	for _, n := range staticLengths(statics) {
		out = append(out, say("one to one, to an address outside", f.is(), f.network(f.daddr, n, 0),
			do(mapped(f.sized(mapStaticIn, n)), f.translate(expr.NATTypeDestNAT, n))))
	}
	return out
}

// staticSNATRules have the key from word 8 on, where the two ends of a network have no
// room: nft takes what it last saw in a register for an end, and dies of an interface.
func (f family) staticSNATRules(statics []nat.Static) (out []rule) {
	for _, n := range staticLengths(statics) {
		key := append(do(oifname(8)), f.network(f.saddr, n, 12)...)
		fetch := &expr.Lookup{SetName: f.sized(mapStaticOut, n), SourceRegister: word(8), DestRegister: word(0), IsDestRegSet: true}
		out = append(out, say("one to one, from an address inside", f.is(), key, do(fetch, f.translate(expr.NATTypeSourceNAT, n))))
	}
	return out
}

// staticStrayRules keep from the gateway's own TCP what is never translated. The middle
// of an unknown connection is let through: its translation is what it was.
func (f family) staticStrayRules(statics []nat.Static) (out []rule) {
	for _, n := range staticLengths(statics) {
		out = append(out, say("invalid, to an address that is mapped one to one", f.is(), ctState(expr.CtStateBitINVALID), f.network(f.daddr, n, 0),
			found(f.sized(mapStaticIn, n)), do(count(counterStray), drop())))
	}
	return out
}

func (f family) staticForwardRules(statics []nat.Static) (out []rule) {
	for _, n := range staticLengths(statics) {
		out = append(out, say("from an address that is mapped one to one: its translation is what it was", f.is(), f.privateKey(n),
			found(f.sized(mapStaticOut, n)), do(accept())))
	}
	return out
}

func (f family) staticInsideRules(statics []nat.Static) (out []rule) {
	for _, n := range staticLengths(statics) {
		out = append(out, say("inside address that is mapped one to one, still untranslated", f.is(), f.privateKey(n),
			found(f.sized(mapStaticOut, n)), do(count(counterInside), drop())))
	}
	return out
}

func (f family) staticSets(statics []nat.Static) (out []set) {
	for _, n := range staticLengths(statics) {
		in := &nftables.Set{Table: ourTable(), Name: f.sized(mapStaticIn, n), IsMap: true, KeyType: f.address(), DataType: f.counterpart(n)}
		from := &nftables.Set{Table: ourTable(), Name: f.sized(mapStaticOut, n), IsMap: true, Concatenation: true,
			KeyType: concat(nftables.TypeIFName, f.address()), DataType: f.counterpart(n)}
		var inward, outward []element
		var last nat.Static
		for _, s := range statics {
			if s.Public.Bits() != n {
				continue
			}
			if s.Public != last.Public { // one pair may be mapped on several interfaces; they are sorted
				inward = append(inward, element{key: first(s.Public), val: f.span(s.Private.Bits(), first(s.Private), lastOf(s.Private)), owner: s})
			}
			outward = append(outward, element{key: ifname(s.Out) + first(s.Private), val: f.span(n, first(s.Public), lastOf(s.Public)), owner: s})
			last = s
		}
		out = append(out, set{in, inward}, set{from, outward})
	}
	return out
}

// span is the value for a network: both its ends, or the address if it has but one.
func (f family) span(bits int, first, last string) string {
	if bits == f.bits() {
		return first
	}
	return first + last
}
