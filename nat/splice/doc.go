// Package splice has an established TCP connection of an entry point go on at another server
// when the one that it was assigned to has died: the lazy form of transport failover
// (transparent connection failover). Nothing of the connection was logged but how far it was:
//
//	the kernel's notes (Position) ─┐
//	client's segments  ────────────┤                  ┌─▶ segments to the client, to the new server
//	new server's segments ─────────┼─▶ Move.Step ─▶ Output ─▶ Splice: exchange the kernel's entry
//	the entry is exchanged ────────┤                  └─▶ Refuse: cut it, and why
//	time ──────────────────────────┘
//
// The flow is frozen meanwhile: none of its packets is handed on. The client is asked how far
// it is, by a segment that TCP has to answer (RFC 9293 section 3.10.7.4). The new server is
// opened with the client's own address, port and next sequence number, so that only numbers of
// the server differ: by a constant, which the kernel adds from then on. What the client said
// while it was frozen is handed on.
//
// It can be done if the client has all that the server said, and nothing that the server
// acknowledged is unanswered, as far as a gateway can tell: an answer ends with a segment that
// has PSH. Everything else is refused, with a [Reason].
//
// The package is pure: no sockets, no clock, no goroutine. Sequence numbers are of 32 bits and
// wrap; windows are in the units of their sender; ports and numbers are in host byte order.
package splice
