package daemon

import (
	"slices"
	"testing"
	"time"

	"understudy/appliance"
	"understudy/appliance/history"
	"understudy/vrrp"
	"understudy/vrrp/election"
)

// What the election alone knows of is in the history when it is raised, and when it is
// over: once each, whatever Core has to say meanwhile, and with the time that it lasted.
func TestAlarmsOfTheElectionAreRemembered(t *testing.T) {
	noon := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	h := &remembered{changedC: make(chan struct{})}
	core := appliance.NewCore(noon, appliance.Config{})
	sick := election.Stats{Dogs: []election.DogStats{{Name: "/dev/watchdog", Trouble: "no such file"}},
		Status: vrrp.Status{Routers: []vrrp.RouterStatus{{Name: "lan", Findings: []vrrp.Finding{{Kind: vrrp.NoticeDuplicate.String(), Since: noon, Detail: "10.0.0.9"}}}}}}
	at := func(s int, stats election.Stats) time.Time {
		now := noon.Add(time.Duration(s) * time.Second)
		h.elsewhere(now, electionAlarms(stats, nil, now), core)
		return now
	}
	at(0, election.Stats{})
	at(10, sick)
	core.Alarm(noon, appliance.AlarmLag, true, "much")
	h.alarmed(noon.Add(15*time.Second), core)
	at(20, sick)
	at(70, election.Stats{})
	var got []string
	for _, e := range h.observer.Log.Events(history.Query{Kind: history.Alarm}) {
		got = append(got, e.To+" "+e.Text)
	}
	want := []string{"raised duplicate-address: lan: 10.0.0.9", "raised watchdog-failed: /dev/watchdog: no such file", "raised lag: much",
		"cleared duplicate-address: over after 1m10s", "cleared watchdog-failed: over after 1m0s"}
	if !slices.Equal(got, want) {
		t.Errorf("%q\nwant %q", got, want)
	}
}
