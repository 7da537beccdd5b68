package garp

// Reason says why a frame is refused; its String is the word that `understudy
// decode` prints. The zero value means that the frame is good.
type Reason uint8

// The reasons, in the order in which a receiver checks.
const (
	ReasonNone        Reason = iota
	ReasonTruncated          // fewer octets than the headers need
	ReasonType               // not Ethernet and IPv4 (ARP); not ICMPv6 136 code 0 (NA)
	ReasonLength             // address lengths in the ARP header; IPv6 payload length
	ReasonOperation          // neither request nor reply
	ReasonSender             // a sender no single station can be
	ReasonHopLimit           // not 255, so it may come from off the link (RFC 4861 7.1.2)
	ReasonDestination        // solicited flag to a multicast destination; multicast target
	ReasonChecksum           // ICMPv6 checksum
	ReasonOption             // an option of length zero or beyond the end
)

var reasonWords = [...]string{
	ReasonNone:        "",
	ReasonTruncated:   "truncated",
	ReasonType:        "type",
	ReasonLength:      "length",
	ReasonOperation:   "operation",
	ReasonSender:      "sender",
	ReasonHopLimit:    "hop_limit",
	ReasonDestination: "destination",
	ReasonChecksum:    "checksum",
	ReasonOption:      "option",
}

// String returns the one-word form, empty for ReasonNone.
func (r Reason) String() string {
	if int(r) < len(reasonWords) {
		return reasonWords[r]
	}
	return "unknown"
}
