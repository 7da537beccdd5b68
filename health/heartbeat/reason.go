package heartbeat

// Reason says why a message was refused. Its String is the label of its counter.
type Reason uint8

// The reasons.
const (
	ReasonNone    Reason = iota
	ReasonFormat         // no message of ours, or of a version that we do not know
	ReasonLength         // cut off, or too long
	ReasonKind           // one that makes no sense here, as a question to a gateway
	ReasonUnknown        // of a server that nobody expects
	ReasonForged         // its code does not fit
	ReasonReplay         // was heard before, or is older than what was
	ReasonTime           // its time is not ours
	ReasonNonce          // the answer to another question
	reasonCount
)

var reasonNames = [reasonCount]string{"none", "format", "length", "kind", "unknown", "forged", "replay", "time", "nonce"}

// String is one lower-case word.
func (r Reason) String() string {
	if r < reasonCount {
		return reasonNames[r]
	}
	return "invalid"
}

// Drops counts refusals by reason.
type Drops [reasonCount]uint64

// Add counts one.
func (d *Drops) Add(r Reason) {
	if r < reasonCount {
		d[r]++
	}
}

// Map is the counters by name, those at zero too.
func (d *Drops) Map() map[string]uint64 {
	m := make(map[string]uint64, reasonCount-1)
	for r := ReasonFormat; r < reasonCount; r++ {
		m[r.String()] = d[r]
	}
	return m
}
