// Package splicenet carries out the moves of package splice on a Linux gateway: it freezes the
// flows, listens to their ends by a packet socket, speaks in the name of either by a raw one,
// and exchanges the kernel's entries, from which on the kernel carries the connection alone.
//
//	Table.Freeze ─▶ Notes.Position ─▶ splice.Move … ─▶ conntrack: entry anew ─▶ Table.Thaw ─▶ what was held
//
// How far servers are is noted from the headers of their packets, which nftables tells to a
// [Listener] by nfnetlink_log. Packets of other servers are not touched.
//
// [Shadows] replay connections all along at a server that they may go on at, so that a [Mover] has
// nothing left to say there: which connections is in shadows_look.go, at which server in
// shadows_partner.go, what becomes of one in shadow.go, why others are not in shadows_without.go, and
// how a Mover gets one in shadows_take.go.
//
// Methods, but those of a Listener and of Shadows, are not safe for concurrent use. They need CAP_NET_ADMIN and CAP_NET_RAW.
package splicenet
