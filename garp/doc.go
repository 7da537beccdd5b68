// Package garp models how a gateway tells its neighbours that an address is
// now answered by it: gratuitous ARP for IPv4 and unsolicited Neighbor
// Advertisements for IPv6, and when to send which.
//
// It is pure: bytes in, bytes out, time as an argument. It opens no socket and
// never looks at an interface; package garpnet sends what is decided here.
//
//	Announce ─▶ Schedule ─▶ Step fills []Claim ─▶ garpnet.Sender ─▶ wire
//	              ▲   │
//	     Withdraw ┘   └▶ Deadline: when to call Step next
//
// The life of one announced address (RFC 9568 6.4.2 wants the first frame at
// the transition to Active; the repeats are practice, because the first one may
// meet a switch port that is not forwarding yet):
//
//	IPv4   0 ── 100 ms ── 1 s ── 3 s ── then each 60 s
//	IPv6   0 ──────────── 1 s ── 3 s ── then each 60 s   (RFC 4861 7.2.6: 1 s apart, 3 at most)
//
// First frames are never held back. All later frames share one budget, 200 a
// second: a gateway with a thousand addresses must not look like an ARP storm.
// No address gets a second frame while another waits for its first.
//
// Addresses in frames are in network byte order; lengths are in octets; times
// are time.Time and time.Duration.
package garp
