// Package lacpnet connects package lacp to the kernel: how bonds and teams stand,
// and what passes on their members. It judges nothing.
//
//	rtnetlink: link notices, and each second ──▶ Watcher ──▶ Seen:  lacp.Bond
//	/proc/net/bonding, generic netlink "team" ──▶    │
//	AF_PACKET, one for each member ──────────────────┴─────▶ Frame: in or out
//
// A notice of the kernel is only the reason to look: what is told is always read.
// So a carrier that is lost is told at once, and a change of which the kernel
// gives no notice, as most of LACP's, within a second.
//
// # What a member's socket sees
//
// The bonding driver consumes LACPDUs before protocols are asked, so the socket
// takes part where everything is shown (ETH_P_ALL), with a filter for LACP's
// ethertype and group, and a membership of that group; not in promiscuous mode.
// What the port itself sends is shown to such a socket too, and costs the kernel a
// copy of every packet that leaves: so for a bond, whose own end netlink shows,
// that is switched on until one PDU was seen, and again after a change. See
// docs/adr/0034.
//
// # Teams
//
// The team driver knows links, which ports are enabled, and its mode. LACP is in
// teamd's memory: here it is what both ends say on the wire, and a team is one
// with LACP when its ports send LACPDUs. Not to be had without teamd: which
// aggregator a port has selected (a port that is not enabled counts as one that
// does not carry), and teamd's own link watchers other than what follows from
// them, the port's user_linkup.
package lacpnet
