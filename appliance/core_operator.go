package appliance

import (
	"errors"
	"fmt"
	"time"

	"understudy/health"
	"understudy/vrrp"
)

// Refusals of an operator's request.
var (
	ErrNoSuchGroup  = errors.New("no such group")
	ErrNotActive    = errors.New("not active here; ask the node that is")
	ErrPeerNotReady = errors.New("the peer is not ready to take over (--force hands over all the same)")
	ErrInProgress   = errors.New("a hand-over is already in progress")
)

// onFailover starts a hand-over: first the sessions, then the role.
func (c *Core) onFailover(ev Failover) {
	groups, err := c.toHandOver(ev)
	if err != nil {
		c.do(Reply{ID: ev.ID, Err: err})
		return
	}
	for i, g := range groups {
		h := &handOver{}
		if i == len(groups)-1 {
			h.id = ev.ID // the last one to go answers for all
		}
		c.beginHandOver(g, h, ev.Force)
	}
}

func (c *Core) toHandOver(ev Failover) (out []*group, err error) {
	if ev.Group != "" {
		g := c.group(ev.Group)
		if g == nil {
			return nil, fmt.Errorf("group %q: %w", ev.Group, ErrNoSuchGroup)
		}
		out = append(out, g)
	} else {
		for _, g := range c.groups {
			if g.Active() {
				out = append(out, g)
			}
		}
		if len(out) == 0 {
			return nil, fmt.Errorf("no group is %w", ErrNotActive)
		}
	}
	for _, g := range out {
		switch {
		case !g.Active():
			return nil, fmt.Errorf("group %q is %s: %w", g.Name, g.State, ErrNotActive)
		case g.handOver != nil:
			return nil, fmt.Errorf("group %q: %w", g.Name, ErrInProgress)
		}
	}
	if c.cfg.Sessions && !c.sync.Connected && !ev.Force {
		return nil, ErrPeerNotReady
	}
	return out, nil
}

func (c *Core) beginHandOver(g *group, h *handOver, force bool) {
	g.handOver = h
	if c.cfg.Sessions && c.sync.Connected && !force {
		c.do(DrainSessions{Group: g.Name, Bound: drainBound})
		return
	}
	h.began = true
	c.do(ElectHandOver{Group: g.Name})
}

func (c *Core) onDrained(ev Drained) {
	g := c.group(ev.Group)
	if g == nil || g.handOver == nil || g.handOver.began || !g.Active() {
		return
	}
	h := g.handOver
	if ev.Err != nil && h.id != 0 {
		// The operator asked for a move without loss: say why not, and stay.
		g.handOver = nil
		c.reply(h, fmt.Errorf("group %q: the peer does not have every session yet: %w (--force hands over all the same)", g.Name, ev.Err))
		return
	}
	h.began = true
	c.do(ElectHandOver{Group: g.Name})
}

func (c *Core) reply(h *handOver, err error) {
	if h.id != 0 {
		c.do(Reply{ID: h.id, Err: err})
	}
}

// onStop hands over what we hold and ends once it is let go of.
func (c *Core) onStop(now time.Time) {
	if !c.stopping.IsZero() {
		return
	}
	c.stopping = now.Add(stopBound)
	held := c.active()
	for _, s := range held {
		if g := c.group(s.Group); g.handOver == nil && !g.Leaving {
			c.beginHandOver(g, &handOver{}, false)
		}
	}
	if len(held) == 0 {
		c.hold() // everything standby; its Applied ends us
	}
}

// onReloaded takes a new configuration: groups that stay keep their state.
func (c *Core) onReloaded(now time.Time, ev Reloaded) {
	before := c.groups
	if ev.Config.GuardCheck != c.cfg.GuardCheck {
		c.near.state = health.Unknown
	}
	c.cfg = ev.Config
	c.groups = nil
	for _, cfg := range ev.Config.Groups {
		g := newGroup(cfg)
		for i, old := range before {
			if old != nil && old.Name == cfg.Name {
				if old.Identity.String() != cfg.Identity.String() {
					old.announced = false // new addresses must be announced
				}
				old.GroupConfig = cfg
				g, before[i] = old, nil
			}
		}
		c.groups = append(c.groups, g)
	}
	for _, old := range before {
		if old != nil && old.announced {
			c.do(Withdraw{Group: old.Name})
		}
		if old != nil && old.handOver != nil {
			c.reply(old.handOver, fmt.Errorf("group %q: %w after the reload", old.Name, ErrNoSuchGroup))
		}
		if old != nil {
			c.forget(old)
		}
	}
	c.track(now, ev.Config)
	for _, e := range c.early {
		if g := c.group(e.Group); g != nil && g.State == vrrp.Initialize {
			c.become(now, g, e.GroupState, e.Cause, false)
		}
	}
	c.early = nil
	c.renews()
	c.hold()
}
