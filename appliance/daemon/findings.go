package daemon

import (
	"slices"
	"strings"

	"understudy/appliance"
	"understudy/vrrp"
	"understudy/vrrp/election"
)

// rivals lists the other routers of a VRID that the election has heard.
func rivals(r vrrp.RouterStatus) []appliance.RivalStatus {
	out := []appliance.RivalStatus{}
	for _, k := range r.Rivals {
		out = append(out, appliance.RivalStatus{Address: k.Address.String(), Priority: k.Priority,
			AdvertIntervalSeconds: k.Interval.Seconds(), LastHeard: k.Heard})
	}
	slices.SortFunc(out, func(a, b appliance.RivalStatus) int { return b.LastHeard.Compare(a.LastHeard) })
	return out
}

// findingAlarms makes alarms of what the election has found: one a name, whatever the number of routers.
func findingAlarms(stats election.Stats) (out []appliance.Alarm) {
	for _, r := range stats.Status.Routers {
		for _, f := range r.Findings {
			name := appliance.AlarmPriorities
			switch f.Kind {
			case vrrp.NoticeFlapping.String():
				name = appliance.AlarmFlapping
			case vrrp.NoticeDuplicate.String():
				name = appliance.AlarmDuplicate
			}
			detail := r.Name + ": " + f.Detail
			i := slices.IndexFunc(out, func(a appliance.Alarm) bool { return a.Name == name })
			if i < 0 {
				out = append(out, appliance.Alarm{Name: name, Since: f.Since, Detail: detail})
				continue
			}
			if f.Since.Before(out[i].Since) {
				out[i].Since = f.Since
			}
			if !strings.Contains(out[i].Detail, detail) {
				out[i].Detail += "; " + detail
			}
		}
	}
	return out
}
