package daemon

import (
	"context"
	"slices"
	"time"

	"understudy/appliance"
	"understudy/vrrp/election"
)

// watchAlarm raises an alarm while something has a detail to tell, and clears it.
func (n *node) watchAlarm(ctx context.Context, alarm string, detail func() string) {
	tick := time.NewTicker(watchPeriod)
	defer tick.Stop()
	for was := ""; ; {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			if is := detail(); is != was {
				was = is
				n.runner.Ask(ctx, func(c *appliance.Core) {
					c.Alarm(now, alarm, is != "", is)
					n.history.alarmed(now, c)
				})
			}
		}
	}
}

// electionPeriod is how often the election is asked for what it alone knows, without
// anybody who looks at the status. Each answer is a little memory that its process does
// not collect; and what it tells of lasts for a minute at least.
const electionPeriod = 10 * time.Second

// electionAlarms are those that the election alone knows of; err: it has not answered.
func electionAlarms(stats election.Stats, err error, now time.Time) []appliance.Alarm {
	_, all := electionStatus(stats, err, now)
	all = append(all, findingAlarms(stats)...)
	return append(all, dogAlarms(stats, now)...)
}

// watchElection has the history know of them, too.
func (n *node) watchElection(ctx context.Context) {
	tick := time.NewTicker(electionPeriod)
	defer tick.Stop()
	for mute := 0; ; {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		stats, err := n.stats.ask(ctx, statsBound, func() error { return n.client.Send(election.StatsRequest{}) })
		if err != nil {
			if mute++; mute < 2 { // one that is exchanged or respawned is no alarm
				continue
			}
		} else {
			mute = 0
		}
		now := time.Now()
		up := electionAlarms(stats, err, now)
		n.runner.Ask(ctx, func(c *appliance.Core) { n.history.elsewhere(now, up, c) })
	}
}

// since gives those that were up before the time from which they are.
func since(up, before []appliance.Alarm) []appliance.Alarm {
	for i := range up {
		if k := slices.IndexFunc(before, func(a appliance.Alarm) bool { return a.Name == up[i].Name }); k >= 0 {
			up[i].Since = before[k].Since
		}
	}
	return up
}
