package appliance

import (
	"time"

	"understudy/appliance/identity"
	"understudy/health"
	"understudy/vrrp"
)

// Bounds of the decisions below. They are bounds, not periods: each ends early
// when what it waits for has come.
const (
	// syncBound is how long a box that is not in sync refrains from preempting.
	syncBound = 30 * time.Second
	// bootBound is how long a box that has just started stays out of the election
	// for the peer's sessions. One that begins without them and is elected,
	// because it did not hear the peer in its first moments, would lose them.
	bootBound = 3 * time.Second
	// drainBound is how long a hand-over waits for the peer to have every session.
	drainBound = time.Second
	// unknownGrace is how long after an activation segments of unknown
	// connections are dropped in silence instead of answered with a reset.
	unknownGrace = 5 * time.Second
	// lackBound is how long they are at most, where the last owner has not been
	// reached yet for the sessions that it kept.
	lackBound = 30 * time.Second
	// stopBound is how long an orderly stop may take before it is cut short.
	stopBound = 4 * time.Second
	// faultRetry is the first pause after the kernel refused an identity; it
	// doubles up to faultRetryMax.
	faultRetry    = 2 * time.Second
	faultRetryMax = time.Minute
	// wordBoundMax caps Config.WordBound: a box that waits for a slow check is of
	// no use meanwhile.
	wordBoundMax = 10 * time.Second
	// lagAlarm is the replication lag above which a crash is said to lose flows.
	lagAlarm = time.Second
	// routeRetry is how soon a route that waits for its link, or was refused, is tried again though
	// nobody told that the link is up.
	routeRetry = 10 * time.Second
)

// Config is what Core needs to know of the configuration.
type Config struct {
	Node     string
	Groups   []GroupConfig
	Static   identity.Identity // what is here whatever the groups do
	Sessions bool              // sessions are replicated, so readiness counts
	// Unknown is the answer to segments of unknown connections once the grace
	// after an activation is over.
	Unknown UnknownPolicy
	// Health is what is tracked, and what that does to the groups.
	Health health.Config
	// WordBound is how long the first word of what is tracked may take.
	WordBound time.Duration
	// GuardCheck is the check whose word peers go by when they do not hear our
	// adverts; "": none.
	GuardCheck string
}

// GroupConfig is one group: what it holds while Active.
type GroupConfig struct {
	Name     string
	Identity identity.Identity
	// Notifies: programs are told of its state, [Notify].
	Notifies bool
	// Prepare is how long its activation waits for programs at most; 0: there are
	// none that it waits for.
	Prepare time.Duration
}

// Core decides. Create it with NewCore, give it every event, do the actions it
// returns, and step it with Tick when Deadline has passed.
type Core struct {
	cfg    Config
	groups []*group
	alarms alarms

	tracker *health.Tracker
	down    []CheckChanged // checks, by name
	words   time.Time      // zero, or until when the first word of what is tracked is waited for
	joined  bool           // we came to an election that had begun before us
	met     bool           // an election has attached
	early   []Transition   // of groups that we do not know yet: the election reloads first
	near    neighbour

	gen       uint64 // generation of the last Want
	applied   bool   // the last Want is in place
	electable bool   // ElectReady was sent

	sync     Synced
	preempt  time.Time // zero, or until when not being in sync forbids to preempt
	boot     time.Time // zero, or until when a new box stays out of the election
	unknown  time.Time // end of the grace after an activation
	lacking  time.Time // zero, or end of the grace for sessions that may still come
	retry    time.Time // when to try a failed application again
	stopping time.Time // zero, or the time by which the daemon ends
	respawn  bool      // the election is to be started again once the rest is let go of
	resume   []GroupState

	out []Action
}

// group is what Core knows of one group.
type group struct {
	GroupConfig
	GroupState

	announced  bool
	restored   bool // an address had to be put back, and is to be announced again
	putBack    int  // how much ever had to be
	told       bool // eligibility has been told
	eligible   bool
	claimed    bool   // a peer says that it is Active, too
	overlap    bool   // as last told
	overlapped bool   // it was told in this activation
	inherited  bool   // it was in fault when we came; not "is": what we tell must not hang on what comes of it
	unfit      string // why it is out of the election, as last told; "": it is not
	effect     health.Effect
	weight     int       // as last told
	weightTold bool      // since the election was last attached
	fault      time.Time // zero, or when the fault is lifted
	faultPause time.Duration
	handOver   *handOver

	news      Notify // to be told, if hasNews
	hasNews   bool
	placed    bool      // what the last Want asks for it is in place
	preparing time.Time // zero, or until when its activation waits for programs
}

// handOver is a requested hand-over in progress.
type handOver struct {
	id    uint64 // of the request; 0: our own stop
	began bool   // the election was told
}

// NewCore returns the machine in its first state: nothing held, no group Active,
// not yet electable.
func NewCore(now time.Time, cfg Config) *Core {
	c := &Core{cfg: cfg, preempt: now.Add(syncBound)}
	if cfg.Sessions {
		c.boot = now.Add(bootBound)
	}
	for _, g := range cfg.Groups {
		c.groups = append(c.groups, newGroup(g))
	}
	c.track(now, cfg)
	return c
}

func newGroup(cfg GroupConfig) *group {
	return &group{GroupConfig: cfg, GroupState: GroupState{Group: cfg.Name, State: vrrp.Initialize}}
}

// Deadline is when Step wants a Tick; zero if nothing is waited for.
func (c *Core) Deadline() time.Time {
	var d time.Time
	sooner := func(t time.Time) {
		if !t.IsZero() && (d.IsZero() || t.Before(d)) {
			d = t
		}
	}
	sooner(c.unknown)
	sooner(c.lacking)
	sooner(c.retry)
	sooner(c.stopping)
	sooner(c.preempt)
	sooner(c.boot)
	sooner(c.words)
	sooner(c.tracker.Deadline())
	for _, g := range c.groups {
		sooner(g.fault)
		sooner(g.preparing)
	}
	return d
}

// Step takes one event and returns what is to be done about it, in order. The
// slice is valid until the next Step.
func (c *Core) Step(now time.Time, ev Event) []Action {
	c.out = c.out[:0]
	switch ev := ev.(type) {
	case Attached:
		c.onAttached(now, ev)
	case Transition:
		c.onTransition(now, ev)
	case Fenced:
		c.onFenced(now, ev)
	case ElectionLost:
		c.onElectionLost(now, ev)
	case Applied:
		c.onApplied(now, ev)
	case Synced:
		c.onSynced(now, ev)
	case TermHeard:
		c.onTermHeard(ev)
	case Claimed:
		if g := c.group(ev.Group); g != nil {
			g.claimed = ev.On
		}
	case CheckChanged:
		c.onCheckChanged(now, ev)
	case LinkChanged:
		c.onLinkChanged(now, ev)
	case BondChanged:
		c.onBondChanged(now, ev)
	case Guarded:
		c.onGuarded(ev)
	case Reclaimed:
		c.onReclaimed(ev)
	case Drifted:
		c.hold()
	case Drained:
		c.onDrained(ev)
	case Prepared:
		c.onPrepared(ev)
	case Failover:
		c.onFailover(ev)
	case Reloaded:
		c.onReloaded(now, ev)
	case Stop:
		c.onStop(now)
	}
	c.onTime(now)
	c.tellNews()
	c.tellFaults()
	c.tellWeights()
	c.tellNeighbour()
	c.tellEligible()
	c.tellOverlap()
	c.begin()
	return c.out
}

func (c *Core) do(a Action) { c.out = append(c.out, a) }

// Groups returns every group as the election last told of it.
func (c *Core) Groups() []GroupState {
	out := make([]GroupState, 0, len(c.groups))
	for _, g := range c.groups {
		out = append(out, g.GroupState)
	}
	return out
}

func (c *Core) group(name string) *group {
	for _, g := range c.groups {
		if g.Name == name {
			return g
		}
	}
	return nil
}

// hold hands the lane a new Want. Asking for what is already held is how drift
// is repaired, so no attempt is made to notice that nothing changed.
func (c *Core) hold() {
	c.gen++
	c.applied = false
	c.retry = time.Time{}
	w := Want{Gen: c.gen, Static: c.cfg.Static, Unknown: c.cfg.Unknown}
	serves := false
	for _, g := range c.groups {
		g.placed = false
		gw := GroupWant{Name: g.Name, Active: g.serves(), Term: g.Term}
		if gw.Active {
			gw.Identity = g.Identity
			serves = true
		}
		w.Groups = append(w.Groups, gw)
	}
	// Where nothing is served a segment has lost its way: its sender knows this box
	// from before, and the connection may live elsewhere, or come back to life here.
	if !serves || !c.unknown.IsZero() || !c.lacking.IsZero() {
		w.Unknown = UnknownDrop
	}
	c.do(Hold{Want: w})
}

// onTime does what has become due, whatever event brought the time.
func (c *Core) onTime(now time.Time) {
	due := func(t *time.Time) bool {
		if t.IsZero() || now.Before(*t) {
			return false
		}
		*t = time.Time{}
		return true
	}
	due(&c.preempt)
	due(&c.boot)
	due(&c.words)
	again := due(&c.retry)
	graced := due(&c.unknown)
	lacked := due(&c.lacking)
	if graced && c.lacking.IsZero() || lacked && c.unknown.IsZero() || again {
		c.hold()
	}
	for _, g := range c.groups {
		due(&g.fault)
		if due(&g.preparing) {
			c.hold() // late, but not never
		}
	}
	c.weigh(c.tracker.Step(now, health.TrackerInput{Kind: health.InTrackerTick}))
	if due(&c.stopping) {
		c.finish()
	}
}
