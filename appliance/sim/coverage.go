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
	inVouch
	inUnvouch
	numInputs
)

var inputNames = [numInputs]string{"start", "tick", "advert-0", "advert-lower", "advert-equal", "advert-higher", "link-up", "link-down",
	"eligible", "not-eligible", "fault", "fault-fence", "fault-off", "overlap", "no-overlap", "hand-over", "reclaim", "term", "raise", "resume", "stop", "stop-fence",
	"reconfigure", "weight", "refused", "vouch", "unvouch"}

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
	coBond
	coGuarded
	coReclaimed
	coPrepared
	numEvents
)

var eventNames = [numEvents]string{"tick", "attached", "transition", "fenced", "election-lost", "applied", "refused", "stale", "synced",
	"not-synced", "term", "claimed", "unclaimed", "drifted", "drained", "not-drained", "failover", "reloaded", "stop", "check", "link",
	"bond", "guarded", "reclaimed", "prepared"}

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

// classify says which of the inputs in is; own is what the router of an advert
// advertises itself. Not for one that nobody has classified.
func classify(in *vrrp.SetInput, own uint8) (kind int, ok bool) {
	pick := func(yes bool, a, b int) int {
		if yes {
			return a
		}
		return b
	}
	switch in.Kind {
	case vrrp.InStart:
		return inStart, true
	case vrrp.InTick:
		return inTick, true
	case vrrp.InAdvert:
		switch a := in.Advert.Priority; {
		case a == 0:
			return inAdvertZero, true
		case a < own:
			return inAdvertLower, true
		case a == own:
			return inAdvertEqual, true
		}
		return inAdvertHigher, true
	case vrrp.InRefused:
		return inRefused, true
	case vrrp.InLink:
		return pick(in.Up && in.Primary.IsValid(), inLinkUp, inLinkDown), true
	case vrrp.InEligible:
		return pick(in.OK, inEligible, inNotEligible), true
	case vrrp.InFault:
		return pick(in.On, pick(in.Fence, inFaultFence, inFault), inFaultOff), true
	case vrrp.InOverlap:
		return pick(in.OK, inOverlap, inNoOverlap), true
	case vrrp.InHandOver:
		return inHandOver, true
	case vrrp.InReclaim:
		return inReclaim, true
	case vrrp.InTerm:
		return pick(in.Raise, inRaise, inTerm), true
	case vrrp.InResume:
		return inResume, true
	case vrrp.InWeight:
		return inWeight, true
	case vrrp.InVouch:
		return pick(in.On, inVouch, inUnvouch), true
	case vrrp.InStop:
		return pick(in.Fence, inStopFence, inStop), true
	}
	return 0, false
}

// input counts an input before its step.
func (c *Coverage) input(e *election, in *vrrp.SetInput) {
	if in.Kind == vrrp.InAdvert {
		v := e.set.Group(e.groupOf(in.Router))
		kind, _ := classify(in, e.priority(in.Router))
		c.Set[stateOf(v.State, v.Leaving)][kind]++
		return
	}
	kind, ok := classify(in, 0)
	if !ok {
		e.n.w.fail("coverage", "input %d is in no class", in.Kind)
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

// classifyEvent does the same with an event of Core; gen is that of the latest Want.
func classifyEvent(ev appliance.Event, gen uint64) (kind int, ok bool) {
	switch ev := ev.(type) {
	case appliance.Tick:
		return coTick, true
	case appliance.Attached:
		return coAttached, true
	case appliance.Transition:
		return coTransition, true
	case appliance.Fenced:
		return coFenced, true
	case appliance.ElectionLost:
		return coLost, true
	case appliance.Applied:
		switch {
		case ev.Gen != gen:
			return coStale, true
		case ev.Failed != nil:
			return coRefused, true
		}
		return coApplied, true
	case appliance.Synced:
		if ev.InSync {
			return coSynced, true
		}
		return coUnsynced, true
	case appliance.TermHeard:
		return coTerm, true
	case appliance.Claimed:
		if ev.On {
			return coClaimed, true
		}
		return coUnclaimed, true
	case appliance.Drifted:
		return coDrifted, true
	case appliance.Drained:
		if ev.Err != nil {
			return coNotDrained, true
		}
		return coDrained, true
	case appliance.Failover:
		return coFailover, true
	case appliance.Reloaded:
		return coReloaded, true
	case appliance.Stop:
		return coStop, true
	case appliance.CheckChanged:
		return coCheck, true
	case appliance.LinkChanged:
		return coLink, true
	case appliance.BondChanged:
		return coBond, true
	case appliance.Guarded:
		return coGuarded, true
	case appliance.Reclaimed:
		return coReclaimed, true
	case appliance.Prepared:
		return coPrepared, true
	}
	return 0, false
}

// event counts an event of Core before its step.
func (c *Coverage) event(d *daemon, ev appliance.Event) {
	kind, ok := classifyEvent(ev, d.gen)
	if !ok {
		d.n.w.fail("coverage", "event %T is in no class", ev)
	}
	c.Modes[d.mode][kind]++
	for _, g := range d.core.Groups() {
		c.Core[stateOf(g.State, g.Leaving)][kind]++
	}
}
