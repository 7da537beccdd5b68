// Package kernel makes this machine hold what an [identity.Identity] says:
// addresses by rtnetlink, and the sysctls a gateway needs.
//
//	identity (wanted) ─▶ Applier.Apply ─▶ dump ─▶ plan ─▶ batches of 128 ─▶ dump, until nothing is left to do
//	identity ──────────▶ Applier.RemoveMessages ─▶ the bytes of the fence, for another process to send
//	Watcher.Run ───────▶ Event: an address of ours is gone · a link is new, changed, gone
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
// # Namespaces
//
// Everything works in the network namespace of the thread that called Open,
// except sysctls, which go by the calling thread.
package kernel
