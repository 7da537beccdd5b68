package daemon

import (
	"fmt"
	"time"

	"understudy/appliance"
	"understudy/vrrp/election"
)

// electionStatus is how the election process is doing, and the alarm if it is not
// doing well: a timer was later than the shortest advert interval, within the last
// minute, or it does not answer at all.
func electionStatus(stats election.Stats, err error, now time.Time) (appliance.ElectionStatus, []appliance.Alarm) {
	late := &stats.Late
	out := appliance.ElectionStatus{Version: stats.Version, Realtime: err == nil && stats.Realtime == "",
		Lateness: appliance.Histogram{SumSeconds: late.Sum.Seconds(), MaxSeconds: late.Max.Seconds()}}
	for i, n := range late.Counts {
		b := appliance.Bucket{Count: n}
		if i < len(election.LatenessBounds) {
			b.UpToSeconds = appliance.Seconds(election.LatenessBounds[i])
		}
		out.Lateness.Count += n
		out.Lateness.Buckets = append(out.Lateness.Buckets, b)
	}
	switch {
	case err != nil:
		return out, []appliance.Alarm{{Name: appliance.AlarmElectionLate, Since: now, Detail: err.Error()}}
	case late.Alarming(now):
		why := ""
		if stats.Realtime != "" {
			why = "; it is not in the real-time class"
		}
		return out, []appliance.Alarm{{Name: appliance.AlarmElectionLate, Since: late.Since,
			Detail: fmt.Sprintf("a timer was handled %v late, the shortest interval is %v%s", late.Worst.Round(time.Millisecond), late.Interval, why)}}
	}
	return out, nil
}
