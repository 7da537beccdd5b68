package appliance

import (
	"fmt"
	"strings"
	"time"

	"understudy/appliance/identity"
	"understudy/health"
	"understudy/vrrp"
)

// Action is something to be done by an edge. Actions of one Step are done in
// their order; a lane's result comes back as an Event.
type Action interface{ action() }

type (
	// Hold gives the holder lane the latest desired state. It answers Applied.
	Hold struct{ Want Want }

	// Announce starts the gratuitous ARP schedule for addresses that are now in
	// place; Withdraw ends it for the group.
	Announce struct {
		Group     string
		Addresses []identity.Address
	}
	Withdraw struct{ Group string }

	// ElectReady lets the election begin: all that an Active needs is in place.
	ElectReady struct{}
	// ElectEligible tells whether a group may preempt a live Active.
	ElectEligible struct {
		Group  string
		OK     bool
		Reason string
	}
	// ElectHandOver starts a graceful hand-over of a group.
	ElectHandOver struct{ Group string }
	// ElectFault takes a group out of the election, or lets it back in.
	ElectFault struct {
		Group  string
		On     bool
		Reason string
	}
	// ElectWeight moves the priority of every router of a group.
	ElectWeight struct {
		Group  string
		Weight int
	}
	// ElectOverlap allows a group, or forbids it, to serve for a moment beside a
	// better Active that it hears.
	ElectOverlap struct {
		Group string
		OK    bool
	}
	// ElectNeighbour tells what the check of the common neighbour says.
	ElectNeighbour struct{ State health.State }
	// ElectStop ends the part this node plays in every group, at once.
	ElectStop struct{}
	// ElectRespawn starts a new election process in place of a dead one. Groups
	// listed in Resume go on as Active: their last advert is young enough.
	ElectRespawn struct{ Resume []GroupState }
	// ElectTerm tells the election a term heard from a peer.
	ElectTerm struct {
		Group string
		Term  uint64
	}

	// DrainSessions waits until the peer has applied all but one batch of the
	// group's records, at most Bound. Answered by Drained.
	DrainSessions struct {
		Group string
		Bound time.Duration
	}

	// Notify has programs told of a group's state: the latest, once what belongs to
	// it is in place. It is not answered. Known says that it may have been so for a
	// while: programs that were told it already are not told again.
	Notify struct {
		Group  string
		State  vrrp.State
		Term   uint64
		Cause  string
		Weight int // that moves the priorities of its routers
		Known  bool
	}
	// Prepare has those programs run that the activation waits for, at most Bound.
	// Answered by Prepared.
	Prepare struct {
		Notify
		Bound time.Duration
	}

	// Reply answers an operator's request.
	Reply struct {
		ID  uint64
		Err error
	}

	// Finish ends the daemon: everything is handed over and let go of.
	Finish struct{}
)

func (Hold) action()           {}
func (Announce) action()       {}
func (Withdraw) action()       {}
func (ElectReady) action()     {}
func (ElectEligible) action()  {}
func (ElectHandOver) action()  {}
func (ElectFault) action()     {}
func (ElectWeight) action()    {}
func (ElectNeighbour) action() {}
func (ElectOverlap) action()   {}
func (ElectStop) action()      {}
func (ElectRespawn) action()   {}
func (ElectTerm) action()      {}
func (DrainSessions) action()  {}
func (Notify) action()         {}
func (Prepare) action()        {}
func (Reply) action()          {}
func (Finish) action()         {}

// Want is everything the box should hold, as one value. A lane that gets it
// makes it so, whatever it did before.
type Want struct {
	Gen    uint64
	Groups []GroupWant // in the order of the configuration
	// Static is here for as long as the node runs, whoever is Active.
	Static identity.Identity
	// Unknown is what happens to a TCP segment of a connection nobody knows.
	// Right after an activation it is dropped: its record may still be coming.
	Unknown UnknownPolicy
}

// GroupWant is one group's part of a Want.
type GroupWant struct {
	Name     string
	Active   bool
	Term     uint64
	Identity identity.Identity
}

// UnknownPolicy is the answer to TCP segments of unknown connections.
type UnknownPolicy uint8

const (
	UnknownDrop  UnknownPolicy = iota // say nothing: the session may still arrive
	UnknownReset                      // tell the sender that the connection is gone
)

func (p UnknownPolicy) String() string {
	if p == UnknownReset {
		return "reset"
	}
	return "drop"
}

// String is the golden form of a Want: one line a group.
func (w Want) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "gen %d unknown %s\n", w.Gen, w.Unknown)
	for _, g := range w.Groups {
		role := "standby"
		if g.Active {
			role = "active"
		}
		fmt.Fprintf(&b, "  %s %s term %d", g.Name, role, g.Term)
		parts(&b, g.Identity)
	}
	if !w.Static.Equal(identity.Identity{}) {
		b.WriteString("  static")
		parts(&b, w.Static)
	}
	return b.String()
}

// parts are the things of an identity, and the end of the line.
func parts(b *strings.Builder, id identity.Identity) {
	for _, a := range id.Addresses {
		fmt.Fprintf(b, " %s@%s", a.Prefix, a.Interface)
	}
	for _, r := range id.Routes {
		fmt.Fprintf(b, " [route %s]", r)
	}
	for _, r := range id.Rules {
		fmt.Fprintf(b, " [rule %s]", r)
	}
	b.WriteByte('\n')
}
