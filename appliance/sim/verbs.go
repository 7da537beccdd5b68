package sim

// Verb is what an Act does.
type Verb uint8

// The verbs, with their words in a scenario file. See the package documentation
// for what each means.
const (
	Cut Verb = iota
	Join
	Mute
	Noise
	Split
	Heal
	LinkState
	Crash
	Start
	StopUnit
	Kill
	Hang
	Wake
	Deaf
	NoSpawn
	Slow
	Refuse
	Drift
	Delay
	Stall
	Late
	Resync
	Check
	Failover
	Priority
	Preempt
	Addresses
	Interval
	Reclaim
	Raise
	Absence
	Rogue
	Junk
	Poke
	Event
	Expect
	numVerbs
)

// exercises are what can follow "end".
var exercises = []string{"crash", "stop", "link", "failover", "split", "return"}

// form describes a verb's arguments, a letter each: n m nodes, s segment, g
// group, d a duration, i an integer, w a word, x a set of nodes. Words lists what
// w may be.
type form struct {
	word, args string
	words      []string
}

var forms = [numVerbs]form{
	Cut:       {"cut", "nms", nil},
	Join:      {"join", "nms", nil},
	Mute:      {"mute", "nms", nil},
	Noise:     {"noise", "nmsiiidd", nil},
	Split:     {"split", "sx", nil},
	Heal:      {"heal", "s", nil},
	LinkState: {"link", "nsw", []string{"down", "up", "bare"}},
	Crash:     {"crash", "n", nil},
	Start:     {"start", "n", nil},
	StopUnit:  {"stop", "n", nil},
	Kill:      {"kill", "nw", []string{"election", "daemon", "both"}},
	Hang:      {"hang", "nw", []string{"election", "daemon", "both"}},
	Wake:      {"wake", "n", nil},
	Deaf:      {"deaf", "n", nil},
	NoSpawn:   {"nospawn", "nd", nil},
	Slow:      {"slow", "nd", nil},
	Refuse:    {"refuse", "nwd", []string{"addresses", "gate", "fence"}},
	Drift:     {"drift", "ng", nil},
	Delay:     {"delay", "nd", nil},
	Stall:     {"stall", "nd", nil},
	Late:      {"late", "nd", nil},
	Resync:    {"resync", "nd", nil},
	Check:     {"check", "nw", []string{"soft-down", "soft-up", "hard-down", "hard-up"}},
	Failover:  {"failover", "nwg", []string{"ready", "force", "all"}},
	Priority:  {"priority", "ni", nil},
	Preempt:   {"preempt", "nw", []string{"yes", "no"}},
	Addresses: {"addresses", "ni", nil},
	Interval:  {"interval", "nd", nil},
	Reclaim:   {"reclaim", "ng", nil},
	Raise:     {"raise", "ngi", nil},
	Absence:   {"absence", "nd", nil},
	Rogue:     {"rogue", "siid", nil},
	Junk:      {"junk", "si", nil},
	Poke: {"poke", "ngw", []string{"start", "tick", "fault", "fault-fence", "fault-off", "resume", "eligible",
		"overlap", "weight", "vouch", "unvouch", "hand-over", "stop", "stop-fence"}},
	Event: {"event", "ngw", []string{"tick", "attached", "refused", "stale", "synced", "term", "claimed", "drifted", "drained", "not-drained", "check", "link",
		"guarded", "reclaimed", "prepared", "bond"}},
	Expect: {"expect", "gx", nil},
}

// String is the verb's word.
func (v Verb) String() string {
	if v < numVerbs {
		return forms[v].word
	}
	return "?"
}
