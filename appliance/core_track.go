package appliance

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"understudy/health"
)

// track goes over to what cfg tracks. What was tracked before keeps what is known
// of it; the first word of the rest is waited for, for a bounded time.
func (c *Core) track(now time.Time, cfg Config) {
	if c.tracker == nil {
		c.tracker, _ = health.NewTracker(now, health.Config{})
	}
	out, err := c.tracker.Reconfigure(now, cfg.Health)
	if err != nil { // the file's own check finds it before
		c.alarms.raise(now, AlarmCheckDown, err.Error())
		return
	}
	for _, g := range c.groups {
		g.effect = health.Effect{}
	}
	c.weigh(out)
	c.down = slices.DeleteFunc(c.down, func(d CheckChanged) bool { return !c.hasCheck(cfg, d.Name) })
	c.alarmChecks(now)
	if len(cfg.Health.Sources) > 0 {
		c.words = now.Add(min(cfg.WordBound, wordBoundMax))
	}
}

func (c *Core) hasCheck(cfg Config, name string) bool {
	return slices.ContainsFunc(cfg.Health.Sources, func(s health.SourceConfig) bool {
		return s.Source == health.Source{Kind: health.KindCheck, Name: name}
	})
}

func (c *Core) onCheckChanged(now time.Time, ev CheckChanged) {
	if !c.hasCheck(c.cfg, ev.Name) {
		return // one that a reload has just taken away
	}
	if ev.Name == c.cfg.GuardCheck {
		c.near.state = ev.State
	}
	i, known := slices.BinarySearchFunc(c.down, ev, func(x, y CheckChanged) int { return strings.Compare(x.Name, y.Name) })
	if known {
		c.down = slices.Delete(c.down, i, i+1)
	}
	if ev.State == health.Down {
		c.down = slices.Insert(c.down, i, ev)
	}
	c.alarmChecks(now)
	c.weigh(c.tracker.Step(now, health.TrackerInput{Kind: health.InState,
		Source: health.Source{Kind: health.KindCheck, Name: ev.Name}, State: ev.State, Value: ev.Value, Why: ev.Why}))
}

func (c *Core) onLinkChanged(now time.Time, ev LinkChanged) {
	in := health.TrackerInput{Kind: health.InState, Source: health.Source{Kind: health.KindInterface, Name: ev.Name}, State: health.Down}
	if ev.Up {
		in.State = health.Up
	}
	c.weigh(c.tracker.Step(now, in))
}

func (c *Core) onBondChanged(now time.Time, ev BondChanged) {
	c.weigh(c.tracker.Step(now, health.TrackerInput{Kind: health.InState,
		Source: health.Source{Kind: health.KindBond, Name: ev.Name}, State: ev.State, Value: ev.Lost, Why: ev.Why}))
}

// alarmChecks keeps the alarm in step: all that is down, in one.
func (c *Core) alarmChecks(now time.Time) {
	const most = 20 // of thousands there may be, a network is down and not its hosts
	var detail []string
	for i, d := range c.down {
		if i == most {
			detail = append(detail, fmt.Sprintf("%d more", len(c.down)-most))
			break
		}
		detail = append(detail, d.Name+": "+d.Why)
	}
	c.alarms.set(now, AlarmCheckDown, len(detail) > 0, strings.Join(detail, "; "))
}

// weigh takes what the tracker says of groups.
func (c *Core) weigh(out health.TrackerOutput) {
	for _, e := range out.Effects {
		if g := c.group(e.Group); g != nil {
			g.effect = e
		}
	}
}

// awaitsWord: the election does not begin while something that could put a group
// in fault has not been heard of. One that had begun before us is not held up: it
// may have an Active to look after.
func (c *Core) awaitsWord() bool {
	return !c.words.IsZero() && !c.joined && slices.ContainsFunc(c.groups, func(g *group) bool { return g.effect.Pending })
}

// unfitFor is why a group has to stay out of the election; "" if it has not. The
// election knows one reason a group, so ours are put together here.
func (c *Core) unfitFor(g *group) string {
	switch {
	case !g.fault.IsZero():
		return "apply-failed"
	case g.effect.Fault:
		return c.tracker.Reason(g.Name)
	case g.effect.Pending && g.inherited && !c.words.IsZero():
		return c.tracker.Reason(g.Name) // as our predecessor left it, until we know better
	}
	return ""
}

// tellFaults lets the election know, when it changes, which groups stay out, and
// why.
func (c *Core) tellFaults() {
	for _, g := range c.groups {
		if why := c.unfitFor(g); why != g.unfit {
			g.unfit = why
			c.do(ElectFault{Group: g.Name, On: why != "", Reason: why})
		}
	}
}

// tellWeights does the same with what is added to priorities. An election that
// had begun before us goes by the weight that our predecessor told, and is better
// off with it than with half of ours.
func (c *Core) tellWeights() {
	for _, g := range c.groups {
		switch {
		case g.weightTold && g.weight == g.effect.Weight:
		case !g.weightTold && c.joined && g.effect.Unknown && !c.words.IsZero():
		case !g.weightTold && g.effect.Weight == 0 && !c.joined: // as a new election has it
			g.weightTold = true
		default:
			g.weightTold, g.weight = true, g.effect.Weight
			c.do(ElectWeight{Group: g.Name, Weight: g.weight})
		}
	}
}

// forget takes back what was told of a group that is no more, or an election that
// is told everything anew would hear of it again.
func (c *Core) forget(g *group) {
	if g.unfit != "" {
		c.do(ElectFault{Group: g.Name})
	}
	if g.weight != 0 {
		c.do(ElectWeight{Group: g.Name})
	}
}

// Tracked says what of the things a group tracks is not as it should be, and what
// that costs; "" if all is well.
func (c *Core) Tracked(group string) string { return c.tracker.Reason(group) }
