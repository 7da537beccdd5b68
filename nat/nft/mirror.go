package nft

import (
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"

	"understudy/nat"
)

// What is done with packets in copy ([nat.Mirror]), in the order in which one meets it:
//
//	lan0, wan0 ingress            what is to be forwarded: a copy to the link
//	link egress                   to everybody on it, as the frame names the other's MAC
//	- - - - - - - - - - - - - - - - - - - - - - - - - - - - - - - - - - the other node
//	link ingress                  IP only; for us, whatever MAC it names
//	gate, gate6        raw -300   let in, though the group is not Active here
//	   (connection tracking, and all else that a packet passes)
//	mirror_local       input      drop: nobody here answers it
//	mirror_forward     forward    drop what would leave by an interface that is not
//	                              watched
//	mirror_mark        post 1000  mark: it was a copy
//	   (its flow is confirmed here, which is why it was let come so far)
//	lan0, wan0 egress             drop what is marked
//
// And mirror_quiet (output): while the gate is shut, the node says nothing of packets
// that it could not forward (ICMP errors, resets): the other one says it.
//
// Connection tracking takes an unconfirmed flow for none, and confirms at the very end
// of postrouting: so what must not leave can be dropped behind that alone, in
// egress. The chains of devices are in a table of their own, copies.go.

// copyMark is what marks a packet in copy between postrouting and egress. Whatever mark
// it had is of no use any more.
const copyMark = 0x55530001

const (
	priorityMark  nftables.ChainPriority = 1000 // behind whoever sets marks
	priorityQuiet nftables.ChainPriority = -150 // connection tracking has been there
)

// links are the numbers of interfaces that are there, by name.
type links map[string]int

// copiesPass lets copies in where a gate is shut.
func copiesPass(m *nat.Mirror) rule {
	return say("packets in copy", do(iifname(0), equal(0, []byte(ifname(m.Link))...), accept()))
}

func mirrorChains(plan nat.Plan) []chain {
	copied := do(iifname(0), equal(0, []byte(ifname(plan.Mirror.Link))...))
	return []chain{
		{name: chainOnLink, kind: nftables.ChainTypeFilter, hook: nftables.ChainHookInput, priority: priorityRaw, rules: []rule{
			say("a packet in copy is not for this node", copied, do(drop())),
		}},
		{name: chainOut, kind: nftables.ChainTypeFilter, hook: nftables.ChainHookForward, priority: priorityRaw, rules: []rule{
			say("a packet in copy, where it would get out", copied, do(metaKey(expr.MetaKeyOIF, 0), notWithin(setOut), drop())),
		}},
		{name: chainMark, kind: nftables.ChainTypeFilter, hook: nftables.ChainHookPostrouting, priority: priorityMark, rules: []rule{
			say("a packet in copy", copied, setMark(copyMark)),
		}},
		quietChain(plan),
	}
}

// quietChain drops what the kernel itself would answer to a packet that it could not
// forward. A reset belongs to the flow that it ends, like an error, or to none; a
// local program's belongs to its own.
func quietChain(plan nat.Plan) chain {
	shut := standingBy(plan)
	out := chain{name: chainQuiet, kind: nftables.ChainTypeFilter, hook: nftables.ChainHookOutput, priority: priorityQuiet}
	if shut == nil {
		return out
	}
	silence := do(count(counterQuiet), drop())
	for _, t := range []struct {
		proto byte
		types []byte
	}{
		{protoICMP, []byte{3, 4, 5, 11, 12}},   // RFC 792
		{protoICMPv6, []byte{1, 2, 3, 4, 137}}, // RFC 4443, RFC 4861
	} {
		for _, typ := range t.types {
			out.rules = append(out.rules, say("errors, while standing by", protocol(t.proto), do(icmpType(0), equal(0, typ)), shut, silence))
		}
	}
	out.rules = append(out.rules, say("resets of others' flows, while standing by", protocol(protoTCP), tcpFlags(tcpRST, true),
		ctState(expr.CtStateBitRELATED|expr.CtStateBitINVALID|expr.CtStateBitUNTRACKED), shut, silence))
	return out
}

// standingBy asks whether the gate of an address is shut; nil: there is none to ask of.
func standingBy(plan nat.Plan) []expr.Any {
	i := slices.IndexFunc(plan.Gates, func(g nat.Gate) bool { return g.Address.Zone() == "" })
	if i < 0 {
		return nil
	}
	a, set := plan.Gates[i].Address, setClosed
	if a.Is6() {
		set = setClosed6
	}
	return do(&expr.Immediate{Register: word(0), Data: a.AsSlice()}, within(set))
}

func setMark(mark uint32) []expr.Any {
	return do(&expr.Immediate{Register: word(0), Data: binaryutil.NativeEndian.PutUint32(mark)},
		&expr.Meta{Key: expr.MetaKeyMARK, SourceRegister: true, Register: word(0)})
}

// mirrorSet has the interfaces whose egress is watched. By number: one that was made
// anew has its name, and nobody who watches it.
func mirrorSet(m *nat.Mirror, links links) set {
	out := set{Set: &nftables.Set{Table: ourTable(), Name: setOut, KeyType: nftables.TypeIFIndex}}
	for _, name := range m.Data {
		if i, ok := links[name]; ok {
			out.elements = append(out.elements, element{key: string(binaryutil.NativeEndian.PutUint32(uint32(i))), owner: device(name)})
		}
	}
	return out
}
