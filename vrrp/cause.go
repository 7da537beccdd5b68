package vrrp

// Cause says why a router or a group changed its state. Its text is for logs and the status page.
type Cause string

// The causes. A fault has its own text, as "link lan0 down" or what the daemon gave as a reason.
const (
	CauseNone         Cause = ""
	CauseStartup      Cause = "startup"
	CauseOwner        Cause = "owner"       // priority 255 is Active without waiting
	CauseActiveDown   Cause = "active-down" // Active_Down_Timer ran out
	CauseBetterActive Cause = "better-active"
	CauseYield        Cause = "yield" // another router of the group did
	CauseHandOver     Cause = "hand-over"
	CauseSuccessor    Cause = "successor"    // the one we handed over to was heard
	CauseNoSuccessor  Cause = "no-successor" // nobody was, for an Active_Down_Interval
	CauseResume       Cause = "resume"
	CauseRepaired     Cause = "repaired"
	CauseShutdown     Cause = "shutdown"
	CauseReconfigure  Cause = "reconfigure"
	CauseTerm         Cause = "term"
	CauseHeld         Cause = "held"    // due, but a peer says that it is Active (see SetConfig.HoldLimit)
	CauseWitness      Cause = "witness" // a better Active, by its heartbeat
)
