package bytelog

import "understudy/nat/splice"

// Reason is why a connection cannot be replayed.
type Reason uint8

// The reasons. Their words are what counters are called by.
const (
	None       Reason = iota
	NoSYN             // it began before the log, or its handshake was not heard whole
	Gap               // something was acknowledged that the log does not have
	Lost              // packets were lost on the way to the log, and nothing since says that none was of it
	TooMuch           // it has said more than is kept of one connection
	Crowded           // all connections together have said more than is kept, and it was the oldest
	TooOld            // it began too long ago
	Closed            // it is over
	BadOptions        // its handshake has what cannot be replayed: data, or options that do not fit
	Differs           // an end said the same bytes twice, and differently
	reasons
)

// Of each the word, and what it is to a move, which tells less apart.
var ofReason = [reasons]struct {
	word string
	move splice.Reason
}{
	None:       {"", splice.None},
	NoSYN:      {"no-syn", splice.Unlogged},
	Gap:        {"gap", splice.Gap},
	Lost:       {"lost", splice.Gap},
	TooMuch:    {"too-much", splice.LogFull},
	Crowded:    {"crowded", splice.LogFull},
	TooOld:     {"too-old", splice.TooOld},
	Closed:     {"closed", splice.Closing},
	BadOptions: {"bad-options", splice.Unlogged},
	Differs:    {"differs", splice.Differs},
}

// String is the reason as one word.
func (r Reason) String() string {
	if r >= reasons {
		return "unknown"
	}
	return ofReason[r].word
}

// Move is why the connection cannot go on at another server.
func (r Reason) Move() splice.Reason { return ofReason[r].move }

// Reasons are all of them.
func Reasons() (out []Reason) {
	for r := None + 1; r < reasons; r++ {
		out = append(out, r)
	}
	return out
}
