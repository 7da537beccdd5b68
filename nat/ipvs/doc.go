// Package ipvs hands packets of entry points to their servers by IPVS, where nftables of the
// kernel cannot (nft.ErrNoDirect), and in tunnels, which nftables has not: a service for each
// address and port, with direct routing or tunnelling.
//
//	entry.Point ─▶ services and destinations ─▶ generic netlink
//
// The kernel steers: wrr with as many parts for each server as it has slots, by its own turns
// and not by the flow's hash; sh for source-hash, mh for consistent-hash. Another node
// comes to the same only with these. A destination that gets nothing new has weight 0;
// one whose flows may not stay is removed, and the next packet of such a flow is of
// none and draws a reset (expire_nodest_conn).
//
// Services of ours have a flag that none of these schedulers knows: others are not touched.
//
// Methods are for one goroutine at a time. They need CAP_NET_ADMIN.
package ipvs
