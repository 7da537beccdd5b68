// Package garpnet sends what package garp decides: ARP announcements and
// unsolicited Neighbor Advertisements, as Ethernet frames on packet sockets.
//
//	[]garp.Claim ──▶ Sender ──┬─▶ lan0 (packet socket)
//	                          └─▶ wan0
//
// One socket an interface is opened when it is first needed. The interface is
// looked up by name before each batch (two ioctls, about a microsecond), so that
// one which was deleted and made again, renamed or given another MAC needs no
// word from anybody: the next frame is right. The sockets receive nothing.
//
// A Sender works in the network namespace of the thread that called [New] and
// later SendAll: a program that switches namespaces must keep them the same.
package garpnet
