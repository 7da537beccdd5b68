package daemon

import (
	"errors"
	"strings"
	"testing"
	"time"

	"understudy/appliance"
	"understudy/vrrp/election"
)

func TestElectionStatus(t *testing.T) {
	now := time.Unix(1000, 0)
	var stats election.Stats
	stats.Late.Counts[0], stats.Late.Counts[9] = 7, 1
	stats.Late.Since, stats.Late.Last = now.Add(-time.Second), now
	stats.Late.Worst, stats.Late.Max, stats.Late.Interval = 2*time.Second, 2*time.Second, 100*time.Millisecond
	stats.Realtime = "not permitted"
	st, alarms := electionStatus(stats, nil, now)
	if st.Realtime || st.Lateness.Count != 8 || st.Lateness.MaxSeconds != 2 || len(st.Lateness.Buckets) != 10 ||
		*st.Lateness.Buckets[0].UpToSeconds != 0.0001 || st.Lateness.Buckets[9].UpToSeconds != nil {
		t.Errorf("%+v", st)
	}
	const want = "a timer was handled 2s late, the shortest interval is 100ms; it is not in the real-time class"
	if len(alarms) != 1 || alarms[0].Name != appliance.AlarmElectionLate || alarms[0].Detail != want || alarms[0].Since != stats.Late.Since {
		t.Errorf("%+v", alarms)
	}
	if _, alarms := electionStatus(stats, nil, now.Add(election.LateFor)); len(alarms) > 0 {
		t.Errorf("a minute later: %+v", alarms)
	}
	if st, alarms := electionStatus(election.Stats{}, errors.New("it hangs"), now); st.Realtime || len(alarms) != 1 || !strings.Contains(alarms[0].Detail, "hangs") {
		t.Errorf("%+v, %+v", st, alarms)
	}
}
