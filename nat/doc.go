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
// A plan has these parts.
//
// Sources (RFC 3022 NAPT): a flow from an inside network that leaves by an
// outside interface gets an address of the gateway pair and a port, or ICMP
// identifier, of a pool. The address is always named: masquerading would choose
// the node's own primary address, which dies with the node. Of several addresses
// a host has always the same one.
//
// Statics (RFC 3022 basic NAT): addresses and networks one to one, in both directions.
//
// Forwards: a port of an address of the pair is a port of a server, or a range of them.
//
// Exceptions: destinations to which flows from inside keep their source.
//
// Gates: every address the pair answers for, with the group it moves with, and Blocks:
// networks that others route to the pair. A group's gate is closed while this node is
// not its Active.
//
// What applies to a flow is looked for in this order: exceptions, forwards, statics,
// sources.
//
// Links: a host that calls a mapped address of which the server is in its own network
// (hairpin) is given that address as its source, so that the server does not answer it
// directly, past the gateway.
//
// The leak guard has no knobs here: it follows from the mappings, and
// only ever judges traffic that one of them translates ([Plan.Guard]).
//
// The package is pure: no sockets, no clock, no goroutine. What else
// the file will be able to say becomes a further field of Config, a further slice of
// Plan and a further map in the applier, beside the ones here.
//
// Not covered: flows that the gateway itself opens to a mapped address are not
// translated. The neutrality to checksums of RFC 6296 (NPTv6) is not kept: bits behind
// the prefix stay as they are, and checksums of the transport are changed.
package nat
