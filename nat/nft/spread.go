package nft

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"

	"understudy/nat"
)

// A source with several addresses gives each host one of them: the one whose number is a
// hash of the host's address. Every node comes to the same, now and after a restart, and
// nobody has to be told. (The kernel's own way, a range of addresses with `persistent`,
// does the same for addresses that follow each other, and for no others.)

// spreadSeed makes the hash. Another one would give nearly every host another address.
const spreadSeed = 0x75736679

// spread is a number of addresses, and the ports that go with them.
type spread struct {
	ports nat.Ports
	n     int
}

func spreadOf(s nat.Source) spread { return spread{s.Ports, 1 + len(s.Also)} }

// spreads are those of sources with several addresses, sorted: each has a map and two
// rules.
func spreads(sources []nat.Source) (out []spread) {
	for _, s := range sources {
		if len(s.Also) > 0 {
			out = append(out, spreadOf(s))
		}
	}
	slices.SortFunc(out, func(a, b spread) int {
		return cmp.Or(cmp.Compare(a.ports.First, b.ports.First), cmp.Compare(a.ports.Last, b.ports.Last), cmp.Compare(a.n, b.n))
	})
	return slices.Compact(out)
}

// sizes are the different numbers of addresses.
func sizes(spreads []spread) (out []int) {
	for _, s := range spreads {
		out = append(out, s.n)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func (f family) spreadMap(s spread) string {
	return fmt.Sprintf("%s_%d", mapPool(f.name(mapSpread), s.ports), s.n)
}

func (f family) spreadAddresses(n int) string { return fmt.Sprintf("%s_%d", f.name(mapSpread), n) }

// spreadKey is what a source applies to, and the number of the host's address.
func (f family) spreadKey(n int) []expr.Any {
	return append(f.insideKey(), &expr.Hash{SourceRegister: word(4), DestRegister: word(4 + f.words()),
		Length: 4 * f.words(), Modulus: uint32(n), Seed: spreadSeed, Type: expr.HashTypeJenkins})
}

func (f family) spreadRules(sources []nat.Source) (out []rule) {
	all := spreads(sources)
	for _, s := range all {
		out = append(out,
			say("source NAT, one of several addresses: a port of the pool", f.is(), withPorts(), f.spreadKey(s.n), do(mapped(f.spreadMap(s))), f.snatTo(s.ports)),
			say("source NAT, one of several addresses: an ICMP identifier", f.is(), protocol(f.icmp()), f.spreadKey(s.n), do(mapped(f.spreadMap(s))), f.snatTo(s.ports)))
	}
	for _, n := range sizes(all) {
		out = append(out, say("source NAT, one of several addresses: protocols without ports", f.is(), f.spreadKey(n),
			do(mapped(f.spreadAddresses(n)), f.snatToAddress())))
	}
	return out
}

func (f family) spreadSets(sources []nat.Source) (out []set) {
	one := func(name string, of func(nat.Source) bool) set {
		s := set{Set: &nftables.Set{Table: ourTable(), Name: name, IsMap: true, Interval: true, Concatenation: true,
			KeyType: concat(nftables.TypeIFName, f.address(), nftables.TypeMark), DataType: f.address()}}
		for _, src := range sources {
			if !of(src) {
				continue
			}
			for i, a := range src.Addresses() {
				number := string(binaryutil.NativeEndian.PutUint32(uint32(i)))
				s.elements = append(s.elements, element{
					key:   ifname(src.Out) + first(src.From) + number,
					end:   ifname(src.Out) + lastOf(src.From) + number,
					val:   addressKey(a),
					owner: src,
				})
			}
		}
		return s
	}
	all := spreads(sources)
	for _, p := range all {
		out = append(out, one(f.spreadMap(p), func(s nat.Source) bool { return len(s.Also) > 0 && spreadOf(s) == p }))
	}
	for _, n := range sizes(all) {
		out = append(out, one(f.spreadAddresses(n), func(s nat.Source) bool { return 1+len(s.Also) == n }))
	}
	return out
}

// single is the sources that have one address.
func single(sources []nat.Source) []nat.Source {
	return slices.DeleteFunc(slices.Clone(sources), func(s nat.Source) bool { return len(s.Also) > 0 })
}
