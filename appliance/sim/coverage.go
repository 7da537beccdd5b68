package sim

import (
	"understudy/appliance"
	"understudy/vrrp"
)

// mode is what a daemon's Core is about.
type mode uint8

const (
	modeStarting mode = iota // not electable yet
	modeRunning
	modeLetGo // the election is lost, and what cannot be resumed is let go of
	modeStopping
	numModes
)

var modeNames = [numModes]string{"starting", "running", "letting-go", "stopping"}

// Inputs of a Set, finer than its kinds.
const (
	inStart = iota
	inTick
	inAdvertZero
	inAdvertLower
	inAdvertEqual
	inAdvertHigher
	inLinkUp
	inLinkDown
	inEligible
	inNotEligible
	inFault
	inFaultFence
	inFaultOff
	inOverlap
	inNoOverlap
	inHandOver
	inReclaim
	inTerm
	inRaise
	inResume
	inStop
	inStopFence
	inReconfigure
	inWeight
	inRefused
	numInputs
)

var inputNames = [numInputs]string{"start", "tick", "advert-0", "advert-lower", "advert-equal", "advert-higher", "link-up", "link-down",
	"eligible", "not-eligible", "fault", "fault-fence", "fault-off", "overlap", "no-overlap", "hand-over", "reclaim", "term", "raise", "resume", "stop", "stop-fence",
	"reconfigure", "weight", "refused"}

// States of a group: those of package vrrp, and Leaving.
const numStates = 5

const leaving = 4

var stateNames = [numStates]string{"initialize", "backup", "active", "fault", "leaving"}

// Events of a Core, finer than their types.
const (
	coTick = iota
	coAttached
	coTransition
	coFenced
	coLost
	coApplied
	coRefused
	coStale
	coSynced
	coUnsynced
	coTerm
	coClaimed
	coUnclaimed
	coDrifted
	coDrained
	coNotDrained
	coFailover
	coReloaded
	coStop
	coCheck
	coLink
	numEvents
)

var eventNames = [numEvents]string{"tick", "attached", "transition", "fenced", "election-lost", "applied", "refused", "stale", "synced",
	"not-synced", "term", "claimed", "unclaimed", "drifted", "drained", "not-drained", "failover", "reloaded", "stop", "check", "link"}

// Coverage counts what met what.
type Coverage struct {
	Set   [numStates][numInputs]uint64 // state of a group that the input concerns
	Core  [numStates][numEvents]uint64 // state of each group, as Core sees it
	Modes [numModes][numEvents]uint64
}

// Add adds.
func (c *Coverage) Add(o *Coverage) {
	for s := range c.Set {
		for i := range c.Set[s] {
			c.Set[s][i] += o.Set[s][i]
		}
		for i := range c.Core[s] {
			c.Core[s][i] += o.Core[s][i]
		}
	}
	for m := range c.Modes {
		for i := range c.Modes[m] {
			c.Modes[m][i] += o.Modes[m][i]
		}
	}
}

func stateOf(state vrrp.State, isLeaving bool) int {
	if isLeaving {
		return leaving
	}
	return int(state)
}

// input counts an input before its step.
func (c *Coverage) input(e *election, in *vrrp.SetInput) {
	if in.Kind == vrrp.InAdvert {
		g := e.groupOf(in.Router)
		v, p := e.set.Group(g), e.priority(in.Router)
		kind := inAdvertHigher
		switch a := in.Advert.Priority; {
		case a == 0:
			kind = inAdvertZero
		case a < p:
			kind = inAdvertLower
		case a == p:
			kind = inAdvertEqual
		}
		c.Set[stateOf(v.State, v.Leaving)][kind]++
		return
	}
	pick := func(yes bool, a, b int) int {
		if yes {
			return a
		}
		return b
	}
	kind := inStart
	switch in.Kind {
	case vrrp.InTick:
		kind = inTick
	case vrrp.InLink:
		kind = pick(in.Up && in.Primary.IsValid(), inLinkUp, inLinkDown)
	case vrrp.InEligible:
		kind = pick(in.OK, inEligible, inNotEligible)
	case vrrp.InFault:
		kind = pick(in.On, pick(in.Fence, inFaultFence, inFault), inFaultOff)
	case vrrp.InOverlap:
		kind = pick(in.OK, inOverlap, inNoOverlap)
	case vrrp.InHandOver:
		kind = inHandOver
	case vrrp.InReclaim:
		kind = inReclaim
	case vrrp.InTerm:
		kind = pick(in.Raise, inRaise, inTerm)
	case vrrp.InResume:
		kind = inResume
	case vrrp.InWeight:
		kind = inWeight
	case vrrp.InRefused:
		kind = inRefused
	case vrrp.InStop:
		kind = pick(in.Fence, inStopFence, inStop)
	}
	for g := range e.n.w.sc.Groups {
		if in.Group == "" || in.Group == e.n.w.sc.Groups[g].Name {
			v := e.set.Group(g)
			c.Set[stateOf(v.State, v.Leaving)][kind]++
		}
	}
}

func (c *Coverage) reconfigure(e *election) {
	for g := range e.n.w.sc.Groups {
		v := e.set.Group(g)
		c.Set[stateOf(v.State, v.Leaving)][inReconfigure]++
	}
}

// event counts an event of Core before its step.
func (c *Coverage) event(d *daemon, ev appliance.Event) {
	kind := coTick
	switch ev := ev.(type) {
	case appliance.Attached:
		kind = coAttached
	case appliance.Transition:
		kind = coTransition
	case appliance.Fenced:
		kind = coFenced
	case appliance.ElectionLost:
		kind = coLost
	case appliance.Applied:
		switch {
		case ev.Gen != d.gen:
			kind = coStale
		case ev.Failed != nil:
			kind = coRefused
		default:
			kind = coApplied
		}
	case appliance.Synced:
		kind = coUnsynced
		if ev.InSync {
			kind = coSynced
		}
	case appliance.TermHeard:
		kind = coTerm
	case appliance.Claimed:
		if kind = coUnclaimed; ev.On {
			kind = coClaimed
		}
	case appliance.Drifted:
		kind = coDrifted
	case appliance.Drained:
		kind = coDrained
		if ev.Err != nil {
			kind = coNotDrained
		}
	case appliance.Failover:
		kind = coFailover
	case appliance.Reloaded:
		kind = coReloaded
	case appliance.Stop:
		kind = coStop
	case appliance.CheckChanged:
		kind = coCheck
	case appliance.LinkChanged:
		kind = coLink
	}
	c.Modes[d.mode][kind]++
	for _, g := range d.core.Groups() {
		c.Core[stateOf(g.State, g.Leaving)][kind]++
	}
}
