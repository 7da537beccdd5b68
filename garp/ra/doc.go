// Package ra decides what router advertisements (RFC 4861, 6.2) a virtual router
// sends while it is Active, and when.
//
// A host learns from them its way out, its prefixes and its DNS servers. A virtual
// router advertises in its own name: from its link-local address and, with a
// virtual MAC, from that. So what a host has learned stays true at a failover, and
// all routers of a virtual router have to say the same (RFC 9568, 8.2.3). Two
// things follow. One that stops being Active falls silent, and does not say that
// it ceases to be a router: its successor speaks for the same router. And the
// successor need not wait: its first advertisement goes out at once.
//
//	             Start                     3 sent            every Min..Max
//	silent ──────────────▶ initial (≤ 16 s apart) ──▶ advertising ◀──┐
//	  ▲  ▲                     │        │                  └─────────┘
//	  │  └──────── Stop ───────┴────────┤
//	  └─ 3 with lifetime 0, 3 s apart ◀─┘ Cease: for good
//
// A Router Solicitation is answered within half a second, to all nodes, so that
// one answer does for all who ask; two advertisements are at least 3 s apart,
// whoever asks how often. What is remembered is one time, whatever comes in.
//
// The package has no clock and no dice: both are given. Package ranet makes the
// octets and sends them.
package ra
