package appliance

import (
	"strings"
	"time"

	"understudy/health"
)

// guardAlarms are those that the guard raises.
var guardAlarms = []string{AlarmSplitBrain, AlarmPeerIncompatible, AlarmUnheard, AlarmNoHeartbeat}

// onGuarded takes over all that the guard finds.
func (c *Core) onGuarded(ev Guarded) {
	for _, name := range guardAlarms {
		var since time.Time
		var detail []string
		for _, f := range ev.Findings {
			if f.Alarm != name {
				continue
			}
			if since.IsZero() || f.Since.Before(since) {
				since = f.Since
			}
			text := f.Detail
			if f.Group != "" {
				text = "group " + f.Group + ": " + text
			}
			detail = append(detail, text)
		}
		c.alarms.set(since, name, len(detail) > 0, strings.Join(detail, "; "))
	}
}

// onReclaimed: another box was Active as well, and is not, or not by rights. The
// neighbours may have learned the addresses from it.
func (c *Core) onReclaimed(ev Reclaimed) {
	if g := c.group(ev.Group); g != nil {
		c.announceAgain(g)
	}
}

func (c *Core) announceAgain(g *group) {
	if g.announced && !g.Leaving {
		c.do(Announce{Group: g.Name, Addresses: g.Identity.Addresses})
	}
}

// neighbour is the check that peers go by when they do not hear our adverts.
type neighbour struct {
	state health.State
	said  health.State // to the election
}

// tellNeighbour passes on, when it changes, whether the neighbour is heard.
func (c *Core) tellNeighbour() {
	if c.near.said != c.near.state {
		c.near.said = c.near.state
		c.do(ElectNeighbour{State: c.near.state})
	}
}
