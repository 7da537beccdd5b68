package lacp

// Reason says why a frame is refused. Its String is the word that `understudy
// decode` prints and the label of a counter. The zero value: not refused.
type Reason uint8

// The reasons in the order in which a receiver finds them: a frame that is
// wrong in two ways gets the first.
const (
	ReasonNone            Reason = iota
	ReasonDMAC                   // not sent to the Slow Protocols group: may come from beyond the link
	ReasonEtherType              // sent to the group, but not as 0x8809
	ReasonSubtype                // neither LACP nor Marker: for somebody else (OAM, ESMC)
	ReasonTruncated              // shorter than the 110 octets of a PDU, or than its TLVs say
	ReasonActorLength            // actor information is not 20 octets long
	ReasonPartnerLength          // partner information is not 20 octets long
	ReasonCollectorLength        // collector information is not 16 octets long
	ReasonTerminator             // the terminator's length is not 0
	numReasons
)

var reasonWords = [numReasons]string{
	"", "dmac", "ethertype", "subtype", "truncated",
	"actor_info_length", "partner_info_length", "collector_info_length", "terminator_length",
}

// String returns the one-word form, empty for ReasonNone.
func (r Reason) String() string {
	if r < numReasons {
		return reasonWords[r]
	}
	return "unknown"
}

// Reasons lists every reason, in the receiver's order.
func Reasons() []Reason {
	all := make([]Reason, 0, numReasons-1)
	for r := ReasonNone + 1; r < numReasons; r++ {
		all = append(all, r)
	}
	return all
}
