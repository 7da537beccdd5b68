package witness

// Reason says why a heartbeat was refused.
type Reason uint8

// The reasons, in the order in which a receiver finds them.
const (
	ReasonNone        Reason = iota
	ReasonTruncated          // shorter than it says, or than any can be
	ReasonVersion            // not a heartbeat, or of another version
	ReasonLength             // longer than it says
	ReasonOwn                // our own, come back, or somebody else has our name
	ReasonStranger           // of no configured peer
	ReasonDestination        // for another node
	ReasonCode               // the code does not fit: another secret, or forged
	ReasonFormat             // records that cannot be
	ReasonCritical           // a record that we do not know and must not skip
	ReasonReplay             // an old one, again or too late
	ReasonDuplicate          // one that has come by another path
	numReasons
)

var reasonNames = [numReasons]string{"none", "truncated", "version", "length", "own", "stranger", "destination", "code",
	"format", "critical", "replay", "duplicate"}

// String is one lower-case word.
func (r Reason) String() string {
	if r < numReasons {
		return reasonNames[r]
	}
	return "unknown"
}

// Reasons lists every reason a heartbeat can be refused for.
func Reasons() []Reason {
	all := make([]Reason, 0, numReasons-1)
	for r := ReasonNone + 1; r < numReasons; r++ {
		all = append(all, r)
	}
	return all
}
