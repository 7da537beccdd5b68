// Package bonds holds the tests of a gateway on aggregated links, with the kernel's
// bonding and team drivers: they run in the guest (package guest). The program is
// the real one, on two gateways; at the other end of the links is an actor of ours,
// another kernel bond, or teamd.
//
//	client ── lan ──┬── lan0 gw  eth0…3 ═══ p0…3 ═ lag ┐
//	                │                                  ├ core  sw, who answers
//	                └── lan0 gw2 wan0 ──────── w0 ─────┘
//
// What happens to links is a trouble: what begins and ends it, and what is to be
// found of it. Each is followed through the election to the traffic.
package bonds
