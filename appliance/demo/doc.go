// Package demo is `understudy demo`: two gateways, a host inside and one outside
// in network namespaces of this machine, traffic through them, and then one of
// the gateways dies.
//
//	build ─ start ─ settle ─ traffic ─┬─ crash ─ return ─┬─ reload ─ restart ─ upgrade ─ hand-over ─ report
//	                                  └──── Crashes ─────┘
//
//	crash      the active gateway's processes frozen, its cables cut, then killed
//	return     it boots, starts, catches up, and takes its role back
//	reload     another configuration on both, which has an address and forwards more
//	restart    the active gateway's daemon started anew, under its election
//	upgrade    another file of the program; daemon and election of both exchanged
//	hand-over  `understudy failover`
//
// Reload, restart and upgrade are to leave the role where it is: a change of state on
// either gateway makes the demo fail.
//
// Every event is preceded by two seconds in which nothing happens; the longest
// silences in them are the noise that the outages are to be read against. A
// flow that stood a second before the first crash and does not stand, or is not
// whole, at the end is lost.
//
// What is measured is the real program ([pair.Options].Binary, by default the
// running one) in processes of its own.
package demo
