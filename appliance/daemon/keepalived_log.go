package daemon

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"understudy/appliance"
	"understudy/appliance/config"
	"understudy/appliance/config/keepalived"
	"understudy/health"
	"understudy/vrrp"
	"understudy/vrrp/election"
)

// What follows writes the lines that people and programs look for in keepalived's log,
// if that is what the process is called. They come beside our own.

// speaks tells whether it is.
func (n *node) speaks(cfg *config.Config) bool { return n.opt.Keepalived != nil && cfg.Spoken != nil }

// saysTransition is about a group's change of state.
func (n *node) saysTransition(ctx context.Context, t election.Transition) {
	cfg := n.settled.config()
	if !n.speaks(cfg) {
		return
	}
	i := slices.IndexFunc(cfg.Groups, func(g config.Group) bool { return g.Name == t.Group })
	if i < 0 {
		return
	}
	for _, name := range cfg.Groups[i].Routers {
		for _, l := range transitionLines(cfg.Called("vrrp_instance", name), t, n.spoken.stopping.Load()) {
			n.log.Info(l)
		}
	}
	if g := syncGroup(cfg, t.Group); g != nil && len(g.Members) > 1 && t.From != t.To && t.To != vrrp.Initialize {
		n.log.Info(fmt.Sprintf("VRRP_Group(%s) Syncing instances to %v state", g.Name, spokenStates[t.To]))
	}
	if t.From == vrrp.Active && t.Cause == string(vrrp.CauseBetterActive) {
		go n.saysBetter(ctx, cfg, cfg.Groups[i].Routers)
	}
}

// syncGroup is the vrrp_sync_group that a group was made of; nil: it was made of none.
func syncGroup(cfg *config.Config, group string) *keepalived.SyncGroup {
	if cfg.Spoken == nil {
		return nil
	}
	for _, g := range cfg.Spoken.File.Groups {
		if cfg.Spoken.Name("vrrp_sync_group", g.Name) == group {
			return g
		}
	}
	return nil
}

// transitionLines are those of one instance. What happens on the way to a stop is none of
// its states.
func transitionLines(name string, t election.Transition, stopping bool) (lines []string) {
	say := func(format string) { lines = append(lines, "("+name+") "+format) }
	if t.From == t.To {
		if t.Leaving {
			say("sent 0 priority")
		}
		return lines
	}
	switch {
	case stopping, t.Cause == string(vrrp.CauseResume): // it has been in it all the time
	case t.To == vrrp.Active:
		if t.Cause == string(vrrp.CauseActiveDown) {
			say("Receive advertisement timeout")
		}
		say("Entering MASTER STATE")
		say("setting VIPs.")
	case t.To == vrrp.Backup:
		if t.From == vrrp.Initialize {
			say("Entering BACKUP STATE (init)")
		} else {
			say("Entering BACKUP STATE")
		}
	case t.To == vrrp.Fault:
		say("Entering FAULT STATE")
	}
	if t.From == vrrp.Active {
		say("removing VIPs.")
	}
	return lines
}

// saysBetter names the one that has taken over.
func (n *node) saysBetter(ctx context.Context, cfg *config.Config, routers []string) {
	stats, err := n.stats.ask(ctx, statsBound, func() error { return n.client.Send(election.StatsRequest{}) })
	if err != nil {
		return // it is asked again when somebody wants to see it
	}
	for _, r := range stats.Status.Routers {
		if slices.Contains(routers, r.Name) && r.State == vrrp.Backup && r.Active.IsValid() && r.ActivePriority >= r.Effective {
			n.log.Info(fmt.Sprintf("(%s) Master received advert from %v with higher priority %d, ours %d",
				cfg.Called("vrrp_instance", r.Name), r.Active, r.ActivePriority, r.Effective))
		}
	}
}

// saysWeight is about what is added to a group's priorities: it was another before.
func (n *node) saysWeight(group string, was, weight int) {
	cfg := n.settled.config()
	if !n.speaks(cfg) {
		return
	}
	for _, r := range cfg.Routers {
		if cfg.GroupOf(r.Name).Name != group {
			continue
		}
		if from, to := vrrp.Weighed(r.Priority, was), vrrp.Weighed(r.Priority, weight); from != to {
			n.log.Info(fmt.Sprintf("(%s) Changing effective priority from %d to %d", cfg.Called("vrrp_instance", r.Name), from, to))
		}
	}
}

// saysCheck is about a vrrp_script.
func (n *node) saysCheck(ch appliance.CheckChanged) {
	cfg := n.settled.config()
	if !n.speaks(cfg) {
		return
	}
	for _, s := range cfg.Spoken.File.Scripts {
		if cfg.Spoken.Name("vrrp_script", s.Name) != ch.Name {
			continue
		}
		_, code, exited := strings.Cut(ch.Why, "exit status ")
		code, _, _ = strings.Cut(code, ";")
		switch {
		case ch.State == health.Up:
			n.log.Info(fmt.Sprintf("VRRP_Script(%s) succeeded", s.Name))
		case exited:
			n.log.Info(fmt.Sprintf("Script `%s` now returning %s", s.Name, code))
			n.log.Info(fmt.Sprintf("VRRP_Script(%s) failed (exited with status %s)", s.Name, code))
		case ch.State == health.Down && strings.Contains(ch.Why, "no answer in"):
			n.log.Info(fmt.Sprintf("VRRP_Script(%s) timed out", s.Name))
		case ch.State == health.Down:
			n.log.Info(fmt.Sprintf("VRRP_Script(%s) failed (%s)", s.Name, ch.Why))
		}
	}
}

// saysLink is about an interface.
func (n *node) saysLink(name string, up bool) {
	if n.opt.Keepalived == nil {
		return
	}
	state := "down"
	if up {
		state = "up"
	}
	n.log.Info(fmt.Sprintf("Netlink reports %s %s", name, state))
}
