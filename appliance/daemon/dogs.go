package daemon

import (
	"strings"
	"time"

	"understudy/appliance"
	"understudy/vrrp/election"
)

// dogAlarms is the alarm about watchdogs that the election cannot feed.
func dogAlarms(stats election.Stats, now time.Time) []appliance.Alarm {
	var detail []string
	for _, d := range stats.Dogs {
		if d.Trouble != "" {
			detail = append(detail, d.Name+": "+d.Trouble)
		}
	}
	if detail == nil {
		return nil
	}
	return []appliance.Alarm{{Name: appliance.AlarmWatchdog, Since: now, Detail: strings.Join(detail, "; ")}}
}
