// Package entrynet is what an entry point does to flows: it finds those of a server in the
// kernel's table, ends them, and wakes their clients; it counts them; and it learns from
// them which server a client goes to.
//
//	server dies ─▶ Cut: dump ─▶ (nftables: answer them with a reset) ─▶ delete ─▶ wake
//
// A client that is waiting for its server says nothing, and so would hear nothing. It is
// woken by one segment of its connection with a sequence number out of its window: TCP
// answers that with its own state of things (RFC 9293 section 3.10.7.4), which arrives as
// a packet of a flow that was cut, and is answered with a reset that fits it.
//
// Methods are not safe for concurrent use. They need CAP_NET_ADMIN and CAP_NET_RAW.
package entrynet
