// Package session is what a session of a NAT gateway is, and how gateways agree
// on the set of them. It is pure: no sockets, no goroutines, no clock.
//
//	kernel events, dumps                                 kernel of the standby
//	        |                                                      ^
//	        v            dirty, per peer             dirty         |
//	     Table ----------> Sender ~~~ frames ~~~> Receiver ---> Table
//	                          ^                      |
//	                          '~~~ acknowledgements ~'
//
// A [Record] is one flow. A [Table] holds those of the node's own groups and,
// while it stands by, those of its peers'. Each record belongs to a group, the
// one that holds its NAT address ([Scope]); whoever is Active for a group owns
// all its records ([Groups]): ownership moves by raising the group's term, not
// by touching records.
//
// # State, not log
//
// Whoever must hear of changes is a sink: the peers, and on a standby the
// kernel. A record that changes gets a dirty bit for each sink and a place in
// its queue; when the sink's turn comes it is told the state of that moment. A
// slow sink costs one queue item a record, however often it changes. A deleted
// record stays as a tombstone until every sink knows. Nothing is ever sent
// again: a new connection begins with a full transfer (BEGIN, all records, END),
// after which the receiver sweeps what it was not sent.
//
// # Modes
//
// How changes are told is a set of [Knobs], and each approach to checkpointing that
// the literature knows a row of them ([KnobsOf]): what makes a sender let go of what
// waits (a clock, a count, a flow that depends on another), how the kernel's changes
// are found, from when on a flow counts, and what makes a change safe. What is held
// back is the end of the sender's queue: it coalesces there, and is let go in order
// ([Sender.Release]; see held.go).
//
// A standby's kernel is told of sessions as they come, unless their group is cold:
// then they are mustered when this node becomes Active ([Table.Muster]).
//
// The disk is a sink like a peer: a [Journal] writes it, and a [Restore] puts back what
// it says after a power cut of all nodes. See docs/journal.md.
//
// # Memory
//
// The table stores an IPv4 record in 60 bytes, plus 5 to 10 of the index, in
// chunks that the collector does not look into; the rest of IPv6 addresses and
// what few flows have (SCTP, sequence adjustment, labels, a helper, a master) stands
// aside, and so does what very few expect ([Expect]).
//
// # Wire
//
// A frame is a header of 8 bytes (version, type, two zero, 32 bits of length)
// and a payload. Integers are in network byte order or unsigned varints. One
// connection serves one direction:
//
//	sender                          receiver
//	HELLO ------------------------> node, boot, features, configuration hash,
//	     <------------------- HELLO groups with terms, size of the kernel's table
//	TERM(group, term, active)
//	BEGIN(group, term, generation, count)
//	RECORDS(group, term, records)   upserts and deletions, in order
//	END(group, term, generation, tally)     the receiver sweeps: in sync
//	RECORDS ...
//	AUDIT(group, term, tally)       now and then: is your set what mine is?
//	     <------- ACK(received, applied)    counts of the frames above
//	     <------------- RESYNC(group, flags)
//	KEPT(group, term, records)  answer to RESYNC with flag 1; none: that was all
//	DIGEST(group, term, sums)   answer to RESYNC with flag 2: parts of the tally
//	BUCKETS(group, term, buckets) RECORDS ... BUCKETS    to flag 4: those parts anew
//	     <------------- REFUSAL(group, reason, keys)     what is not taken, and why
//	PING / PONG
//	MOVE(token)               this connection goes on elsewhere, see move.go
//	DIGEST, QUERY / INVENTORY       what do you have? (for people: see survey.go)
//
// docs/session-protocol.md is precise about all of it.
//
// Frame types, the attributes of a record and of HELLO have a critical bit: an
// unknown one passes without it; with it the frame ends the connection, the
// record is skipped and counted. So version N talks to N-1. A frame of a group
// carries the term of its sender's claim; a lower one than known is refused.
//
// To a peer that says so in its HELLO, RECORDS go as PACKED: without what each record
// has in common with the one before it. See pack.go.
//
// RESYNC asks for a full transfer; with flag 1, for the records that the sender
// has kept of a group that it owned last and does not any more. A node asks for
// them that became Active without having them all; until it has the answer it
// begins no transfer, so that nothing of them is swept. It takes those it does
// not know. KEPT is no claim, and a peer from before there was one ignores the
// flag and does not answer: it is not waited for.
package session
