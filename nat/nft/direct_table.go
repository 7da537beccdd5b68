package nft

import (
	"fmt"
	"slices"
	"time"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"understudy/nat/entry"
)

// DirectTable is the name of the tables of entry points that hand packets to servers as
// they are: one in the ip family, one in ip6, for the kernel has no such action in inet.
//
//	packet in
//	   |  gate    -300   to a group that is not active here: drop
//	by_address  -250   an ICMP error: verdict map errors: jump errors_NAME
//	   |                 verdict map entries: jump to_NAME
//	   |  (connection tracking, -200: what is handed on is not tracked)
//	by_mark     -110   verdict map entry_marks: jump to_NAME
//
//	to_NAME      flows_NAME, then hosts_NAME: a flow that is known
//	             kept_NAME, if clients are remembered
//	             slots_NAME, then servers_NAME: a new flow, from now on in flows_NAME
//	             ... a copy to the server's MAC (dup), and the packet itself is dropped
//
// Nothing but flows_NAME knows which server has a flow: connection tracking sees one half
// of it, and would call that invalid. Who sends the first packet of a flow that it does not
// hold is steered by the flow's hash, not by turns: so another node comes to the same
// server for a flow that it has never seen, as long as the same servers are there.
const DirectTable = "understudy_direct"

// Names inside these tables, besides those of [EntryTable].
const (
	mapErrors    = "errors" // address . protocol . port of a packet that an ICMP error is about -> jump
	prefixErrors = "errors_"
	mapFlows     = "flows_" // client . port . protocol . address . port -> number
	mapHosts     = "hosts_" // number, or number + ended -> address: servers whose flows may stay

	chainByAddress = "by_address"
	chainByMark    = "by_mark"

	priorityDirect = priorityRaw + 50 // behind the gate, before connection tracking
)

// How long a flow is known without another packet of the client's. As nobody sees more
// than that of it, it has to last longer than the client's keep-alive: two hours (RFC 9293
// section 3.8.4).
const (
	directYoung = time.Minute // after its first packet: it may be of nobody
	directTCP   = 2*time.Hour + 15*time.Minute
	directEnded = 2 * time.Minute // after the client's FIN or RST
	directOther = 3 * time.Minute
)

const (
	// directFlows bounds how many flows of an entry point are known. More of them go
	// where their hash says.
	directFlows = 1 << 20
	// ended is added to the number of a flow's server after the client's end of it.
	ended = 0x100
)

func directTable(f family) *nftables.Table {
	t := &nftables.Table{Name: DirectTable, Family: nftables.TableFamilyIPv4}
	if f.six {
		t.Family = nftables.TableFamilyIPv6
	}
	return t
}

// directForm is the whole table of the family for points, all of which are of it.
func (f family) directForm(points []entry.Point) (out wanted) {
	t := directTable(f)
	all := func(entry.Point) bool { return true }
	out.sets = []set{{verdicts(f.byKey(t, mapEntries)), keyElements(points, all, true)}, {verdicts(f.byKey(t, mapErrors)), keyElements(points, all, true)}}
	out.counters = []string{counterNobody}
	out.chains = []chain{{name: chainByAddress, kind: nftables.ChainTypeFilter, hook: nftables.ChainHookPrerouting, priority: priorityDirect,
		rules: append(f.errorRules(), say("whose address", f.forwardKey(), do(jumpBy(mapEntries))))}}
	if marks := markElements(points, all, true); len(marks) > 0 {
		out.sets = append(out.sets, set{verdicts(&nftables.Set{Table: t, Name: mapMarks, KeyType: nftables.TypeMark}), marks})
		out.chains = append(out.chains, chain{name: chainByMark, kind: nftables.ChainTypeFilter, hook: nftables.ChainHookPrerouting, priority: priorityStray,
			rules: []rule{say("whose mark", do(metaKey(expr.MetaKeyMARK, 0), jumpBy(mapMarks)))}})
	}
	for _, p := range points {
		one := f.directPoint(p)
		out.chains, out.sets, out.counters = append(out.chains, one.chains...), append(out.sets, one.sets...), append(out.counters, one.counters...)
	}
	return out
}

// directPoint is what one entry point needs beside what all share.
func (f family) directPoint(p entry.Point) wanted {
	t := directTable(f)
	byNumber := func(name string, data nftables.SetDatatype) *nftables.Set {
		return &nftables.Set{Table: t, Name: name + p.Name, IsMap: true, KeyType: nftables.TypeMark, DataType: data}
	}
	hosts := set{Set: byNumber(mapHosts, f.address())}
	for i, a := range p.Servers {
		if p.Table.Stay[i] {
			for _, n := range []uint32{uint32(i), uint32(i) + ended} {
				hosts.elements = append(hosts.elements, element{key: number(n), val: addressKey(a.Addr()), owner: pointName(p.Name)})
			}
		}
	}
	out := wanted{
		chains: []chain{{name: prefixTo + p.Name, rules: f.directRules(p)}, {name: prefixErrors + p.Name, rules: f.errorsOf(p)}},
		sets: []set{{byNumber(mapSlots, nftables.TypeMark), slotElements(p)}, {byNumber(mapServers, f.address()), serverElements(p)},
			hosts, {f.flowsSet(p), nil}},
		counters: []string{prefixNew + p.Name},
	}
	if p.Persist > 0 {
		out.sets = append(out.sets, set{keptSet(t, p), nil})
	}
	return out
}

func (f family) flowsSet(p entry.Point) *nftables.Set {
	return &nftables.Set{Table: directTable(f), Name: mapFlows + p.Name, IsMap: true, Concatenation: true, Dynamic: true, HasTimeout: true,
		Timeout: directOther, Size: directFlows, DataType: nftables.TypeMark,
		KeyType: concat(f.address(), nftables.TypeInetService, nftables.TypeInetProto, f.address(), nftables.TypeInetService)}
}

// directWords are words of a rule, behind the flow's key, which is from 0 on: got is where
// the number of a server is put at first, at where its address is in the end, and num where
// the number is in between.
func (f family) directWords() (got, num, at uint32) {
	n := f.words()
	return 2*n + 3, 2*n + 5, 2*n + 4
}

// flow loads the key of the packet's flow.
func (f family) flow() []expr.Any {
	n := f.words()
	return do(f.saddr(0), sport(n), l4proto(n+1), f.daddr(n+2), dport(2*n+2))
}

// handOver gives the packet to the server whose address has been found, and to nobody else.
func (f family) handOver() []expr.Any {
	_, _, at := f.directWords()
	return do(&expr.Dup{RegAddr: word(at)}, drop())
}

// asked asks a map of the entry point for the word from, and puts what it says into to.
func asked(m string, p entry.Point, from, to uint32) expr.Any {
	return &expr.Lookup{SetName: m + p.Name, SourceRegister: word(from), DestRegister: word(to), IsDestRegSet: true}
}

// directRules hand packets on. They are compared by their comments. A map that is full
// ends a rule, so the last one does without.
func (f family) directRules(p entry.Point) (out []rule) {
	got, num, at := f.directWords()
	note := func(m string, op uint32, timeout time.Duration) expr.Any {
		return &expr.Dynset{SrcRegKey: word(0), SrcRegData: word(num), SetName: m + p.Name, Operation: op, Timeout: timeout}
	}
	renew := func(timeout time.Duration) []expr.Any { return do(note(mapFlows, unix.NFT_DYNSET_OP_UPDATE, timeout)) }
	// What is noted may name a server that is gone, and would not be replaced.
	anew := func(timeout time.Duration) []expr.Any {
		return append(do(note(mapFlows, nftDynsetDelete, 0)), renew(timeout)...)
	}
	known := append(f.flow(), asked(mapFlows, p, 0, got))
	over := func(op expr.CmpOp) []expr.Any {
		return do(&expr.Bitwise{SourceRegister: word(got), DestRegister: word(at), Len: 4, Mask: []byte(number(ended)), Xor: make([]byte, 4)},
			&expr.Cmp{Op: op, Register: word(at), Data: make([]byte, 4)})
	}
	end := do(&expr.Bitwise{SourceRegister: word(got), DestRegister: word(got), Len: 4, Mask: []byte(number(ended - 1)), Xor: []byte(number(ended))})
	host, server := do(asked(mapHosts, p, num, at)), do(asked(mapServers, p, num, at))
	read, hand, tcp := legible(got, num), f.handOver(), protocol(protoTCP)

	if !p.Match.Address.IsValid() && p.Serves() {
		out = append(out, say("without ports: by "+clientText(p)+" of "+f.slotText(p), do(l4proto(0), differ(0, unix.IPPROTO_TCP), differ(0, unix.IPPROTO_UDP), differ(0, unix.IPPROTO_SCTP)),
			do(&expr.Immediate{Register: word(got - 1), Data: []byte(number(0))}), f.hashed(p, f.words()), do(asked(mapSlots, p, got, got)), read, server, hand))
	}
	out = append(out,
		say("the client's end of it", tcp, tcpFlags(tcpFIN|tcpRST, true), known, end, read, anew(directEnded), host, hand),
		say("after its end", tcp, noSYN(), known, over(expr.CmpOpNeq), read, renew(directEnded), host, hand),
		say("a known connection", tcp, known, over(expr.CmpOpEq), read, renew(directTCP), host, hand),
		say("a known flow", do(l4proto(0), differ(0, protoTCP)), known, read, renew(directOther), host, hand),
		say("new flows", do(count(prefixNew+p.Name))))
	if !p.Serves() {
		return append(out, say("nobody serves: tcp", tcp, do(count(counterNobody), tcpReset())),
			say("nobody serves: all else", do(count(counterNobody), f.portUnreachable())))
	}
	what := fmt.Sprintf("by %s of %s", map[bool]string{false: "flow", true: clientText(p)}[f.slotByClient(p)], f.slotText(p))
	slot := slices.Concat(f.flow(), f.directSlot(p), do(asked(mapSlots, p, got, got)), read)
	if !p.Table.Remember {
		return append(out, say(what, slot, anew(directYoung), server, hand), say(what+", not noted", slot, server, hand))
	}
	// A client that is remembered by its prefix is the beginning of no flow's key.
	var client, flow []expr.Any
	if p.PersistPrefix > 0 {
		client, flow = f.client(p), f.flow()
	}
	kept := slices.Concat(f.flow(), client, do(asked(mapKept, p, 0, got)), read)
	keep := note(mapKept, unix.NFT_DYNSET_OP_UPDATE, 0)
	return append(out,
		say("where its "+clientText(p)+" is", kept, do(keep), flow, anew(directYoung), server, hand),
		say("where its "+clientText(p)+" is, not noted", kept, server, hand),
		say(what+", remembered", slot, client, do(note(mapKept, nftDynsetDelete, 0), keep), flow, anew(directYoung), server, hand),
		say(what+", not remembered", slot, flow, anew(directYoung), server, hand),
		say(what+", not noted", slot, server, hand))
}

// slotByClient tells whether the client alone decides. Where clients are remembered it
// does, so that the next node comes to the same for all of a client's flows.
func (f family) slotByClient(p entry.Point) bool {
	return p.Table.ByClient && !p.Table.ByPort || p.Table.Remember
}

func (f family) slotText(p entry.Point) string {
	if len(p.Table.Slots) == 1 {
		return "one slot"
	}
	return fmt.Sprintf("%d slots", len(p.Table.Slots))
}

// directSlot puts a slot where the number of a server belongs. The flow's key begins with
// the client's address and port.
func (f family) directSlot(p entry.Point) []expr.Any {
	words := f.words()
	if !f.slotByClient(p) {
		words++
	}
	return f.hashed(p, words)
}

// hashed makes a slot of so many of the first words of the key; of the client's address
// alone it needs no key.
func (f family) hashed(p entry.Point, words uint32) []expr.Any {
	n, _, _ := f.directWords()
	size := uint32(len(p.Table.Slots))
	if size <= 1 {
		return do(&expr.Immediate{Register: word(n), Data: []byte(number(0))})
	}
	hash := &expr.Hash{SourceRegister: word(0), DestRegister: word(n), Length: 4 * words, Modulus: size, Seed: entry.ClientSeed, Type: expr.HashTypeJenkins}
	if words == f.words() {
		return append(f.client(p), hash)
	}
	return do(hash)
}

func (f family) portUnreachable() expr.Any {
	const port4, port6 = 3, 4 // RFC 792, RFC 4443 section 3.1
	if f.six {
		return &expr.Reject{Type: unix.NFT_REJECT_ICMP_UNREACH, Code: port6}
	}
	return &expr.Reject{Type: unix.NFT_REJECT_ICMP_UNREACH, Code: port4}
}

// ICMP errors carry the packet that they are about: one of a server's, from the entry
// point's address. The server has to hear of it, or it would never learn how long its
// packets may be.

// inner are the places of the fields of that packet behind the ICMP header, which has
// eight bytes, without options or extension headers.
type inner struct{ proto, src, dst, ports, size uint32 }

func (f family) inner() inner {
	if f.six {
		return inner{8 + 6, 8 + 8, 8 + 24, 8 + 40, 16}
	}
	return inner{8 + 9, 8 + 12, 8 + 16, 8 + 20, 4}
}

// errorRules find out whose an error is: unreachable, time exceeded, parameter problem
// (RFC 792); in IPv6 too big as well (RFC 4443).
func (f family) errorRules() (out []rule) {
	in, n := f.inner(), f.words()
	for _, typ := range map[bool][]byte{false: {3, 11, 12}, true: {1, 2, 3, 4}}[f.six] {
		out = append(out, say(fmt.Sprintf("an error (%d) about whose packet", typ), protocol(f.icmp()), do(icmpType(0), equal(0, typ)),
			do(transport(in.src, in.size, 0), transport(in.proto, 1, n), transport(in.ports, 2, n+1), jumpBy(mapErrors))))
	}
	return out
}

// errorsOf hand errors to the server that has the flow, or would get it.
func (f family) errorsOf(p entry.Point) []rule {
	in, w := f.inner(), f.words()
	got, num, at := f.directWords()
	flow := do(transport(in.dst, in.size, 0), transport(in.ports+2, 2, w), transport(in.proto, 1, w+1), transport(in.src, in.size, w+2), transport(in.ports, 2, 2*w+2))
	out := []rule{say("to the flow's server", flow, do(asked(mapFlows, p, 0, got)), legible(got, num), do(asked(mapHosts, p, num, at)), f.handOver())}
	if !p.Serves() {
		return out
	}
	slot := f.directSlot(p)
	if f.slotByClient(p) && len(p.Table.Slots) > 1 {
		slot = slot[1:] // the client is where the error's packet went, not who tells of it
	}
	return append(out, say("to the server of "+f.slotText(p)+map[bool]string{false: " by flow", true: " by " + clientText(p)}[f.slotByClient(p)],
		flow, slot, do(asked(mapSlots, p, got, got)), legible(got, num), do(asked(mapServers, p, num, at)), f.handOver()))
}

// directPoints are those of a family.
func directPoints(points []entry.Point, six bool) []entry.Point {
	return slices.DeleteFunc(slices.Clone(points), func(p entry.Point) bool { return p.Six != six })
}
