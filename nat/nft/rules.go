package nft

import (
	"cmp"
	"net/netip"
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/google/nftables/userdata"

	"understudy/nat"
)

// Unknown says what becomes of a packet in the middle of a translated TCP
// connection that this node does not know.
type Unknown uint8

const (
	// UnknownDrop says nothing: right after an activation the connection may be
	// known a moment later, and a reset would kill it.
	UnknownDrop Unknown = iota
	// UnknownReset answers with a TCP reset, so that the ends of a lost
	// connection learn of it at once instead of after minutes.
	UnknownReset
)

func (u Unknown) String() string { return [...]string{"drop", "reset"}[u] }

// chain is a chain as it should be. hook is nil for one that is only jumped to.
type chain struct {
	name     string
	kind     nftables.ChainType
	hook     *nftables.ChainHook
	priority nftables.ChainPriority
	rules    []rule
}

type rule struct {
	comment string
	exprs   []expr.Any
}

func comment(s string) []byte {
	return userdata.AppendString(nil, userdata.TypeComment, s)
}

// say makes a rule of its conditions and its actions, in order.
func say(comment string, parts ...[]expr.Any) rule { return rule{comment, slices.Concat(parts...)} }

func do(e ...expr.Any) []expr.Any { return e }

// Priorities (linux/netfilter_ipv4.h): raw -300, conntrack -200, dstnat -100,
// filter 0, srcnat 100.
const (
	priorityRaw    nftables.ChainPriority = -300
	priorityStray  nftables.ChainPriority = -110 // the flow is known, its destination still the client's
	priorityDNAT   nftables.ChainPriority = -100
	priorityGuard  nftables.ChainPriority = -10 // before the operator's own filter can answer with a reset
	prioritySNAT   nftables.ChainPriority = 100
	priorityInside nftables.ChainPriority = 110 // what is still untranslated here leaves so
)

// strange are the states of packets that belong to no known flow. Untracked is
// among them because a packet of a translated flow never is.
const strange = expr.CtStateBitNEW | expr.CtStateBitINVALID | expr.CtStateBitUNTRACKED

// chains returns the chains for plan. Their rules depend on whether something is
// mapped and on which pools there are, never on how much: mappings are elements.
func chains(plan nat.Plan, unknown Unknown) []chain {
	out := []chain{gateChain()}
	six := slices.ContainsFunc(plan.Gates, func(g nat.Gate) bool { return g.Address.Is6() })
	if six {
		out = append(out, gate6Chain())
	}
	if len(plan.Blocks) > 0 {
		out = append(out, blockChain(plan))
	}
	if m := plan.Mirror; m != nil {
		for i := range out {
			out[i].rules = append([]rule{copiesPass(m)}, out[i].rules...)
		}
		out = append(out, mirrorChains(plan)...)
	}
	if hasDevices(plan) {
		out = append(out, deviceChain())
		if six {
			out = append(out, membersChain())
		}
	}
	if len(plan.Refused) > 0 {
		out = append(out, refuseChain(plan.Refused))
	}
	if plan.Events != nil {
		out = append(out, eventChains(plan.Events)...)
	}
	if !plan.Guard() && !plan.Sessions {
		return out
	}
	dnat := chain{name: chainDNAT, kind: nftables.ChainTypeNAT, hook: nftables.ChainHookPrerouting, priority: priorityDNAT}
	snat := chain{name: chainSNAT, kind: nftables.ChainTypeNAT, hook: nftables.ChainHookPostrouting, priority: prioritySNAT}
	if !plan.Guard() {
		return append(out, dnat, snat)
	}
	stray, pool, forward, inside := strayChain(), poolChain(), forwardChain(), insideChain()
	for _, f := range families(plan) {
		of := f.of(plan)
		// What is said of a port comes before what is said of its whole address.
		stray.rules = slices.Concat(stray.rules, f.strayRules(), f.staticStrayRules(of.Statics))
		dnat.rules = slices.Concat(dnat.rules, f.dnatRules(), f.staticDNATRules(of.Statics))
		pool.rules = append(pool.rules, f.poolRules()...)
		forward.rules = slices.Concat(forward.rules, f.blockForwardRules(of.Blocks), f.exceptionRules(of.Exceptions), f.staticForwardRules(of.Statics), f.forwardRules())
		snat.rules = slices.Concat(snat.rules, f.exceptionRules(of.Exceptions), f.staticSNATRules(of.Statics), f.spreadRules(of.Sources), f.snatRules(single(of.Sources)))
		inside.rules = slices.Concat(inside.rules, f.exceptionRules(of.Exceptions), f.staticInsideRules(of.Statics), f.insideRules())
	}
	if plan.Hairpins() {
		out = append(out, hairpinChains(plan)...)
	}
	return append(out, stray, dnat, pool, forward, snat, inside, unknownChain(unknown))
}

// gateChain keeps out what is addressed to a group that is not Active here. It
// comes before connection tracking, so that nothing is remembered of it.
func gateChain() chain {
	return chain{name: chainGate, kind: nftables.ChainTypeFilter, hook: nftables.ChainHookPrerouting, priority: priorityRaw, rules: []rule{
		say("addresses of groups that are not active here", ipv4(), do(daddr(0), within(setClosed), count(counterGate), drop())),
	}}
}

// gate6Chain does the same for IPv6. It also keeps the kernel from hearing who asks for
// such an address: what is asked goes to a group of many addresses, and an owner's
// interface has the address all the time (RFC 9568 6.4.2: no advertisement is sent
// in answer). A link-local address is shut on its own link only.
func gate6Chain() chain {
	return chain{name: chainGate6, kind: nftables.ChainTypeFilter, hook: nftables.ChainHookPrerouting, priority: priorityRaw, rules: []rule{
		say("addresses of groups that are not active here", ipv6(), do(daddr6(0), within(setClosed6), count(counterGate), drop())),
		say("the same, on one link", ipv6(), do(iifname(0), daddr6(4), within(setClosedLocal), count(counterGate), drop())),
		say("who has such an address?", ipv6(), solicitation(), do(ndTarget(0), within(setClosed6), count(counterGate), drop())),
		say("the same, on one link", ipv6(), solicitation(), do(iifname(0), ndTarget(4), within(setClosedLocal), count(counterGate), drop())),
	}}
}

// deviceChain keeps out what hosts send to the own MAC of a group that is not
// Active here: it would be forwarded, and so twice (RFC 9568 6.4.2). Whatever it
// is addressed to, and of whatever family.
func deviceChain() chain {
	return chain{name: chainDevices, kind: nftables.ChainTypeFilter, hook: nftables.ChainHookPrerouting, priority: priorityRaw, rules: []rule{
		say("by the device of a group that is not active here", do(iifname(0), within(setClosedDevices), count(counterGate), drop())),
	}}
}

// membersChain keeps the kernel from telling the link that a device of ours leaves
// the groups of its addresses (MLD, RFC 3810 and RFC 2710). It does when they are
// removed, from the MAC that the successor has by then: switches would send what is
// for that MAC here again, until the successor's next advert.
func membersChain() chain {
	const report2, done, toInclude = 143, 132, 3
	return chain{name: chainMembers, kind: nftables.ChainTypeFilter, hook: nftables.ChainHookOutput, priority: priorityRaw, rules: []rule{
		say("MLDv2: this device is in the group no more", ipv6(), do(oifname(0), within(setDevices)), protocol(protoICMPv6),
			do(icmpType(0), equal(0, report2), recordType(0), equal(0, toInclude), drop())),
		say("MLDv1: the same", ipv6(), do(oifname(0), within(setDevices)), protocol(protoICMPv6),
			do(icmpType(0), equal(0, done), drop())),
	}}
}

// refuseChain drops what is for this node itself at an address that nobody may
// talk to. What is translated has another destination by now. It comes before
// an operator's own filter could answer. Neighbour discovery is never refused (RFC
// 9568 6.1): without it the address would not even be found.
func refuseChain(refused []netip.Addr) chain {
	const what = "to an address that is not talked to"
	out := chain{name: chainRefuse, kind: nftables.ChainTypeFilter, hook: nftables.ChainHookInput, priority: priorityGuard}
	if slices.ContainsFunc(refused, netip.Addr.Is4) {
		out.rules = append(out.rules, say(what, ipv4(), do(daddr(0), within(setRefused), count(counterRefused), drop())))
	}
	if slices.ContainsFunc(refused, netip.Addr.Is6) {
		out.rules = append(out.rules,
			say("neighbour discovery", ipv6(), discovery(), do(accept())),
			say(what, ipv6(), do(daddr6(0), within(setRefused6), count(counterRefused), drop())),
			say(what+", on one link", ipv6(), do(iifname(0), daddr6(4), within(setRefusedLocal), count(counterRefused), drop())))
	}
	return out
}

func (f family) dnatRules() []rule {
	return []rule{say("port forwards", f.is(), f.forwardKey(), do(mapped(f.name(mapForward)), f.dnatTo()))}
}

// snatRules never masquerade: that would take the node's own primary address.
// A flow that came in through a forward is not touched: its source is not inside.
// There are two rules for each pool that sources name, which is one as a rule.
func (f family) snatRules(sources []nat.Source) (out []rule) {
	for _, p := range pools(sources) { // of those that keep theirs there is none
		out = append(out,
			say("source NAT: a port of the pool", f.is(), withPorts(), f.insideKey(), do(mapped(f.pool(p))), f.snatTo(p)),
			// The kernel takes the pool as the range of the identifier.
			say("source NAT: an ICMP identifier of the pool", f.is(), protocol(f.icmp()), f.insideKey(), do(mapped(f.pool(p))), f.snatTo(p)))
	}
	return append(out, say("source NAT: protocols without ports, hosts that keep theirs", f.is(), f.insideKey(), do(mapped(f.name(mapSource)), f.snatToAddress())))
}

// pools returns the different pools of sources, sorted.
func pools(sources []nat.Source) []nat.Ports {
	var out []nat.Ports
	for _, s := range sources {
		if !s.Keeps {
			out = append(out, s.Ports)
		}
	}
	slices.SortFunc(out, func(a, b nat.Ports) int { return cmp.Or(cmp.Compare(a.First, b.First), cmp.Compare(a.Last, b.Last)) })
	return slices.Compact(out)
}

// strayChain judges what goes to a forwarded port and cannot begin a flow to the
// server. It stands before dstnat: there a packet in the middle of a connection
// would be given to the server, and an invalid one, which is never translated,
// to the gateway's own TCP, which answers with a reset.
func strayChain() chain {
	return chain{name: chainStray, kind: nftables.ChainTypeFilter, hook: nftables.ChainHookPrerouting, priority: priorityStray}
}

func (f family) strayRules() []rule {
	return []rule{
		say("invalid, to a forwarded port", f.is(), ctState(expr.CtStateBitINVALID), f.forwardKey(), do(within(f.name(setForwarded)), count(counterStray), drop())),
		say("its name, for who asks what a takeover has lost", f.is(), protocol(protoTCP),
			ctState(expr.CtStateBitNEW), notSYN(), f.forwardKey(), do(within(f.name(setForwarded))), f.remember()),
		say("in the middle of a connection through a forward that is not known", f.is(), protocol(protoTCP),
			ctState(expr.CtStateBitNEW), notSYN(), f.forwardKey(), do(within(f.name(setForwarded)), count(counterUnknown), jump(chainUnknown))),
	}
}

// poolChain drops what comes to a port of a translated flow that this node does
// not know (yet). Were it let in, the gateway's own stack would answer with a
// reset or an unreachable, and the entry it leaves would keep the flow's own
// from being installed.
//
// ICMP differs. An answer to a translated query that is not known is never
// "new", only "invalid": it makes no entry and the stack ignores it; it is
// dropped all the same, because it is not ours to read. A query that comes to
// the address, whatever its identifier, is not one of those answers: the type is
// part of the tuple, so the two can never be mistaken for each other, and the
// address stays open to ping. Errors are left to the stack: it looks for the
// socket they quote and finds none.
func poolChain() chain {
	return chain{name: chainPool, kind: nftables.ChainTypeFilter, hook: nftables.ChainHookInput, priority: priorityGuard}
}

func (f family) poolRules() []rule {
	return []rule{
		say("to a port of the pool, of no known flow", f.is(), withPorts(), ctState(strange),
			do(f.daddr(0), dport(f.words()), within(f.name(setPool)), count(counterStray), drop())),
		say("answer to a translated ICMP query that is not known", f.is(), protocol(f.icmp()), ctState(strange),
			do(icmpType(0), within(f.name(setReplies)), f.daddr(0), icmpID(f.words()), within(f.name(setPool)), count(counterStray), drop())),
	}
}

// forwardChain judges the middle of a TCP connection that would leave through
// source NAT and is not known: by default the kernel picks such a connection up,
// with another port of the pool, and so breaks it for good.
func forwardChain() chain {
	return chain{name: chainForward, kind: nftables.ChainTypeFilter, hook: nftables.ChainHookForward, priority: priorityGuard}
}

func (f family) forwardRules() []rule {
	return []rule{
		say("its name, for who asks what a takeover has lost", f.is(), protocol(protoTCP),
			ctState(expr.CtStateBitNEW), notSYN(), f.insideKey(), do(within(f.name(setInside))), f.remember()),
		say("in the middle of a connection through source NAT that is not known", f.is(), protocol(protoTCP),
			ctState(expr.CtStateBitNEW), notSYN(), f.insideKey(), do(within(f.name(setInside)), count(counterUnknown), jump(chainUnknown))),
	}
}

// insideChain is the last look: an inside source on an outside interface was not
// translated (an invalid packet never is). Addresses of the pair may lie in an
// inside network, and are what translated packets carry.
func insideChain() chain {
	return chain{name: chainInside, kind: nftables.ChainTypeFilter, hook: nftables.ChainHookPostrouting, priority: priorityInside}
}

func (f family) insideRules() []rule {
	return []rule{
		say("inside source, still untranslated", f.is(), do(f.saddr(0), notWithin(f.addresses())),
			f.insideKey(), do(within(f.name(setInside)), count(counterInside), drop())),
	}
}

func unknownChain(u Unknown) chain { return chain{name: chainUnknown, rules: []rule{unknownRule(u)}} }

func unknownRule(u Unknown) rule {
	if u == UnknownReset {
		return say("lost for good: let the ends know", do(tcpReset()))
	}
	return say("just activated: it may be known in a moment", do(drop()))
}
