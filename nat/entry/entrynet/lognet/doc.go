// Package lognet captures protected connections for package bytelog on a Linux gateway.
//
//	lan0 ── ingress, egress: copies of protected flows (nftables) ─▶ us-log ── us-log-end: dropped
//	                                                                   │
//	                                         ring of a packet socket ◀─┘ ─▶ bytelog.Log
//
// The side device is one end of a veth. The ring is on the end that copies leave by: they are in it
// in the order in which they passed, before a queue that could lose them. Packets of other
// connections never come near it.
//
// Nothing here waits for the log: if it is too slow, the ring is full and packets are lost to it,
// which it is told of, and the flows go on.
//
// The methods of a [Capture] may be called from several goroutines. They need CAP_NET_ADMIN and
// CAP_NET_RAW.
package lognet
