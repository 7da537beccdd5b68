package health_test

import (
	"fmt"
	"time"

	"understudy/health"
)

// A gateway that cannot see its uplink any more is worth 50 less.
func Example() {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	uplink := health.Source{Kind: health.KindCheck, Name: "uplink"}
	tracker, err := health.NewTracker(now, health.Config{
		Sources: []health.SourceConfig{{Source: uplink}},
		Groups: []health.GroupConfig{{Name: "gateway", Routers: []health.RouterConfig{
			{Name: "lan", Priority: 200, Track: []health.Track{{Source: uplink, Weight: -50}}},
			{Name: "wan", Priority: 200},
		}}},
	})
	if err != nil {
		panic(err)
	}
	check := health.NewCheck(health.CheckConfig{Name: "uplink", Every: 200 * time.Millisecond, Rise: 2, Fall: 3}, now, 0)

	// The loop: a result comes (or the deadline), step, hand the change on.
	for _, ok := range []bool{true, false, false, false} {
		now = now.Add(200 * time.Millisecond)
		out := check.Step(now, health.Input{Kind: health.InResult, OK: ok, Why: "no answer in 200ms"})
		if !out.Changed {
			continue
		}
		in := health.TrackerInput{Kind: health.InState, Source: uplink, State: out.To, Why: out.Why}
		for _, e := range tracker.Step(now, in).Effects {
			fmt.Printf("%s: lan %d, wan %d %q\n", e.Group, tracker.Priority(e.Group, "lan"), tracker.Priority(e.Group, "wan"), tracker.Reason(e.Group))
		}
	}
	// Output:
	// gateway: lan 200, wan 200 ""
	// gateway: lan 150, wan 150 "check uplink down (-50): no answer in 200ms"
}
