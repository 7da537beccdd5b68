// Package nat models the address translation of a gateway as a value: what the
// file asks for ([Config]), what is wrong with it ([Check]), and the sorted,
// comparable [Plan] that an applier brings into the kernel and that [Diff]
// compares across a reload.
//
//	Config --Check--> []Problem          (each names its mapping and the fix)
//	   |
//	   +---New----> Plan --String()-----> golden text, equality
//	                  |---Pools()-------> ports that belong to translated flows
//	                  +---Diff(have)----> what a reload changes
//
// A plan has three parts.
//
// Sources (RFC 3022 NAPT): a flow from an inside network that leaves by an
// outside interface gets an address of the gateway pair and a port, or ICMP
// identifier, of a pool. The address is always named: masquerading would choose
// the node's own primary address, which dies with the node.
//
// Forwards: a port of an address of the pair is a port of a server.
//
// Gates: every address the pair answers for, with the group it moves with. A
// group's gate is closed while this node is not its Active.
//
// The leak guard has no knobs here: it follows from sources and forwards, and
// only ever judges traffic that one of them translates ([Plan.Guard]).
//
// The package is pure: no sockets, no clock, no goroutine. IPv4 only; what else
// the file will be able to say (1:1 mappings, entry points with several servers,
// IPv6) becomes a further field of Config, a further slice of Plan and a further
// map in the applier, beside the ones here.
//
// Not covered: a client inside that uses a forward's outside address to reach a
// server in its own network (hairpin). The server would answer it directly, past
// the gateway, so the connection does not come up. Flows that the gateway itself
// opens to a forwarded port are not translated either.
package nat
