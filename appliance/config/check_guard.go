package config

import (
	"fmt"
	"time"
)

const (
	minGuardLimit = 100 * time.Millisecond
	maxGuardLimit = time.Hour
)

// checkGuard reads what is to be done when nodes lose sight of each other. The
// checks and the sessions have been read.
func (c *checker) checkGuard(raw *rawFile) {
	def := c.defaults.Guard
	g := Guard{
		Mode:  known(c, "guard", raw.Guard, def.Mode, []GuardMode{GuardAlarm, GuardHold, GuardOff}),
		Limit: def.Limit,
	}
	if d := c.duration("guard_limit", raw.GuardLimit, def.Limit.String()); d != nil {
		switch {
		case *d < minGuardLimit:
			c.add("guard_limit", *raw.GuardLimit+" is too short", fmt.Sprintf("use at least %v, or guard = %s to hold nothing", minGuardLimit, quote(string(GuardAlarm))))
		case *d > maxGuardLimit:
			c.add("guard_limit", *raw.GuardLimit+" is too long", fmt.Sprintf("use at most %v", maxGuardLimit))
		default:
			g.Limit = *d
		}
	}
	if raw.GuardCheck != nil {
		g.Check = *raw.GuardCheck
		if !c.hasCheck(g.Check) {
			c.add("guard_check", fmt.Sprintf("there is no check %s", quote(g.Check)), suggest(g.Check, c.checkNames(), "name a [[check]] of this file"))
		} else {
			c.hostful("guard_check", g.Check)
		}
	}
	if p := raw.GuardPort; p != nil {
		switch {
		case *p < 1 || *p > 65535:
			c.add("guard_port", fmt.Sprintf("%d is not a port", *p), "use 1 to 65535, the same on all nodes")
		case c.config.Sessions == nil && !c.bad("sessions"):
			c.add("guard_port", "there are no heartbeats without [sessions]", "remove it, or name the other nodes in [sessions]")
		default:
			g.Port = uint16(*p)
		}
	}
	if g.Mode == GuardHold {
		c.checkHold(raw)
	}
	c.config.Guard = g
}

// checkHold: a takeover is only held on another node's word.
func (c *checker) checkHold(raw *rawFile) {
	if raw.Sessions == nil && !c.bad("sessions") {
		c.add("guard", "there is nobody to hear from: [sessions] is missing", fmt.Sprintf("name the other nodes in [sessions], or use %s", quote(string(GuardAlarm))))
		return
	}
	if raw.GuardCheck == nil {
		c.add("guard_check", "missing: nothing is held without it", "name a [[check]] that tries a neighbour which all nodes have, like a host or switch of the network of clients")
	}
}
