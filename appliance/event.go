package appliance

import (
	"time"

	"understudy/health"
	"understudy/vrrp"
)

// Event is something that happened. Core.Step is total: it is defined for every
// event in every state.
type Event interface{ event() }

type (
	// Tick tells that Deadline has passed.
	Tick struct{}

	// Attached is the election process saying how things stand, at start and
	// after either process was restarted. Groups that are Active there stay so.
	Attached struct {
		Groups []GroupState
	}

	// Transition is one group's change of state in the election. Leaving marks
	// the start of a hand-over: still Active, priority 0 already sent.
	Transition struct {
		GroupState
		Cause string
		// Late is how long ago the election decided so, and Heard what it went by. They
		// are told to people; no decision follows from them.
		Late  time.Duration
		Heard []vrrp.Heard
	}

	// Fenced tells that a group's identity was taken out of service without Core,
	// with the prepared messages.
	Fenced struct{ Group string }

	// ElectionLost tells that the election process is gone. The groups of Resume
	// may go on under a new one: their last advert is young enough. All others
	// must be let go of before it starts.
	ElectionLost struct{ Resume []GroupState }

	// Applied is a lane's answer to Hold{Want}. Failed maps a group to why its
	// part could not be done; "" stands for what belongs to no group.
	Applied struct {
		Gen    uint64
		Failed map[string]error
		// Static is why something of Want.Static could not be done. It is no failure of
		// a group: whoever is Active does without it.
		Static   error
		Restored []string // groups in which an address had to be put back
		// PutBack counts by group what had to be put back, addresses or not; "" stands
		// for what is static.
		PutBack map[string]int
		// Refused says for a group, or "" for what is static, which of its routes and rules
		// the kernel would not have, and why. That is no failure: it does without them.
		Refused map[string]string
		// Waiting says for a group, or "" for what is static, which of its routes are not
		// there because their links are not. They come back with these; that is no failure.
		Waiting map[string]string
		// Took is how long the parts of it took, for people.
		Took Took
	}

	// Synced is the session plane's readiness. Without [sessions] it never comes.
	Synced struct {
		Connected bool // at least one peer's link is up
		InSync    bool // every record of the peers has been applied here
		// NotReady is what this kernel lacks for that; InSync is false then.
		NotReady string
		Lag      time.Duration // beyond what the mode of the sessions brings with it
		Covered  bool          // a connected peer has had a full transfer of ours
		// Incomplete: a group is Active here without all the sessions of the last
		// owner, who is asked for them.
		Incomplete bool
	}

	// TermHeard is a term that a peer uses for a group of ours.
	TermHeard struct {
		Group string
		Term  uint64
	}

	// Claimed tells whether a connected peer says that it is Active for a group,
	// whoever has the higher term. None says so at first.
	Claimed struct {
		Group string
		On    bool
	}

	// CheckChanged is what a health check says now; the same may be said again.
	CheckChanged struct {
		Name  string
		State health.State
		Value int    // of a check that measures, while up
		Why   string // it is down
	}

	// BondChanged is what an aggregate of links is now; the same may be said again.
	BondChanged struct {
		Name  string
		State health.State
		Lost  int    // members that do not carry
		Why   string // something is lost, or it is down
	}

	// Guarded is all that the guard against split brain finds, in place of what it
	// found before.
	Guarded struct{ Findings []Finding }

	// Reclaimed tells that another node was Active in a group that is Active here.
	Reclaimed struct{ Group string }

	// LinkChanged is an interface as it is now.
	LinkChanged struct {
		Name string
		Up   bool
	}

	// Drifted tells that the kernel no longer shows what was applied, or could show
	// more of it: someone removed an address or a route, an interface came back
	// empty, one that routes need went down or up.
	Drifted struct{ Why string }

	// Prepared answers Prepare: the programs that activation waits for have ended.
	Prepared struct {
		Group string
		Term  uint64
	}

	// Drained answers DrainSessions.
	Drained struct {
		Group string
		Err   error
	}

	// Failover is the operator asking to hand a group over; all groups if Group
	// is empty. ID comes back in Reply.
	Failover struct {
		ID    uint64
		Group string
		Force bool // do not ask whether the peer is ready
	}

	// Reloaded brings a new, already validated configuration.
	Reloaded struct{ Config Config }

	// Stop asks for an orderly end: hand over, let go, tidy up.
	Stop struct{}
)

// Finding is one thing that the guard finds.
type Finding struct {
	Alarm       string // its name
	Group, Peer string // "": none in particular, unknown
	Since       time.Time
	Detail      string
}

// GroupState is a group as the election sees it.
type GroupState struct {
	Group   string
	State   vrrp.State
	Term    uint64
	Leaving bool
}

// Took is how long it took to do what a Want asks for.
type Took struct {
	Sessions  time.Duration // until the kernel had all sessions that were here
	Gate      time.Duration
	Addresses time.Duration // devices, addresses, routes and rules
}

// Active tells whether the group is Active, be it leaving or not.
func (s GroupState) Active() bool { return s.State == vrrp.Active }

func (Tick) event()         {}
func (Attached) event()     {}
func (Transition) event()   {}
func (Fenced) event()       {}
func (ElectionLost) event() {}
func (Applied) event()      {}
func (Synced) event()       {}
func (TermHeard) event()    {}
func (Claimed) event()      {}
func (CheckChanged) event() {}
func (BondChanged) event()  {}
func (Guarded) event()      {}
func (Reclaimed) event()    {}
func (LinkChanged) event()  {}
func (Drifted) event()      {}
func (Prepared) event()     {}
func (Drained) event()      {}
func (Failover) event()     {}
func (Reloaded) event()     {}
func (Stop) event()         {}
