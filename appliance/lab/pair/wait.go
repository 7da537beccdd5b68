package pair

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"understudy/appliance"
)

// poll is how often Wait looks: seldom enough that looking does not disturb
// what is looked at.
const poll = 20 * time.Millisecond

// Wait looks at a condition until it is met. The error of a wait in vain tells
// what was waited for, the condition's last reason, and how the gateways' logs
// end.
func (p *Pair) Wait(ctx context.Context, what string, met func(context.Context) error) error {
	tick := time.NewTicker(poll)
	defer tick.Stop()
	var last error
	for {
		err := met(ctx)
		if err == nil {
			return nil
		}
		if last != nil && ctx.Err() != nil && errors.Is(err, context.DeadlineExceeded) {
			err = last // it says more than that the time is up
		}
		last = err
		for _, g := range p.Gateways {
			if proc := g.Process(); proc != nil && errors.Is(err, errNoAnswer) {
				select {
				case <-proc.Done():
					if proc.Err() != nil {
						err = fmt.Errorf("%w; %s has ended: %w", err, g.Name, proc.Err())
					}
				default:
				}
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("pair: waited for %s: %w (%w)%s", what, err, context.Cause(ctx), p.Logs())
		}
	}
}

var errNoAnswer = errors.New("no answer")

// Logs returns the last lines of both gateways, each indented and on a new line.
func (p *Pair) Logs() string {
	var b strings.Builder
	for _, g := range p.Gateways {
		lines := strings.Split(strings.TrimSpace(g.Output()), "\n")
		for _, l := range lines[max(0, len(lines)-15):] {
			fmt.Fprintf(&b, "\n  %s | %s", g.Name, l)
		}
	}
	return b.String()
}

// Is returns a condition: the gateway's group is in this state, such as
// "active" or "backup".
func (g *Gateway) Is(state string) func(context.Context) error {
	return func(ctx context.Context) error {
		s, err := g.ask(ctx)
		if err != nil {
			return err
		}
		if got := stateOf(s); got != state {
			return fmt.Errorf("%s is %s", g.Name, got)
		}
		return nil
	}
}

// Settled returns a condition: active is active, the other gateway backup, and,
// with sessions, the link up and nothing missing on the other side.
func (p *Pair) Settled(active *Gateway) func(context.Context) error {
	return func(ctx context.Context) error {
		if err := active.Is("active")(ctx); err != nil {
			return err
		}
		if err := p.Other(active).Is("backup")(ctx); err != nil {
			return err
		}
		if p.opt.NoSessions {
			return nil
		}
		for _, g := range p.Gateways {
			if err := g.InSync(ctx); err != nil {
				return err
			}
		}
		return nil
	}
}

// InSync is a condition: every peer is connected, and both sides have been
// through a whole resync.
func (g *Gateway) InSync(ctx context.Context) error {
	s, err := g.ask(ctx)
	if err != nil {
		return err
	}
	switch {
	case s.Sessions == nil:
		return fmt.Errorf("%s has no sessions", g.Name)
	case !s.Sessions.InSync:
		return fmt.Errorf("%s is not in sync", g.Name)
	}
	for _, peer := range s.Sessions.Peers {
		if !peer.Connected {
			return fmt.Errorf("%s is not connected to %s", g.Name, peer.Name)
		}
	}
	return nil
}

func (g *Gateway) ask(ctx context.Context) (appliance.Status, error) {
	s, err := g.Status(ctx)
	if err != nil {
		return s, fmt.Errorf("%w from %s: %w", errNoAnswer, g.Name, err)
	}
	return s, nil
}

func stateOf(s appliance.Status) string {
	for _, g := range s.Groups {
		if g.Name == Group {
			return g.State
		}
	}
	return "without group " + Group
}
