package nft

import (
	"net/netip"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"

	"understudy/nat"
)

// A host that calls a mapped address may find the server in its own network: the server
// would answer it directly, past the gateway, from an address that the host has never
// heard of. So to the server it is the called address that calls: its answers go to
// the gateway, and whichever node has the address translates them.

const (
	// priorityHairpin is after source NAT: what somebody else's rules have given a
	// source has it.
	priorityHairpin nftables.ChainPriority = 101

	ipsDstNAT = 1 << 5 // of ct status: enum ip_conntrack_status
)

// hairpinChains are for the families that have both links and somebody to call there.
func hairpinChains(plan nat.Plan) []chain {
	out := chain{name: chainHairpin, kind: nftables.ChainTypeNAT, hook: nftables.ChainHookPostrouting, priority: priorityHairpin}
	for _, f := range families(plan) {
		if f.of(plan).Hairpins() {
			out.rules = append(out.rules, f.hairpinRules()...)
		}
	}
	return []chain{out, redirectChain()}
}

// hairpinRules make the called address the source. They are compared by their comments:
// see words.go.
func (f family) hairpinRules() []rule {
	neighbours := do(f.saddr(0), f.daddr(f.words()), within(f.name(setLinks)))
	pool := nat.DefaultPorts()
	return []rule{
		say(f.version()+", to a server in the caller's own network: by the called address, a port of "+pool.String(), f.is(), wasCalled(), withPorts(), neighbours, do(called(0)), f.snatTo(pool)),
		say(f.version()+", the same: an ICMP identifier", f.is(), wasCalled(), protocol(f.icmp()), neighbours, do(called(0)), f.snatTo(pool)),
		say(f.version()+", the same: protocols without ports", f.is(), wasCalled(), neighbours, do(called(0), f.snatToAddress())),
	}
}

// called loads the address that the flow's first packet went to.
func called(i uint32) expr.Any {
	const original = 0 // IP_CT_DIR_ORIGINAL
	return &expr.Ct{Key: expr.CtKeyDST, Register: word(i), Direction: original}
}

func (f family) version() string {
	if f.six {
		return "IPv6"
	}
	return "IPv4"
}

// redirectChain keeps the kernel from telling such a host that there is a shorter way to
// the called address, by the server itself, which does not know that address (ICMP
// redirect, RFC 792). In IPv6 it names the server, and is right.
func redirectChain() chain {
	const redirect = 5
	return chain{name: chainRedirects, kind: nftables.ChainTypeFilter, hook: nftables.ChainHookOutput, priority: priorityQuiet, rules: []rule{
		say("there is no shorter way to a called address", ipv4(), protocol(protoICMP), do(icmpType(0), equal(0, redirect)), wasCalled(), do(drop())),
	}}
}

// wasCalled is ct status dnat.
func wasCalled() []expr.Any {
	return do(&expr.Ct{Key: expr.CtKeySTATUS, Register: word(0)}, masked(0, binaryutil.NativeEndian.PutUint32(ipsDstNAT)...), differ(0, 0, 0, 0, 0))
}

// linksSet has each network as the one of the caller and that of the server.
func (f family) linksSet(t *nftables.Table, links []netip.Prefix) set {
	out := set{Set: &nftables.Set{Table: t, Name: f.name(setLinks), Interval: true, Concatenation: true,
		KeyType: concat(f.address(), f.address())}}
	for _, p := range links {
		out.elements = append(out.elements, element{key: first(p) + first(p), end: lastOf(p) + lastOf(p), owner: p})
	}
	return out
}
