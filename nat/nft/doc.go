// Package nft brings a [nat.Plan] into the kernel by nftables: one table of ours,
// inet understudy, and nothing outside of it; where packets are copied to the other
// node, one more of that name hangs on interfaces (netdev, mirror.go).
//
// Mappings are elements of maps, never rules: ten thousand rules make a new flow
// twenty times dearer, a map of any size costs nothing. So the rules are few and
// fixed (nft lists them; it does not take its own listing of them back, as its
// parser wants a protocol by name where we ask a set, and it shows neither that a rule
// asks a map whether it has a key, nor how a network is translated to another: the
// comments of the rules say it):
//
//	packet in                                                     packet out
//	   |                                                               ^
//	gate, gate6   raw -300     to an address in closed: drop           |
//	block_gate    raw -300     to a block of a group that is shut: drop|
//	device_gate   raw -300     by an interface in closed_devices: drop |
//	   |  (connection tracking, -200)                                  |
//	stray         -110         to a forwarded port, but not able to    |
//	   |                       begin a flow: drop, or chain unknown    |
//	   |                       invalid, to a static address: drop      |
//	forwards      -100         map forward; static_in_LENGTH           |
//	   |                                                               |
//	   +--> for us: refuse      -10   to an address in refused: drop   |
//	   |                                                               |
//	   +--> for us: pool_guard  -10   to a port of the pool, of no     |
//	   |                              known flow: drop                 |
//	   +--> forward_guard       -10   to a block, untranslated: drop   |
//	             |                    the middle of an unknown         |
//	             |                    connection that would leave by   |
//	             |                    source NAT: chain unknown        |
//	         hairpin            99    to a server in the caller's own  |
//	             |                    network: from the called address |
//	         sources           100    exceptions: as it is             |
//	             |                    map static_out_LENGTH            |
//	             |                    map spread_FIRST_LAST_N          |
//	             |                    map source_FIRST_LAST, source    |
//	         inside_guard      110    inside source, still             |
//	             |                    untranslated: drop               |
//	             +-----------------------------------------------------+
//
// Where connection events are filtered ([nat.Events]), events (forward, -150) sets of
// which packets of which flows the kernel makes any, and events_in and events_out
// that it makes none of the node's own.
//
// Beside the path of a packet, device_groups (output) keeps a device from telling
// the link that it leaves a group.
//
// A chain hairpin_redirects (output) keeps the kernel from telling hosts of a way past the
// gateway to a mapped address.
//
// gate is always there, gate6 if there are IPv6 addresses, device_gate if a group has a MAC of its own, refuse if an
// address is not to be talked to. forwards and sources are there if something is mapped or if
// sessions are replicated: flows that are installed from outside are translated
// only if a NAT chain exists, and that of an inet table serves both families. The
// rest, the leak guard, is there if something is mapped, and judges only what a
// mapping applies to; routed traffic never meets a rule that drops.
//
// Of sets of addresses there are three: for IPv4 (closed), for IPv6 (closed6), and for
// link-local addresses with their interface (closed_local).
//
// The sets of what is closed and the rule in chain unknown are state, not configuration:
// [Applier.OpenGate], [Applier.CloseGate] and [Applier.SetUnknown] change them and
// [Applier.Apply] leaves them as they are. A gate can also be shut by another
// process that has nothing but a netlink socket: [GateCloseMessage].
//
//	a, err := nft.Open(nft.Config{})
//	report, err := a.Apply(plan)             // at start; everything shut
//	err = a.SetUnknown(nft.UnknownDrop)      // activation, once the sessions are in:
//	err = a.OpenGate(plan.Group("gateway"), plan.GroupDevices("gateway")...)
//	err = a.SetUnknown(nft.UnknownReset)     // 5 s later
//	err = a.CloseGate(plan.Group("gateway"), plan.GroupDevices("gateway")...) // yield
//	report, err = a.Change(plan)             // reload: writes and reads what differs
//	report, err = a.Audit(plan)              // now and then: is all as it should be?
//	err = a.Clean()                          // understudy clean
//
// It needs Linux 5.10 (NAT in inet tables, reset in prerouting) and CAP_NET_ADMIN.
package nft
