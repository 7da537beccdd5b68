package daemon

import (
	"fmt"
	"slices"
	"time"

	"understudy/appliance"
	"understudy/appliance/config"
	"understudy/vrrp"
	"understudy/vrrp/election"
	"understudy/vrrp/witness"
)

// tellGuard tells the election process who the peers are and how their heartbeats
// are known.
func (n *node) tellGuard(cfg *config.Config) error {
	w, err := cfg.Witness()
	if err != nil {
		return fmt.Errorf("daemon: %w", err)
	}
	return n.client.Send(election.Guard{Config: w})
}

func findings(in []witness.Finding) (out []appliance.Finding) {
	for _, f := range in {
		out = append(out, appliance.Finding{Alarm: string(f.Kind), Group: f.Group, Peer: f.Peer, Since: f.Since, Detail: f.Detail})
	}
	return out
}

// guardStatus joins what is configured with what the election's guard knows.
func guardStatus(cfg *config.Config, s witness.Status) appliance.GuardStatus {
	out := appliance.GuardStatus{Mode: string(cfg.Guard.Mode), LimitSeconds: cfg.Guard.Limit.Seconds(), Check: cfg.Guard.Check,
		IntervalSeconds: s.Interval.Seconds(), Drops: s.Drops, Peers: []appliance.GuardPeer{}}
	for _, p := range s.Peers {
		gp := appliance.GuardPeer{Name: p.Name, Address: p.Address.String(), Last: moment(p.Last), IntervalSeconds: p.Interval.Seconds(),
			Neighbour: p.Neighbour.String(), Sent: p.Sent, Received: p.Received, Unproven: p.Unproven, Drops: p.Drops, Groups: []appliance.GuardGroup{}}
		for _, g := range p.Groups {
			gg := appliance.GuardGroup{Name: g.Name, State: g.State.String(), Term: g.Term, Leaving: g.Leaving, Routers: []appliance.GuardRouter{}}
			for _, r := range g.Routers {
				gg.Routers = append(gg.Routers, appliance.GuardRouter{Name: r.Name, Interface: r.Interface, Priority: r.Priority,
					Source: addressText(r.Source), HearsUs: r.Hears, Heard: r.Heard, Refuses: r.Refuses})
			}
			gp.Groups = append(gp.Groups, gg)
		}
		out.Peers = append(out.Peers, gp)
	}
	return out
}

// held tells whether the election puts off a group's takeover.
func held(stats election.Stats, group string) bool {
	return slices.ContainsFunc(stats.Status.Groups, func(g vrrp.GroupStatus) bool { return g.Name == group && g.Held })
}

// moment is nil for a time at which nothing happened.
func moment(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}
