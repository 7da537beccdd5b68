package daemon

import (
	"context"
	"time"

	"understudy/appliance"
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
