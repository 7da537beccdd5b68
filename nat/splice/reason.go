package splice

// Reason is why a connection cannot go on at another server.
type Reason uint8

// The reasons. Their words are what counters are called by, and gateways tell each other their
// numbers (docs/session-protocol.md): a new one is the last.
const (
	None           Reason = iota
	NoPosition            // nothing is known of how far it was
	Closing               // one side has ended it
	Unanswered            // the server acknowledged something, and had not answered it
	Halfway               // the server was in the middle of an answer
	Unacknowledged        // the client has not got all that the server said
	Astray                // the client is elsewhere than what is known of it says
	ClientSilent          // the client does not answer
	ServerSilent          // the new server does not answer
	ServerRefuses         // the new server answered with a reset
	ScaleDiffers          // the new server's window scale is another one
	SpeaksFirst           // the new server said something that nobody asked for
	Table                 // the kernel did not take the entry
	Unfit                 // what the kernel tracks is no established connection of a client's own address
	Unlogged              // it was not logged from its beginning
	Gap                   // the log lacks something that was acknowledged
	LogFull               // it has said more than is kept
	TooOld                // it is older than what is kept
	Differs               // an end said the same bytes twice, and differently
	Diverged              // the new server does not say what the old one said
	Short                 // the new server does not say as much as the old one said
	Slow                  // there is more to be replayed than there is time for
	Gone                  // the new server is not to be one any more
	TooMany               // as many are replayed all along as may be
	Stale                 // the client is not where another gateway has told that it was
	reasons
)

var reasonWords = [reasons]string{"", "no-position", "closing", "unanswered", "halfway", "unacknowledged", "astray", "client-silent",
	"server-silent", "server-refuses", "scale-differs", "speaks-first", "table", "unfit",
	"unlogged", "gap", "log-full", "too-old", "differs", "diverged", "short", "slow", "gone", "too-many", "stale"}

// String is the reason as one word.
func (r Reason) String() string {
	if r >= reasons {
		return "unknown"
	}
	return reasonWords[r]
}

// Reasons are all of them.
func Reasons() (out []Reason) {
	for r := None + 1; r < reasons; r++ {
		out = append(out, r)
	}
	return out
}
