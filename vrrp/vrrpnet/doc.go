// Package vrrpnet connects the election to the wire: it receives and sends VRRP
// packets and tells how the interfaces under them are doing. It decides nothing.
//
//	           +-------------------------------+
//	wire ----> | Port: AF_PACKET, one for each | ----> IP packet, receive time
//	wire <---- | (interface, family)           | <---- IP packet
//	           +-------------------------------+
//	           +-------------------------------+
//	kernel --> | Watcher: rtnetlink            | ----> Link: up, index, primary address
//	           +-------------------------------+
//
// A filter in the kernel keeps away what is for no VRID of the port or came with
// another TTL, so a flood of that costs next to nothing. A second socket holds
// some of it, for counters: all of it, or a random sample.
//
// What goes to single routers leaves by a raw IP socket of the port, whose way the
// kernel finds. Adverts of version 2 may come in an authentication header (protocol
// 51); the packet socket has those too, and whether they are genuine is not looked at here.
//
// Why packet sockets and not raw IP sockets: the source MAC can be the virtual
// one, the checksum of a bad IPv6 packet reaches our counters instead of being
// dropped by the kernel, and an interface in the middle of losing its address
// can still say goodbye.
//
// Every descriptor is non-blocking and meant for one poll loop on one thread.
// Nothing here starts a goroutine, and after opening nothing allocates: the loop
// runs without a garbage collector. A Port lives as long as one incarnation of
// its interface (an index); when the Watcher shows a new index, open a new Port.
//
// Addresses are in network byte order inside packets, times are time.Time with a
// monotonic reading, interface indexes are the kernel's.
package vrrpnet
