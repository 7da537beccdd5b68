// Package kernel makes this machine hold what an [identity.Identity] says:
// addresses, devices, routes and routing rules by rtnetlink, and the sysctls a
// gateway needs.
//
//	identity (wanted) ─▶ Applier.Apply ─▶ dump ─▶ plan ─▶ batches of 128 ─▶ dump, until nothing is left to do
//	identity ──────────▶ Applier.RemoveMessages ─▶ the bytes of the fence, for another process to send
//	devices ───────────▶ Applier.Prepare ─▶ there, down · Apply: up · Applier.Settle: down again, slowly
//	Watcher.Run ───────▶ Event: an address, route or rule of ours is gone · a link is new, changed, gone
//	Settings ──────────▶ Sysctls.Apply / Restore, previous values kept in a file
//
// # Whose address is it
//
// Each address we add carries [Mark] in IFA_PROTO. Only such addresses are ever
// removed, by Apply, by the fence and by Clean; so a crashed predecessor's are
// known, and an operator's are safe. If an operator's own address equals a
// wanted one (the node is the owner, RFC 9568 1.7), it serves as it is: nothing
// is added, and nothing is removed later.
//
// # With which prefix length
//
// Where the interface already has a subnet that contains the address, it is
// added as a host address (/32, /128). It then is neither the secondary of an
// address that somebody may remove (the kernel would remove ours with it), nor
// can it become the primary of the operator's, and no route comes or goes with
// it. Only where nothing else gives the subnet is the address added as
// written, with its connected route. Several such addresses on one interface are
// primary and secondaries of each other: that is what promote_secondaries in
// [Settings] is for. An address we put there stays in the form it has.
//
// IPv6 addresses are added without duplicate address detection (a takeover must
// not wait a second) and deprecated, so that the gateway does not choose them
// for its own connections.
//
// # Devices
//
// An address with a virtual MAC is on a device: a macvlan in bridge mode on the
// router's interface. It is made beforehand and kept down and without addresses,
// because one that is up forwards what is sent to its MAC, and one that is down
// with addresses answers for them by its parent. Apply brings it up, which is
// quick; taking it down is not, and is left for Settle. Where the parent has a
// subnet that contains the address, that counts as the device's: routes stay on the
// parent. A device is known as ours by its name, which says family and VRID, by
// the MAC that goes with these, and by its link group.
//
// # Routes and rules
//
// Routes are added after the addresses, one of which may be their source, and
// rules after the routes; they go in the reverse order. Their mark is
// [RouteProtocol]. A removal names a route by what no two can have in common, its
// destination, table and metric, and by the mark: so it finds the route whatever
// it does by now, and never somebody else's.
//
// If the operator's own route or rule is the same, it serves as it is. If a route
// of somebody else's has that key and does something else, ours is refused: to
// replace it would be to lose it.
//
// A route none of whose links is up is [Waiting], not refused. The kernel drops it
// when the link goes down, without a word; it is put back by the first Apply after
// the link is up again. What should be a fault has to be tracked. Of several hops
// those whose links are up make the route. What the kernel refuses of routes and
// rules is a [Refusal] in the outcome, and no error: the addresses are there.
//
// # Namespaces
//
// Everything works in the network namespace of the thread that called Open,
// except sysctls, which go by the calling thread.
package kernel
