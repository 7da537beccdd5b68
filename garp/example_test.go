package garp_test

import (
	"fmt"
	"net/netip"
	"time"

	"understudy/garp"
)

// The loop of whoever owns a schedule, here with time that somebody else moves.
func Example() {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	s := garp.NewSchedule(garp.Config{Refresh: -1})
	s.Announce(start, []garp.Claim{{Interface: "lan0", Addr: netip.MustParseAddr("10.0.0.1")}})

	due := make([]garp.Claim, 64)
	for now := s.Deadline(); !now.IsZero(); now = s.Deadline() {
		for _, c := range due[:s.Step(now, due)] {
			fmt.Printf("%5v  %s\n", now.Sub(start), c)
		}
	}
	// Output:
	//    0s  10.0.0.1 at lan0
	// 100ms  10.0.0.1 at lan0
	//    1s  10.0.0.1 at lan0
	//    3s  10.0.0.1 at lan0
}
