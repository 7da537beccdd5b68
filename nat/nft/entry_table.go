package nft

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"understudy/nat/entry"
)

// EntryTable is the name of the table of entry points, in the inet family. They have
// one of their own, because it changes whenever a server comes or goes: that neither
// waits for a reload of the mappings, nor touches the gate.
//
//	packet in
//	   |  (connection tracking, -200)
//	entry_guard  -110   of a flow that was cut: reset; what cannot begin a flow:
//	   |                drop, or chain unknown; nobody serves: refuse
//	entries      -101   verdict map entries: jump to_NAME
//	                      to_NAME  kept_NAME, if clients are remembered;
//	                               slots_NAME, then servers_NAME
//	packet to a server
//	   |
//	hairpin       101   to one in the caller's own network: from the called address
//	   |
//	packet out of the node itself
//	   |
//	entry_wake   -300   what is to wake clients is not tracked
//
// Servers have numbers. A server that goes is an element less in servers_NAME, and
// other numbers in some elements of slots_NAME.
const EntryTable = "understudy_entries"

// Names inside the table of entry points.
const (
	mapEntries    = "entries" // address . protocol . ports -> jump
	mapMarks      = "entry_marks"
	setEntryKeys  = "entry_keys" // the same keys: a set, because only recent kernels let a rule ask a map
	setUnserved   = "unserved"
	setUnservedBy = "unserved_marks"
	setCut        = "cut" // client . port . protocol . address . port of flows whose server has died

	mapSlots   = "slots_"   // slot -> number of a server
	mapServers = "servers_" // number -> address . port
	mapKept    = "kept_"    // client -> number
	prefixTo   = "to_"
	prefixNew  = "new_" // counters

	chainEntries    = "entries"
	chainEntryGuard = "entry_guard"
	chainEntryWake  = "entry_wake"

	counterCut      = "cut_packets"
	counterNobody   = "unserved_packets"
	counterNoFlow   = "unknown_packets"
	counterNoEntry  = "stray_drops"
	priorityEntries = priorityDNAT - 1
)

// cutKept is how long packets of a flow that was cut are answered with a reset: as long
// as it takes the most patient client to say something.
const cutKept = 2 * time.Minute

// keptClients bounds how many clients an entry point remembers.
const keptClients = 1 << 18

func entryTable() *nftables.Table {
	return &nftables.Table{Name: EntryTable, Family: nftables.TableFamilyINet}
}

// jumps tells whether a set's elements are verdicts: the comment of an element is the
// name of the entry point that it leads to.
func jumps(s *nftables.Set) bool { return s.IsMap && s.DataType.Name == nftables.TypeVerdict.Name }

// filled tells whether a set's elements are somebody else's affair: the kernel's, or they
// go by themselves.
func filled(s *nftables.Set) bool { return s.HasTimeout }

// formOf is the whole table for points.
func formOf(points []entry.Point, unknown Unknown) (f wanted) {
	guard := chain{name: chainEntryGuard, kind: nftables.ChainTypeFilter, hook: nftables.ChainHookPrerouting, priority: priorityStray,
		rules: []rule{say("of known flows", do(&expr.Ct{Key: expr.CtKeySTATE, Register: word(0)},
			masked(0, binaryutil.NativeEndian.PutUint32(strange)...), equal(0, 0, 0, 0, 0), accept()))}}
	into := chain{name: chainEntries, kind: nftables.ChainTypeNAT, hook: nftables.ChainHookPrerouting, priority: priorityEntries}
	wake := chain{name: chainEntryWake, kind: nftables.ChainTypeFilter, hook: nftables.ChainHookOutput, priority: priorityRaw}
	for _, y := range entryFamilies(points) {
		guard.rules = append(guard.rules, y.entryGuardRules()...)
		into.rules = append(into.rules, y.entryRules()...)
		wake.rules = append(wake.rules, y.wakeRule())
		f.sets = append(f.sets, y.entrySets(points)...)
	}
	f.addHairpin(points)
	for _, p := range points {
		one := pointForm(p)
		f.chains, f.sets, f.counters = append(f.chains, one.chains...), append(f.sets, one.sets...), append(f.counters, one.counters...)
	}
	f.chains = append(f.chains, unknownChain(unknown), guard, into, wake)
	f.counters = append(f.counters, counterCut, counterNobody, counterNoFlow, counterNoEntry)
	return f
}

// addHairpin adds what flows need whose client is in the network of its server, as those
// of mappings do (hairpin.go).
func (w *wanted) addHairpin(points []entry.Point) {
	ch := chain{name: chainHairpin, kind: nftables.ChainTypeNAT, hook: nftables.ChainHookPostrouting, priority: priorityHairpin}
	for _, f := range entryFamilies(points) {
		var links []netip.Prefix
		for _, p := range points {
			if p.Six == f.six {
				links = append(links, p.Links...)
			}
		}
		slices.SortFunc(links, netip.Prefix.Compare)
		if links = slices.Compact(links); len(links) > 0 {
			ch.rules = append(ch.rules, f.hairpinRules()...)
			w.sets = append(w.sets, f.linksSet(entryTable(), links))
		}
	}
	if len(ch.rules) > 0 {
		w.chains, w.sets = append(w.chains, ch, redirectChain()), append(w.sets, transportsSet(entryTable()))
	}
}

// entryFamilies are those that points are of.
func entryFamilies(points []entry.Point) (out []family) {
	for _, f := range []family{{}, {true, "6"}} {
		if slices.ContainsFunc(points, func(p entry.Point) bool { return p.Six == f.six }) {
			out = append(out, f)
		}
	}
	return out
}

func pointFamily(p entry.Point) family {
	if p.Six {
		return family{true, "6"}
	}
	return family{}
}

func (f family) entryKey() nftables.SetDatatype {
	return concat(f.address(), nftables.TypeInetProto, nftables.TypeInetService)
}

// entrySets are those that all points of the family share.
func (f family) entrySets(points []entry.Point) []set {
	t := entryTable()
	byKey := func(name string) *nftables.Set { return f.byKey(t, f.name(name)) }
	into, marks := verdicts(byKey(mapEntries)), verdicts(&nftables.Set{Table: t, Name: f.name(mapMarks), KeyType: nftables.TypeMark})
	var of []entry.Point
	for _, p := range points {
		if p.Six == f.six {
			of = append(of, p)
		}
	}
	all := func(entry.Point) bool { return true }
	unserved := func(p entry.Point) bool { return !p.Serves() }
	return []set{
		{into, keyElements(of, all, true)},
		{byKey(setEntryKeys), keyElements(of, all, false)},
		{byKey(setUnserved), keyElements(of, unserved, false)},
		{marks, markElements(of, all, true)},
		{&nftables.Set{Table: t, Name: f.name(setUnservedBy), KeyType: nftables.TypeMark}, markElements(of, unserved, false)},
		{f.cutSet(), nil},
	}
}

// byKey is a set of keys of entry points.
func (f family) byKey(t *nftables.Table, name string) *nftables.Set {
	return &nftables.Set{Table: t, Name: name, Interval: true, Concatenation: true, KeyType: f.entryKey()}
}

// verdicts makes a map to chains of a set.
func verdicts(s *nftables.Set) *nftables.Set {
	s.IsMap, s.DataType = true, nftables.TypeVerdict
	return s
}

// pointName is what an error calls an element of an entry point.
type pointName string

func (n pointName) String() string { return "entry " + string(n) }

// keyElements are the keys of the points that are taken and have an address; named has
// each say whose it is.
func keyElements(points []entry.Point, take func(entry.Point) bool, named bool) (out []element) {
	for _, p := range points {
		if m := p.Match; m.Address.IsValid() && take(p) {
			e := element{
				key:   addressKey(m.Address) + octet(byte(m.Proto)) + port(m.Ports.First),
				end:   addressKey(m.Address) + octet(byte(m.Proto)) + port(m.Ports.Last),
				owner: pointName(p.Name),
			}
			if named {
				e.comment = p.Name
			}
			out = append(out, e)
		}
	}
	return out
}

func markElements(points []entry.Point, take func(entry.Point) bool, named bool) (out []element) {
	for _, p := range points {
		if !p.Match.Address.IsValid() && take(p) {
			e := element{key: number(p.Match.Mark), owner: pointName(p.Name)}
			if named {
				e.comment = p.Name
			}
			out = append(out, e)
		}
	}
	return out
}

// number is one of the host's, as the kernel computes with it.
func number(n uint32) string { return string(binaryutil.NativeEndian.PutUint32(n)) }

// legible copies what a map has said from one word into another, and with it the word
// before each. Nothing is won by it in the kernel; but nft 1.0.6 (Debian 12) ends in an
// assertion when it lists a rule that asks a map by what a map has said. So it is told of
// a constant in the word, and does not notice that it is overwritten.
func legible(from, to uint32) []expr.Any {
	pass := []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
	return do(&expr.Immediate{Register: word(to), Data: []byte(number(0))},
		&expr.Bitwise{SourceRegister: word(from - 1), DestRegister: word(to - 1), Len: 8, Mask: pass, Xor: make([]byte, 8)})
}

func (f family) cutSet() *nftables.Set {
	return &nftables.Set{Table: entryTable(), Name: f.name(setCut), Concatenation: true, HasTimeout: true, Timeout: cutKept,
		KeyType: concat(f.address(), nftables.TypeInetService, nftables.TypeInetProto, f.address(), nftables.TypeInetService)}
}

func keptSet(t *nftables.Table, p entry.Point) *nftables.Set {
	return &nftables.Set{Table: t, Name: mapKept + p.Name, IsMap: true, Dynamic: true, HasTimeout: true, Size: keptClients,
		Timeout: p.Persist, KeyType: pointFamily(p).address(), DataType: nftables.TypeMark}
}

// pointForm is what one entry point needs beside what all share.
func pointForm(p entry.Point) wanted {
	f := pointFamily(p)
	servers := &nftables.Set{Table: entryTable(), Name: mapServers + p.Name, IsMap: true, KeyType: nftables.TypeMark, DataType: f.address()}
	if !p.KeepsPort() {
		servers.DataType = concat(f.address(), nftables.TypeInetService)
	}
	slots := &nftables.Set{Table: entryTable(), Name: mapSlots + p.Name, IsMap: true, KeyType: nftables.TypeMark, DataType: nftables.TypeMark}
	out := wanted{
		chains:   []chain{{name: prefixTo + p.Name, rules: f.pointRules(p)}},
		sets:     []set{{slots, slotElements(p)}, {servers, serverElements(p)}},
		counters: []string{prefixNew + p.Name},
	}
	if p.Persist > 0 {
		out.sets = append(out.sets, set{keptSet(entryTable(), p), nil})
	}
	return out
}

func slotElements(p entry.Point) []element {
	out := make([]element, len(p.Table.Slots))
	for i, n := range p.Table.Slots {
		out[i] = element{key: number(uint32(i)), val: number(uint32(n)), owner: pointName(p.Name)}
	}
	return out
}

// serverElements are those of servers that may have clients.
func serverElements(p entry.Point) (out []element) {
	for i, a := range p.Servers {
		if !p.Table.Live[i] {
			continue
		}
		e := element{key: number(uint32(i)), val: addressKey(a.Addr()), owner: pointName(p.Name)}
		if !p.KeepsPort() {
			e.val += port(a.Port())
		}
		out = append(out, e)
	}
	return out
}

// flowKey is the key of a flow that was cut: from client to entry point.
func flowKey(client, to netip.AddrPort, proto uint8) string {
	return addressKey(client.Addr()) + port(client.Port()) + octet(proto) + addressKey(to.Addr()) + port(to.Port())
}

// Rules. They are compared by their comments alone (see words.go), which therefore say
// all that can differ.

// entryRules find out whose a packet is.
func (f family) entryRules() []rule {
	return []rule{
		say("whose address"+f.suffix, f.is(), f.forwardKey(), do(jumpBy(f.name(mapEntries)))),
		say("whose mark"+f.suffix, f.is(), do(metaKey(expr.MetaKeyMARK, 0), jumpBy(f.name(mapMarks)))),
	}
}

// jumpBy goes to the chain that the verdict map holds for the words from 0.
func jumpBy(m string) expr.Any {
	return &expr.Lookup{SetName: m, SourceRegister: word(0), DestRegister: unix.NFT_REG_VERDICT, IsDestRegSet: true}
}

// entryGuardRules judge what belongs to no known flow.
func (f family) entryGuardRules() []rule {
	n := f.words()
	key := f.forwardKey()
	unreachable := &expr.Reject{Type: unix.NFT_REJECT_ICMPX_UNREACH, Code: unix.NFT_REJECT_ICMPX_PORT_UNREACH}
	unserved := func(how string, what, of, by []expr.Any, answer expr.Any) rule {
		return say("nobody serves: "+how+f.suffix, f.is(), what, ctState(expr.CtStateBitNEW), of, by, do(count(counterNobody), answer))
	}
	byKey := append(slices.Clone(key), within(f.name(setUnserved)))
	byMark := do(metaKey(expr.MetaKeyMARK, 0), within(f.name(setUnservedBy)))
	return []rule{
		say("its server has died"+f.suffix, f.is(), protocol(protoTCP), noSYN(),
			do(f.saddr(0), sport(n), l4proto(n+1), f.daddr(n+2), dport(2*n+2), within(f.name(setCut)), count(counterCut), tcpReset())),
		say("invalid, to an entry point"+f.suffix, f.is(), ctState(expr.CtStateBitINVALID), key,
			do(within(f.name(setEntryKeys)), count(counterNoEntry), drop())),
		say("in the middle of a connection through an entry point that is not known"+f.suffix, f.is(), protocol(protoTCP),
			ctState(expr.CtStateBitNEW), notSYN(), key, do(within(f.name(setEntryKeys)), count(counterNoFlow), jump(chainUnknown))),
		unserved("tcp, by address", protocol(protoTCP), nil, byKey, tcpReset()),
		unserved("all else, by address", nil, nil, byKey, unreachable),
		unserved("tcp, by mark", protocol(protoTCP), nil, byMark, tcpReset()),
		unserved("all else, by mark", nil, nil, byMark, unreachable),
	}
}

// noSYN asks for a segment that does not open a connection.
func noSYN() []expr.Any { return []expr.Any{transport(13, 1, 0), masked(0, tcpSYN), equal(0, 0)} }

// wakeRule keeps what is sent to wake a client from being tracked: its answer is to be of
// no known flow. An ABORT of SCTP begins none.
func (f family) wakeRule() rule {
	n := f.words()
	return say("to wake a client"+f.suffix, f.is(), protocol(protoTCP),
		do(f.daddr(0), dport(n), l4proto(n+1), f.saddr(n+2), sport(2*n+2), within(f.name(setCut)), &expr.Notrack{}))
}

// pointRules assign a flow. A set that is full ends a rule, so the last one does without
// remembering.
func (f family) pointRules(p entry.Point) (out []rule) {
	n, t := f.words(), p.Table
	form := fmt.Sprintf(" (ipv%d)", map[bool]int{false: 4, true: 6}[p.Six])
	if p.KeepsPort() {
		form = strings.TrimSuffix(form, ")") + ", the port that was called)"
	}
	// From word i on there is the server.
	to := func(i uint32) expr.Any {
		nat := &expr.NAT{Type: expr.NATTypeDestNAT, Family: f.nfproto(), RegAddrMin: word(i), RegAddrMax: word(i)}
		if !p.KeepsPort() {
			nat.RegProtoMin, nat.RegProtoMax = word(i+n), word(i+n)
		}
		return nat
	}
	lookup := func(m string, from, to uint32) expr.Any {
		return &expr.Lookup{SetName: m + p.Name, SourceRegister: word(from), DestRegister: word(to), IsDestRegSet: true}
	}
	// The client is in words 0 to n-1, what says the number of its server in got, the
	// number in num, the server in srv and behind.
	got, num, srv := n+1, n+3, n+4
	kept := func(op uint32) expr.Any {
		return &expr.Dynset{SrcRegKey: word(0), SrcRegData: word(num), SetName: mapKept + p.Name, Operation: op}
	}
	keep := kept(unix.NFT_DYNSET_OP_UPDATE)
	before := do(&expr.Immediate{Register: word(got - 1), Data: []byte(number(0))})
	server := do(lookup(mapServers, num, srv))
	out = append(out, say("new flows", do(count(prefixNew+p.Name))))
	if t.Remember {
		out = append(out, say("where its "+clientText(p)+" is noted to be"+form, before, f.client(p), do(lookup(mapKept, 0, got)), legible(got, num), server, do(keep, to(srv))))
	}
	slot := append(before, append(f.slot(p, got), lookup(mapSlots, got, got))...)
	slot = append(slot, legible(got, num)...)
	how := "in turn"
	switch {
	case t.ByPort:
		how = "by " + clientText(p) + " and port"
	case t.ByClient:
		how = "by " + clientText(p)
	}
	what := fmt.Sprintf("%s of %d slots%s", how, len(t.Slots), form)
	if t.Remember {
		remembered := ", remembered"
		if p.PersistPrefix > 0 {
			remembered += " by " + clientText(p)
		}
		// What is remembered names a server that is gone, and would not be replaced.
		out = append(out, say(what+remembered, slot, f.client(p), do(kept(nftDynsetDelete), keep), server, do(to(srv))))
	}
	return append(out, say(what, slot, server, do(to(srv))))
}

// client puts into the words from 0 on what the packet's client is remembered by, as
// [entry.Point.Client] says.
func (f family) client(p entry.Point) []expr.Any {
	if p.PersistPrefix == 0 {
		return do(f.saddr(0))
	}
	return do(f.saddr(0), masked(0, net.CIDRMask(p.PersistPrefix, int(32*f.words()))...))
}

// clientText is what a rule's comment calls it.
func clientText(p entry.Point) string {
	if p.PersistPrefix == 0 {
		return "client"
	}
	return fmt.Sprintf("client's /%d", p.PersistPrefix)
}

// nftDynsetDelete is NFT_DYNSET_OP_DELETE (linux/netfilter/nf_tables.h).
const nftDynsetDelete = 2

// slot puts one into word i. It uses the words below it.
func (f family) slot(p entry.Point, i uint32) []expr.Any {
	switch size := uint32(len(p.Table.Slots)); {
	case size <= 1:
		return do(&expr.Immediate{Register: word(i), Data: []byte(number(0))})
	case p.Table.ByClient:
		key, words := f.client(p), f.words()
		if p.Table.ByPort {
			key, words = append(key, sport(words)), words+1
		}
		return append(key, &expr.Hash{SourceRegister: word(0), DestRegister: word(i), Length: 4 * words,
			Modulus: size, Seed: entry.ClientSeed, Type: expr.HashTypeJenkins})
	default:
		return do(&expr.Numgen{Register: word(i), Modulus: size, Type: unix.NFT_NG_INCREMENTAL})
	}
}
