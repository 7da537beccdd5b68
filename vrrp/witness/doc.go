// Package witness is the second opinion on who is Active: a small authenticated heartbeat between the election processes
// of a pair, on another network than the adverts (it goes where the sessions go, by UDP), and what is concluded from it
// and from the adverts themselves. It has no clock, socket, goroutine or log: package election owns those.
//
// # The map
//
//	key.go                   a node's key, from the cluster secret; the code that proves a heartbeat's origin
//	beat.go append.go parse.go reason.go   the codec: Beat, and every reason to refuse one
//	guard.go send.go receive.go   Guard: who said what when; replays and reflections
//	hear.go                  the adverts that came in beside, accepted or refused
//	judge.go finding.go      what an operator should know; when the addresses are to be announced again
//	status.go                what to show
//
// # A heartbeat
//
// Network byte order. 16 octets of HMAC-SHA256 end it, over everything before, with the sender's key.
//
//	 0  4  "uhb", version 1
//	 4  2  length in octets, with the code
//	 6  1  flags: 1 the sender's neighbour is known to be up or down, 2 it is up (see guard_check)
//	 7  1  0
//	 8  8  incarnation of the sender: a random number of its election process, not 0
//	16  8  sequence number
//	24  8  incarnation of the receiver, as last accepted by the sender; 0: none
//	32  8  its sequence number
//	40  4  interval of the sender's heartbeats, microseconds
//	44     name of the sender, name of the receiver: an octet of length, then so many
//	 …     records: type (1; the highest bit: who does not know it must refuse the heartbeat), length (2), value
//
// Record 1, a group: state (1), flags (1; 1 is leaving), term (8), name (the rest). Record 2, a router of the group
// before it: identity (8; see [RouterID]), VRID, flags (1 I hear yours, 2 IPv6), priority as advertised, version,
// checksum form it sends, why it refuses yours (a [vrrp.Reason], 0: it does not), interval in 1/100 s (2), address that
// it sends from (4 or 16), its interface (the rest). What does not fit into 1400 octets goes into another heartbeat; each
// is complete for the routers it names.
//
// # Who is believed
//
// A heartbeat is refused unless its code fits the node it names, which is a configured peer and not ourselves, and it
// is for us. Then its sequence number must be new (a peer with several addresses is sent each heartbeat at all of them). Whether it was said just now, and not recorded earlier or held back
// on the way, does not depend on anybody's clock: it repeats a number that we sent within the last second. One that does
// not (the first of a peer that has just started) is answered, and says nothing else.
//
// # What follows
//
// With "alarm", findings. With "hold" also what [vrrp.Set] is told as InVouch: a peer says that it is Active, and that
// it hears the neighbour of guard_check. A claim is a surrogate for the advert that should have come: it is weighed by
// the same order, and for a bounded time (docs/adr/0013).
package witness
