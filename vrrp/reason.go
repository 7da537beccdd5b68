package vrrp

// Reason says why a packet was dropped. Its text is the metric label, the log value and the word of `decode`.
type Reason uint8

// The reasons in the order in which a receiver finds them: a packet wrong in two ways gets the first.
// ReasonSource and ReasonOwn need the receiver's configuration and come after the packet's own. The last two come after
// the packet's other reasons, each in its place; they are behind all here because heartbeats carry the numbers.
const (
	ReasonNone        Reason = iota
	ReasonTruncated          // shorter than its headers say
	ReasonTTL                // TTL or Hop Limit not 255 (RFC 9568, 5.1.1.3)
	ReasonDestination        // not the VRRP multicast group of its family
	ReasonVersion            // not 2 or 3, 2 over IPv6, or not the configured one
	ReasonType               // not ADVERTISEMENT (5.2.2)
	ReasonAddrCount          // no address (erratum 8299)
	ReasonLength             // the payload is not as long as the address count says
	ReasonChecksum           // neither form fits
	ReasonVRID               // 0, or not configured here; version 2: we own the addresses (RFC 3768, 7.1)
	ReasonAuth               // version 2: unknown type, or not what is configured; an authentication header missing, or not wanted
	ReasonInterval           // 0 (erratum 8301), version 2: not the configured one
	ReasonLinkLocal          // IPv6: the first address is not link-local (erratum 8300)
	ReasonAddressList        // version 2: not the configured addresses
	ReasonSource             // sender not allowed or of the wrong kind
	ReasonOwn                // our own packet, looped, or a duplicate of our address
	ReasonDelay              // it counts for nothing until the node's start-up delay has ended (not RFC 9568)
	ReasonICV                // version 2, auth_type AH: the integrity check value is not that of our key (RFC 4302, 3.4.4)
	ReasonReplay             // version 2, auth_type AH: not above a sequence number that was heard before (RFC 4302, 3.4.3)
	numReasons
)

var reasonNames = [numReasons]string{
	"none", "truncated", "ttl", "destination", "version", "type", "addr_count", "length", "checksum",
	"vrid", "auth", "interval", "link_local", "address_list", "source", "own", "delay", "icv", "replay",
}

// String is one lower-case word.
func (r Reason) String() string {
	if r < numReasons {
		return reasonNames[r]
	}
	return "unknown"
}

// Reasons lists every reason a packet can be dropped for, in the receiver's order.
func Reasons() []Reason {
	all := make([]Reason, 0, numReasons-1)
	for r := ReasonNone + 1; r < numReasons; r++ {
		all = append(all, r)
	}
	return all
}
