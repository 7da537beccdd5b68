package nft

import (
	"fmt"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"

	"understudy/nat"
)

// Bits of ct event (enum ip_conntrack_events). When one of them is wanted of a
// packet, its message tells of everything that the packet has changed.
const (
	eventRelated   = 1 << 1 // a flow that another one expected has begun
	eventDestroy   = 1 << 2
	eventReply     = 1 << 3
	eventAssured   = 1 << 4
	eventProtoinfo = 1 << 5 // the state of TCP, SCTP or DCCP
	eventHelper    = 1 << 6 // told once, as the flow begins
	eventMark      = 1 << 7
	eventSeqadj    = 1 << 8
	eventLabel     = 1 << 10

	// eventsFew is what is needed of a flow that is being set up. Not that it
	// is new, or answered: it is not worth a word before it is assured, and
	// then all of its state is told.
	eventsFew = eventRelated | eventDestroy | eventAssured | eventHelper | eventMark | eventSeqadj | eventLabel
	// eventsMost leaves out that a flow is new.
	eventsMost = eventsFew | eventReply | eventProtoinfo
	eventsNone = 0
)

// priorityEvents is where connection tracking (-200) has been, and before other
// rules: a packet's event is made when it leaves the last hook.
const priorityEvents nftables.ChainPriority = -150

const (
	tcpFIN = 0x01
	tcpSYN = 0x02
	tcpRST = 0x04
)

// eventChains set of which packets of which flows the kernel makes events. Only
// what is forwarded is anybody else's business. A flow that began before the
// rules, or in its middle, makes all its events until a packet says otherwise.
//
// Of TCP the packets in the middle of a connection change nothing, and leave by the
// first rule: it is what the rules cost a stream. The handshake's packets are not
// told; the third, which is none of those, makes the flow assured. FIN and RST
// switch on the states behind them.
func eventChains(e *nat.Events) []chain {
	forward := chain{name: chainEvents, kind: nftables.ChainTypeFilter, hook: nftables.ChainHookForward, priority: priorityEvents}
	add := func(r ...rule) { forward.rules = append(forward.rules, r...) }
	add(say("TCP in its middle: nothing changes", protocol(protoTCP), tcpFlags(tcpFIN|tcpSYN|tcpRST, false), do(accept())))
	if len(e.Never) > 0 {
		add(say("flows that nobody is told of", calls(setNever), events(eventsNone), do(accept())))
	}
	if e.Early {
		return append([]chain{forward}, localChains()...)
	}
	add(say(told("TCP until it is established", eventsFew), protocol(protoTCP), tcpFlags(tcpSYN, true), events(eventsFew), do(accept())),
		say(told("TCP that ends", eventsMost), protocol(protoTCP), events(eventsMost), do(accept())))
	if len(e.Late) > 0 {
		add(say(told("flows that are told of once they last", eventsFew), ctState(expr.CtStateBitNEW), calls(setLate), events(eventsFew), do(accept())))
	}
	add(say(told("all others, from the first answer on", eventsMost), ctState(expr.CtStateBitNEW), events(eventsMost)))
	return append([]chain{forward}, localChains()...)
}

// told adds to a comment what cannot be read from the rule: see words.go.
func told(comment string, mask uint32) string { return fmt.Sprintf("%s (%#x)", comment, mask) }

// localChains: flows with an end in the node itself are of no use elsewhere: the
// link to the peer, adverts, management.
func localChains() (out []chain) {
	for _, c := range []struct {
		name string
		hook *nftables.ChainHook
	}{{chainEventsIn, nftables.ChainHookInput}, {chainEventsOut, nftables.ChainHookOutput}} {
		out = append(out, chain{name: c.name, kind: nftables.ChainTypeFilter, hook: c.hook, priority: priorityEvents,
			rules: []rule{say("flows of the node itself", ctState(expr.CtStateBitNEW), events(eventsNone))}})
	}
	return out
}

// events sets which events the packet's flow makes from now on.
func events(mask uint32) []expr.Any {
	return []expr.Any{
		&expr.Immediate{Register: word(0), Data: binaryutil.NativeEndian.PutUint32(mask)},
		&expr.Ct{Key: expr.CtKeyEVENTMASK, SourceRegister: true, Register: word(0)},
	}
}

// tcpFlags asks whether one of the flags is set, or none.
func tcpFlags(flags byte, set bool) []expr.Any {
	compare := equal
	if set {
		compare = differ
	}
	return []expr.Any{transport(13, 1, 0), masked(0, flags), compare(0, 0)}
}

// calls asks whether the flow's protocol and the port that its first packet went
// to are in the set: both of its directions are.
func calls(set string) []expr.Any {
	const original = 0 // IP_CT_DIR_ORIGINAL
	return []expr.Any{l4proto(0), &expr.Ct{Key: expr.CtKeyPROTODST, Register: word(1), Direction: original}, within(set)}
}

func callsSets(e *nat.Events) (out []set) {
	for _, s := range []struct {
		name  string
		calls []nat.Calls
	}{{setNever, e.Never}, {setLate, e.Late}} {
		if len(s.calls) == 0 || s.name == setLate && e.Early {
			continue // no rule asks it
		}
		out = append(out, set{&nftables.Set{Table: ourTable(), Name: s.name, Interval: true, Concatenation: true,
			KeyType: concat(nftables.TypeInetProto, nftables.TypeInetService)}, callsElements(s.calls)})
	}
	return out
}

func callsElements(list []nat.Calls) []element {
	out := make([]element, len(list))
	for i, c := range list {
		out[i] = element{
			key:   octet(byte(c.First)) + port(c.Ports.First),
			end:   octet(byte(c.Last)) + port(c.Ports.Last),
			owner: c,
		}
	}
	return out
}
