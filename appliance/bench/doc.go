// Package bench is `understudy bench`: what a crash costs, and what sessions
// cost, measured with the real program on the two-gateway network of
// [understudy/appliance/lab/pair].
//
//	crash.go     the outage that traffic feels, beside the protocol's bound and
//	             the noise; software.go has what can be compared
//	takeover.go  how long the survivor takes to be the gateway, by the number of
//	             sessions; wire.go reads it off the wire
//	size.go      memory and processor time of the daemons per session
//	outage.go    the outage of a crash beside keepalived's, each crash at the same
//	             distance from an advert (tap.go), on gateways that have just
//	             booted (stage.go); setup.go has one configuration for both
//	release.go   what is lost when the active gateway gives up in good order
//	shut.go      many virtual MACs given up at once, on gateways with any number of
//	             routers (ground.go); volley.go sends frames by the thousand
//	scale.go     processor time and memory by the number of virtual routers
//	mass.go      takeover of many addresses: in the kernel (addresses.go), on the wire
//	load.go      takeovers that nothing but load has caused; keeper.go holds the
//	             machine's limits meanwhile
//	checks.go    what thousands of checks cost, beside keepalived's checker, which is made
//	             to believe in IPVS where there is none (pretend.go)
//	flood.go     forged and malformed adverts (forge.go) by the thousand
//	matrix.go    crashes at random moments, and what became of flows of every class:
//	             many calls (calls.go) to one far end (far.go), new ones in an open
//	             loop (storm.go), flows of kinds of their own (lasting.go); verdict.go
//	             decides, named.go reads the survivor's report
//	modes.go     what each mode of replication costs, takes and loses (plane.go)
//	versus.go    the same beside conntrackd; truths.go compares tables
//	steering.go  entry points: how even each way to steer is, and who moves
//	death.go     a server dies under its connections
//	transport.go connections that outlive their server: how long clients wait
//	             (transport_stall.go), what packets and connections cost (transport_packets.go)
//	bed.go       two gateways and a program that replicates: bed_ours.go,
//	             bed_conntrackd.go; lives.go, packets.go and connections.go make sessions
//	mappings.go  many mappings of addresses: load, change, and what a flow pays
//	stats.go, proc.go, machine.go, flows.go, text.go
//
// # What is measured
//
// An outage is the longest silence of a datagram each millisecond, and holds what
// this machine's scheduler adds: the same figure of the second before is printed
// beside it. Both directions are measured, the longer one counts.
//
// A takeover begins with the survivor's first advert and ends with the first
// announcement of the last address. Both are frames on a segment, stamped by the
// kernel; nothing that the program says about itself goes into it. The gate is
// opened before the first address is added, so it is open by then.
//
// Memory is the difference of the daemon's anonymous resident memory, processor
// time that of utime and stime less what the idle daemon uses. Sessions are put
// into the active gateway's kernel by ctnetlink, as established flows: to whoever
// listens for events that is what traffic looks like, and it costs the shared
// processors little. A standby that sees packets, and is told of nothing, does not see
// that: for mode active connections of real packets are made by hand (connections.go).
//
// A flow that a crash must not lose is one that the standby's kernel had when the
// active gateway's processes stopped, all by one system call; or one that is so old
// that the active gateway had said it was applied. Whether it goes on is found out by
// using it: the far end must be the same, and see it by the same translation. What
// replication costs is the processor time of all processes of a program, and the
// growth of the counters of the link's interface: Ethernet, IP, TCP, TLS and all.
//
// All of it shares one machine, its processors and its connection table (whose
// buckets all namespaces share): the number of sessions is bounded by that table,
// and said.
package bench
