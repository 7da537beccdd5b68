package nft

import (
	"net/netip"
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"understudy/nat"
)

// family is IPv4 or IPv6 as far as translation goes: mappings of a family have sets
// and rules of their own, because their addresses have a form of their own. What is
// said of one is said of the other in the same words.
type family struct {
	six    bool
	suffix string // of the names of sets
}

func bothFamilies() []family { return []family{{}, {true, "6"}} }

// families are those that something of plan is mapped in.
func families(plan nat.Plan) (out []family) {
	for _, f := range bothFamilies() {
		if slices.ContainsFunc(plan.Sources, func(s nat.Source) bool { return f.has(s.To) }) ||
			slices.ContainsFunc(plan.Statics, func(s nat.Static) bool { return f.has(s.Public.Addr()) }) ||
			slices.ContainsFunc(plan.Forwards, func(w nat.Forward) bool { return f.has(w.Address) }) {
			out = append(out, f)
		}
	}
	return out
}

func (f family) has(a netip.Addr) bool { return a.Is6() == f.six }

// of is that part of plan which is of the family.
func (f family) of(plan nat.Plan) nat.Plan {
	plan.Sources = ofFamily(f, plan.Sources, func(s nat.Source) netip.Addr { return s.To })
	plan.Statics = ofFamily(f, plan.Statics, func(s nat.Static) netip.Addr { return s.Public.Addr() })
	plan.Forwards = ofFamily(f, plan.Forwards, func(w nat.Forward) netip.Addr { return w.Address })
	plan.Exceptions = ofFamily(f, plan.Exceptions, func(e nat.Exception) netip.Addr { return e.From.Addr() })
	plan.Links = ofFamily(f, plan.Links, netip.Prefix.Addr)
	plan.Blocks = ofFamily(f, plan.Blocks, func(b nat.Block) netip.Addr { return b.Network.Addr() })
	return plan
}

func ofFamily[T any](f family, all []T, address func(T) netip.Addr) []T {
	other := func(x T) bool { return !f.has(address(x)) }
	if !slices.ContainsFunc(all, other) {
		return all
	}
	return slices.DeleteFunc(slices.Clone(all), other)
}

// name is that of a set of the family.
func (f family) name(set string) string { return set + f.suffix }

// pool is the name of the map of a pool.
func (f family) pool(p nat.Ports) string { return mapPool(f.name(mapSource), p) }

// addresses is the set of all addresses of the pair.
func (f family) addresses() string {
	if f.six {
		return setAddresses6
	}
	return setAddresses
}

// address is the type of an address in a set, words how many registers it takes.
func (f family) address() nftables.SetDatatype {
	if f.six {
		return nftables.TypeIP6Addr
	}
	return nftables.TypeIPAddr
}

func (f family) words() uint32 {
	if f.six {
		return 4
	}
	return 1
}

// Conditions, as in exprs.go.

func (f family) is() []expr.Any {
	if f.six {
		return ipv6()
	}
	return ipv4()
}

func (f family) saddr(i uint32) expr.Any {
	if f.six {
		return network(8, 16, i)
	}
	return saddr(i)
}

func (f family) daddr(i uint32) expr.Any {
	if f.six {
		return daddr6(i)
	}
	return daddr(i)
}

func (f family) icmp() byte {
	if f.six {
		return protoICMPv6
	}
	return protoICMP
}

func (f family) forwardKey() []expr.Any {
	return []expr.Any{f.daddr(0), l4proto(f.words()), dport(f.words() + 1)}
}

// insideKey is what a source mapping applies to. An interface name takes words 0 to 3.
func (f family) insideKey() []expr.Any { return []expr.Any{oifname(0), f.saddr(4)} }

// Actions.

func (f family) nfproto() uint32 {
	if f.six {
		return unix.NFPROTO_IPV6
	}
	return unix.NFPROTO_IPV4
}

// dnatTo takes server . port from word 0 on.
func (f family) dnatTo() expr.Any {
	port := word(f.words())
	return &expr.NAT{
		Type: expr.NATTypeDestNAT, Family: f.nfproto(),
		RegAddrMin: word(0), RegAddrMax: word(0), RegProtoMin: port, RegProtoMax: port,
	}
}

// snatTo takes the address from word 0 on and chooses a port, or an ICMP identifier, of the pool.
func (f family) snatTo(pool nat.Ports) []expr.Any {
	first, last := word(f.words()), word(f.words()+1)
	return []expr.Any{
		&expr.Immediate{Register: first, Data: bigEndian(pool.First)},
		&expr.Immediate{Register: last, Data: bigEndian(pool.Last)},
		&expr.NAT{
			Type: expr.NATTypeSourceNAT, Family: f.nfproto(),
			RegAddrMin: word(0), RegAddrMax: word(0), RegProtoMin: first, RegProtoMax: last,
		},
	}
}

// snatToAddress takes the address alone, from word 0 on.
func (f family) snatToAddress() expr.Any {
	return &expr.NAT{Type: expr.NATTypeSourceNAT, Family: f.nfproto(), RegAddrMin: word(0), RegAddrMax: word(0)}
}

// replies are the ICMP types that answer a query: echo, timestamp, information and
// address mask reply (RFC 792, RFC 950); echo and node information reply (RFC 4443,
// RFC 4620).
func (f family) replies() []byte {
	if f.six {
		return []byte{129, 140}
	}
	return []byte{0, 14, 16, 18}
}
